/* SPDX-License-Identifier: MIT */
/* The journal's way back: what was acknowledged is there after the process is gone. */
#include "policies/journal/format.h"
#include "policies/row.h"
#include "tests/support/passing_time.h"
#include "tests/support/tier_rig.h"
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Beside the data folder: what keep_journal has kept of it. */
static struct temp_folder kept_of(const struct tier_rig *rig) {
    struct temp_folder kept;
    int size = snprintf(kept.path, sizeof kept.path, "%s.kept", rig->folder.path);
    assert_in_range(size, 1, sizeof kept.path - 1);
    return kept;
}

static void drop_kept(const struct tier_rig *rig) {
    struct temp_folder kept = kept_of(rig);
    temp_folder_remove(&kept);
}

/* A folder for the journal, and no patience at the end. */
static void use_journal(struct tier_rig *rig, enum journal_mode mode) {
    rig_use_folder(rig);
    rig->spaces[0].journal = mode;
    rig->options.drain_timeout = 50;
}

static int set_up(void **state) {
    rig_set_up(state);
    use_journal(*state, JOURNAL_OS); /* unless the test says otherwise, and alone */
    ((struct tier_rig *)*state)->options.cache.node = 0;
    return 0;
}

static int tear_down(void **state) {
    drop_kept(*state);
    return rig_tear_down(state);
}

/* Anew, for what a test does several times. */
static void renew(struct tier_rig *rig, enum journal_mode mode) {
    drop_kept(rig);
    rig_renew(rig, &policy_write_behind);
    use_journal(rig, mode);
}

/* In the list of tests. */
#define RECOVERY_CASE(name) RIG_CASE_WITH(name, set_up, tear_down)

/* Seconds of a life that ends in a test, when the test says so and not before. (Touches are for 5000.) */
enum { LIFE = 1000 };
#define LIFE_TEXT "1000"

static void pass_a_life(void) {
    pass_us((uint64_t)(LIFE + 1) * US_PER_SECOND);
}

/* Ends the tier without a drain, and without its writer having written anything: as if the process had died,
 * except what the journal's own buffers hold. */
static void crash(struct tier_rig *rig) {
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
}

static void crash_and_start(struct tier_rig *rig) {
    crash(rig);
    rig_start(rig);
}

static uint64_t version_of(struct tier_rig *rig, const char *key) {
    char command[64];
    unsigned long long version = 0;
    snprintf(command, sizeof command, "gets %s", key);
    assert_int_equal(sscanf(rig_do(rig, command), "%*s %llu", &version), 1);
    return version;
}

/* All is in the store, and the journal has noted it: what follows does not find it replayed. The key is the one that was set
 * last. */
static void sync_and_note(struct tier_rig *rig, const char *key) {
    uint64_t version = version_of(rig, key);
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "journal:low_water") >= version);
}

RIG_TEST(changes_come_back, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set old 1", "STORED");
    rig_expect(rig, "set gone 1", "STORED");
    rig_do(rig, "sync");
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "incr a 41", "42");
    rig_expect(rig, "delete gone", "DELETED");
    rig_expect(rig, "set b 1 1000", "STORED");
    rig_expect(rig, "delete b", "DELETED");
    rig_expect(rig, "set b 2 1000", "STORED");
    crash(rig);
    rig_assert_row(rig, "a", NULL);
    rig_start(rig);
    rig_expect(rig, "get a", "42");
    rig_expect(rig, "get gone", "MISS");
    rig_expect(rig, "get b", "2");
    rig_expect(rig, "get old", "1");
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "42");
    rig_assert_row(rig, "gone", NULL);
    rig_assert_row(rig, "b", "2");
    assert_true(rig_row_expiry(rig, "b") > 0);
}

/* item_max has become smaller meanwhile: what was acknowledged before is not dropped for it. */
RIG_TEST(a_value_beyond_the_item_max_of_now_stops_the_start, write_behind) {
    char value[2001] = {0};
    memset(value, 'v', sizeof value - 1);
    rig_start(rig);
    rig_store(rig, "set long %s", value);
    crash(rig);
    rig->options.cache.item_max = 1024;
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "a value of namespace \"test\" has"));
    assert_null(strstr(error, "long"));
    assert_non_null(strstr(error, "item_max"));
    rig->options.cache.item_max = 1 << 20;
    rig_start(rig);
    rig_expect(rig, "get long", value);
}

/* The same of what is quarantined: it stays there, and is answered as a row that is too long. */
RIG_TEST(a_quarantined_value_beyond_the_item_max_of_now_is_unfit, write_behind) {
    char value[2001] = {0};
    memset(value, 'v', sizeof value - 1);
    faulty_refuse_keys(rig->faulty, "long");
    rig_start(rig);
    rig_store(rig, "set long %s", value);
    rig_do(rig, "sync");
    rig_expect(rig, "get long", value);
    crash(rig);
    rig->options.cache.item_max = 1024;
    rig_start(rig);
    rig_expect(rig, "get long", row_unfit_line);
    rig_expect(rig, "append long x", row_unfit_line);
    rig_expect(rig, "add long x", "NOT_STORED");
    rig_expect(rig, "replace long x", "STORED");
    rig_expect(rig, "get long", "x");
}

/* Versions survive: a client's CAS is still good, and a newer write is newer. */
RIG_TEST(versions_survive, write_behind) {
    char command[64];
    unsigned long long cas;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    assert_int_equal(sscanf(rig_do(rig, "gets a"), "1 %llu", &cas), 1);
    crash(rig);
    rig->clock_shift_us = -3600ll * 1000000; /* and the clock went back */
    rig_start(rig);
    snprintf(command, sizeof command, "cas a 2 %llu", cas);
    rig_expect(rig, command, "STORED");
    rig_expect(rig, "set b 1", "STORED");
    crash_and_start(rig);
    rig_expect(rig, "get a", "2");
    rig_expect(rig, "get b", "1");
    rig_expect(rig, "set b 2", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "b", "2");
}

/* The life of the row that is touched is over before the touch is written, and the row gone. */
static void lose_row(struct tier_rig *rig, const char *key) {
    rig_assert_row(rig, key, "1");
    memory_store_put(rig->store, "test", key, NULL, 1);
}

/* Begins anew, with rows in the store and in memory alone: the journal has nothing of them. */
static void start_with_rows(struct tier_rig *rig, unsigned rows) {
    char key[16], command[32];
    for (unsigned i = 0; i < rows; i++) {
        snprintf(key, sizeof key, "row%u", i);
        rig_put_row(rig, key, "1");
    }
    rig_start(rig);
    for (unsigned i = 0; i < rows; i++) {
        snprintf(command, sizeof command, "get row%u", i);
        rig_expect(rig, command, "1");
    }
}

