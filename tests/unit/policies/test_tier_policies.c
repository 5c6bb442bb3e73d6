/* SPDX-License-Identifier: MIT */
/* What each policy does with each command: answers, memory, and the row in the backend. */
#include "tests/support/tier_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Forgets everything in memory that is clean: what comes next is cold. */
static void cool(struct tier_rig *rig) {
    rig_expect(rig, "flush_all", "OK");
}

static void put(struct tier_rig *rig, const char *key, const char *value) {
    memory_store_put(rig->store, "test", key, value, 1000);
}

/* ---- cache-aside ---- */

static void test_cache_aside(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_cache_aside);
    rig_start(&rig);
    put(&rig, "row", "1");
    rig_expect(&rig, "get row", "MISS");
    rig_expect(&rig, "set a 1", "STORED");
    rig_expect(&rig, "get a", "1");
    rig_expect(&rig, "add a 2", "NOT_STORED");
    rig_expect(&rig, "incr a 4", "5");
    rig_expect(&rig, "append a 0", "STORED");
    rig_expect(&rig, "get a", "50");
    rig_expect(&rig, "delete a", "DELETED");
    rig_expect(&rig, "delete a", "NOT_FOUND");
    rig_expect(&rig, "touch a 10", "NOT_FOUND");
    assert_int_equal(memory_store_counts(rig.store).keys, 0);
    assert_int_equal(memory_store_counts(rig.store).mutations, 0);
    rig_stop(&rig);
}

/* ---- read-through ---- */

static void test_read_through(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_read_through);
    rig_start(&rig);
    put(&rig, "row", "old");
    rig_expect(&rig, "get row", "old");
    rig_expect(&rig, "get row", "old");
    assert_int_equal(memory_store_counts(rig.store).keys, 1);
    rig_expect(&rig, "get nothing", "MISS");
    /* Changes are memory's alone, over what the backend has. */
    put(&rig, "n", "41");
    rig_expect(&rig, "incr n 1", "42");
    rig_assert_row(&rig, "n", "41");
    rig_expect(&rig, "add n 1", "NOT_STORED");
    put(&rig, "m", "x");
    rig_expect(&rig, "add m 1", "NOT_STORED");
    rig_expect(&rig, "replace nothing 1", "NOT_STORED");
    /* A delete invalidates: the next read sees the row. */
    put(&rig, "row", "new");
    rig_expect(&rig, "get row", "old");
    rig_expect(&rig, "delete row", "DELETED");
    rig_expect(&rig, "get row", "new");
    assert_int_equal(memory_store_counts(rig.store).mutations, 0);
    rig_stop(&rig);
}

static void test_read_through_delete_refuses_a_late_fill(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_read_through);
    rig.options.workers = 2;
    rig.spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(&rig);
    put(&rig, "row", "old");
    faulty_hold(rig.faulty, FAULTY_LOAD, true);
    struct rig_call *get = rig_begin(&rig, 0, "get row");
    faulty_wait_held(rig.faulty, FAULTY_LOAD);
    struct rig_call *delete = rig_begin(&rig, 1, "delete row");
    assert_string_equal(rig_finish(delete), "NOT_FOUND"); /* memory alone answers */
    uint64_t asked = memory_store_counts(rig.store).keys;
    faulty_hold(rig.faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(get), "old");
    assert_true(memory_store_counts(rig.store).keys >= asked + 2); /* the first answer was not good enough */
    rig_free(get);
    rig_free(delete);
    rig_stop(&rig);
}

static void test_negative_ttl(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_read_through);
    rig.spaces[0].negative_ttl = 60000;
    rig_start(&rig);
    rig_expect(&rig, "get nothing", "MISS");
    rig_expect(&rig, "get nothing", "MISS");
    rig_expect(&rig, "replace nothing 1", "NOT_STORED");
    assert_int_equal(memory_store_counts(rig.store).keys, 1);
    put(&rig, "nothing", "something");
    rig_expect(&rig, "delete nothing", "DELETED"); /* the absence is forgotten first */
    rig_expect(&rig, "get nothing", "something");
    rig_stop(&rig);
}

/* ---- write-through ---- */

