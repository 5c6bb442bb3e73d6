/* SPDX-License-Identifier: MIT */
/* A quarantine on a disk that can fail. */
#ifndef FOREBAY_TESTS_SUPPORT_QUARANTINE_FIXTURE_H
#define FOREBAY_TESTS_SUPPORT_QUARANTINE_FIXTURE_H

#include "policies/journal/crc32c.h"
#include "policies/write/quarantine.h"
#include "tests/support/check.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/journal_rig.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct fixture {
    struct journal_rig rig;   /* its folder, and memory */
    struct journal_rig after; /* what a power loss leaves */
    struct faulty_disk disk;
    struct quarantine *quarantine;
    bool skip_damaged;
    struct quarantine_damage damage;
    char error[512];
    pthread_t threads[2]; /* not joined yet */
    unsigned thread_count;
    atomic_bool has_looked;
};

static inline int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    journal_rig_set_up(&fixture->rig);
    faulty_disk_init(&fixture->disk, true);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;
    faulty_disk_heal(&fixture->disk);
    while (fixture->thread_count > 0)
        pthread_join(fixture->threads[--fixture->thread_count], NULL);
    quarantine_close(fixture->quarantine);
    journal_rig_tear_down(&fixture->after);
    journal_rig_tear_down(&fixture->rig);
    faulty_disk_free(&fixture->disk);
    free(fixture);
    return 0;
}

static inline void open_in(struct fixture *fixture, const char *folder) {
    quarantine_close(fixture->quarantine);
    fixture->quarantine = quarantine_open(&fixture->disk.calls, folder, "name space", fixture->skip_damaged,
                                          &fixture->damage, fixture->error, sizeof fixture->error);
    if (!fixture->quarantine)
        print_error("%s\n", fixture->error);
    assert_non_null(fixture->quarantine);
}

static inline void reopen(struct fixture *fixture) {
    open_in(fixture, fixture->rig.folder);
}

/* Opens what is there after a power loss now. */
static inline void reopen_after_power_loss(struct fixture *fixture, unsigned seed) {
    journal_rig_tear_down(&fixture->after);
    journal_rig_set_up(&fixture->after);
    faulty_disk_lose_power(&fixture->disk, fixture->rig.folder, fixture->after.folder, &seed);
    open_in(fixture, fixture->after.folder);
}

static inline struct entry entry_of(const char *key, const char *value, uint64_t version) {
    return (struct entry){.key = slice_string(key),
                          .value = slice_string(value),
                          .version = version,
                          .client_cas = version * 3,
                          .flags = 7,
                          .expires_at = 4000000000u,
                          .marks = ENTRY_STALE};
}

static inline bool add(struct fixture *fixture, const char *key, const char *value, uint64_t version) {
    const struct mutation refused = {.kind = MUTATION_PUT, .entry = entry_of(key, value, version)};
    return quarantine_add(fixture->quarantine, &refused, 1, "the column is too short");
}

/* A newer change of the key has reached the backend. */
static inline bool supersede(struct fixture *fixture, const char *key, uint64_t version) {
    struct mutation mutation = {.kind = MUTATION_PUT, .entry = entry_of(key, "newer", version)};
    return quarantine_supersede(fixture->quarantine, &mutation, 1);
}

static inline bool has(struct fixture *fixture, const char *key) {
    return quarantine_has(fixture->quarantine, slice_string(key));
}

struct visited {
    struct quarantine_visitor visitor; /* first */
    size_t count;
    struct entry expected;
};

static inline void compare(struct quarantine_visitor *self, enum mutation_kind kind,
                           const struct entry *entry, uint32_t since, const char *reason) {
    struct visited *visited = (struct visited *)self;
    const struct entry *expected = &visited->expected;
    if (!slice_equal(entry->key, expected->key))
        return;
    visited->count++;
    assert_int_equal(kind, MUTATION_PUT);
    assert_true(slice_equal(entry->value, expected->value));
    assert_int_equal(entry->version, expected->version);
    assert_int_equal(entry->client_cas, expected->client_cas);
    assert_int_equal(entry->flags, expected->flags);
    assert_int_equal(entry->expires_at, expected->expires_at);
    assert_int_equal(entry->marks, expected->marks);
    assert_true(since > 0);
    assert_string_equal(reason, "the column is too short");
}

static inline void assert_holds(struct fixture *fixture, const char *key, const char *value,
                                uint64_t version) {
    struct visited visited = {.visitor = {compare}, .expected = entry_of(key, value, version)};
    quarantine_visit(fixture->quarantine, &visited.visitor);
    assert_int_equal(visited.count, 1);
}

#endif
