/* SPDX-License-Identifier: MIT */
/* The journal's way back: what was acknowledged is there after the process is gone. */
#include "tests/support/recovery_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

RIG_TEST(a_journal_with_a_version_that_no_clock_gives_stops_the_start, write_behind) {
    struct entry late = {.key = SLICE("late"), .value = SLICE("1"), .version = ENTRY_VERSION_HIGHEST + 1};
    write_record(rig, JOURNAL_PUT, &late);
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    assert_non_null(strstr(error, "a change in it has version"));
    assert_null(strstr(error, "late"));
    assert_non_null(strstr(error, "no clock gives"));
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
    struct tier_left left;
    rig->spaces[0].journal = JOURNAL_INTERVAL;
    rig->options.drain_timeout = 10000;
    rig_start(rig);
    for (int i = 0; i < 500; i++) {
        rig_store(rig, "set key%d %d", i, i);
    }
    tier_drain(rig->tier, &left);
    assert_int_equal(left.entries, 0);
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
        RECOVERY_CASE(a_value_beyond_the_item_max_of_now_stops_the_start),
        RECOVERY_CASE(a_quarantined_value_beyond_the_item_max_of_now_is_unfit),
        RECOVERY_CASE(versions_survive),
        RECOVERY_CASE(a_journal_with_a_version_that_no_clock_gives_stops_the_start),
        RECOVERY_CASE(the_number_of_workers_may_change),
        RECOVERY_CASE(nothing_is_left_after_a_drain),
        RECOVERY_CASE(always_waits_for_the_disk),
        RECOVERY_CASE(a_failing_journal_lets_no_reply_out),
        RECOVERY_CASE(without_a_journal_what_was_not_flushed_is_gone),
        RECOVERY_CASE(the_low_water_version_follows),
        RECOVERY_CASE(the_low_water_version_follows_versions_that_are_ahead_of_the_clock),
        RECOVERY_CASE(the_low_water_version_follows_a_row_that_is_ahead_of_the_clock),
        RECOVERY_CASE(the_oldest_change_has_an_age_when_versions_are_ahead_of_the_clock),
        RECOVERY_CASE(a_changed_policy_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
