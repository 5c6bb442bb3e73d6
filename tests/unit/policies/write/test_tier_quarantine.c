/* SPDX-License-Identifier: MIT */
/* Write-behind: what a backend refuses for good. */
#include "tests/support/flush_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void assert_quarantine(struct tier_rig *rig, const char *argument, const char *part) {
    char *text = quarantine(rig, argument);
    if (!strstr(text, part))
        fail_msg("quarantine %s: %s", argument, text);
    free(text);
}

static void assert_quarantine_fails(struct tier_rig *rig, const char *argument, const char *error) {
    const char *got = NULL;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    bool done = tier_quarantine(tier_get_worker(rig->tier, 0), slice_string(argument), out, &got);
    fclose(out);
    assert_false(done);
    assert_memory_equal(got, error, strlen(error));
}

static void quarantine_one(struct tier_rig *rig) {
    char command[64];
    faulty_refuse_keys(rig->faulty, "bad");
    for (int i = 0; i < 100; i++) {
        snprintf(command, sizeof command, i == 37 ? "set bad refused" : "set key%d %d", i, i);
        rig_expect(rig, command, "STORED");
    }
    assert_memory_equal(rig_do(rig, "sync"), "SERVER_ERROR", 12);
    assert_int_equal(memory_store_rows(rig->store), 99); /* the rest went on */
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1);
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
}

RIG_TEST(the_quarantine_keeps_the_value, write_behind) {
    rig_start(rig);
    quarantine_one(rig);
    assert_quarantine(rig, "list test", "QUARANTINED bad put 7 ");
    rig_expect(rig, "get bad", "refused");
    rig_expect(rig, "flush_all", "OK");
    rig_expect(rig, "get bad", "refused"); /* not what the backend has */
    rig_expect(rig, "sync", "0");
}

/* Of a batch the refused rows alone are put aside, however they lie in it. */
RIG_TEST(refused_rows_alone_are_quarantined, write_behind) {
    char key[32];
    rig_start(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    for (int i = 0; i < 100; i++)
        rig_store(rig, "set %s%d %d", i == 0 || i == 50 || i == 51 || i == 99 ? "bad" : "good", i, i);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 96);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 4);
    assert_in_range(rig_stat(rig, "test:bisections"), 4, 4 * 7);
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
    for (int i = 0; i < 100; i++) {
        char value[16];
        bool bad = i == 0 || i == 50 || i == 51 || i == 99;
        snprintf(key, sizeof key, "%s%d", bad ? "bad" : "good", i);
        snprintf(value, sizeof value, "%d", i);
        rig_assert_row(rig, key, bad ? NULL : value);
    }
}

