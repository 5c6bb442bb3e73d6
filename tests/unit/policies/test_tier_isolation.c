/* SPDX-License-Identifier: MIT */
/* What is one table's or one row's fault is kept from the rest of a backend; and who waits for a backend is answered in
 * time. */
#include "tests/support/tier_rig.h"
#include <stdio.h>
#include <stdlib.h>

/* A second namespace over the same backend, "other" with the prefix "o:". */
static struct space_options *add_other(struct tier_rig *rig, const struct policy *policy) {
    struct space_options *other = rig_add_space(rig, "other", "o:", policy);
    other->flush_delay = rig->spaces[0].flush_delay = 10;
    return other;
}

static void assert_other_row(struct tier_rig *rig, const char *key, const char *expected) {
    char *value = memory_store_get(rig->store, "other", key, NULL, NULL);
    bool equal = value && strcmp(value, expected) == 0;
    free(value);
    assert_true(equal);
}

static void assert_error(struct tier_rig *rig, const char *command) {
    assert_memory_equal(rig_do(rig, command), "SERVER_ERROR", 12);
}

/* ---- Reads ---- */

RIG_TEST(reads_of_a_failing_table_leave_those_of_others_alone, read_through) {
    char command[64];
    add_other(rig, &policy_read_through);
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    faulty_fail_table(rig->faulty, "test");
    for (unsigned i = 0; i < 50; i++) {
        assert_error(rig, "get a");
        snprintf(command, sizeof command, "get o:%u", i);
        rig_expect(rig, command, "MISS");
    }
    assert_true(faulty_calls(rig->faulty, FAULTY_LOAD) < 100); /* the table is left in peace */
    assert_int_equal(rig_stat(rig, "store:read_breaker_opened"), 0);
    faulty_fail_table(rig->faulty, NULL);
    eventually(strcmp(rig_do(rig, "get a"), "1") == 0);
}

RIG_TEST(a_row_that_cannot_be_read_is_that_rows_fault, read_through) {
    rig_start(rig);
    rig_put_row(rig, "good", "1");
    faulty_spoil_keys(rig->faulty, "bad");
    for (unsigned i = 0; i < 10; i++)
        assert_error(rig, "get bad");
    rig_expect(rig, "get good", "1");
    assert_string_equal(rig_pipeline(rig, "get good;get bad;get none"),
                        "1,SERVER_ERROR backend store is not available,MISS");
    assert_int_equal(rig_stat(rig, "store:read_breaker_opened"), 0);
    faulty_spoil_keys(rig->faulty, NULL);
    rig_expect(rig, "get bad", "MISS");
}

/* With a single reader; what was asked of the part is answered once it is. */
RIG_TEST(a_part_that_is_silent_keeps_no_reader_from_the_others, read_through) {
    char command[64];
    rig->backend.readers = 1;
    faulty_have_parts(rig->faulty);
    rig_start(rig);
    rig_put_row(rig, "silent:a", "1");
    faulty_silence_part(rig->faulty, "silent");
    struct rig_call *first = rig_begin(rig, 0, "get silent:a"), *second = rig_begin(rig, 0, "get silent:b"),
                    *joins = rig_begin(rig, 0, "get silent:a");
    for (unsigned i = 0; i < 50; i++) {
        snprintf(command, sizeof command, "get %u", i);
        rig_expect(rig, command, "MISS");
    }
    assert_false(rig_is_done(first) || rig_is_done(second) || rig_is_done(joins));
    assert_int_equal(rig_stat(rig, "store:read_breaker_opened"), 0);
    faulty_silence_part(rig->faulty, NULL);
    assert_string_equal(rig_finish(first), "1");
    assert_string_equal(rig_finish(joins), "1");
    assert_string_equal(rig_finish(second), "MISS");
}

/* A row that is found and one that is not, in one batch with those that are put off. */
RIG_TEST(the_rest_of_a_batch_is_answered_where_a_part_is_silent, read_through) {
    rig->backend.readers = 1;
    faulty_have_parts(rig->faulty);
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *held = rig_begin(rig, 0, "get b");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    faulty_silence_part(rig->faulty, "silent");
    struct rig_call *silent = rig_begin(rig, 0, "get silent:a"), *found = rig_begin(rig, 0, "get a"),
                    *missed = rig_begin(rig, 0, "get c");
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(found), "1");
    assert_string_equal(rig_finish(missed), "MISS");
    assert_string_equal(rig_finish(held), "MISS");
    assert_false(rig_is_done(silent));
}

/* ---- Write-behind ---- */

RIG_TEST(flushes_of_a_failing_table_leave_those_of_others_alone, write_behind) {
    add_other(rig, &policy_write_behind);
    rig_start(rig);
    faulty_fail_table(rig->faulty, "test");
    rig_expect(rig, "set a 1", "STORED");
    eventually(rig_stat(rig, "test:retries") >= 4);
    assert_true(rig_said(rig, "namespace test"));
    for (unsigned i = 0; i < 20; i++) {
        rig_store(rig, "set o:%u %u", i, i);
        rig_expect(rig, "sync other", "1");
    }
    assert_int_equal(rig_stat(rig, "store:write_breaker_opened"), 0);
    rig_expect(rig, "get a", "1");
    faulty_fail_table(rig->faulty, NULL);
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "1");
}

