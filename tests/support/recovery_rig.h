/* SPDX-License-Identifier: MIT */
/*
 * A tier that is crashed and started again over the same journal: what the tests of recovery share.
 */
#ifndef FOREBAY_TESTS_SUPPORT_RECOVERY_RIG_H
#define FOREBAY_TESTS_SUPPORT_RECOVERY_RIG_H

#include "policies/journal/format.h"
#include "policies/row.h"
#include "tests/support/passing_time.h"
#include "tests/support/tier_rig.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Beside the data folder: what keep_journal has kept of it. */
static inline struct temp_folder kept_of(const struct tier_rig *rig) {
    struct temp_folder kept;
    int size = snprintf(kept.path, sizeof kept.path, "%s.kept", rig->folder.path);
    assert_in_range(size, 1, sizeof kept.path - 1);
    return kept;
}

static inline void drop_kept(const struct tier_rig *rig) {
    struct temp_folder kept = kept_of(rig);
    temp_folder_remove(&kept);
}

/* A folder for the journal, and no patience at the end. */
static inline void use_journal(struct tier_rig *rig, enum journal_mode mode) {
    rig_use_folder(rig);
    rig->spaces[0].journal = mode;
    rig->options.drain_timeout = 50;
}

static inline int recovery_set_up(void **state) {
    rig_set_up(state);
    use_journal(*state, JOURNAL_OS); /* unless the test says otherwise, and alone */
    ((struct tier_rig *)*state)->options.cache.node = 0;
    return 0;
}

static inline int recovery_tear_down(void **state) {
    drop_kept(*state);
    return rig_tear_down(state);
}

/* Anew, for what a test does several times. */
static inline void renew(struct tier_rig *rig, enum journal_mode mode) {
    drop_kept(rig);
    rig_renew(rig, &policy_write_behind);
    use_journal(rig, mode);
}

/* In the list of tests. */
#define RECOVERY_CASE(name) RIG_CASE_WITH(name, recovery_set_up, recovery_tear_down)

/* Seconds of a life that ends in a test, when the test says so and not before. (Touches are for 5000.) */
enum { LIFE = 1000 };

#define LIFE_TEXT "1000"

static inline void pass_a_life(void) {
    pass_us((uint64_t)(LIFE + 1) * US_PER_SECOND);
}

/* Ends the tier without a drain, and without its writer having written anything: as if the process had died,
 * except what the journal's own buffers hold. */
static inline void crash(struct tier_rig *rig) {
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
}

static inline void crash_and_start(struct tier_rig *rig) {
    crash(rig);
    rig_start(rig);
}

static inline uint64_t version_of(struct tier_rig *rig, const char *key) {
    char command[64];
    unsigned long long version = 0;
    snprintf(command, sizeof command, "gets %s", key);
    assert_int_equal(sscanf(rig_do(rig, command), "%*s %llu", &version), 1);
    return version;
}

/* A record in the journal of a server that is not running, as one that this one no longer writes. */
static inline void write_record(struct tier_rig *rig, enum journal_kind kind, const struct entry *entry) {
    struct journal_replayer nobody = {0};
    struct journal_recovery found;
    struct journal_error error;
    struct journal *journal;
    struct slice name = SLICE("test");
    struct journal_options options = {
        .folder = rig->folder.path, .series_count = 1, .spaces = &name, .space_count = 1};
    uint64_t position;
    assert_int_equal(journal_open(&options, false, &nobody, &found, &journal, &error), JOURNAL_OK);
    struct journal_series *series = journal_series(journal, 0);
    assert_true(journal_reserve(series, JOURNAL_RECORD_OVERHEAD + entry->key.size + entry->value.size));
    journal_append(series, JOURNAL_OS, 0, kind, entry);
    assert_int_equal(journal_write(series, &position), JOURNAL_OK);
    journal_close(journal);
}

/* A shell does what is said, in folders of this test alone. */
__attribute__((format(printf, 1, 2))) static inline void shell(const char *form, ...) {
    char command[1600];
    va_list list;
    va_start(list, form);
    int size = vsnprintf(command, sizeof command, form, list);
    va_end(list);
    assert_in_range(size, 1, sizeof command - 1);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): nobody else's words are in it
}

/* What a power loss leaves when the store was synced and the journal's last records were not: the folder as
 * it was when it was kept, the store as it is now. */
static inline void keep_journal(struct tier_rig *rig) {
    /* The tier's threads rename files meanwhile. A blank has nothing in it. A file that has lost its name holds nothing
     * above the low-water version, which was on disk before, and is therefore copied last. */
    shell("mkdir %s && cd %s && for f in *; do"
          " case $f in (blank-*|low-water) ;; (*) cp -r $f %s 2>&- ; test -e $f || rm -f %s/$f ;; esac;"
          " done && if test -e low-water; then cp low-water %s; fi",
          kept_of(rig).path, rig->folder.path, kept_of(rig).path, kept_of(rig).path, kept_of(rig).path);
}

static inline void go_back_to_kept(struct tier_rig *rig) {
    crash(rig);
    shell("rm -r %s && mv %s %s", rig->folder.path, kept_of(rig).path, rig->folder.path);
}

/* Versions run ahead of the wall clock then, until that has caught up. */
static inline void let_the_clock_have_been_ahead(struct tier_rig *rig) {
    rig->clock_shift_us = 3600ll * 1000000;
    rig_expect(rig, "set ahead 1", "STORED");
    rig_do(rig, "sync");
    rig->clock_shift_us = 0;
    assert_true(version_us(version_of(rig, "ahead")) > cache_time_now().us);
}

#endif