RIG_TEST(a_touch_comes_back_without_its_row, write_behind) {
    uint32_t before = (uint32_t)time(NULL);
    start_with_rows(rig, 3);
    rig_expect(rig, "touch row0 5000", "TOUCHED");
    rig_expect(rig, "gat row1 50", "1");
    rig_expect(rig, "touch row1 5000", "TOUCHED"); /* of one that is dirty already */
    rig_expect(rig, "touch row2 5000", "TOUCHED");
    rig_expect(rig, "touch row2 -1", "TOUCHED");
    for (unsigned i = 0; i < 3; i++) {
        char key[16];
        snprintf(key, sizeof key, "row%u", i);
        lose_row(rig, key);
    }
    crash_and_start(rig);
    rig_expect(rig, "get row0", "1");
    rig_expect(rig, "get row1", "1");
    rig_expect(rig, "get row2", "MISS");
    rig_do(rig, "sync");
    rig_assert_row(rig, "row0", "1");
    rig_assert_row(rig, "row1", "1");
    rig_assert_row(rig, "row2", NULL);
    assert_true(rig_row_expiry(rig, "row0") > before + 3000 && rig_row_expiry(rig, "row1") > before + 3000);
}

/* Its put, or the touch before it, is on its way to the store, and may or may not get there. */
RIG_TEST(a_touch_during_a_flush_comes_back_without_its_row, write_behind) {
    static const enum backend_status ends[] = {BACKEND_OK, BACKEND_TRANSIENT};
    uint32_t before = (uint32_t)time(NULL);
    for (unsigned i = 0; i < 2; i++) {
        if (i > 0)
            renew(rig, JOURNAL_OS);
        start_with_rows(rig, 1);
        rig_expect(rig, "set put 1 1000", "STORED");
        rig_put_row(rig, "over", "old");
        rig_expect(rig, "set over new 1000", "STORED");
        rig_expect(rig, "touch row0 1000", "TOUCHED");
        faulty_hold(rig->faulty, FAULTY_APPLY, true);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, ends[i]);
        struct rig_call *sync = rig_begin(rig, 0, "sync");
        faulty_wait_held(rig->faulty, FAULTY_APPLY);
        rig_expect(rig, "touch put 5000", "TOUCHED");
        rig_expect(rig, "touch over 5000", "TOUCHED");
        rig_expect(rig, "touch row0 5000", "TOUCHED");
        faulty_hold(rig->faulty, FAULTY_APPLY, false);
        if (ends[i] == BACKEND_OK)
            rig_finish(sync);
        crash(rig);
        memory_store_put(rig->store, "test", "put", NULL, 1);
        memory_store_put(rig->store, "test", "row0", NULL, 1);
        rig_start(rig);
        rig_expect(rig, "get put", "1");
        rig_expect(rig, "get row0", "1");
        rig_do(rig, "sync");
        rig_assert_row(rig, "over", "new"); /* its put, if it did not get there, comes with the touch */
        assert_true(rig_row_expiry(rig, "put") > before + 3000 &&
                    rig_row_expiry(rig, "row0") > before + 3000);
    }
}

/* A touch is no put, when it is recovered either. */
RIG_TEST(a_recovered_touch_leaves_the_value_of_another_node, write_behind) {
    start_with_rows(rig, 1);
    rig_expect(rig, "touch row0 500", "TOUCHED");
    rig_expect(rig, "touch row0 5000", "TOUCHED");
    memory_store_put(rig->store, "test", "row0", "theirs", 2000); /* newer than ours, older than the touch */
    crash_and_start(rig);
    rig_do(rig, "sync");
    rig_assert_row(rig, "row0", "theirs");
    assert_int_equal(rig_row_expiry(rig, "row0"), 0); /* what was touched is not there any more */
    rig_expect(rig, "get row0", "theirs");
}

/* A record in the journal of a server that is not running, as one that this one no longer writes. */
static void write_record(struct tier_rig *rig, enum journal_kind kind, const struct entry *entry) {
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

/* As the version before wrote it: the value is only in the row. */
RIG_TEST(a_touch_without_a_value_comes_back, write_behind) {
    struct entry touch = {.key = SLICE("row"),
                          .version = version_from_us(wall_us(), 1),
                          .client_cas = 1000,
                          .expires_at = (uint32_t)(wall_us() / 1000000) + 5000};
    write_record(rig, JOURNAL_TOUCH, &touch);
    rig_put_row(rig, "row", "1");
    rig_start(rig);
    rig_expect(rig, "get row", "1");
    rig_do(rig, "sync");
    assert_int_equal(rig_row_expiry(rig, "row"), touch.expires_at);
}

RIG_TEST(touches_come_back, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t before = rig_row_expiry(rig, "row");
    rig_expect(rig, "touch row 5000", "TOUCHED"); /* its value is only in the backend */
    rig_expect(rig, "set fresh 1 1000", "STORED");
    rig_expect(rig, "touch fresh 5000", "TOUCHED"); /* its value is in the journal */
    rig_expect(rig, "set over 1 1000", "STORED");
    rig_expect(rig, "touch over 5000", "TOUCHED");
    rig_expect(rig, "set over 2 1000", "STORED"); /* a later put wins */
    crash_and_start(rig);
    assert_int_equal(rig_stat(rig, "journal:replayed_records") >= 5, 1);
    rig_expect(rig, "get row", "1");
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "row") > before + 3000);
    assert_true(rig_row_expiry(rig, "fresh") > before + 3000);
    assert_true(rig_row_expiry(rig, "over") < before + 1000);
    rig_assert_row(rig, "over", "2");
}

RIG_TEST(a_recovered_touch_waits_for_an_absent_backend, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t before = rig_row_expiry(rig, "row");
    rig_expect(rig, "touch row 5000", "TOUCHED");
    crash(rig);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    crash_and_start(rig); /* again, before it could be done */
    eventually(rig_row_expiry(rig, "row") > before + 3000);
    assert_true(rig_row_expiry(rig, "row") > before + 3000);
}

/* ---- A store that is ahead of the journal ---- */