/* A store that says which rows it refuses is asked twice for a batch: nothing is looked for, however many there are. */
RIG_TEST(rows_that_the_store_names_cost_no_bisection, write_behind) {
    enum { ROWS = 3000 };
    rig->spaces[0].flush_delay = 60000;
    rig->awaited_log = "the backend refuses";
    rig_start(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    faulty_name_refused(rig->faulty, true);
    for (int i = 0; i < ROWS; i++)
        rig_store(rig, "set %s%d %d", i % 3 ? "bad" : "good", i, i);
    unsigned before = faulty_calls(rig->faulty, FAULTY_APPLY);
    rig_do(rig, "sync");
    assert_in_range(faulty_calls(rig->faulty, FAULTY_APPLY) - before, 1, 2);
    assert_int_equal(rig_stat(rig, "test:bisections"), 0);
    assert_int_equal(memory_store_rows(rig->store), ROWS / 3);
    assert_int_equal(rig_stat(rig, "test:quarantine"), ROWS - ROWS / 3);
    assert_int_equal(rig_stat(rig, "test:quarantined"), ROWS - ROWS / 3);
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
    assert_quarantine(rig, "list test", "a refusal ordered by the test");
    rig_expect(rig, "get bad2998", "2998");
    rig_assert_row(rig, "good2997", "2997");
    assert_int_equal(rig->awaited_logs, 1);
    assert_true(rig_said(rig, "and 1999 more are in quarantine"));
}

/* What the backend refuses is kept, but no more of it than the limit says: then the namespace is full. */
static void crowd(struct tier_rig *rig, enum on_full on_full) {
    char value[2001];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    rig->spaces[0].flush_delay = 60000; /* all of them are taken before the first is refused */
    rig->spaces[0].on_full = on_full;
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig->spaces[0].quarantine_limit = 100000;
    rig->backend.store.timeout_ms = 200;
    rig->awaited_log = "and quarantine_limit is 100000: changes are refused"; /* others may come after it */
    rig_start(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    faulty_name_refused(rig->faulty, true);
    rig_expect(rig, "set good 1", "STORED");
    for (int i = 0; i < 60; i++)
        rig_store(rig, "set bad%d %s", i, value);
    rig_do(rig, "sync test");
    eventually(rig_stat(rig, "test:quarantine") == 60 && rig_stat(rig, "test:full") == 1);
    eventually(rig_count_awaited(rig) > 0);
}

static void assert_crowded(struct tier_rig *rig, enum on_full on_full) {
    crowd(rig, on_full);
    rig_expect(rig, "set other 1", "SERVER_ERROR too many writes are in quarantine");
    rig_expect(rig, "set bad61 1", "SERVER_ERROR too many writes are in quarantine");
    rig_expect(rig, "touch unread 100", "SERVER_ERROR too many writes are in quarantine");
    assert_waits_and_rejects(rig, 0, 3);
    assert_int_equal(strlen(rig_do(rig, "get bad59")), 2000); /* reads go on */
    assert_null(rig_row(rig, "other"));
    assert_int_equal(rig_stat(rig, "test:quarantine"), 60);
    faulty_refuse_keys(rig->faulty, NULL);
    assert_quarantine(rig, "retry test", "OK 60");
    eventually(rig_stat(rig, "test:full") == 0);
    assert_int_equal(rig_stat(rig, "test:quarantine_bytes"), 0);
    rig_expect(rig, "set other 1", "STORED");
    eventually(rig_said(rig, "there is room in its quarantine again"));
}

RIG_TEST(a_quarantine_at_its_limit_refuses_changes, write_behind) {
    assert_crowded(rig, FULL_REJECT);
}

/* What would be let through may be refused by the backend, and would have to be kept. */
RIG_TEST(a_quarantine_at_its_limit_lets_nothing_through, write_behind) {
    assert_crowded(rig, FULL_WRITE_THROUGH);
}

RIG_TEST(a_change_waits_for_room_in_the_quarantine, write_behind) {
    crowd(rig, FULL_WAIT);
    rig->backend.store.timeout_ms = 200;
    rig_expect(rig, "set other 1", "SERVER_ERROR too many writes are in quarantine");
    assert_waits_and_rejects(rig, 1, 1);
    assert_quarantine(rig, "drop test", "OK 60");
    eventually(rig_stat(rig, "test:full") == 0);
    rig_expect(rig, "set other 1", "STORED");
}

/* One turn of it is bounded, and others come between. */
RIG_TEST(a_retry_of_many_rows_takes_turns, write_behind) {
    enum { ROWS = 1000 };
    rig_add_space(rig, "other", "other:", &policy_write_behind);
    rig->spaces[0].flush_delay = 60000;
    rig_start(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    faulty_name_refused(rig->faulty, true);
    for (int i = 0; i < ROWS; i++)
        rig_store(rig, "set bad%d %d", i, i);
    rig_do(rig, "sync test");
    assert_int_equal(rig_stat(rig, "test:quarantine"), ROWS);
    faulty_refuse_keys(rig->faulty, NULL);
    faulty_delay(rig->faulty, FAULTY_APPLY, 25);
    assert_quarantine(rig, "retry test", "OK 1000");
    rig_expect(rig, "set other:a 1", "STORED");
    rig_expect(rig, "sync other", "1");
    assert_true(rig_stat(rig, "test:quarantine") > 0);
    eventually(rig_stat(rig, "test:quarantine") == 0);
    assert_int_equal(memory_store_rows(rig->store), ROWS + 1);
}

/* Those of the others are written at once, more of them than are tried together, and those of the part once it is
 * back. */
RIG_TEST(a_retry_does_not_wait_for_a_part_of_the_store, write_behind) {
    enum { ROWS = 400 };
    rig_start(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    faulty_name_refused(rig->faulty, true);
    for (int i = 0; i < ROWS; i++)
        rig_store(rig, "set %s%d %d", i < ROWS / 2 ? "bad:away" : "bad", i, i);
    rig_do(rig, "sync");
    assert_int_equal(rig_stat(rig, "test:quarantine"), ROWS);
    faulty_lose_part(rig->faulty, "away");
    faulty_refuse_keys(rig->faulty, NULL);
    uint64_t failures = rig_stat(rig, "store:write_failures");
    assert_quarantine(rig, "retry test", "OK 400");
    eventually(rig_stat(rig, "test:quarantine") == ROWS / 2);
    rig_assert_row(rig, "bad399", "399");
    rig_assert_row(rig, "bad:away0", NULL);
    eventually(rig_stat(rig, "store:write_failures") > failures + 4); /* it is tried again */
    assert_int_equal(rig_stat(rig, "store:write_breaker_opened"), 0);
    faulty_lose_part(rig->faulty, NULL);
    eventually(rig_stat(rig, "test:quarantine") == 0);
    rig_assert_row(rig, "bad:away0", "0");
}

/* Rows that are refused again stay, beside those that are taken. */
RIG_TEST(what_is_refused_again_stays_in_quarantine, write_behind) {
    for (int named = 0; named < 2; named++) {
        rig_start(rig);
        faulty_refuse_keys(rig->faulty, "bad");
        faulty_name_refused(rig->faulty, named);
        for (int i = 0; i < 300; i++)
            rig_store(rig, "set %s%d %d", i % 7 ? "bad" : "badly", i, i);
        rig_do(rig, "sync");
        assert_int_equal(rig_stat(rig, "test:quarantine"), 300);
        faulty_refuse_keys(rig->faulty, "badly");
        assert_quarantine(rig, "retry test", "OK 300");
        eventually(rig_stat(rig, "test:quarantine") == 43);
        if (!named)
            rig_assert_row(rig, "badly7", NULL);
        rig_assert_row(rig, "bad299", "299");
        faulty_refuse_keys(rig->faulty, NULL);
        assert_quarantine(rig, "retry test", "OK 43");
        eventually(rig_stat(rig, "test:quarantine") == 0);
        rig_end_tier(rig);
    }
}

RIG_TEST(what_is_quarantined_is_retried_or_superseded, write_behind) {
    rig_start(rig);
    quarantine_one(rig);
    assert_quarantine(rig, "retry test bad", "OK 1");
    usleep(50000);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1); /* refused again */
    faulty_refuse_keys(rig->faulty, NULL);
    assert_quarantine(rig, "retry test", "OK 1");
    eventually(rig_stat(rig, "test:quarantine") == 0);
    rig_assert_row(rig, "bad", "refused");

    faulty_refuse_keys(rig->faulty, "bad");
    rig_expect(rig, "set bad refused2", "STORED");
    rig_do(rig, "sync");
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1);
    rig_expect(rig, "append bad +", "STORED");
    rig_do(rig, "sync");
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1); /* the newer one takes its place */
    assert_quarantine(rig, "list test", "QUARANTINED bad put 9 ");
    faulty_refuse_keys(rig->faulty, NULL);
    rig_expect(rig, "set bad good", "STORED");
    rig_expect(rig, "sync", "1");
    assert_int_equal(rig_stat(rig, "test:quarantine"), 0);
    rig_assert_row(rig, "bad", "good");
}

RIG_TEST(what_is_quarantined_can_be_dropped, write_behind) {
    rig_start(rig);
    memory_store_put(rig->store, "test", "bad", "row", 5);
    faulty_refuse_keys(rig->faulty, "bad");
    rig_expect(rig, "set bad refused", "STORED");
    rig_do(rig, "sync");
    assert_quarantine(rig, "drop test bad", "OK 1");
    assert_quarantine(rig, "drop test bad", "OK 0");
    rig_expect(rig, "get bad", "row");
}

RIG_TEST(the_quarantine_survives_a_restart, write_behind) {
    struct tier_left left;
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    rig_start(rig);
    quarantine_one(rig);
    tier_drain(rig->tier, &left);
    assert_int_equal(left.entries, 0);
    assert_int_equal(left.quarantined, 1);
    rig_end_tier(rig);
    rig_start(rig);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1);
    rig_expect(rig, "get bad", "refused");
    faulty_refuse_keys(rig->faulty, NULL);
    assert_quarantine(rig, "retry test bad", "OK 1");
    eventually(rig_stat(rig, "test:quarantine") == 0);
    rig_assert_row(rig, "bad", "refused");
    rig_end_tier(rig);
    rig_start(rig);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 0);
}