static void test_write_through(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_start(&rig);
    rig_expect(&rig, "set a 1", "STORED");
    rig_assert_row(&rig, "a", "1");
    rig_expect(&rig, "get a", "1");
    assert_int_equal(memory_store_counts(rig.store).keys, 0);
    rig_expect(&rig, "add a 2", "NOT_STORED");
    rig_expect(&rig, "incr a 9", "10");
    rig_assert_row(&rig, "a", "10");
    rig_expect(&rig, "append a x", "STORED");
    rig_assert_row(&rig, "a", "10x");
    rig_expect(&rig, "delete a", "DELETED");
    rig_assert_row(&rig, "a", NULL);
    rig_expect(&rig, "get a", "MISS");
    rig_stop(&rig);
}

static void test_write_through_cold(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_start(&rig);
    put(&rig, "n", "41");
    rig_expect(&rig, "incr n 1", "42");
    rig_assert_row(&rig, "n", "42");
    put(&rig, "text", "b");
    rig_expect(&rig, "prepend text a", "STORED");
    rig_assert_row(&rig, "text", "ab");
    cool(&rig);
    rig_expect(&rig, "add text z", "NOT_STORED");
    rig_expect(&rig, "replace none z", "NOT_STORED");
    cool(&rig);
    rig_expect(&rig, "replace text z", "STORED");
    rig_assert_row(&rig, "text", "z");
    cool(&rig);
    rig_expect(&rig, "gat text 1000", "z");
    uint32_t expires_at;
    free(memory_store_get(rig.store, "test", "text", NULL, &expires_at));
    assert_true(expires_at > 1000);
    cool(&rig);
    rig_expect(&rig, "delete text", "DELETED");
    rig_expect(&rig, "delete text", "NOT_FOUND");
    rig_stop(&rig);
}

static void test_cas_survives_eviction(void **state) {
    const struct policy *policies[] = {&policy_write_through, &policy_write_behind};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tier_rig rig;
        char command[64];
        unsigned long long cas;
        rig_init(&rig, policies[i]);
        rig_start(&rig);
        rig_expect(&rig, "set a 1", "STORED");
        assert_int_equal(sscanf(rig_do(&rig, "gets a"), "1 %llu", &cas), 1);
        rig_do(&rig, "sync");
        cool(&rig);
        rig_expect(&rig, "touch a 5000", "TOUCHED"); /* a touch does not change what clients compare */
        rig_do(&rig, "sync");
        cool(&rig);
        snprintf(command, sizeof command, "cas a 2 %llu", cas);
        rig_expect(&rig, command, "STORED");
        rig_expect(&rig, command, "EXISTS");
        rig_expect(&rig, "cas none 2 5", "NOT_FOUND");
        rig_expect(&rig, "get a", "2");
        rig_stop(&rig);
    }
}

static void test_write_through_shares_a_commit(void **state) {
    struct tier_rig rig;
    struct rig_call *calls[20];
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_start(&rig);
    faulty_hold(rig.faulty, FAULTY_APPLY, true);
    calls[0] = rig_begin(&rig, 0, "set n 0");
    faulty_wait_held(rig.faulty, FAULTY_APPLY);
    for (int i = 1; i < 20; i++)
        calls[i] = rig_begin(&rig, 0, "incr n 1");
    struct rig_call *get = rig_begin(&rig, 0, "get other");
    assert_string_equal(rig_finish(get), "MISS"); /* readers are not held up */
    rig_free(get);
    faulty_hold(rig.faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(calls[0]), "STORED");
    for (int i = 1; i < 20; i++) {
        char expected[8];
        snprintf(expected, sizeof expected, "%d", i);
        assert_string_equal(rig_finish(calls[i]), expected);
    }
    rig_assert_row(&rig, "n", "19");
    assert_true(memory_store_counts(rig.store).batches <= 3);
    for (int i = 0; i < 20; i++)
        rig_free(calls[i]);
    rig_stop(&rig);
}