/* A shell does what is said, in folders of this test alone. */
__attribute__((format(printf, 1, 2))) static void shell(const char *form, ...) {
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
static void keep_journal(struct tier_rig *rig) {
    /* The tier's threads rename files meanwhile. A blank has nothing in it. A file that has lost its name holds nothing
     * above the low-water version, which was on disk before, and is therefore copied last. */
    shell("mkdir %s && cd %s && for f in *; do"
          " case $f in (blank-*|low-water) ;; (*) cp -r $f %s 2>&- ; test -e $f || rm -f %s/$f ;; esac;"
          " done && if test -e low-water; then cp low-water %s; fi",
          kept_of(rig).path, rig->folder.path, kept_of(rig).path, kept_of(rig).path, kept_of(rig).path);
}

static void go_back_to_kept(struct tier_rig *rig) {
    crash(rig);
    shell("rm -r %s && mv %s %s", rig->folder.path, kept_of(rig).path, rig->folder.path);
}

/* Gives a journal file the boot id of an earlier boot. */
static void age_file(const char *path) {
    struct format_header header;
    char *copy;
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    off_t size = lseek(file, 0, SEEK_END);
    char *data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(data != MAP_FAILED);
    assert_int_equal(format_decode_header(data, (size_t)size, &header), FORMAT_GOOD);
    header.boot[0]++;
    copy = calloc(1, header.size);
    assert_non_null(copy);
    format_encode_header(copy, &header);
    memcpy(data, copy, header.size - FORMAT_NOTE_SIZE);
    free(copy);
    free((void *)(uintptr_t)header.spaces);
    munmap(data, (size_t)size);
    close(file);
}

/* The system is started anew while no tier runs: what the journal holds is of an earlier boot. */
static void reboot(struct tier_rig *rig) {
    char pattern[300];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/journal-*.fj", rig->folder.path);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        age_file(found.gl_pathv[i]);
    globfree(&found);
}

static void lose_the_tail(struct tier_rig *rig) {
    go_back_to_kept(rig);
    reboot(rig);
}

/* The journal as if the low-water version had not been noted: what was kept is there again, beside what is new. */
static void bring_back_kept(struct tier_rig *rig) {
    shell("cd %s && cp low-water %s && for f in journal-*.fj; do cp $f %s/journal-9-${f##*-}; done",
          kept_of(rig).path, rig->folder.path, rig->folder.path);
    drop_kept(rig);
}

/* The store is ahead of the journal, on the same boot. */
static void write_and_go_back(struct tier_rig *rig) {
    rig_start(rig);
    rig_expect(rig, "set put old", "STORED");
    rig_expect(rig, "set gone old", "STORED");
    rig_expect(rig, "set touched old 1000", "STORED");
    rig_expect(rig, "set expired old", "STORED");
    rig_expect(rig, "set kept old", "STORED");
    rig_expect(rig, "set back old", "STORED");
    rig_expect(rig, "delete back", "DELETED");
    keep_journal(rig);
    rig_expect(rig, "set put new", "STORED");
    rig_expect(rig, "delete gone", "DELETED");
    rig_expect(rig, "touch touched 5000", "TOUCHED");
    rig_expect(rig, "set expired new " LIFE_TEXT, "STORED");
    rig_expect(rig, "set back new", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "new");
    pass_a_life();
    go_back_to_kept(rig);
}

static void write_and_get_ahead(struct tier_rig *rig) {
    write_and_go_back(rig);
    reboot(rig);
}

/* Begins a command that has to wait for the store, which is held. */
static struct rig_call *begin_waiting(struct tier_rig *rig, const char *command) {
    struct rig_call *call = rig_begin(rig, 0, command);
    usleep(1000);
    assert_false(rig_is_done(call));
    return call;
}

static void expect_call(struct rig_call *call, const char *reply) {
    assert_string_equal(rig_finish(call), reply);
    rig_free(call);
}

/* The first read after the start is as new as the store: it waits until the store has seen what was restored. */
RIG_TEST(the_first_read_is_as_new_as_the_store, write_behind) {
    write_and_get_ahead(rig);
    uint32_t expiry = rig_row_expiry(rig, "touched");
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    assert_true(cache_dirty_entries(tier_cache(rig->tier), 0) > 0); /* served before anything is written */
    struct rig_call *put = begin_waiting(rig, "get put"), *gone = begin_waiting(rig, "get gone"),
                    *expired = begin_waiting(rig, "get expired"),
                    *touched = begin_waiting(rig, "get touched"), *kept = begin_waiting(rig, "gat kept 1000"),
                    *back = begin_waiting(rig, "gets back");
    rig_expect(rig, "set other 1", "STORED"); /* nobody has to ask for that */
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    expect_call(put, "new");
    expect_call(gone, "MISS");
    expect_call(expired, "MISS");
    expect_call(touched, "old");
    expect_call(kept, "old");
    assert_memory_equal(rig_finish(back), "new ", 4);
    assert_int_equal(rig_row_expiry(rig, "touched"), expiry);
    rig_expect(rig, "append put er", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "kept", "old");
    rig_assert_row(rig, "put", "newer");
}

/* The same where it takes long to answer, longer than a start without changes to recover waits. */
RIG_TEST(the_first_read_waits_for_a_slow_store, write_behind) {
    write_and_get_ahead(rig);
    faulty_delay(rig->faulty, FAULTY_OPEN, 900);
    rig_start(rig);
    faulty_delay(rig->faulty, FAULTY_OPEN, 0);
    rig_expect(rig, "get put", "new");
    rig_expect(rig, "get gone", "MISS");
}

/* Who asks for a key does not wait for all the others. */
RIG_TEST(a_first_read_overtakes_what_waits_to_be_written, write_behind) {
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    for (int i = 0; i < 2000; i++)
        rig_store(rig, "set key%d %d", i, i);
    crash(rig);
    reboot(rig);
    rig->spaces[0].flush_batch = 1;
    faulty_delay(rig->faulty, FAULTY_APPLY, 1);
    rig_start(rig);
    rig_expect(rig, "incr key1999 1", "2000");
    assert_int_equal(rig_stat(rig, "store:confirmed_rows"), 1);
    assert_true(cache_dirty_entries(tier_cache(rig->tier), 0) > 100);
    faulty_delay(rig->faulty, FAULTY_APPLY, 0);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 2000);
}

/* On the same boot the store cannot have what the journal has lost: there is nothing to wait for. */
RIG_TEST(after_a_kill_the_journal_is_believed_at_once, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set b 1", "STORED");
    rig_expect(rig, "delete b", "DELETED");
    crash(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    rig_expect(rig, "get a", "1");
    rig_expect(rig, "incr a 1", "2");
    rig_expect(rig, "get b", "MISS");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "b", NULL);
}

/* What the journal holds was written long ago, perhaps, and changed by another server since. */
RIG_TEST(after_a_kill_another_server_may_be_ahead, write_behind) {
    rig->options.cache.node = 1;
    write_and_go_back(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    struct rig_call *put = begin_waiting(rig, "append put er"), *gone = begin_waiting(rig, "get gone"),
                    *kept = begin_waiting(rig, "get kept");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    expect_call(put, "STORED");
    expect_call(gone, "MISS");
    expect_call(kept, "old");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "newer");
}

/* The age of what was recovered counts from the start: a limit on it does not refuse the first writes. */
RIG_TEST(what_was_recovered_makes_no_namespace_full, write_behind) {
    rig->spaces[0].dirty_age_limit = 60000;
    rig->spaces[0].on_full = FULL_REJECT;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    crash(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    eventually(rig_stat(rig, "store:write_failures") >= 2); /* the first pass has looked at everything */
    rig_expect(rig, "set b 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_do(rig, "sync");
    rig_expect(rig, "set c 1", "STORED");
}

/* The row's life is over, but for a touch that has yet to reach it. */
RIG_TEST(a_row_is_alive_while_a_recovered_touch_waits_for_it, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 " LIFE_TEXT, "STORED");
    rig_do(rig, "sync");
    rig_expect(rig, "touch row 5000", "TOUCHED");
    crash(rig);
    uint32_t end = rig_row_expiry(rig, "row");
    pass_a_life();
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_start(rig);
    rig_expect(rig, "get row", "1");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "row") > end + 3000);
    rig_expect(rig, "get row", "1");
}

