/* SPDX-License-Identifier: MIT */
/* Write-behind, and what is forgotten. */
#include "tests/support/tier_rig.h"
#include <stdio.h>

/* ---- write-behind ---- */

RIG_TEST(write_behind_is_in_the_backend_after_a_sync, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_assert_row(rig, "a", NULL);
    rig_expect(rig, "get a", "1");
    rig_expect(rig, "incr a 1", "2");
    rig_expect(rig, "set b 1", "STORED");
    rig_expect(rig, "delete b", "DELETED");
    rig_expect(rig, "get b", "MISS");
    rig_expect(rig, "sync", "2");
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "b", NULL);
    assert_int_equal(memory_store_counts(rig->store).mutations, 2); /* five changes, two rows */
    assert_int_equal(rig_stat(rig, "test:coalesced"), 2);
    rig_expect(rig, "sync", "0");
}

RIG_TEST(write_behind_looks_at_the_row_first, write_behind) {
    rig_start(rig);
    rig_put_row(rig, "n", "41");
    rig_expect(rig, "incr n 1", "42");
    rig_put_row(rig, "text", "b");
    rig_expect(rig, "append text c", "STORED");
    rig_expect(rig, "add text z", "NOT_STORED");
    rig_put_row(rig, "gone", "x");
    rig_expect(rig, "delete gone", "DELETED");
    rig_expect(rig, "add gone y", "STORED");
    rig_expect(rig, "replace none z", "NOT_STORED");
    rig_expect(rig, "delete none", "NOT_FOUND");
    rig_put_row(rig, "touched", "t");
    rig_expect(rig, "touch touched 1000", "TOUCHED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "n", "42");
    rig_assert_row(rig, "text", "bc");
    rig_assert_row(rig, "gone", "y");
    rig_assert_row(rig, "touched", "t");
    assert_int_equal(memory_store_counts(rig->store).touches, 1);
}

RIG_TEST(memory_alone_says_what_exists, write_behind) {
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_put_row(rig, "deleted", "x");
    rig_put_row(rig, "touched", "x");
    rig_put_row(rig, "added", "x");
    rig_expect(rig, "delete deleted", "NOT_FOUND");
    rig_expect(rig, "touch touched 1000", "NOT_FOUND");
    rig_expect(rig, "add added y", "STORED");
    rig_expect(rig, "replace replaced y", "NOT_STORED");
    rig_expect(rig, "get deleted", "MISS"); /* its delete is pending */
    rig_do(rig, "sync");
    rig_assert_row(rig, "deleted", NULL);
    rig_assert_row(rig, "added", "y");
    rig_assert_row(rig, "replaced", NULL);
    eventually(rig_row_expiry(rig, "touched") > 1000);
    rig_expect(rig, "get touched", "x");
}

/* ---- forget ---- */

/* A row that another program has changed is read as it is now, under every policy, and no row is touched. */
RIG_TEST(a_forgotten_key_is_read_again, write_behind) {
    const struct policy *policies[] = {&policy_read_through, &policy_write_through, &policy_write_behind};
    for (int i = 0; i < 3; i++) {
        rig_renew(rig, policies[i]);
        rig->spaces[0].negative_ttl = 60000;
        rig_start(rig);
        rig_put_row(rig, "row", "old");
        rig_expect(rig, "get row", "old");
        rig_expect(rig, "get absent", "MISS");
        rig_put_row(rig, "row", "new");
        rig_put_row(rig, "absent", "there");
        rig_expect(rig, "get row", "old");
        rig_expect(rig, "get absent", "MISS");
        rig_expect(rig, "forget row", "FORGOTTEN");
        rig_expect(rig, "forget absent", "FORGOTTEN");
        rig_expect(rig, "forget row", "NOT_FOUND");
        rig_expect(rig, "get row", "new");
        rig_expect(rig, "get absent", "there");
        assert_int_equal(rig_mutations(rig), 0);
    }
}

RIG_TEST(without_a_backend_a_forgotten_key_is_gone, cache_aside) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "forget a", "FORGOTTEN");
    rig_expect(rig, "get a", "MISS");
}

/* Whatever was acknowledged stays until the backend has it: a value, a delete, a touch; waiting or on its way. */
RIG_TEST(what_the_backend_has_not_got_is_not_forgotten, write_behind) {
    rig->spaces[0].flush_delay = 60000;
    rig_start(rig);
    rig_put_row(rig, "deleted", "x");
    rig_put_row(rig, "touched", "x");
    rig_expect(rig, "set stored 1", "STORED");
    rig_expect(rig, "delete deleted", "DELETED");
    rig_expect(rig, "touch touched 1000", "TOUCHED");
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    rig_expect(rig, "forget stored", "HELD_BACK");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    rig_expect(rig, "forget stored", "HELD_BACK");
    rig_expect(rig, "forget deleted", "HELD_BACK");
    rig_expect(rig, "forget touched", "HELD_BACK");
    rig_expect(rig, "get stored", "1");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_finish(sync);
    rig_expect(rig, "forget stored", "FORGOTTEN");
    rig_expect(rig, "forget deleted", "NOT_FOUND"); /* once written, nothing is known of it */
    rig_expect(rig, "forget touched", "FORGOTTEN");
    rig_expect(rig, "get stored", "1");
    rig_expect(rig, "get deleted", "MISS");
    assert_true(rig_row_expiry(rig, "touched") > 1000);
}