static void test_write_through_refused_row(void **state) {
    struct tier_rig rig;
    struct rig_call *calls[3];
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_start(&rig);
    faulty_refuse_keys(rig.faulty, "bad");
    faulty_hold(rig.faulty, FAULTY_APPLY, true);
    struct rig_call *first = rig_begin(&rig, 0, "set first 1");
    faulty_wait_held(rig.faulty, FAULTY_APPLY);
    calls[0] = rig_begin(&rig, 0, "set good 1");
    calls[1] = rig_begin(&rig, 0, "set bad 1");
    calls[2] = rig_begin(&rig, 0, "set good2 1");
    faulty_hold(rig.faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(first), "STORED");
    assert_string_equal(rig_finish(calls[0]), "STORED");
    assert_memory_equal(rig_finish(calls[1]), "SERVER_ERROR", 12);
    assert_string_equal(rig_finish(calls[2]), "STORED");
    rig_expect(&rig, "get bad", "MISS");
    rig_assert_row(&rig, "good2", "1");
    rig_free(first);
    for (int i = 0; i < 3; i++)
        rig_free(calls[i]);
    rig_stop(&rig);
}

static void test_write_through_lost_answer(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_start(&rig);
    put(&rig, "n", "1");
    faulty_lose_answer(rig.faulty); /* applied, but reported as failed: repeated with the same version */
    rig_expect(&rig, "incr n 1", "2");
    rig_assert_row(&rig, "n", "2");
    rig_expect(&rig, "get n", "2");
    rig_stop(&rig);
}

static void test_write_through_backend_down(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig.backend.store.timeout_ms = 150;
    rig_start(&rig);
    rig_expect(&rig, "set a 1", "STORED");
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    assert_memory_equal(rig_do(&rig, "set a 2"), "SERVER_ERROR", 12);
    rig_expect(&rig, "get a", "1"); /* the outcome is unknown, so the backend is asked */
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_OK);
    for (int i = 0; i < 100 && strcmp(rig_do(&rig, "set a 3"), "STORED") != 0; i++)
        usleep(50000);
    rig_expect(&rig, "get a", "3");
    rig_assert_row(&rig, "a", "3");
    rig_stop(&rig);
}

/* ---- write-behind ---- */

static void test_write_behind(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig_start(&rig);
    rig_expect(&rig, "set a 1", "STORED");
    rig_assert_row(&rig, "a", NULL);
    rig_expect(&rig, "get a", "1");
    rig_expect(&rig, "incr a 1", "2");
    rig_expect(&rig, "set b 1", "STORED");
    rig_expect(&rig, "delete b", "DELETED");
    rig_expect(&rig, "get b", "MISS");
    rig_expect(&rig, "sync", "2");
    rig_assert_row(&rig, "a", "2");
    rig_assert_row(&rig, "b", NULL);
    assert_int_equal(memory_store_counts(rig.store).mutations, 2); /* five changes, two rows */
    assert_int_equal(rig_stat(&rig, "test:coalesced"), 2);
    rig_expect(&rig, "sync", "0");
    rig_stop(&rig);
}

static void test_write_behind_cold(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig_start(&rig);
    put(&rig, "n", "41");
    rig_expect(&rig, "incr n 1", "42");
    put(&rig, "text", "b");
    rig_expect(&rig, "append text c", "STORED");
    rig_expect(&rig, "add text z", "NOT_STORED");
    put(&rig, "gone", "x");
    rig_expect(&rig, "delete gone", "DELETED");
    rig_expect(&rig, "add gone y", "STORED");
    rig_expect(&rig, "replace none z", "NOT_STORED");
    rig_expect(&rig, "delete none", "NOT_FOUND");
    put(&rig, "touched", "t");
    rig_expect(&rig, "touch touched 1000", "TOUCHED");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "n", "42");
    rig_assert_row(&rig, "text", "bc");
    rig_assert_row(&rig, "gone", "y");
    rig_assert_row(&rig, "touched", "t");
    assert_int_equal(memory_store_counts(rig.store).touches, 1);
    rig_stop(&rig);
}

