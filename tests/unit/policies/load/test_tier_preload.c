/* SPDX-License-Identifier: MIT */
/* Preload over a store in memory: what it leaves alone, what it does when the store fails or memory is full;
 * and what the readers learn from the writer. Real stores and servers: tests/faults/test_preload.py. */
#include "tests/support/tier_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 500 };

/* Preloads, and waits for it, over this many rows key<i> of value<i>. */
static void preload_rows(struct tier_rig *rig, unsigned rows) {
    char key[32], value[32];
    rig->spaces[0].preload = 100000;
    rig->spaces[0].preload_wait = true;
    for (unsigned i = 0; i < rows; i++) {
        snprintf(key, sizeof key, "key%u", i);
        snprintf(value, sizeof value, "value%u", i);
        memory_store_put(rig->store, "test", key, value, 1000 + i);
    }
}

/* All rows are answered, and the store is not asked for any. */
static void assert_in_memory(struct tier_rig *rig, unsigned rows) {
    char command[48], value[32];
    size_t asked = memory_store_counts(rig->store).keys;
    for (unsigned i = 0; i < rows; i++) {
        snprintf(command, sizeof command, "get key%u", i);
        snprintf(value, sizeof value, "value%u", i);
        rig_expect(rig, command, value);
    }
    assert_int_equal(memory_store_counts(rig->store).keys, asked);
}

RIG_TEST(it_leaves_alone_what_was_written_meanwhile, write_behind) {
    preload_rows(rig, ROWS);
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    for (unsigned i = 0; i < ROWS; i++) { /* some of these are being loaded, others come next */
        rig_store(rig, "set key%u newer", i);
    }
    rig_expect(rig, "delete key7", "DELETED");
    assert_false(tier_is_ready(rig->tier));
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    eventually(tier_is_ready(rig->tier));
    for (unsigned i = 0; i < ROWS; i++) {
        char command[48];
        snprintf(command, sizeof command, "get key%u", i);
        rig_expect(rig, command, i == 7 ? "MISS" : "newer");
    }
}

RIG_TEST(a_failure_on_the_way_is_made_good, write_behind) {
    static const enum backend_status statuses[] = {BACKEND_TRANSIENT, BACKEND_PERMANENT};
    for (unsigned i = 0; i < 2; i++)
        for (enum faulty_call call = FAULTY_LOAD; call <= FAULTY_SCAN; call++) {
            if (call == FAULTY_APPLY || (call == FAULTY_SCAN && statuses[i] == BACKEND_PERMANENT))
                continue;
            rig_renew(rig, &policy_write_behind);
            preload_rows(rig, ROWS);
            faulty_fail_call(rig->faulty, call, call == FAULTY_SCAN ? 1 : 2, statuses[i]);
            rig_start(rig);
            eventually(tier_is_ready(rig->tier));
            assert_true(rig_said(rig, "preloaded 500 entries"));
            assert_in_memory(rig, ROWS);
        }
}

/* The first connection is the writer's. */
RIG_TEST(a_connection_that_is_refused_is_tried_again, write_behind) {
    preload_rows(rig, ROWS);
    faulty_fail_call(rig->faulty, FAULTY_OPEN, 2, BACKEND_REFUSED);
    rig_start(rig);
    eventually(tier_is_ready(rig->tier));
    assert_true(rig_said(rig, "preloaded 500 entries"));
    assert_in_memory(rig, ROWS);
}

RIG_TEST(a_silent_backend_is_waited_for, write_behind) {
    preload_rows(rig, ROWS);
    faulty_fail_all(rig->faulty, FAULTY_SCAN, BACKEND_TRANSIENT);
    rig_start(rig);
    eventually(faulty_calls(rig->faulty, FAULTY_SCAN) >= 3);
    assert_false(tier_is_ready(rig->tier));
    rig_expect(rig, "get key3", "value3"); /* by a reader, who is not the one that waits */
    faulty_fail_all(rig->faulty, FAULTY_SCAN, BACKEND_OK);
    eventually(tier_is_ready(rig->tier));
    assert_in_memory(rig, ROWS);
}

RIG_TEST(it_can_be_stopped_while_it_waits, write_behind) {
    preload_rows(rig, ROWS);
    faulty_fail_all(rig->faulty, FAULTY_SCAN, BACKEND_TRANSIENT);
    rig_start(rig);
    eventually(faulty_calls(rig->faulty, FAULTY_SCAN) >= 1);
    rig_end_tier(rig);
    assert_true(rig_said(rig, "stopped"));
}

RIG_TEST(a_single_reader_goes_on_reading, write_behind) {
    preload_rows(rig, ROWS);
    rig->backend.readers = 1;
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_SCAN);
    rig_expect(rig, "get key3", "value3");
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    eventually(tier_is_ready(rig->tier));
}