/* What has taken its place in the store stays dirty, and in the journal, until it is on the disk that the
 * quarantined entry went: else that would be what a restart shows. */
RIG_TEST(nothing_is_flushed_for_good_before_the_quarantine_lets_go, write_behind) {
    rig_add_space(rig, "other", "other:", &policy_write_behind);
    rig_use_folder(rig);
    rig_start(rig);
    quarantine_one(rig);
    faulty_refuse_keys(rig->faulty, NULL);
    rig_files_can_be_written(false);
    rig_expect(rig, "set bad good", "STORED");
    rig_expect(rig, "set other:a 1", "STORED");
    struct rig_call *sync = rig_begin(rig, 0, "sync test");
    eventually(rig_said(rig, "its quarantine file cannot be written: File too large"));
    rig_expect(rig, "sync other", "1"); /* others do not wait for it */
    assert_false(rig_is_done(sync));
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 1);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1);
    assert_quarantine_fails(rig, "drop test bad", "SERVER_ERROR the quarantine file cannot be written");
    rig_files_can_be_written(true);
    assert_string_equal(rig_finish(sync), "1");
    assert_true(rig_said(rig, "its quarantine file can be written again"));
    rig_end_tier(rig);
    rig_start(rig);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 0);
    rig_expect(rig, "get bad", "good");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FLUSH_CASE(the_quarantine_keeps_the_value),
        FLUSH_CASE(refused_rows_alone_are_quarantined),
        FLUSH_CASE(rows_that_the_store_names_cost_no_bisection),
        FLUSH_CASE(a_quarantine_at_its_limit_refuses_changes),
        FLUSH_CASE(a_quarantine_at_its_limit_lets_nothing_through),
        FLUSH_CASE(a_change_waits_for_room_in_the_quarantine),
        FLUSH_CASE(a_retry_of_many_rows_takes_turns),
        FLUSH_CASE(a_retry_does_not_wait_for_a_part_of_the_store),
        FLUSH_CASE(what_is_refused_again_stays_in_quarantine),
        FLUSH_CASE(what_is_quarantined_is_retried_or_superseded),
        FLUSH_CASE(what_is_quarantined_can_be_dropped),
        FLUSH_CASE(the_quarantine_survives_a_restart),
        FLUSH_CASE(nothing_is_flushed_for_good_before_the_quarantine_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