/* Touches of rows that memory does not hold stand in one line for all namespaces. */
RIG_TEST(touches_of_a_failing_table_leave_those_of_others_alone, write_behind) {
    add_other(rig, &policy_write_behind)->existence = EXISTENCE_MEMORY;
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    memory_store_put(rig->store, "other", "o:a", "1", 1);
    faulty_fail_table(rig->faulty, "test");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    rig_expect(rig, "touch a 1000", "NOT_FOUND");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    rig_expect(rig, "touch a 2000", "NOT_FOUND");
    rig_expect(rig, "touch o:a 1000", "NOT_FOUND");
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    rig_expect(rig, "sync other", "0");
    eventually(rig_stat(rig, "store:write_failures") >= 4);
    uint32_t expires_at = 0;
    free(memory_store_get(rig->store, "other", "o:a", NULL, &expires_at));
    assert_true(expires_at > 1000);
    assert_int_equal(rig_row_expiry(rig, "a"), 0);
    faulty_fail_table(rig->faulty, NULL);
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "a") > 1000);
}

/* What one table cannot take after a start is kept; the others get all they are owed. */
RIG_TEST(a_recovery_passes_over_a_failing_table, write_behind) {
    rig_use_folder(rig);
    add_other(rig, &policy_write_behind)->journal = JOURNAL_OS;
    rig->spaces[0].journal = JOURNAL_OS;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set o:a 2", "STORED");
    rig->options.drain_timeout = 1;
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    faulty_fail_table(rig->faulty, "test");
    rig_start(rig);
    rig_do(rig, "sync other");
    assert_other_row(rig, "o:a", "2");
    rig_expect(rig, "get a", "1");
    faulty_fail_table(rig->faulty, NULL);
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "1");
}

/* ---- Write-through ---- */

/* Changes of both namespaces that share a commit, again and again, so that the breaker is open and tries. */
RIG_TEST(a_shared_commit_leaves_out_a_failing_table, write_through) {
    add_other(rig, &policy_write_through);
    rig_start(rig);
    faulty_fail_table(rig->faulty, "test");
    for (unsigned i = 0; i < 20; i++) {
        char commands[128], value[16];
        snprintf(value, sizeof value, "%u", i);
        snprintf(commands, sizeof commands, "set a %s;set o:a %s;set b %s;set o:b %s", value, value, value,
                 value);
        assert_string_equal(rig_pipeline(rig, commands),
                            "SERVER_ERROR backend store is not available,STORED,"
                            "SERVER_ERROR backend store is not available,STORED");
        assert_other_row(rig, "o:a", value);
        assert_other_row(rig, "o:b", value);
    }
    assert_int_equal(rig_stat(rig, "store:write_breaker_opened"), 0);
    faulty_fail_table(rig->faulty, NULL);
    eventually(strcmp(rig_pipeline(rig, "set a now;set o:a now"), "STORED,STORED") == 0);
    rig_expect(rig, "get a", "now");
    faulty_fail_table(rig->faulty, "test");
    assert_error(rig, "set a 1");
    unsigned calls = faulty_calls(rig->faulty, FAULTY_APPLY);
    assert_error(rig, "set a 1");
    assert_true(faulty_calls(rig->faulty, FAULTY_APPLY) >
                calls); /* all is forgiven: one failure bars nothing */
}

/* What another node has written is newer than ours, and is what is read from then on. */
RIG_TEST(a_shared_commit_beside_a_failing_table_is_above_newer_rows, write_through) {
    add_other(rig, &policy_write_through);
    rig_start(rig);
    faulty_fail_table(rig->faulty, "test");
    memory_store_put(rig->store, "other", "o:a", "newer", version_from_us(wall_us() + 3600000000ull, 2));
    assert_string_equal(rig_pipeline(rig, "set a 1;set o:b 2;set o:a 3"),
                        "SERVER_ERROR backend store is not available,STORED,STORED");
    rig_expect(rig, "get o:a", "3");
    assert_other_row(rig, "o:a", "3");
}

/* The failing table and a refused row in one commit. */
RIG_TEST(a_shared_commit_finds_a_refused_row_beside_a_failing_table, write_through) {
    add_other(rig, &policy_write_through);
    rig_start(rig);
    faulty_fail_table(rig->faulty, "test");
    faulty_refuse_keys(rig->faulty, "bad");
    assert_string_equal(rig_pipeline(rig, "set a 1;set o:a 2;set o:bad 3;set o:b 4"),
                        "SERVER_ERROR backend store is not available,STORED,"
                        "SERVER_ERROR backend store refuses it: the log says why,STORED");
    assert_other_row(rig, "o:a", "2");
    assert_other_row(rig, "o:b", "4");
}