static void test_existence_memory(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig.spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(&rig);
    put(&rig, "deleted", "x");
    put(&rig, "touched", "x");
    put(&rig, "added", "x");
    rig_expect(&rig, "delete deleted", "NOT_FOUND");
    rig_expect(&rig, "touch touched 1000", "NOT_FOUND");
    rig_expect(&rig, "add added y", "STORED");
    rig_expect(&rig, "replace replaced y", "NOT_STORED");
    rig_expect(&rig, "get deleted", "MISS"); /* its delete is pending */
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "deleted", NULL);
    rig_assert_row(&rig, "added", "y");
    rig_assert_row(&rig, "replaced", NULL);
    uint32_t expires_at = 0;
    for (int i = 0; i < 5000 && expires_at == 0; i++) {
        free(memory_store_get(rig.store, "test", "touched", NULL, &expires_at));
        usleep(1000);
    }
    assert_true(expires_at > 1000);
    rig_expect(&rig, "get touched", "x");
    rig_stop(&rig);
}

/* While the backend is away: what memory has kept of a row does not outlive a touch, no touch is dropped, and
 * what is loaded before the touch has reached the row has its expiry already. */
static void test_blind_touches_wait(void **state) {
    struct tier_rig rig;
    char command[64];
    unsigned taken = 0;
    uint32_t expires_at = 0;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig.spaces[0].existence = EXISTENCE_MEMORY;
    rig.spaces[0].on_backend_down = DOWN_STALE;
    rig.spaces[0].max_residency = 10;
    rig_start(&rig);
    put(&rig, "stale", "x");
    put(&rig, "short", "x");
    put(&rig, "number", "1");
    put(&rig, "key0", "x");
    rig_expect(&rig, "get stale", "x");
    faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig.clock_shift_us = 11 * 1000000;
    rig_expect(&rig, "get stale", "x");
    rig_expect(&rig, "touch stale -1", "NOT_FOUND");
    assert_memory_equal(rig_do(&rig, "get stale"), "SERVER_ERROR", 12); /* its life is over */
    rig_expect(&rig, "touch number 5000", "NOT_FOUND");
    faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_OK);
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    for (int i = 0; i < 100 && strcmp(rig_do(&rig, "incr number 1"), "2") != 0; i++)
        usleep(50000); /* until reads are tried again */
    faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    for (; taken < 10000; taken++) {
        snprintf(command, sizeof command, "touch key%u 5000", taken);
        const char *reply = rig_do(&rig, command);
        if (strcmp(reply, "NOT_FOUND") != 0)
            break;
    }
    assert_in_range(taken, 4000, 4096);
    assert_string_equal(rig.reply, "SERVER_ERROR too many writes wait for the backend");
    faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_OK);
    rig_do(&rig, "sync");
    free(memory_store_get(rig.store, "test", "number", NULL, &expires_at));
    assert_true(expires_at > 5000); /* the increment was made on what the touch had prolonged */
    rig_assert_row(&rig, "number", "2");
    free(memory_store_get(rig.store, "test", "key0", NULL, &expires_at));
    assert_true(expires_at > 5000);
    rig_expect(&rig, "get stale", "MISS");
    rig_expect(&rig, "touch key1 5000", "NOT_FOUND"); /* there is room again */
    rig_stop(&rig);
}

static void test_touch_slack(void **state) {
    struct tier_rig rig;
    uint32_t expires_at, again;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig.spaces[0].touch_slack = 100;
    rig_start(&rig);
    rig_expect(&rig, "set a 1 1000", "STORED");
    rig_do(&rig, "sync");
    free(memory_store_get(rig.store, "test", "a", NULL, &expires_at));
    rig_expect(&rig, "touch a 1060", "TOUCHED");
    rig_expect(&rig, "gat a 1090", "1");
    rig_expect(&rig, "sync", "0");
    free(memory_store_get(rig.store, "test", "a", NULL, &again));
    assert_int_equal(again, expires_at);
    rig_expect(&rig, "touch a 1150", "TOUCHED"); /* small moves add up */
    rig_expect(&rig, "sync", "1");
    free(memory_store_get(rig.store, "test", "a", NULL, &again));
    assert_true(again >= expires_at + 150);
    rig_stop(&rig);
}

static void test_placeholder_does_not_hide_a_row(void **state) {
    const struct policy *policies[] = {&policy_read_through, &policy_write_through, &policy_write_behind};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tier_rig rig;
        rig_init(&rig, policies[i]);
        rig_start(&rig);
        put(&rig, "row", "x");
        rig_expect(&rig, "vivify row 30", "x");
        rig_expect(&rig, "vivify none 30", "WON");
        rig_assert_row(&rig, "none", NULL);
        rig_expect(&rig, "set none 1", "STORED");
        rig_expect(&rig, "get none", "1");
        rig_do(&rig, "sync");
        rig_stop(&rig);
    }
}