/* The first to come are the newest: they must not be evicted for the last. */
RIG_TEST(it_ends_before_it_evicts, write_behind) {
    enum { BIG_ROWS = 4000, VALUE = 10000 }; /* 40 MB for 16 */
    struct cache_stats stats;
    preload_rows(rig, 0);
    char *value = malloc(VALUE + 1);
    memset(value, 'v', VALUE);
    value[VALUE] = '\0';
    for (unsigned i = 0; i < BIG_ROWS; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%u", i);
        memory_store_put(rig->store, "test", key, value, 1000 + i);
    }
    free(value);
    rig_start(rig);
    eventually(tier_is_ready(rig->tier));
    assert_true(rig_said(rig, "memory is nearly full"));
    cache_get_stats(tier_cache(rig->tier), 0, &stats);
    assert_int_equal(stats.evictions, 0);
    assert_in_range(stats.entries, 800, 1600); /* most of 16 MB */
}

/* ---- In one pass, where all have room ---- */

RIG_TEST(what_has_room_is_filled_as_it_is_shown, write_behind) {
    preload_rows(rig, ROWS);
    memory_store_tell_extent(rig->store);
    rig_start(rig);
    eventually(tier_is_ready(rig->tier));
    assert_true(rig_said(rig, "preloaded 500 entries"));
    assert_int_equal(faulty_calls(rig->faulty, FAULTY_LOAD), 0);
    assert_in_memory(rig, ROWS);
}

RIG_TEST(the_pass_leaves_alone_what_changes_meanwhile, write_behind) {
    preload_rows(rig, ROWS);
    memory_store_tell_extent(rig->store);
    faulty_hold(rig->faulty, FAULTY_SCAN, true);
    rig_start(rig);
    faulty_wait_held(rig->faulty, FAULTY_SCAN);
    rig_expect(rig, "delete key131", "DELETED");
    rig_do(rig, "sync");                                           /* memory knows nothing of it any more, */
    memory_store_put(rig->store, "test", "key131", "older", 1131); /* and this is what was read before */
    for (unsigned i = 0; i < ROWS; i += 2)
        rig_store(rig, "set key%u newer", i);
    unsigned loads = faulty_calls(rig->faulty, FAULTY_LOAD);
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    faulty_hold(rig->faulty, FAULTY_SCAN, false);
    eventually(faulty_calls(rig->faulty, FAULTY_LOAD) > loads); /* for what was refused */
    memory_store_put(rig->store, "test", "key131", "value131", 1132);
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    eventually(tier_is_ready(rig->tier));
    size_t asked = memory_store_counts(rig->store).keys;
    rig_expect(rig, "get key131", "value131");
    assert_int_equal(memory_store_counts(rig->store).keys, asked);
    for (unsigned i = 0; i < ROWS; i += 2) {
        char command[48];
        snprintf(command, sizeof command, "get key%u", i);
        rig_expect(rig, command, "newer");
    }
}

/* Counters of changes are shared by many keys: so many settle that nearly all rows are refused at first. */
RIG_TEST(what_is_settled_beside_it_keeps_no_other_row_out, write_behind) {
    static const enum faulty_call calls[] = {FAULTY_SCAN, FAULTY_LOAD};
    for (unsigned i = 0; i < 2; i++) {
        rig_renew(rig, &policy_write_behind);
        preload_rows(rig, ROWS);
        if (calls[i] == FAULTY_SCAN)
            memory_store_tell_extent(rig->store);
        faulty_hold(rig->faulty, calls[i], true);
        rig_start(rig);
        faulty_wait_held(rig->faulty, calls[i]);
        for (unsigned other = 0; other < 8000; other++)
            rig_store(rig, "set other%u x", other);
        rig_do(rig, "sync");
        faulty_hold(rig->faulty, calls[i], false);
        eventually(tier_is_ready(rig->tier));
        assert_true(rig_said(rig, "preloaded 500 entries"));
        assert_in_memory(rig, ROWS);
    }
}

RIG_TEST(a_failure_on_the_pass_is_made_good, write_behind) {
    static const enum backend_status statuses[] = {BACKEND_TRANSIENT, BACKEND_REPLACED, BACKEND_PERMANENT};
    for (unsigned i = 0; i < 3; i++) {
        rig_renew(rig, &policy_write_behind);
        preload_rows(rig, ROWS);
        memory_store_tell_extent(rig->store);
        faulty_fail_call(rig->faulty, FAULTY_SCAN, 3, statuses[i]);
        rig_start(rig);
        eventually(tier_is_ready(rig->tier));
        assert_true(rig_said(rig, "preloaded 500 entries"));
        assert_true((faulty_calls(rig->faulty, FAULTY_LOAD) > 0) == (statuses[i] == BACKEND_PERMANENT));
        assert_in_memory(rig, ROWS);
    }
}

