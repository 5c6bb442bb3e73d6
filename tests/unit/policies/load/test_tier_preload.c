/* SPDX-License-Identifier: MIT */
/* Preload over a store in memory: what it leaves alone, what it does when the store fails or memory is full;
 * and what the readers learn from the writer. Real stores and servers: tests/faults/test_preload.py. */
#include "policies/tier_parts.h"
#include "tests/support/tier_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 500 };

/* A rig that preloads, and waits for it, over this many rows key<i> of value<i>. */
static void begin(struct tier_rig *rig, unsigned rows) {
    char key[32], value[32];
    rig_init(rig, &policy_write_behind);
    rig->spaces[0].preload = 100000;
    rig->spaces[0].preload_wait = true;
    for (unsigned i = 0; i < rows; i++) {
        snprintf(key, sizeof key, "key%u", i);
        snprintf(value, sizeof value, "value%u", i);
        memory_store_put(rig->store, "test", key, value, 1000 + i);
    }
}

static bool said(struct tier_rig *rig, const char *text) {
    pthread_mutex_lock(&rig->log_mutex);
    bool found = strstr(rig->last_log, text) != NULL;
    pthread_mutex_unlock(&rig->log_mutex);
    return found;
}

#define eventually(condition)                                                                                \
    do {                                                                                                     \
        for (unsigned tries = 0; !(condition); tries++) {                                                    \
            if (tries == 30000)                                                                              \
                fail_msg("never became true: %s", #condition);                                               \
            usleep(1000);                                                                                    \
        }                                                                                                    \
    } while (0)

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

static void it_leaves_alone_what_was_written_meanwhile(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, ROWS);
    faulty_hold(rig.faulty, FAULTY_LOAD, true);
    rig_start(&rig);
    faulty_wait_held(rig.faulty, FAULTY_LOAD);
    for (unsigned i = 0; i < ROWS; i++) { /* some of these are being loaded, others come next */
        char command[48];
        snprintf(command, sizeof command, "set key%u newer", i);
        rig_expect(&rig, command, "STORED");
    }
    rig_expect(&rig, "delete key7", "DELETED");
    assert_false(tier_is_ready(rig.tier));
    faulty_hold(rig.faulty, FAULTY_LOAD, false);
    eventually(tier_is_ready(rig.tier));
    for (unsigned i = 0; i < ROWS; i++) {
        char command[48];
        snprintf(command, sizeof command, "get key%u", i);
        rig_expect(&rig, command, i == 7 ? "MISS" : "newer");
    }
    rig_stop(&rig);
}

static void a_failure_on_the_way_is_made_good(void **state) {
    static const enum backend_status statuses[] = {BACKEND_TRANSIENT, BACKEND_PERMANENT};
    struct tier_rig rig;
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        for (enum faulty_call call = FAULTY_LOAD; call <= FAULTY_SCAN; call++) {
            if (call == FAULTY_APPLY || (call == FAULTY_SCAN && statuses[i] == BACKEND_PERMANENT))
                continue;
            begin(&rig, ROWS);
            faulty_fail_call(rig.faulty, call, call == FAULTY_SCAN ? 1 : 2, statuses[i]);
            rig_start(&rig);
            eventually(tier_is_ready(rig.tier));
            assert_true(said(&rig, "preloaded 500 entries"));
            assert_in_memory(&rig, ROWS);
            rig_stop(&rig);
        }
}

/* The first connection is the writer's. */
static void a_connection_that_is_refused_is_tried_again(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, ROWS);
    faulty_fail_call(rig.faulty, FAULTY_OPEN, 2, BACKEND_REFUSED);
    rig_start(&rig);
    eventually(tier_is_ready(rig.tier));
    assert_true(said(&rig, "preloaded 500 entries"));
    assert_in_memory(&rig, ROWS);
    rig_stop(&rig);
}

static void a_silent_backend_is_waited_for(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, ROWS);
    faulty_fail_all(rig.faulty, FAULTY_SCAN, BACKEND_TRANSIENT);
    rig_start(&rig);
    eventually(faulty_calls(rig.faulty, FAULTY_SCAN) >= 3);
    assert_false(tier_is_ready(rig.tier));
    rig_expect(&rig, "get key3", "value3"); /* by a reader, who is not the one that waits */
    faulty_fail_all(rig.faulty, FAULTY_SCAN, BACKEND_OK);
    eventually(tier_is_ready(rig.tier));
    assert_in_memory(&rig, ROWS);
    rig_stop(&rig);
}