static void test_placeholder_over_a_pending_delete(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig_start(&rig);
    put(&rig, "a", "x");
    rig_expect(&rig, "delete a", "DELETED");
    rig_expect(&rig, "vivify a 30", "WON");
    rig_expect(&rig, "set a 2", "STORED");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "a", "2");
    rig_stop(&rig);
}

static void test_flush_all(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig_start(&rig);
    rig_expect(&rig, "set clean 1", "STORED");
    rig_do(&rig, "sync");
    rig_expect(&rig, "set dirty 2", "STORED");
    rig_expect(&rig, "flush_all", "OK");
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "clean", "1"); /* rows are never deleted by it */
    rig_assert_row(&rig, "dirty", "2");
    rig_expect(&rig, "get dirty", "2"); /* from the backend, as it was dropped when it was settled */
    assert_true(memory_store_counts(rig.store).keys >= 1);
    rig_stop(&rig);
}

/* ---- All ---- */

static void test_single_flight(void **state) {
    struct tier_rig rig;
    struct rig_call *calls[30];
    (void)state;
    rig_init(&rig, &policy_read_through);
    rig_start(&rig);
    put(&rig, "hot", "x");
    faulty_hold(rig.faulty, FAULTY_LOAD, true);
    for (int i = 0; i < 30; i++)
        calls[i] = rig_begin(&rig, 0, "get hot");
    faulty_wait_held(rig.faulty, FAULTY_LOAD);
    faulty_hold(rig.faulty, FAULTY_LOAD, false);
    for (int i = 0; i < 30; i++) {
        assert_string_equal(rig_finish(calls[i]), "x");
        rig_free(calls[i]);
    }
    assert_int_equal(memory_store_counts(rig.store).keys, 1);
    rig_stop(&rig);
}

static void test_multi_get_goes_together(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_read_through);
    rig_start(&rig);
    put(&rig, "a", "1");
    put(&rig, "c", "3");
    put(&rig, "d", "4");
    unsigned before = faulty_calls(rig.faulty, FAULTY_LOAD);
    assert_string_equal(rig_pipeline(&rig, "get a;get b;get c;get d;get e"), "1,MISS,3,4,MISS");
    assert_int_equal(faulty_calls(rig.faulty, FAULTY_LOAD) - before, 1);
    assert_string_equal(rig_pipeline(&rig, "get a;get c;get d"), "1,3,4");
    assert_int_equal(faulty_calls(rig.faulty, FAULTY_LOAD) - before, 1);
    rig_stop(&rig);
}

static void test_changes_go_together(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_add_space(&rig, "behind", "behind:", &policy_write_behind);
    rig_start(&rig);
    unsigned before = faulty_calls(rig.faulty, FAULTY_APPLY);
    assert_string_equal(rig_pipeline(&rig, "set a 1;incr a 2;append a x;incr a 1;"
                                           "delete b;add b 1;add b 2;set c 1"),
                        "STORED,3,STORED,CLIENT_ERROR cannot increment or decrement non-numeric value,"
                        "NOT_FOUND,STORED,NOT_STORED,STORED");
    assert_int_equal(faulty_calls(rig.faulty, FAULTY_APPLY) - before, 1);
    rig_assert_row(&rig, "a", "3x");
    rig_assert_row(&rig, "b", "1");
    /* reads, and other policies, are waited for and let nothing by */
    before = faulty_calls(rig.faulty, FAULTY_APPLY);
    assert_string_equal(rig_pipeline(&rig,
                                     "set a 1;get a;set a 2;set behind:a 5;get behind:a;"
                                     "delete a;gat a 100;set a 3;gat a 100;vivify a 30;touch a 0;get a"),
                        "STORED,1,STORED,STORED,5,DELETED,MISS,STORED,3,3,TOUCHED,3");
    assert_true(faulty_calls(rig.faulty, FAULTY_APPLY) - before > 3);
    /* each is refused for itself, and those behind get their own answers */
    faulty_refuse_keys(rig.faulty, "bad");
    assert_memory_equal(rig_pipeline(&rig, "set bad 1;set a 4;get a;get bad"), "SERVER_ERROR", 12);
    assert_string_equal(strchr(rig.reply, ','), ",STORED,4,MISS");
    rig_stop(&rig);
}