/* What was shown of the old one says nothing of it. */
RIG_TEST(a_store_that_was_replaced_is_shown_from_its_beginning, write_behind) {
    static const enum backend_status statuses[] = {BACKEND_TRANSIENT, BACKEND_REPLACED};
    unsigned scans[2];
    for (unsigned i = 0; i < 2; i++) {
        rig_renew(rig, &policy_write_behind);
        preload_rows(rig, ROWS);
        memory_store_tell_extent(rig->store);
        faulty_fail_call(rig->faulty, FAULTY_SCAN, 3, statuses[i]);
        rig_start(rig);
        eventually(tier_is_ready(rig->tier));
        scans[i] = faulty_calls(rig->faulty, FAULTY_SCAN);
    }
    assert_int_equal(scans[1], scans[0] + 2); /* two pages more */
}

RIG_TEST(the_newest_come_first_where_not_all_are_wanted, write_behind) {
    preload_rows(rig, ROWS);
    memory_store_tell_extent(rig->store);
    rig->spaces[0].preload = ROWS - 1;
    rig_start(rig);
    eventually(tier_is_ready(rig->tier));
    assert_true(rig_said(rig, "preloaded 499 entries"));
    assert_true(faulty_calls(rig->faulty, FAULTY_LOAD) > 0);
}

RIG_TEST(an_unknown_scheme_is_told_without_the_password, write_behind) {
    preload_rows(rig, 0);
    struct tier_backend_options working = rig->backend;
    rig->backend.store.type = NULL;
    rig->backend.store.uri = "rediss://user:secret@host";
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "rediss://***@host"));
    assert_null(strstr(error, "secret"));
    rig->backend = working;
    rig_start(rig);
}

/* Once a batch is written, nobody is told any more that the backend is not available. */
RIG_TEST(a_written_batch_ends_the_readers_pause, write_behind) {
    preload_rows(rig, ROWS);
    rig->spaces[0].preload = 0;
    rig->spaces[0].preload_wait = false;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    unsigned calls;
    do { /* until the pauses are long: 320 ms at least after the sixth failure */
        rig_expect(rig, "get key1", "SERVER_ERROR backend store is not available");
        calls = faulty_calls(rig->faulty, FAULTY_LOAD);
        usleep(1000);
    } while (rig_stat(rig, "store:read_failures") < 7);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_OK);
    rig_expect(rig, "get key1", "SERVER_ERROR backend store is not available"); /* the pause */
    assert_int_equal(faulty_calls(rig->faulty, FAULTY_LOAD), calls);
    rig_expect(rig, "set other 1", "STORED");
    rig_expect(rig, "sync", "1");
    rig_expect(rig, "get key1", "value1");
}

RIG_TEST(what_is_preloaded_is_not_asked_for, write_behind) {
    char key[32];
    rig->spaces[0].preload = 1000;
    rig->spaces[0].preload_wait = true;
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        memory_store_put(rig->store, "test", key, key, 1000 + (uint64_t)i);
    }
    rig_start(rig);
    eventually(tier_is_ready(rig->tier));
    size_t asked = memory_store_counts(rig->store).keys;
    for (int i = 0; i < 500; i++) {
        char command[64];
        snprintf(command, sizeof command, "get key%d", i);
        snprintf(key, sizeof key, "key%d", i);
        rig_expect(rig, command, key);
    }
    assert_int_equal(memory_store_counts(rig->store).keys, asked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(what_is_preloaded_is_not_asked_for),
        RIG_CASE(it_leaves_alone_what_was_written_meanwhile),
        RIG_CASE(a_failure_on_the_way_is_made_good),
        RIG_CASE(a_connection_that_is_refused_is_tried_again),
        RIG_CASE(a_silent_backend_is_waited_for),
        RIG_CASE(it_can_be_stopped_while_it_waits),
        RIG_CASE(a_single_reader_goes_on_reading),
        RIG_CASE(it_ends_before_it_evicts),
        RIG_CASE(what_has_room_is_filled_as_it_is_shown),
        RIG_CASE(the_pass_leaves_alone_what_changes_meanwhile),
        RIG_CASE(what_is_settled_beside_it_keeps_no_other_row_out),
        RIG_CASE(a_failure_on_the_pass_is_made_good),
        RIG_CASE(a_store_that_was_replaced_is_shown_from_its_beginning),
        RIG_CASE(the_newest_come_first_where_not_all_are_wanted),
        RIG_CASE(an_unknown_scheme_is_told_without_the_password),
        RIG_CASE(a_written_batch_ends_the_readers_pause),
    };
    return cmocka_run_group_tests_name("preload", tests, NULL, NULL);
}