/* A load that was under way when the key was forgotten does not bring back what was there before. */
RIG_TEST(forgetting_refuses_a_late_fill, read_through) {
    rig->options.workers = 2;
    rig_start(rig);
    rig_put_row(rig, "row", "old");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *get = rig_begin(rig, 0, "get row");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    struct rig_call *forgets = rig_begin(rig, 1, "forget row");
    assert_string_equal(rig_finish(forgets), "NOT_FOUND");
    uint64_t asked = memory_store_counts(rig->store).keys;
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(get), "old");
    assert_true(memory_store_counts(rig->store).keys >= asked + 2); /* the first answer was not good enough */
}

/* While the backend is away: what memory has kept of a row does not outlive a touch, no touch is dropped, and
 * what is loaded before the touch has reached the row has its expiry already. */
RIG_TEST(blind_touches_wait_for_the_backend, write_behind) {
    char command[64];
    unsigned taken = 0;
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig->spaces[0].on_backend_down = DOWN_STALE;
    rig->spaces[0].max_residency = 10;
    rig_start(rig);
    rig_put_row(rig, "stale", "x");
    rig_put_row(rig, "short", "x");
    rig_put_row(rig, "number", "1");
    rig_put_row(rig, "key0", "x");
    rig_expect(rig, "get stale", "x");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig->clock_shift_us = 11 * 1000000;
    rig_expect(rig, "get stale", "x");
    rig_expect(rig, "touch stale -1", "NOT_FOUND");
    assert_memory_equal(rig_do(rig, "get stale"), "SERVER_ERROR", 12); /* its life is over */
    rig_expect(rig, "touch number 5000", "NOT_FOUND");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    eventually(strcmp(rig_do(rig, "incr number 1"), "2") == 0); /* until reads are tried again */
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    for (; taken < 10000; taken++) {
        snprintf(command, sizeof command, "touch key%u 5000", taken);
        const char *reply = rig_do(rig, command);
        if (strcmp(reply, "NOT_FOUND") != 0)
            break;
    }
    assert_in_range(taken, 4000, 4096);
    assert_int_equal(rig_stat(rig, "test:full_rejects"), 1);
    assert_string_equal(rig->reply, "SERVER_ERROR too many writes wait for the backend");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "number") >
                5000); /* the increment was made on what the touch had prolonged */
    rig_assert_row(rig, "number", "2");
    assert_true(rig_row_expiry(rig, "key0") > 5000);
    rig_expect(rig, "get stale", "MISS");
    rig_expect(rig, "touch key1 5000", "NOT_FOUND"); /* there is room again */
}

RIG_TEST(small_touches_add_up, write_behind) {
    rig->spaces[0].touch_slack = 100;
    rig_start(rig);
    rig_expect(rig, "set a 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t expires_at = rig_row_expiry(rig, "a");
    rig_expect(rig, "touch a 1060", "TOUCHED");
    rig_expect(rig, "gat a 1090", "1");
    rig_expect(rig, "sync", "0");
    assert_int_equal(rig_row_expiry(rig, "a"), expires_at);
    rig_expect(rig, "touch a 1150", "TOUCHED"); /* small moves add up */
    rig_expect(rig, "sync", "1");
    assert_true(rig_row_expiry(rig, "a") >= expires_at + 150);
}

RIG_TEST(a_placeholder_does_not_hide_a_row, write_behind) {
    const struct policy *policies[] = {&policy_read_through, &policy_write_through, &policy_write_behind};
    for (int i = 0; i < 3; i++) {
        rig_renew(rig, policies[i]);
        rig_start(rig);
        rig_put_row(rig, "row", "x");
        rig_expect(rig, "vivify row 30", "x");
        rig_expect(rig, "vivify none 30", "WON");
        rig_assert_row(rig, "none", NULL);
        rig_expect(rig, "set none 1", "STORED");
        rig_expect(rig, "get none", "1");
        rig_do(rig, "sync");
    }
}

RIG_TEST(a_placeholder_may_take_the_place_of_a_pending_delete, write_behind) {
    rig_start(rig);
    rig_put_row(rig, "a", "x");
    rig_expect(rig, "delete a", "DELETED");
    rig_expect(rig, "vivify a 30", "WON");
    rig_expect(rig, "set a 2", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "2");
}

RIG_TEST(flush_all_deletes_no_row, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set clean 1", "STORED");
    rig_do(rig, "sync");
    rig_expect(rig, "set dirty 2", "STORED");
    rig_expect(rig, "flush_all", "OK");
    rig_do(rig, "sync");
    rig_assert_row(rig, "clean", "1"); /* rows are never deleted by it */
    rig_assert_row(rig, "dirty", "2");
    rig_expect(rig, "get dirty", "2"); /* from the backend, as it was dropped when it was settled */
    assert_true(memory_store_counts(rig->store).keys >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(write_behind_is_in_the_backend_after_a_sync),
        RIG_CASE(write_behind_looks_at_the_row_first),
        RIG_CASE(memory_alone_says_what_exists),
        RIG_CASE(blind_touches_wait_for_the_backend),
        RIG_CASE(a_forgotten_key_is_read_again),
        RIG_CASE(without_a_backend_a_forgotten_key_is_gone),
        RIG_CASE(what_the_backend_has_not_got_is_not_forgotten),
        RIG_CASE(forgetting_refuses_a_late_fill),
        RIG_CASE(small_touches_add_up),
        RIG_CASE(a_placeholder_does_not_hide_a_row),
        RIG_CASE(a_placeholder_may_take_the_place_of_a_pending_delete),
        RIG_CASE(flush_all_deletes_no_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