/* More than go together at once. */
static void test_a_long_pipeline_of_changes(void **state) {
    struct tier_rig rig;
    char commands[RIG_REPLY] = "", expected[RIG_REPLY] = "";
    (void)state;
    rig_init(&rig, &policy_write_through);
    rig_start(&rig);
    rig_expect(&rig, "set n 0", "STORED");
    for (int i = 0; i < RIG_PIPELINE; i++) {
        sprintf(commands + strlen(commands), "%sincr n 1", i ? ";" : "");
        sprintf(expected + strlen(expected), "%s%d", i ? "," : "", i + 1);
    }
    assert_string_equal(rig_pipeline(&rig, commands), expected);
    rig_assert_row(&rig, "n", "300");
    rig_stop(&rig);
}

static void test_late_fill_is_refused(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig.options.workers = 2;
    rig_start(&rig);
    put(&rig, "a", "old");
    faulty_hold(rig.faulty, FAULTY_LOAD, true);
    struct rig_call *get = rig_begin(&rig, 0, "get a");
    faulty_wait_held(rig.faulty, FAULTY_LOAD);
    struct rig_call *set = rig_begin(&rig, 1, "set a new");
    assert_string_equal(rig_finish(set), "STORED");
    faulty_hold(rig.faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(get), "new");
    rig_expect(&rig, "get a", "new");
    rig_free(get);
    rig_free(set);
    rig_stop(&rig);
}

static void test_unknown_is_not_a_miss(void **state) {
    enum on_backend_down answers[] = {DOWN_ERROR, DOWN_MISS, DOWN_STALE};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tier_rig rig;
        rig_init(&rig, &policy_write_behind);
        rig.spaces[0].on_backend_down = answers[i];
        rig_start(&rig);
        rig_expect(&rig, "set known 1", "STORED");
        faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
        if (answers[i] == DOWN_MISS)
            rig_expect(&rig, "get unknown", "MISS");
        else
            assert_memory_equal(rig_do(&rig, "get unknown"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(&rig, "incr unknown 1"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(&rig, "add unknown 1"), "SERVER_ERROR", 12);
        rig_expect(&rig, "get known", "1");
        rig_expect(&rig, "set unknown 2", "STORED"); /* needs to know nothing */
        rig_expect(&rig, "get unknown", "2");
        faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_OK);
        rig_stop(&rig);
    }
}

/* on_backend_down = "stale": what has outstayed max_residency is shown while the backend cannot be asked. */
static void test_stale_reads(void **state) {
    const struct policy *policies[] = {&policy_read_through, &policy_write_through, &policy_write_behind};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tier_rig rig;
        rig_init(&rig, policies[i]);
        rig.spaces[0].on_backend_down = DOWN_STALE;
        rig.spaces[0].max_residency = 10;
        rig_start(&rig);
        put(&rig, "a", "1");
        put(&rig, "b", "1");
        rig_expect(&rig, "get a", "1");
        rig_expect(&rig, "gat b 15", "1");
        rig_do(&rig, "sync");
        put(&rig, "a", "2");
        faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
        rig.clock_shift_us = 11 * 1000000;
        rig_expect(&rig, "get a", "1");
        rig_expect(&rig, "get b", "1");
        assert_string_equal(rig_pipeline(&rig, "get a;get b"), "1,1");
        assert_memory_equal(rig_do(&rig, "get unknown"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(&rig, "incr a 1"), "SERVER_ERROR", 12); /* no change on old grounds */
        assert_memory_equal(rig_do(&rig, "gat a 100"), "SERVER_ERROR", 12);
        rig.clock_shift_us = 16 * 1000000; /* the life of b is over */
        rig_expect(&rig, "get a", "1");
        assert_memory_equal(rig_do(&rig, "get b"), "SERVER_ERROR", 12);
        faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_OK);
        for (int j = 0; j < 100 && strcmp(rig_do(&rig, "get a"), "2") != 0; j++)
            usleep(50000);
        rig_expect(&rig, "get a", "2");
        rig_stop(&rig);
    }
}