/* Neither one commit for each row, nor one for each touch of a row. */
RIG_TEST(recovered_touches_share_commits, write_behind) {
    enum { ROWS = 1500 };
    uint32_t far = (uint32_t)time(NULL) + 100000;
    rig->options.cache.memory_limit = 64 << 20;
    rig_start(rig);
    for (int i = 0; i < ROWS; i++)
        rig_store(rig, "set key%d %d 5000", i, i);
    rig_do(rig, "sync");
    for (int i = 0; i < 2 * ROWS; i++) {
        char command[64];
        snprintf(command, sizeof command, "touch key%d %u", i % ROWS, far + (uint32_t)i);
        rig_expect(rig, command, "TOUCHED");
        snprintf(command, sizeof command, "touch key0 %u", far + (uint32_t)i);
        rig_expect(rig, command, "TOUCHED");
    }
    crash(rig);
    size_t batches = memory_store_counts(rig->store).batches;
    rig_start(rig);
    rig_do(rig, "sync");
    assert_in_range(memory_store_counts(rig->store).batches - batches, 1, 10);
    for (int i = 0; i < ROWS; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(rig_row_expiry(rig, key), far + (uint32_t)(i ? ROWS + i : 2 * ROWS - 1));
    }
}

/* A store that cannot be written to at the start: the journal's word, until it can be. */
RIG_TEST(the_journal_counts_while_the_store_is_not_writable, write_behind) {
    for (int connected = 0; connected < 2; connected++) {
        renew(rig, JOURNAL_OS);
        write_and_get_ahead(rig);
        faulty_fail_all(rig->faulty, connected ? FAULTY_APPLY : FAULTY_ANY, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "get put", "old");
        rig_expect(rig, "get gone", "old");
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
        assert_true(rig_wait_clean(rig));
        rig_expect(rig, "get put", "new");
        rig_expect(rig, "get gone", "MISS");
        rig_expect(rig, "get kept", "old");
    }
}

/* The journal holds an old put, the store a newer one whose record was lost, and a touch was made on that:
 * the touch is the newer row's, and the old value does not come back on its account. */
RIG_TEST(a_touch_of_what_the_store_has_brings_no_old_value_back, write_behind) {
    for (int writable = 0; writable < 2; writable++) {
        renew(rig, JOURNAL_OS);
        rig_start(rig);
        rig_expect(rig, "set gone old", "STORED");
        rig_expect(rig, "touch gone -1", "TOUCHED");
        rig_expect(rig, "set a old", "STORED");
        keep_journal(rig);
        sync_and_note(rig, "a");
        crash_and_start(rig);
        uint64_t version = version_from_us(cache_time_now().us, 0);
        memory_store_put(rig->store, "test", "a", "new", version);
        memory_store_put(rig->store, "test", "gone", "new", version);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_expect(rig, "touch a 5000", "TOUCHED");
        rig_expect(rig, "touch gone 5000", "TOUCHED");
        crash(rig);
        bring_back_kept(rig); /* the old put */
        if (!writable)
            faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
        eventually(rig_row_expiry(rig, "a") != 0);
        rig_do(rig, "sync");
        rig_assert_row(rig, "a", "new");
        rig_assert_row(rig, "gone", "new");
        assert_true(rig_row_expiry(rig, "a") > time(NULL) + 3000);
        assert_true(rig_row_expiry(rig, "gone") > time(NULL) + 3000);
        rig_expect(rig, "get a", "new");
        rig_expect(rig, "get gone", "new");
    }
}

/* What was alive when it was touched is alive, however long the server was away meanwhile. */
RIG_TEST(what_was_touched_in_time_is_alive, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set once 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "touch once 5000", "TOUCHED");
    rig_expect(rig, "set twice 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "touch twice 900", "TOUCHED");
    rig_expect(rig, "touch twice 5000", "TOUCHED");
    rig_expect(rig, "set never 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "set back 1", "STORED");
    rig_expect(rig, "touch back " LIFE_TEXT, "TOUCHED");
    crash(rig);
    pass_a_life();
    rig_start(rig);
    rig_expect(rig, "get once", "1");
    rig_expect(rig, "get twice", "1");
    rig_expect(rig, "get never", "MISS");
    rig_expect(rig, "get back", "MISS");
    rig_do(rig, "sync");
    rig_assert_row(rig, "once", "1");
    rig_assert_row(rig, "twice", "1");
    rig_assert_row(rig, "never", NULL);
    rig_assert_row(rig, "back", NULL);
}

/* A touch that was answered without a look at the row (existence = memory) is in the journal. */
RIG_TEST(blind_touches_come_back, write_behind) {
    enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_ALWAYS};
    for (int i = 0; i < 2; i++) {
        renew(rig, modes[i]);
        rig->spaces[0].existence = EXISTENCE_MEMORY;
        memory_store_put(rig->store, "test", "row", "1", 1000);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        rig_expect(rig, "touch row 5000", "NOT_FOUND");
        rig_expect(rig, "touch none 5000", "NOT_FOUND");
        crash(rig);
        assert_int_equal(rig_row_expiry(rig, "row"), 0);
        rig_start(rig);
        rig_expect(rig, "get row", "1");
        rig_do(rig, "sync");
        assert_true(rig_row_expiry(rig, "row") > time(NULL) + 3000);
        rig_assert_row(rig, "none", NULL);
    }
}

/* New versions begin above those of the store, also when the store did not say at once which those are. */
RIG_TEST(versions_begin_above_the_store, write_behind) {
    uint64_t far = UINT64_C(2051222400000000) << ENTRY_VERSION_NODE_BITS; /* 2035 */
    for (int failing = 0; failing < 2; failing++) {
        renew(rig, JOURNAL_OS);
        memory_store_put(rig->store, "test", "a", "old", far);
        if (failing)
            faulty_fail_call(rig->faulty, FAULTY_HIGH_VERSION, 1, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "set a new", "STORED");
        rig_do(rig, "sync");
        rig_assert_row(rig, "a", "new");
        rig_expect(rig, "get a", "new");
    }
}

/* Above it versions would come to their end. */
RIG_TEST(a_store_with_a_version_that_no_clock_gives_stops_the_start, write_behind) {
    memory_store_put(rig->store, "test", "a", "old", ENTRY_VERSION_HIGHEST + 1);
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "no clock gives"));
    assert_non_null(strstr(error, "store"));
    assert_non_null(strstr(error, "9079256848778919937"));
    memory_store_put(rig->store, "test", "a", "old", ENTRY_VERSION_HIGHEST);
    rig_start(rig);
    rig_expect(rig, "set a new", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "new");
}

RIG_TEST(a_journal_with_a_version_that_no_clock_gives_stops_the_start, write_behind) {
    struct entry late = {.key = SLICE("late"), .value = SLICE("1"), .version = ENTRY_VERSION_HIGHEST + 1};
    write_record(rig, JOURNAL_PUT, &late);
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "a change in it has version"));
    assert_null(strstr(error, "late"));
    assert_non_null(strstr(error, "no clock gives"));
}

RIG_TEST(the_journal_may_hold_more_than_memory, write_behind) {
    char value[3000];
    rig->options.cache.item_max = 8192;
    rig->spaces[0].flush_batch = 1000000;
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 3000; i++)
        rig_store(rig, "set key%d %s", i, value);
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

/* ---- More than memory ---- */

enum { LARGE = 3000 }; /* bytes of a value of which a few hundred are more than memory */

/* A command on any worker. */
static void expect_on(struct tier_rig *rig, unsigned worker, const char *command, const char *reply) {
    struct rig_call *call = rig_begin(rig, worker, command);
    assert_string_equal(rig_finish(call), reply);
    rig_free(call);
}