/* A part that is away, beside a refused row and beside a failing table, for which the commit is taken apart. */
RIG_TEST(a_commit_that_is_taken_apart_holds_a_lost_part_against_that_alone, write_through) {
    add_other(rig, &policy_write_through);
    rig_start(rig);
    faulty_lose_part(rig->faulty, "away");
    faulty_refuse_keys(rig->faulty, "bad");
    assert_string_equal(rig_pipeline(rig, "set bad 1;set away 2;set a 3"),
                        "SERVER_ERROR backend store refuses it: the log says why,"
                        "SERVER_ERROR backend store is not available,STORED");
    faulty_fail_table(rig->faulty, "test");
    assert_string_equal(rig_pipeline(rig, "set a 1;set o:away 2;set o:a 3"),
                        "SERVER_ERROR backend store is not available,"
                        "SERVER_ERROR backend store is not available,STORED");
    assert_other_row(rig, "o:a", "3");
    assert_int_equal(rig_stat(rig, "store:write_breaker_opened"), 0);
}

RIG_TEST(a_change_that_needs_a_row_of_a_failing_table_fails_alone, write_through) {
    add_other(rig, &policy_write_through);
    rig_start(rig);
    rig_put_row(rig, "n", "1");
    memory_store_put(rig->store, "other", "o:n", "1", 1);
    faulty_fail_table(rig->faulty, "test");
    assert_string_equal(rig_pipeline(rig, "incr n 1;incr o:n 1"),
                        "SERVER_ERROR backend store is not available,2");
    faulty_fail_table(rig->faulty, NULL);
    eventually(strcmp(rig_do(rig, "incr n 1"), "2") == 0);
}

/* ---- In time ---- */

enum { TIMEOUT_MS = 100 };

/* A second look on a new connection is for one that fails at once: it must not double the time that is waited. */
RIG_TEST(no_second_look_is_begun_when_the_time_is_over, read_through) {
    rig->backend.store.timeout_ms = TIMEOUT_MS;
    rig->backend.readers = 1;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    faulty_delay(rig->faulty, FAULTY_LOAD, TIMEOUT_MS);
    assert_error(rig, "get a");
    assert_error(rig, "get b");
    assert_int_equal(faulty_calls(rig->faulty, FAULTY_LOAD), 2);
}

/* Who has waited for a reader has that much less time for the lookup. */
RIG_TEST(a_lookup_ends_when_the_first_who_waits_has_waited_enough, read_through) {
    enum { MINUTE_MS = 60000 };
    rig->backend.store.timeout_ms = MINUTE_MS;
    rig->backend.readers = 1;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *first = rig_begin(rig, 0, "get a");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    uint64_t before_us = monotonic_us();
    struct rig_call *second = rig_begin(rig, 0, "get b");
    uint64_t after_us = monotonic_us();
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(first), "MISS");
    assert_string_equal(rig_finish(second), "MISS");
    assert_in_range(faulty_until_us(rig->faulty, FAULTY_LOAD), before_us + MINUTE_MS * US_PER_MS,
                    after_us + MINUTE_MS * US_PER_MS);
}

/* The same for a change that has waited for the writer. A flush, for which nobody waits, has all the time. */
RIG_TEST(a_commit_ends_when_the_first_who_waits_has_waited_enough, write_through) {
    enum { MINUTE_MS = 60000 };
    rig->backend.store.timeout_ms = MINUTE_MS;
    add_other(rig, &policy_write_behind);
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_expect(rig, "set o:a 1", "STORED");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    assert_int_equal(faulty_until_us(rig->faulty, FAULTY_APPLY), 0);
    uint64_t before_us = monotonic_us();
    struct rig_call *change = rig_begin(rig, 0, "set a 1");
    uint64_t after_us = monotonic_us();
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(change), "STORED");
    assert_in_range(faulty_until_us(rig->faulty, FAULTY_APPLY), before_us + MINUTE_MS * US_PER_MS,
                    after_us + MINUTE_MS * US_PER_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(reads_of_a_failing_table_leave_those_of_others_alone),
        RIG_CASE(a_row_that_cannot_be_read_is_that_rows_fault),
        RIG_CASE(a_part_that_is_silent_keeps_no_reader_from_the_others),
        RIG_CASE(the_rest_of_a_batch_is_answered_where_a_part_is_silent),
        RIG_CASE(flushes_of_a_failing_table_leave_those_of_others_alone),
        RIG_CASE(touches_of_a_failing_table_leave_those_of_others_alone),
        RIG_CASE(a_recovery_passes_over_a_failing_table),
        RIG_CASE(a_shared_commit_leaves_out_a_failing_table),
        RIG_CASE(a_shared_commit_beside_a_failing_table_is_above_newer_rows),
        RIG_CASE(a_shared_commit_finds_a_refused_row_beside_a_failing_table),
        RIG_CASE(a_commit_that_is_taken_apart_holds_a_lost_part_against_that_alone),
        RIG_CASE(a_change_that_needs_a_row_of_a_failing_table_fails_alone),
        RIG_CASE(no_second_look_is_begun_when_the_time_is_over),
        RIG_CASE(a_lookup_ends_when_the_first_who_waits_has_waited_enough),
        RIG_CASE(a_commit_ends_when_the_first_who_waits_has_waited_enough),
    };
    return cmocka_run_group_tests_name("tier isolation", tests, NULL, NULL);
}