static void it_can_be_stopped_while_it_waits(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, ROWS);
    faulty_fail_all(rig.faulty, FAULTY_SCAN, BACKEND_TRANSIENT);
    rig_start(&rig);
    eventually(faulty_calls(rig.faulty, FAULTY_SCAN) >= 1);
    rig_end_tier(&rig);
    assert_true(said(&rig, "stopped"));
    rig_stop(&rig);
}

static void a_single_reader_goes_on_reading(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, ROWS);
    rig.backend.readers = 1;
    faulty_hold(rig.faulty, FAULTY_SCAN, true);
    rig_start(&rig);
    faulty_wait_held(rig.faulty, FAULTY_SCAN);
    rig_expect(&rig, "get key3", "value3");
    faulty_hold(rig.faulty, FAULTY_SCAN, false);
    eventually(tier_is_ready(rig.tier));
    rig_stop(&rig);
}

/* The first to come are the newest: they must not be evicted for the last. */
static void it_ends_before_it_evicts(void **state) {
    enum { BIG_ROWS = 4000, VALUE = 10000 }; /* 40 MB for 16 */
    struct tier_rig rig;
    struct cache_stats stats;
    (void)state;
    begin(&rig, 0);
    char *value = malloc(VALUE + 1);
    memset(value, 'v', VALUE);
    value[VALUE] = '\0';
    for (unsigned i = 0; i < BIG_ROWS; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%u", i);
        memory_store_put(rig.store, "test", key, value, 1000 + i);
    }
    free(value);
    rig_start(&rig);
    eventually(tier_is_ready(rig.tier));
    assert_true(said(&rig, "memory is nearly full"));
    cache_get_stats(tier_cache(rig.tier), 0, &stats);
    assert_int_equal(stats.evictions, 0);
    assert_in_range(stats.entries, 800, 1600); /* most of 16 MB */
    rig_stop(&rig);
}

static void an_unknown_scheme_is_told_without_the_password(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, 0);
    struct tier_backend_options working = rig.backend;
    rig.backend.store.type = NULL;
    rig.backend.store.uri = "rediss://user:secret@host";
    const char *error = rig_try_start(&rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "rediss://***@host"));
    assert_null(strstr(error, "secret"));
    rig.backend = working;
    rig_start(&rig);
    rig_stop(&rig);
}

/* Once a batch is written, nobody is told any more that the backend is not available. */
static void a_written_batch_ends_the_readers_pause(void **state) {
    struct tier_rig rig;
    (void)state;
    begin(&rig, ROWS);
    rig.spaces[0].preload = 0;
    rig.spaces[0].preload_wait = false;
    rig_start(&rig);
    faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    unsigned calls;
    do { /* until the pauses are long: 320 ms at least after the sixth failure */
        rig_expect(&rig, "get key1", "SERVER_ERROR backend store is not available");
        calls = faulty_calls(rig.faulty, FAULTY_LOAD);
        usleep(1000);
    } while (rig_stat(&rig, "store:read_failures") < 7);
    faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_OK);
    rig_expect(&rig, "get key1", "SERVER_ERROR backend store is not available"); /* the pause */
    assert_int_equal(faulty_calls(rig.faulty, FAULTY_LOAD), calls);
    rig_expect(&rig, "set other 1", "STORED");
    rig_expect(&rig, "sync", "1");
    rig_expect(&rig, "get key1", "value1");
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_leaves_alone_what_was_written_meanwhile),
        cmocka_unit_test(a_failure_on_the_way_is_made_good),
        cmocka_unit_test(a_connection_that_is_refused_is_tried_again),
        cmocka_unit_test(a_silent_backend_is_waited_for),
        cmocka_unit_test(it_can_be_stopped_while_it_waits),
        cmocka_unit_test(a_single_reader_goes_on_reading),
        cmocka_unit_test(it_ends_before_it_evicts),
        cmocka_unit_test(an_unknown_scheme_is_told_without_the_password),
        cmocka_unit_test(a_written_batch_ends_the_readers_pause),
    };
    return cmocka_run_group_tests_name("preload", tests, NULL, NULL);
}
