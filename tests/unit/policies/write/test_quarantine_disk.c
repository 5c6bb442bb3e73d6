/* SPDX-License-Identifier: MIT */
/*
 * A quarantine whose disk fails, loses power or hangs. What quarantine_add has promised to keep is there after a power
 * loss; what it could not write is not in the list, and can be added later.
 */
#include "tests/support/quarantine_fixture.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- Writes that fail ---- */

TEST(a_write_that_fails_at_any_byte_keeps_nothing) {
    struct fixture *fixture = *state;
    const long size = 56 + 3 + 10 + (long)strlen("the column is too short");
    reopen(fixture);
    assert_true(add(fixture, "before", "it", 1));
    for (long after = 0; after < size; after++) {
        atomic_store(&fixture->disk.fail_write_after, after);
        atomic_store(&fixture->disk.write_failure, after % 2 ? ENOSPC : EIO);
        assert_false(add(fixture, "key", "some value", 2));
        faulty_disk_heal(&fixture->disk);
        assert_false(has(fixture, "key"));
        assert_int_equal(quarantine_count(fixture->quarantine), 1);
        if (after % 8 == 0)
            reopen(fixture); /* what was written of it is no record */
        assert_int_equal(quarantine_count(fixture->quarantine), 1);
    }
    assert_true(add(fixture, "key", "some value", 2));
    assert_true(add(fixture, "behind", "it", 3));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 3);
    assert_holds(fixture, "key", "some value", 2);
    assert_holds(fixture, "behind", "it", 3);
}

/* A shorter record takes the place of one that failed, and behind it lie remains of that. */
TEST(remains_of_a_failed_write_are_no_record) {
    struct fixture *fixture = *state;
    reopen(fixture);
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(add(fixture, "long", journal_rig_text(&fixture->rig, 'v', 3000), 1));
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "short", "value", 2));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_holds(fixture, "short", "value", 2);
}

TEST(an_entry_that_could_not_be_replaced_stays) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "key", "old", 1));
    atomic_store(&fixture->disk.write_failure, ENOSPC);
    assert_false(add(fixture, "key", "new", 2));
    assert_holds(fixture, "key", "old", 1);
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "key", "new", 2));
    reopen(fixture);
    assert_holds(fixture, "key", "new", 2);
}

/* Else a restart would show it again in place of what has taken its place. */
TEST(an_entry_stays_until_it_is_written_that_it_went) {
    struct fixture *fixture = *state;
    atomic_int *failures[] = {&fixture->disk.write_failure, &fixture->disk.sync_failure};
    uint64_t version = 0;
    reopen(fixture);
    assert_true(add(fixture, "goes", "value", 1));
    assert_true(add(fixture, "stays", "value", 2));
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        atomic_store(failures[i], EIO);
        assert_false(supersede(fixture, "goes", 3));
        assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("goes"), &version), QUARANTINE_FAILED);
        faulty_disk_heal(&fixture->disk);
        assert_holds(fixture, "goes", "value", 1);
    }
    assert_true(supersede(fixture, "goes", 3));
    assert_false(has(fixture, "goes"));
    assert_true(add(fixture, "behind", "value", 4));
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 2);
    assert_holds(fixture, "stays", "value", 2);
    assert_holds(fixture, "behind", "value", 4);
}

/* An entry that comes takes the room with it that it needs to go. */
TEST(entries_go_though_the_disk_is_full) {
    struct fixture *fixture = *state;
    char key[32];
    uint64_t version = 0;
    for (int opened_anew = 0; opened_anew < 2; opened_anew++) {
        reopen(fixture);
        for (unsigned i = 0; i < 300; i++) {
            snprintf(key, sizeof key, "goes %u", i);
            assert_true(add(fixture, key, "value", 1));
        }
        if (opened_anew)
            reopen(fixture);
        atomic_store(&fixture->disk.full, true);
        assert_false(add(fixture, "large", journal_rig_text(&fixture->rig, 'v', 100000), 1));
        for (unsigned i = 0; i < 299; i++) {
            snprintf(key, sizeof key, "goes %u", i);
            assert_true(supersede(fixture, key, 2));
        }
        assert_int_equal(quarantine_drop(fixture->quarantine, SLICE("goes 299"), &version),
                         QUARANTINE_DROPPED);
        assert_int_equal(version, 1);
        reopen(fixture); /* and it cannot be written anew */
        assert_int_equal(quarantine_count(fixture->quarantine), 0);
        faulty_disk_heal(&fixture->disk);
    }
}

/* What lies behind the last record may be a client's bytes, and may look like a record. */
TEST(remains_that_are_whole_records_are_none) {
    struct fixture *fixture = *state;
    struct mutation both[] = {{.kind = MUTATION_PUT, .entry = entry_of("goes 1", "newer", 4)},
                              {.kind = MUTATION_PUT, .entry = entry_of("stays1", "newer", 4)}};
    reopen(fixture);
    assert_true(add(fixture, "goes 1", "value", 1));
    assert_true(add(fixture, "stays1", "value", 2));
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(quarantine_supersede(fixture->quarantine, both, 2));
    faulty_disk_heal(&fixture->disk);
    assert_true(supersede(fixture, "goes 1", 4)); /* as long as the first record of those that failed */
    reopen(fixture);
    assert_int_equal(quarantine_count(fixture->quarantine), 1);
    assert_holds(fixture, "stays1", "value", 2);
}

/* ---- Syncs that fail ---- */