/* set KEY with a large value that begins with `begin`. */
static void set_large(struct tier_rig *rig, unsigned worker, const char *key, const char *begin) {
    char command[LARGE + 100], value[LARGE];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    memcpy(value, begin, strlen(begin));
    snprintf(command, sizeof command, "set %s %s", key, value);
    expect_on(rig, worker, command, "STORED");
}

/* Two workers, a store that forgets what it deleted, and nothing flushed unless the test asks. */
static void use_large_journal(struct tier_rig *rig) {
    memory_store_forget_deletes(rig->store);
    rig->options.workers = 2;
    rig->options.cache.item_max = 8192;
    rig->options.cache.memory_limit = 64 << 20;
    rig->spaces[0].flush_batch = 1000000;
    rig->spaces[0].flush_delay = 3600000;
}

/* What the journal has is read again, into memory that cannot hold it. */
static void crash_into_small_memory(struct tier_rig *rig) {
    go_back_to_kept(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
}

/* As if the low-water version had not been noted since the start: another backend was away, say. */
static void forget_low_water(struct tier_rig *rig) {
    shell("rm %s/low-water", kept_of(rig).path);
}

/* Its put is in a file that is read after memory was full, its delete in one that is read before. */
RIG_TEST(what_was_deleted_stays_deleted_if_the_journal_is_larger_than_memory, write_behind) {
    char command[64];
    use_large_journal(rig);
    rig_start(rig);
    for (int i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "set dead%d 1", i);
        expect_on(rig, 1, command, "STORED");
    }
    rig_do(rig, "sync");
    for (int i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "delete dead%d", i);
        expect_on(rig, 0, command, "DELETED");
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(command, sizeof command, "key%d", i);
        set_large(rig, 0, command, "");
    }
    keep_journal(rig); /* with all that was ever written: what is flushed may be recycled */
    forget_low_water(rig);
    rig_do(rig, "sync");
    crash_into_small_memory(rig);
    for (int i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "get dead%d", i);
        rig_expect(rig, command, "MISS");
    }
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

/* What waits beside the cache until all is read has its bound too, and leaves keys to a later pass as well. */
RIG_TEST(all_touches_come_back_if_they_are_more_than_can_be_noted, write_behind) {
    enum { KEYS = 12000 };
    char text[64];
    uint32_t far = (uint32_t)time(NULL) + 100000;
    use_large_journal(rig);
    rig_start(rig);
    for (int i = 0; i < KEYS; i++)
        rig_store(rig, "set key%d %d 5000", i, i);
    rig_do(rig, "sync");
    for (int i = 0; i < 2 * KEYS; i++) {
        snprintf(text, sizeof text, "touch key%d %u", i % KEYS, far + (uint32_t)i);
        expect_on(rig, (unsigned)i % 2, text, "TOUCHED");
    }
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
    rig_do(rig, "sync");
    for (int i = 0; i < KEYS; i++) {
        snprintf(text, sizeof text, "key%d", i);
        assert_int_equal(rig_row_expiry(rig, text), far + (uint32_t)(KEYS + i));
    }
}

/* Lives that have ended, unless a touch has prolonged them, in whatever pass the keys come. */
RIG_TEST(what_was_touched_in_time_is_alive_if_the_journal_is_larger_than_memory, write_behind) {
    enum { KEYS = 2000 };
    char key[32], command[64], value[LARGE];
    use_large_journal(rig);
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < KEYS; i++) {
        rig_store(rig, "set key%d %s " LIFE_TEXT, i, value);
        snprintf(command, sizeof command, "touch key%d 5000", i);
        if (i % 2)
            rig_expect(rig, command, "TOUCHED");
    }
    keep_journal(rig);
    pass_a_life();
    crash_into_small_memory(rig);
    rig_do(rig, "sync");
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(command, sizeof command, "get %s", key);
        assert_int_equal(strcmp(rig_do(rig, command), "MISS") != 0, i % 2);
        rig_assert_row(rig, key, i % 2 ? value : NULL);
    }
}

static void set_and_touch(struct tier_rig *rig, int keys) {
    char key[32], command[64];
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set_large(rig, (unsigned)i % 2, key, "");
        snprintf(command, sizeof command, "touch %s 5000", key);
        expect_on(rig, (unsigned)i % 2, command, "TOUCHED");
    }
}

/* Where the keys just fit, memory is full when the touches are applied, and puts are written whose touches the store
 * has already. This server has written those: it accuses no other of it. */
RIG_TEST(what_the_store_has_is_explained_if_the_journal_is_larger_than_memory, write_behind) {
    for (int keys = 1150; keys <= 1350; keys += 50) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        set_and_touch(rig, keys);
        keep_journal(rig);
        forget_low_water(rig);
        rig_do(rig, "sync");
        crash_into_small_memory(rig);
        rig_do(rig, "sync");
        assert_int_equal(memory_store_rows(rig->store), keys);
        assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 0);
    }
}

/* The life that a touch has prolonged ends while the journal is read: its put was alive when it was read, and is over
 * when the touch is applied. */
RIG_TEST(what_was_touched_in_time_is_alive_if_it_ends_during_recovery, write_behind) {
    enum { KEYS = 1500 };
    char command[64];
    for (unsigned early_ms = 1; early_ms < 50; early_ms *= 3) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        uint32_t end = (uint32_t)time(NULL) + LIFE;
        for (int i = 0; i < KEYS; i++) {
            rig_store(rig, "set key%d 1 %u", i, end);
            snprintf(command, sizeof command, "touch key%d 5000", i);
            rig_expect(rig, command, "TOUCHED");
        }
        crash(rig);
        pass_until_us((uint64_t)end * US_PER_SECOND - early_ms * US_PER_MS);
        rig_start(rig);
        pass_until_us((uint64_t)end * US_PER_SECOND);
        for (int i = 0; i < KEYS; i++) {
            snprintf(command, sizeof command, "get key%d", i);
            rig_expect(rig, command, "1");
        }
    }
}

static void *pass_a_life_during_an_apply(void *argument) {
    struct tier_rig *rig = argument;
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    pass_a_life();
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    return NULL;
}

/* The same where memory is full when the touches are applied, and the store takes its time. */
RIG_TEST(what_was_touched_in_time_is_alive_if_it_ends_while_memory_is_full, write_behind) {
    char command[64], value[LARGE];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int keys = 1150; keys <= 1350; keys += 50) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        for (int i = 0; i < keys; i++) {
            rig_store(rig, "set key%d %s " LIFE_TEXT, i, value);
            snprintf(command, sizeof command, "touch key%d 5000", i);
            rig_expect(rig, command, "TOUCHED");
        }
        keep_journal(rig);
        faulty_hold(rig->faulty, FAULTY_APPLY, true);
        pthread_t passing;
        assert_int_equal(pthread_create(&passing, NULL, pass_a_life_during_an_apply, rig), 0);
        crash_into_small_memory(rig);
        rig_do(rig, "sync");
        pthread_join(passing, NULL);
        for (int i = 0; i < keys; i++) {
            snprintf(command, sizeof command, "get key%d", i);
            assert_string_not_equal(rig_do(rig, command), "MISS");
        }
    }
}