/* A change that needs to know nothing takes the stale entry's place; nobody sees that again. */
static void test_stale_is_overwritten(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_write_behind);
    rig.spaces[0].on_backend_down = DOWN_STALE;
    rig.spaces[0].existence = EXISTENCE_MEMORY;
    rig.spaces[0].max_residency = 10;
    rig_start(&rig);
    put(&rig, "a", "1");
    put(&rig, "b", "1");
    rig_expect(&rig, "get a", "1");
    rig_expect(&rig, "get b", "1");
    rig.clock_shift_us = 11 * 1000000;
    faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(&rig, "set a 2", "STORED");
    rig_expect(&rig, "get a", "2");
    rig_expect(&rig, "delete b", "NOT_FOUND"); /* memory does not know; the row goes nevertheless */
    rig_expect(&rig, "get b", "MISS");
    faulty_fail_all(rig.faulty, FAULTY_ANY, BACKEND_OK);
    rig_do(&rig, "sync");
    rig_assert_row(&rig, "a", "2");
    rig_assert_row(&rig, "b", NULL);
    rig_stop(&rig);
}

static void test_reads_recover(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_read_through);
    rig_start(&rig);
    put(&rig, "a", "1");
    faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    for (int i = 0; i < 10; i++)
        assert_memory_equal(rig_do(&rig, "get a"), "SERVER_ERROR", 12);
    assert_true(rig_stat(&rig, "store:read_breaker_opened") >= 1);
    faulty_fail_all(rig.faulty, FAULTY_LOAD, BACKEND_OK);
    for (int i = 0; i < 100 && strcmp(rig_do(&rig, "get a"), "1") != 0; i++)
        usleep(50000);
    rig_expect(&rig, "get a", "1");
    rig_stop(&rig);
}

static void test_longest_prefix(void **state) {
    struct tier_rig rig;
    (void)state;
    rig_init(&rig, &policy_cache_aside);
    rig_add_space(&rig, "one", "s:", &policy_write_through);
    rig_add_space(&rig, "two", "s:deep:", &policy_write_through);
    rig_start(&rig);
    rig_expect(&rig, "set s:a 1", "STORED");
    rig_expect(&rig, "set s:deep:a 2", "STORED");
    rig_expect(&rig, "set s 3", "STORED");
    char *one = memory_store_get(rig.store, "one", "s:a", NULL, NULL);
    char *two = memory_store_get(rig.store, "two", "s:deep:a", NULL, NULL);
    assert_string_equal(one, "1");
    assert_string_equal(two, "2");
    assert_int_equal(memory_store_rows(rig.store), 2);
    free(one);
    free(two);
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_aside),
        cmocka_unit_test(test_read_through),
        cmocka_unit_test(test_read_through_delete_refuses_a_late_fill),
        cmocka_unit_test(test_negative_ttl),
        cmocka_unit_test(test_write_through),
        cmocka_unit_test(test_write_through_cold),
        cmocka_unit_test(test_cas_survives_eviction),
        cmocka_unit_test(test_write_through_shares_a_commit),
        cmocka_unit_test(test_write_through_refused_row),
        cmocka_unit_test(test_write_through_lost_answer),
        cmocka_unit_test(test_write_through_backend_down),
        cmocka_unit_test(test_write_behind),
        cmocka_unit_test(test_write_behind_cold),
        cmocka_unit_test(test_existence_memory),
        cmocka_unit_test(test_blind_touches_wait),
        cmocka_unit_test(test_touch_slack),
        cmocka_unit_test(test_placeholder_does_not_hide_a_row),
        cmocka_unit_test(test_placeholder_over_a_pending_delete),
        cmocka_unit_test(test_flush_all),
        cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_multi_get_goes_together),
        cmocka_unit_test(test_changes_go_together),
        cmocka_unit_test(test_a_long_pipeline_of_changes),
        cmocka_unit_test(test_late_fill_is_refused),
        cmocka_unit_test(test_unknown_is_not_a_miss),
        cmocka_unit_test(test_stale_reads),
        cmocka_unit_test(test_stale_is_overwritten),
        cmocka_unit_test(test_reads_recover),
        cmocka_unit_test(test_longest_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