/* The next sync would succeed without having written anything: the record has to be written again before. */
TEST(an_add_after_a_failed_sync_survives_a_power_loss) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "before", "it", 1));
    atomic_store(&fixture->disk.sync_failure, EIO);
    for (int i = 0; i < 3; i++)
        assert_false(add(fixture, "key", "value", 2));
    assert_false(has(fixture, "key"));
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "key", "value", 2));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_int_equal(quarantine_count(fixture->quarantine), 2);
        assert_holds(fixture, "key", "value", 2);
    }
}

/* The pages of what failed count as clean, and what comes next is on others. */
TEST(a_sync_that_failed_for_one_loses_no_other) {
    struct fixture *fixture = *state;
    const size_t heads = 3 * 56 + strlen("goes") + strlen("before") + strlen("goes"),
                 texts = strlen("value") + 2 * strlen("the column is too short");
    const char *value = journal_rig_text(&fixture->rig, 'v', 2 * DISK_PAGE - heads - texts);
    reopen(fixture);
    assert_true(add(fixture, "goes", "value", 1));
    assert_true(add(fixture, "before", value, 2));
    atomic_store(&fixture->disk.sync_failure, EIO);
    assert_false(supersede(fixture, "goes", 3)); /* its record would end where a page ends */
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "behind", value, 4));
    assert_true(add(fixture, "last", value, 5));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_holds(fixture, "before", value, 2);
        assert_holds(fixture, "behind", value, 4);
        assert_holds(fixture, "last", value, 5);
    }
}

TEST(what_went_stays_away_after_a_power_loss) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "goes", "value", 1));
    assert_true(add(fixture, "stays", "value", 2));
    assert_true(supersede(fixture, "goes", 3));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_false(has(fixture, "goes"));
        assert_holds(fixture, "stays", "value", 2);
    }
}

/* Written anew at the start, the file has a name that a power loss can take back. */
TEST(nothing_counts_before_the_name_is_on_the_disk) {
    struct fixture *fixture = *state;
    reopen(fixture);
    assert_true(add(fixture, "before", "value", 1));
    atomic_store(&fixture->disk.folder_failure, EIO);
    reopen(fixture);
    assert_holds(fixture, "before", "value", 1);
    assert_false(add(fixture, "key", "value", 2));
    assert_false(has(fixture, "key"));
    faulty_disk_heal(&fixture->disk);
    assert_true(add(fixture, "key", "value", 2));
    for (unsigned seed = 1; seed <= 12; seed++) {
        reopen_after_power_loss(fixture, seed);
        assert_holds(fixture, "before", "value", 1);
        assert_holds(fixture, "key", "value", 2);
    }
}

/* ---- A disk that hangs ---- */

static void run(struct fixture *fixture, void *(*body)(void *)) {
    assert_int_equal(pthread_create(&fixture->threads[fixture->thread_count], NULL, body, fixture), 0);
    fixture->thread_count++;
}

static void *add_another(void *argument) {
    add(argument, "another", "value", 2);
    return NULL;
}

static void *let_it_go(void *argument) {
    supersede(argument, "key", 2);
    return NULL;
}

static void count_visited(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                          uint32_t since, const char *reason) {
    (void)kind, (void)entry, (void)since, (void)reason;
    ((struct visited *)self)->count++;
}

/* All that readers and commands do. */
static void *look(void *argument) {
    struct fixture *fixture = argument;
    struct visited visited = {.visitor = {count_visited}};
    struct quarantine_retry retry;
    bool deleted;
    bool found = has(fixture, "key") && !has(fixture, "another");
    struct entry_copy *copy = quarantine_find(fixture->quarantine, slice_string("key"), &deleted);
    quarantine_visit(fixture->quarantine, &visited.visitor);
    bool retries = quarantine_ask_retry(fixture->quarantine, slice_string("key")) == 1 &&
                   quarantine_next_retries(fixture->quarantine, 1, 1000, &retry) == 1;
    if (retries)
        entry_copy_drop(retry.copy);
    atomic_store(&fixture->has_looked, found && copy && visited.count == 1 && retries);
    entry_copy_drop(copy);
    return NULL;
}

static void look_while(struct fixture *fixture, void *(*change)(void *)) {
    reopen(fixture);
    assert_true(add(fixture, "key", "value", 1));
    unsigned long syncs = atomic_load(&fixture->disk.syncs);
    atomic_store(&fixture->disk.hangs, true);
    run(fixture, change);
    eventually(atomic_load(&fixture->disk.syncs) > syncs);
    run(fixture, look);
    eventually(atomic_load(&fixture->has_looked));
    faulty_disk_heal(&fixture->disk);
}

TEST(whoever_looks_does_not_wait_for_what_comes_to_be_on_the_disk) {
    struct fixture *fixture = *state;
    look_while(fixture, add_another);
    eventually(has(fixture, "another"));
    assert_holds(fixture, "key", "value", 1);
}

TEST(whoever_looks_does_not_wait_for_what_goes_either) {
    struct fixture *fixture = *state;
    look_while(fixture, let_it_go);
    eventually(!has(fixture, "key"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_write_that_fails_at_any_byte_keeps_nothing),
        CASE(remains_of_a_failed_write_are_no_record),
        CASE(an_entry_that_could_not_be_replaced_stays),
        CASE(an_entry_stays_until_it_is_written_that_it_went),
        CASE(entries_go_though_the_disk_is_full),
        CASE(remains_that_are_whole_records_are_none),
        CASE(an_add_after_a_failed_sync_survives_a_power_loss),
        CASE(a_sync_that_failed_for_one_loses_no_other),
        CASE(what_went_stays_away_after_a_power_loss),
        CASE(nothing_counts_before_the_name_is_on_the_disk),
        CASE(whoever_looks_does_not_wait_for_what_comes_to_be_on_the_disk),
        CASE(whoever_looks_does_not_wait_for_what_goes_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