/* Nothing can be left out, and nothing written out. */
RIG_TEST(a_store_that_is_away_stops_a_large_recovery_with_a_reason, write_behind) {
    char key[32];
    use_large_journal(rig);
    rig_start(rig);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set_large(rig, 0, key, "");
    }
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    const char *reason = rig_try_start(rig);
    assert_non_null(reason);
    assert_non_null(
        strstr(reason, "the journal holds more than memory can, and backend \"store\" cannot be written"));
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_start(rig);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

enum { MODEL_KEYS = 3500, MODEL_CHANGES = 8000 };

/* What a key is to hold: the number at the beginning of its value, and its expiry. */
struct wanted {
    bool exists;
    int number;
    uint32_t expires_at;
};

static void set_wanted(struct tier_rig *rig, unsigned worker, int key, int number, struct wanted *wanted) {
    char command[LARGE + 100], value[LARGE];
    snprintf(value, sizeof value, "%d-%0*d", number, rand() % 4 ? LARGE - 20 : 10, 0);
    wanted->expires_at = rand() % 2 ? (uint32_t)time(NULL) + 100000 + (uint32_t)number : 0;
    snprintf(command, sizeof command, "set key%d %s %u", key, value, wanted->expires_at);
    expect_on(rig, worker, command, "STORED");
    wanted->exists = true;
    wanted->number = number;
}

/* A random change of a random key by a random worker. */
static void change_randomly(struct tier_rig *rig, struct wanted *all, int number) {
    char command[64];
    unsigned worker = (unsigned)rand() % 2;
    int key = rand() % MODEL_KEYS, kind = rand() % 10;
    struct wanted *wanted = &all[key];
    if (kind < 6) {
        set_wanted(rig, worker, key, number, wanted);
    } else if (kind < 8) {
        snprintf(command, sizeof command, "delete key%d", key);
        expect_on(rig, worker, command, wanted->exists ? "DELETED" : "NOT_FOUND");
        wanted->exists = false;
    } else {
        uint32_t expires_at = (uint32_t)time(NULL) + 200000 + (uint32_t)number;
        snprintf(command, sizeof command, "touch key%d %u", key, expires_at);
        expect_on(rig, worker, command, wanted->exists ? "TOUCHED" : "NOT_FOUND");
        wanted->expires_at = expires_at;
    }
}

static void check_wanted(struct tier_rig *rig, int key, const struct wanted *wanted, bool in_store) {
    char command[64], name[32];
    snprintf(name, sizeof name, "key%d", key);
    snprintf(command, sizeof command, "get %s", name);
    char *row = in_store ? rig_row(rig, name) : NULL;
    const char *value = in_store ? row : rig_do(rig, command);
    if (wanted->exists) {
        assert_non_null(value);
        assert_int_equal(atoi(value), wanted->number);
        assert_int_equal(strcmp(value, "MISS") == 0, 0);
    } else {
        assert_true(value == NULL || strcmp(value, "MISS") == 0);
    }
    if (in_store && wanted->exists)
        assert_int_equal(rig_row_expiry(rig, name), wanted->expires_at);
    free(row);
}

/* Random changes by two workers, with a flush now and then; the last of each key is what comes back, although memory
 * cannot hold what is read. */
RIG_TEST(the_last_change_of_each_key_counts_if_the_journal_is_larger_than_memory, write_behind) {
    struct wanted *all = calloc(MODEL_KEYS, sizeof *all);
    assert_non_null(all);
    for (unsigned seed = 1; seed <= 4; seed++) {
        renew(rig, JOURNAL_OS);
        use_large_journal(rig);
        rig_start(rig);
        srand(seed);
        memset(all, 0, MODEL_KEYS * sizeof *all);
        for (int i = 1; i <= MODEL_CHANGES; i++) {
            change_randomly(rig, all, i);
            if (rand() % 1000 == 0)
                rig_do(rig, "sync");
        }
        keep_journal(rig);
        crash_into_small_memory(rig);
        for (int key = 0; key < MODEL_KEYS; key++)
            check_wanted(rig, key, &all[key], false);
        rig_do(rig, "sync");
        for (int key = 0; key < MODEL_KEYS; key++)
            check_wanted(rig, key, &all[key], true);
        assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 0);
    }
    free(all);
}

static unsigned awaited_logs(struct tier_rig *rig) {
    pthread_mutex_lock(&rig->mutex);
    unsigned count = rig->awaited_logs;
    pthread_mutex_unlock(&rig->mutex);
    return count;
}

/* The store takes its time: the operator is told how much is left. */
RIG_TEST(a_long_recovery_tells_its_progress, write_behind) {
    enum { KEYS = 25000 }; /* three commits */
    rig->options.cache.memory_limit = 256 << 20;
    rig_start(rig);
    for (int i = 0; i < KEYS; i++)
        rig_store(rig, "set key%d %d", i, i);
    crash(rig);
    rig->awaited_log = "entries of namespace test have yet to be written to backend";
    faulty_delay(rig->faulty, FAULTY_APPLY, 1100);
    rig_start(rig);
    eventually(awaited_logs(rig) >= 1);
    assert_true(awaited_logs(rig) >= 1);
    faulty_delay(rig->faulty, FAULTY_APPLY, 0);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), KEYS);
    eventually(rig_said(rig, "all that was recovered of namespace test is in backend"));
    assert_true(rig_said(rig, "all that was recovered of namespace test is in backend"));
}

/* A store that is away for long fills no log. */
RIG_TEST(a_recovery_that_waits_is_told_ever_more_rarely, write_behind) {
    enum { TIMES = 20 };
    rig_start(rig);
    rig_store(rig, "set key v");
    crash(rig);
    rig->awaited_log = "entries of namespace test have yet to be written to backend";
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t before = rig_stat(rig, "store:write_failures");
        pass_us(2100000);
        rig_begin(rig, 0, "sync");
        eventually(rig_stat(rig, "store:write_failures") > before);
    }
    assert_in_range(awaited_logs(rig), 2, 6);
}

RIG_TEST(the_number_of_workers_may_change, write_behind) {
    rig->options.workers = 3;
    rig_start(rig);
    for (unsigned i = 0; i < 30; i++) {
        char command[64];
        snprintf(command, sizeof command, "set key %u", i);
        struct rig_call *call = rig_begin(rig, i % 3, command);
        assert_string_equal(rig_finish(call), "STORED");
        rig_free(call);
    }
    crash(rig);
    rig->options.workers = 1;
    rig_start(rig);
    rig_expect(rig, "get key", "29");
    crash(rig);
    rig->options.workers = 2;
    rig_start(rig);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key", "29");
}

/* A clean end leaves nothing to do again. */
RIG_TEST(nothing_is_left_after_a_drain, write_behind) {
    size_t journaled;
    rig->spaces[0].journal = JOURNAL_INTERVAL;
    rig->options.drain_timeout = 10000;
    rig_start(rig);
    for (int i = 0; i < 500; i++) {
        rig_store(rig, "set key%d %d", i, i);
    }
    assert_int_equal(tier_drain(rig->tier, &journaled), 0);
    rig_end_tier(rig);
    assert_int_equal(memory_store_rows(rig->store), 500);
    size_t mutations = memory_store_counts(rig->store).mutations;
    rig_start(rig);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_counts(rig->store).mutations, mutations);
}

