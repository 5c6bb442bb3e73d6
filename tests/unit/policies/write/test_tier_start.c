/* SPDX-License-Identifier: MIT */
/* Starts of a tier whose store is away, hangs, or comes late. */
#include "tests/support/tier_rig.h"
#include <stdio.h>
#include <unistd.h>

enum { HOUR_US = 3600 * 1000000ll };

static uint64_t version_ahead(void) {
    return version_from_us(cache_time_now().us + HOUR_US, 7);
}

static void start(struct tier_rig *rig) {
    rig->spaces[0].flush_delay = 10;
    rig_start(rig);
}

/* A store that takes a connection and says nothing. */
RIG_TEST(a_store_that_hangs_is_not_waited_for, write_behind) {
    faulty_hold(rig->faulty, FAULTY_OPEN, true);
    start(rig);
    rig_expect(rig, "set k v", "STORED");
    rig_expect(rig, "get k", "v");
    rig_assert_row(rig, "k", NULL);
    faulty_hold(rig->faulty, FAULTY_OPEN, false);
    assert_true(rig_wait_clean(rig));
    rig_assert_row(rig, "k", "v");
}

/* Nobody has to write for it to be asked again. */
RIG_TEST(versions_are_above_the_store_as_soon_as_it_is_reached, write_behind) {
    rig->awaited_log = "ahead of this server's clock";
    memory_store_put(rig->store, "test", "k", "of a clock that is ahead", version_ahead());
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_TRANSIENT);
    start(rig);
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_OK);
    eventually(rig_stat(rig, "store:write_connects") == 1);
    rig_expect(rig, "set k new", "STORED");
    assert_true(rig_wait_clean(rig));
    rig_assert_row(rig, "k", "new");
    eventually(rig->awaited_logs == 1);
}

/* It may be lost and found as often as somebody empties it. */
RIG_TEST(a_store_that_is_ahead_over_and_over_is_told_a_few_times, write_behind) {
    enum { TIMES = 16, BURST = 10 };
    uint64_t begin_us = monotonic_us();
    rig->awaited_log = "ahead of this server's clock";
    memory_store_put(rig->store, "test", "k", "of a clock that is ahead", version_ahead());
    start(rig);
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t connects = rig_stat(rig, "store:write_connects");
        faulty_fail_call(rig->faulty, FAULTY_APPLY, 1, BACKEND_REPLACED);
        rig_expect(rig, "set other v", "STORED");
        assert_true(rig_wait_clean(rig));
        eventually(rig_stat(rig, "store:write_connects") > connects);
    }
    assert_in_range(rig_count_awaited(rig), 1, BURST + 1 + (monotonic_us() - begin_us) / US_PER_SECOND);
}

/* The first answer may come while clients are served already, with a refusal: what was accepted stays. */
RIG_TEST(a_store_that_refuses_late_is_tried_again, write_behind) {
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_REFUSED);
    faulty_hold(rig->faulty, FAULTY_OPEN, true);
    start(rig);
    rig_expect(rig, "set k v", "STORED");
    faulty_hold(rig->faulty, FAULTY_OPEN, false);
    eventually(rig_stat(rig, "store:write_failures") >= 3);
    rig_expect(rig, "get k", "v");
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_OK);
    assert_true(rig_wait_clean(rig));
    rig_assert_row(rig, "k", "v");
}

/* One that refuses in time still keeps the server from starting. */
RIG_TEST(a_store_that_refuses_keeps_the_tier_from_starting, write_behind) {
    faulty_fail_all(rig->faulty, FAULTY_OPEN, BACKEND_REFUSED);
    assert_non_null(rig_try_start(rig));
}

/* The clock was ahead in the first run and is right in the second, and there is no store to ask. */
RIG_TEST(without_the_store_the_journal_says_where_versions_begin, write_behind) {
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    rig->clock_shift_us = HOUR_US;
    start(rig);
    rig_expect(rig, "set k old", "STORED");
    assert_true(rig_wait_clean(rig));
    rig_end_tier(rig);
    rig->clock_shift_us = 0;
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    start(rig);
    rig_expect(rig, "set k new", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    assert_true(rig_wait_clean(rig));
    rig_assert_row(rig, "k", "new");
}

/* The same where the first run had no journal: what it wrote is above what a journal that begins now can know. */
static void begin_a_journal_without_the_store(struct tier_rig *rig) {
    rig->clock_shift_us = 0;
    rig->spaces[0].journal = JOURNAL_OS;
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    start(rig);
    rig_expect(rig, "set k new", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    assert_true(rig_wait_clean(rig));
    rig_assert_row(rig, "k", "new");
}

static void run_ahead_without_a_journal(struct tier_rig *rig) {
    rig_use_folder(rig);
    rig->clock_shift_us = HOUR_US;
    start(rig);
    rig_expect(rig, "set k old", "STORED");
    assert_true(rig_wait_clean(rig));
}

RIG_TEST(without_the_store_the_data_folder_says_where_versions_begin, write_behind) {
    run_ahead_without_a_journal(rig);
    rig_end_tier(rig);
    begin_a_journal_without_the_store(rig);
}

/* A run that is killed has noted it before it wrote, and not each time. */
RIG_TEST(after_a_kill_the_data_folder_says_where_versions_begin, write_behind) {
    char note[400], kept[410];
    run_ahead_without_a_journal(rig);
    snprintf(note, sizeof note, "%s/backend-store.version", rig->options.data);
    snprintf(kept, sizeof kept, "%s.kept", note);
    assert_int_equal(link(note, kept), 0);
    rig_expect(rig, "set k older", "STORED");
    assert_true(rig_wait_clean(rig));
    rig_end_tier(rig);
    assert_int_equal(rename(kept, note), 0);
    begin_a_journal_without_the_store(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(a_store_that_hangs_is_not_waited_for),
        RIG_CASE(versions_are_above_the_store_as_soon_as_it_is_reached),
        RIG_CASE(a_store_that_is_ahead_over_and_over_is_told_a_few_times),
        RIG_CASE(a_store_that_refuses_late_is_tried_again),
        RIG_CASE(a_store_that_refuses_keeps_the_tier_from_starting),
        RIG_CASE(without_the_store_the_journal_says_where_versions_begin),
        RIG_CASE(without_the_store_the_data_folder_says_where_versions_begin),
        RIG_CASE(after_a_kill_the_data_folder_says_where_versions_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