RIG_TEST(always_waits_for_the_disk, write_behind) {
    struct rig_call *calls[10];
    rig->spaces[0].journal = JOURNAL_ALWAYS;
    rig_start(rig);
    struct rig_call *call = rig_begin(rig, 0, "set a 1");
    assert_false(call->done); /* only when it is on disk */
    assert_string_equal(rig_finish(call), "STORED");
    for (int i = 0; i < 10; i++)
        calls[i] = rig_begin(rig, 0, "incr a 1");
    for (int i = 0; i < 10; i++) {
        char expected[8];
        snprintf(expected, sizeof expected, "%d", i + 2);
        assert_string_equal(rig_finish(calls[i]), expected);
        rig_free(calls[i]);
    }
    rig_expect(rig, "gat a 1000", "11"); /* an answer with a value waits too */
    assert_true(rig_stat(rig, "journal:fsyncs") >= 2);
    crash_and_start(rig);
    rig_expect(rig, "get a", "11");
}

/* Begins a command, says whether its turn was kept in the journal, and forgets it. */
static bool is_kept(struct tier_rig *rig, const char *command, const char *reply) {
    struct rig_call *call = rig_begin(rig, 0, command);
    bool kept = call->kept;
    assert_true(call->done);
    assert_memory_equal(call->reply, reply, strlen(reply));
    return kept;
}

RIG_TEST(a_failing_journal_lets_no_reply_out, write_behind) {
    enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_INTERVAL};
    for (int i = 0; i < 2; i++) {
        renew(rig, modes[i]);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        assert_true(is_kept(rig, "set a 1", "STORED"));
        rig_files_can_be_written(false);
        assert_false(is_kept(rig, "set a 2", "STORED"));      /* nobody may be told */
        assert_true(is_kept(rig, "set b 1", "SERVER_ERROR")); /* refused, and that may be told */
        struct rig_call *reader = rig_begin(rig, 0, "get a");
        assert_false(rig_is_done(reader));
        rig_files_can_be_written(true);
        assert_string_equal(rig_finish(reader), "2"); /* one of its turns brought the record into the file */
        assert_true(is_kept(rig, "set b 3", "STORED"));
        crash_and_start(rig);
        rig_expect(rig, "get a", "2");
        rig_expect(rig, "get b", "3");
    }
}

/* journal = "off": what was not flushed is gone, what was flushed is not. */
RIG_TEST(without_a_journal_what_was_not_flushed_is_gone, write_behind) {
    rig->spaces[0].journal = JOURNAL_OFF;
    rig_start(rig);
    rig_expect(rig, "set flushed 1", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "flushed", "1");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(rig, "set flushed 2", "STORED");
    rig_expect(rig, "set dirty 1", "STORED");
    crash_and_start(rig);
    rig_expect(rig, "get flushed", "1");
    rig_expect(rig, "get dirty", "MISS");
}

RIG_TEST(the_low_water_version_follows, write_behind) {
    rig_start(rig);
    uint64_t start = rig_stat(rig, "journal:low_water");
    rig_expect(rig, "set a 1", "STORED");
    struct rig_call *gets = rig_begin(rig, 0, "gets a");
    uint64_t version = strtoull(strchr(gets->reply, ' ') + 1, NULL, 10);
    usleep(20000);
    assert_true(rig_stat(rig, "journal:low_water") < version);
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "journal:low_water") > version);
    assert_true(rig_stat(rig, "journal:low_water") > version);
    assert_true(rig_stat(rig, "journal:low_water") > start);
    /* The next versions are above it, whatever the clock says. */
    rig->clock_shift_us = -3600ll * 1000000;
    rig_expect(rig, "set b 1", "STORED");
    gets = rig_begin(rig, 0, "gets b");
    version = strtoull(strchr(gets->reply, ' ') + 1, NULL, 10);
    assert_true(rig_stat(rig, "journal:low_water") < version);
    crash(rig);
    rig->clock_shift_us = 0;
    rig_start(rig);
    rig_expect(rig, "get b", "1");
}

/* Versions run ahead of the wall clock then, until that has caught up. */
static void let_the_clock_have_been_ahead(struct tier_rig *rig) {
    rig->clock_shift_us = 3600ll * 1000000;
    rig_expect(rig, "set ahead 1", "STORED");
    rig_do(rig, "sync");
    rig->clock_shift_us = 0;
    assert_true(version_us(version_of(rig, "ahead")) > cache_time_now().us);
}

RIG_TEST(the_low_water_version_follows_versions_that_are_ahead_of_the_clock, write_behind) {
    rig_start(rig);
    let_the_clock_have_been_ahead(rig);
    for (int restarted = 0; restarted < 2; restarted++) {
        rig_expect(rig, "set a 1", "STORED");
        uint64_t version = version_of(rig, "a");
        assert_true(version_us(version) > cache_time_now().us);
        usleep(20000);
        assert_true(rig_stat(rig, "journal:low_water") < version);
        rig_do(rig, "sync");
        eventually(rig_stat(rig, "journal:low_water") >= version);
        assert_true(rig_stat(rig, "journal:low_water") >= version);
        crash_and_start(rig);
        assert_int_equal(rig_stat(rig, "journal:replayed_records"), 0);
    }
}

/* Only one shard has seen the high version: the other's are ordinary. */
RIG_TEST(the_low_water_version_follows_a_row_that_is_ahead_of_the_clock, write_behind) {
    rig_start(rig);
    memory_store_put(rig->store, "test", "a", "row", version_from_us(wall_us() + 3600ull * 1000000, 9));
    rig_expect(rig, "get a", "row");
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set b 1", "STORED");
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "journal:low_water") >= version_of(rig, "a"));
    rig_expect(rig, "set c 1", "STORED");
    assert_true(rig_stat(rig, "journal:low_water") < version_of(rig, "c"));
    crash_and_start(rig);
    rig_expect(rig, "get c", "1");
}

RIG_TEST(the_oldest_change_has_an_age_when_versions_are_ahead_of_the_clock, write_behind) {
    rig_start(rig);
    let_the_clock_have_been_ahead(rig);
    rig_expect(rig, "set a 1", "STORED");
    eventually(rig_stat(rig, "test:oldest_dirty_ms") > 0);
    assert_true(rig_stat(rig, "test:oldest_dirty_ms") < 60 * 1000);
}

/* A row lives by the clock, whatever the versions say: it is touched if it was alive when that was asked. */
RIG_TEST(a_row_is_touched_when_versions_are_ahead_of_the_clock, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    let_the_clock_have_been_ahead(rig);
    rig_expect(rig, "set now 1 1000", "STORED");
    rig_expect(rig, "set later 1 " LIFE_TEXT, "STORED");
    rig_expect(rig, "set known 1 " LIFE_TEXT, "STORED");
    sync_and_note(rig, "known");
    crash_and_start(rig);
    rig_expect(rig, "touch now 5000", "NOT_FOUND");
    eventually(rig_row_expiry(rig, "now") > time(NULL) + 3000);
    rig_expect(rig, "get known", "1"); /* and so its touch names what it was made on */
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "touch later 5000", "NOT_FOUND");
    rig_expect(rig, "touch known 5000", "TOUCHED");
    crash(rig);
    pass_a_life();
    rig_start(rig);
    eventually(rig_row_expiry(rig, "later") > time(NULL) + 3000);
    eventually(rig_row_expiry(rig, "known") > time(NULL) + 3000);
    rig_expect(rig, "get later", "1");
    rig_expect(rig, "get known", "1");
}

/* And one that had ended is not brought back. */
RIG_TEST(a_row_that_had_ended_is_not_touched, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_expect(rig, "set a 1 " LIFE_TEXT, "STORED");
    uint32_t end = (uint32_t)time(NULL) + LIFE;
    sync_and_note(rig, "a");
    crash_and_start(rig);
    pass_a_life();
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "touch a 5000", "NOT_FOUND");
    crash_and_start(rig);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "a") <= end);
    rig_expect(rig, "get a", "MISS");
}

/* Several touches become one; the row was alive at the first, and by that at the others. So it is after another crash
 * before the store could be asked: the low-water version has not passed the first. */
RIG_TEST(a_row_is_touched_that_lived_by_an_earlier_touch, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_expect(rig, "set a 1 " LIFE_TEXT, "STORED");
    uint32_t end = (uint32_t)time(NULL) + LIFE;
    sync_and_note(rig, "a");
    crash_and_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "touch a 5000", "NOT_FOUND");
    pass_a_life();
    rig_expect(rig, "touch a 6000", "NOT_FOUND");
    for (int i = 0; i < 2; i++) {
        crash(rig);
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        rig_start(rig);
        usleep(100000);
    }
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "a") > end + 4500);
    rig_expect(rig, "get a", "1");
}

/* The journal's word counts for the failing table alone. */
RIG_TEST(a_first_read_beside_a_failing_table_is_as_new_as_the_store, write_behind) {
    rig_add_space(rig, "other", "o:", &policy_write_behind)->journal = JOURNAL_OS;
    rig_start(rig);
    rig_expect(rig, "set a old", "STORED");
    rig_expect(rig, "set o:a old", "STORED");
    keep_journal(rig);
    rig_expect(rig, "set a new", "STORED");
    rig_expect(rig, "set o:a new", "STORED");
    rig_do(rig, "sync");
    lose_the_tail(rig);
    faulty_fail_table(rig->faulty, "test");
    rig_start(rig);
    struct rig_call *failing = rig_begin(rig, 0, "get a");
    rig_expect(rig, "get o:a", "new");
    expect_call(failing, "old");
    assert_int_equal(rig_stat(rig, "store:write_breaker_opened"), 0);
    faulty_fail_table(rig->faulty, NULL);
    rig_do(rig, "sync");
    rig_expect(rig, "get a", "new");
}

RIG_TEST(a_changed_policy_is_refused, write_behind) {
    rig_add_space(rig, "other", "o:", &policy_write_behind)->journal = JOURNAL_OS;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    crash(rig);
    rig->spaces[0].policy = &policy_read_through;
    assert_non_null(rig_try_start(rig));
    rig->spaces[0].policy = &policy_write_behind;
    rig_start(rig);
    rig_expect(rig, "get a", "1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RECOVERY_CASE(changes_come_back),
        RECOVERY_CASE(a_touch_comes_back_without_its_row),
        RECOVERY_CASE(a_touch_during_a_flush_comes_back_without_its_row),
        RECOVERY_CASE(a_recovered_touch_leaves_the_value_of_another_node),
        RECOVERY_CASE(a_touch_without_a_value_comes_back),
        RECOVERY_CASE(a_value_beyond_the_item_max_of_now_stops_the_start),
        RECOVERY_CASE(a_quarantined_value_beyond_the_item_max_of_now_is_unfit),
        RECOVERY_CASE(versions_survive),
        RECOVERY_CASE(touches_come_back),
        RECOVERY_CASE(a_recovered_touch_waits_for_an_absent_backend),
        RECOVERY_CASE(the_first_read_is_as_new_as_the_store),
        RECOVERY_CASE(the_first_read_waits_for_a_slow_store),
        RECOVERY_CASE(a_first_read_overtakes_what_waits_to_be_written),
        RECOVERY_CASE(after_a_kill_the_journal_is_believed_at_once),
        RECOVERY_CASE(after_a_kill_another_server_may_be_ahead),
        RECOVERY_CASE(what_was_recovered_makes_no_namespace_full),
        RECOVERY_CASE(a_row_is_alive_while_a_recovered_touch_waits_for_it),
        RECOVERY_CASE(recovered_touches_share_commits),
        RECOVERY_CASE(the_journal_counts_while_the_store_is_not_writable),
        RECOVERY_CASE(a_touch_of_what_the_store_has_brings_no_old_value_back),
        RECOVERY_CASE(what_was_touched_in_time_is_alive),
        RECOVERY_CASE(blind_touches_come_back),
        RECOVERY_CASE(versions_begin_above_the_store),
        RECOVERY_CASE(a_store_with_a_version_that_no_clock_gives_stops_the_start),
        RECOVERY_CASE(a_journal_with_a_version_that_no_clock_gives_stops_the_start),
        RECOVERY_CASE(the_journal_may_hold_more_than_memory),
        RECOVERY_CASE(what_was_deleted_stays_deleted_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(the_last_change_of_each_key_counts_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(all_touches_come_back_if_they_are_more_than_can_be_noted),
        RECOVERY_CASE(what_was_touched_in_time_is_alive_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(what_the_store_has_is_explained_if_the_journal_is_larger_than_memory),
        RECOVERY_CASE(what_was_touched_in_time_is_alive_if_it_ends_during_recovery),
        RECOVERY_CASE(what_was_touched_in_time_is_alive_if_it_ends_while_memory_is_full),
        RECOVERY_CASE(a_store_that_is_away_stops_a_large_recovery_with_a_reason),
        RECOVERY_CASE(a_long_recovery_tells_its_progress),
        RECOVERY_CASE(a_recovery_that_waits_is_told_ever_more_rarely),
        RECOVERY_CASE(the_number_of_workers_may_change),
        RECOVERY_CASE(nothing_is_left_after_a_drain),
        RECOVERY_CASE(always_waits_for_the_disk),
        RECOVERY_CASE(a_failing_journal_lets_no_reply_out),
        RECOVERY_CASE(without_a_journal_what_was_not_flushed_is_gone),
        RECOVERY_CASE(the_low_water_version_follows),
        RECOVERY_CASE(the_low_water_version_follows_versions_that_are_ahead_of_the_clock),
        RECOVERY_CASE(the_low_water_version_follows_a_row_that_is_ahead_of_the_clock),
        RECOVERY_CASE(the_oldest_change_has_an_age_when_versions_are_ahead_of_the_clock),
        RECOVERY_CASE(a_row_is_touched_when_versions_are_ahead_of_the_clock),
        RECOVERY_CASE(a_row_that_had_ended_is_not_touched),
        RECOVERY_CASE(a_row_is_touched_that_lived_by_an_earlier_touch),
        RECOVERY_CASE(a_first_read_beside_a_failing_table_is_as_new_as_the_store),
        RECOVERY_CASE(a_changed_policy_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
