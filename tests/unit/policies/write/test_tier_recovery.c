/* SPDX-License-Identifier: MIT */
/* The journal's way back: what was acknowledged is there after the process is gone. */
#include "tests/support/tier_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Beside the data folder: what keep_journal has kept of it. */
static struct temp_folder kept_of(const struct tier_rig *rig) {
    struct temp_folder kept;
    int size = snprintf(kept.path, sizeof kept.path, "%s.kept", rig->folder.path);
    assert_in_range(size, 1, sizeof kept.path - 1);
    return kept;
}

static void drop_kept(const struct tier_rig *rig) {
    struct temp_folder kept = kept_of(rig);
    temp_folder_remove(&kept);
}

/* A folder for the journal, and no patience at the end. */
static void use_journal(struct tier_rig *rig, enum journal_mode mode) {
    rig_use_folder(rig);
    rig->spaces[0].journal = mode;
    rig->options.drain_timeout = 50;
}

static int set_up(void **state) {
    rig_set_up(state);
    use_journal(*state, JOURNAL_OS); /* unless the test says otherwise */
    return 0;
}

static int tear_down(void **state) {
    drop_kept(*state);
    return rig_tear_down(state);
}

/* Anew, for what a test does several times. */
static void renew(struct tier_rig *rig, enum journal_mode mode) {
    drop_kept(rig);
    rig_renew(rig, &policy_write_behind);
    use_journal(rig, mode);
}

/* In the list of tests. */
#define RECOVERY_CASE(name) RIG_CASE_WITH(name, set_up, tear_down)

/* Ends the tier without a drain, and without its writer having written anything: as if the process had died,
 * except what the journal's own buffers hold. */
static void crash(struct tier_rig *rig) {
    rig_end_tier(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
}

static void crash_and_start(struct tier_rig *rig) {
    crash(rig);
    rig_start(rig);
}

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

RIG_TEST(touches_come_back, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t before = rig_row_expiry(rig, "row");
    rig_expect(rig, "touch row 5000", "TOUCHED"); /* its value is only in the backend */
    rig_expect(rig, "set fresh 1 1000", "STORED");
    rig_expect(rig, "touch fresh 5000", "TOUCHED"); /* its value is in the journal */
    rig_expect(rig, "set over 1 1000", "STORED");
    rig_expect(rig, "touch over 5000", "TOUCHED");
    rig_expect(rig, "set over 2 1000", "STORED"); /* a later put wins */
    crash_and_start(rig);
    assert_int_equal(rig_stat(rig, "journal:replayed_records") >= 5, 1);
    rig_expect(rig, "get row", "1");
    rig_do(rig, "sync");
    assert_true(rig_row_expiry(rig, "row") > before + 3000);
    assert_true(rig_row_expiry(rig, "fresh") > before + 3000);
    assert_true(rig_row_expiry(rig, "over") < before + 1000);
    rig_assert_row(rig, "over", "2");
}

RIG_TEST(a_recovered_touch_waits_for_an_absent_backend, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set row 1 1000", "STORED");
    rig_do(rig, "sync");
    uint32_t before = rig_row_expiry(rig, "row");
    rig_expect(rig, "touch row 5000", "TOUCHED");
    crash(rig);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    crash_and_start(rig); /* again, before it could be done */
    eventually(rig_row_expiry(rig, "row") > before + 3000);
    assert_true(rig_row_expiry(rig, "row") > before + 3000);
}

/* ---- A store that is ahead of the journal ---- */

/* What a power loss leaves when the store was synced and the journal's last records were not: the folder as
 * it was when it was kept, the store as it is now. */
static void keep_journal(struct tier_rig *rig) {
    char command[600];
    snprintf(command, sizeof command, "cp -r %s %s", rig->folder.path, kept_of(rig).path);
    assert_int_equal(system(command), 0);
}

static void lose_the_tail(struct tier_rig *rig) {
    char command[900];
    crash(rig);
    snprintf(command, sizeof command, "rm -r %s && mv %s %s", rig->folder.path, kept_of(rig).path,
             rig->folder.path);
    assert_int_equal(system(command), 0);
}

/* The journal as if the low-water version had not been noted: what was kept is there again, beside what is new. */
static void bring_back_kept(struct tier_rig *rig) {
    char command[1200];
    snprintf(command, sizeof command,
             "cd %s && cp low-water %s && for f in journal-*.fj; do cp $f %s/journal-9-${f##*-}; done",
             kept_of(rig).path, rig->folder.path, rig->folder.path);
    assert_int_equal(system(command), 0);
    drop_kept(rig);
}

static void write_and_get_ahead(struct tier_rig *rig) {
    rig_start(rig);
    rig_expect(rig, "set put old", "STORED");
    rig_expect(rig, "set gone old", "STORED");
    rig_expect(rig, "set touched old 1000", "STORED");
    rig_expect(rig, "set expired old", "STORED");
    rig_expect(rig, "set kept old", "STORED");
    rig_expect(rig, "set back old", "STORED");
    rig_expect(rig, "delete back", "DELETED");
    keep_journal(rig);
    rig_expect(rig, "set put new", "STORED");
    rig_expect(rig, "delete gone", "DELETED");
    rig_expect(rig, "touch touched 5000", "TOUCHED");
    rig_expect(rig, "set expired new 1", "STORED");
    rig_expect(rig, "set back new", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "new");
    while (rig_row_expiry(rig, "expired") > (uint32_t)time(NULL))
        usleep(10000);
    lose_the_tail(rig);
}

/* The first read after the start is as new as the store. */
RIG_TEST(the_first_read_is_as_new_as_the_store, write_behind) {
    write_and_get_ahead(rig);
    uint32_t expiry = rig_row_expiry(rig, "touched");
    rig_start(rig);
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
    rig_expect(rig, "get put", "new");
    rig_expect(rig, "get gone", "MISS");
    rig_expect(rig, "get expired", "MISS");
    rig_expect(rig, "get touched", "old");
    rig_expect(rig, "get kept", "old");
    rig_expect(rig, "get back", "new");
    assert_int_equal(rig_row_expiry(rig, "touched"), expiry);
    rig_assert_row(rig, "kept", "old");
    rig_expect(rig, "append put er", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "put", "newer");
}

/* A store that cannot be written to at the start: the journal's word, until it can be. */
RIG_TEST(the_journal_counts_while_the_store_is_not_writable, write_behind) {
    for (int connected = 0; connected < 2; connected++) {
        renew(rig, JOURNAL_OS);
        write_and_get_ahead(rig);
        faulty_fail_all(rig->faulty, connected ? FAULTY_APPLY : FAULTY_ANY, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "get put", "old");
        rig_expect(rig, "get gone", "old");
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
        assert_true(rig_wait_clean(rig));
        rig_expect(rig, "get put", "new");
        rig_expect(rig, "get gone", "MISS");
        rig_expect(rig, "get kept", "old");
    }
}

/* The journal holds an old put, the store a newer one whose record was lost, and a touch was made on that:
 * the touch is the newer row's, and the old value does not come back on its account. */
RIG_TEST(a_touch_of_what_the_store_has_brings_no_old_value_back, write_behind) {
    for (int writable = 0; writable < 2; writable++) {
        renew(rig, JOURNAL_OS);
        rig_start(rig);
        rig_expect(rig, "set a old", "STORED");
        rig_expect(rig, "set gone old", "STORED");
        rig_expect(rig, "touch gone -1", "TOUCHED");
        keep_journal(rig);
        rig_do(rig, "sync");
        crash_and_start(rig);
        uint64_t version = version_from_us(cache_time_now().us, 0);
        memory_store_put(rig->store, "test", "a", "new", version);
        memory_store_put(rig->store, "test", "gone", "new", version);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_expect(rig, "touch a 5000", "TOUCHED");
        rig_expect(rig, "touch gone 5000", "TOUCHED");
        crash(rig);
        bring_back_kept(rig); /* the old put */
        if (!writable)
            faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
        eventually(rig_row_expiry(rig, "a") != 0);
        rig_do(rig, "sync");
        rig_assert_row(rig, "a", "new");
        rig_assert_row(rig, "gone", "new");
        assert_true(rig_row_expiry(rig, "a") > time(NULL) + 3000);
        assert_true(rig_row_expiry(rig, "gone") > time(NULL) + 3000);
        rig_expect(rig, "get a", "new");
        rig_expect(rig, "get gone", "new");
    }
}

/* What was alive when it was touched is alive, however long the server was away meanwhile. */
RIG_TEST(what_was_touched_in_time_is_alive, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set once 1 2", "STORED");
    rig_expect(rig, "touch once 5000", "TOUCHED");
    rig_expect(rig, "set twice 1 2", "STORED");
    rig_expect(rig, "touch twice 1", "TOUCHED");
    rig_expect(rig, "touch twice 5000", "TOUCHED");
    rig_expect(rig, "set never 1 2", "STORED");
    rig_expect(rig, "set back 1", "STORED");
    rig_expect(rig, "touch back 1", "TOUCHED");
    uint32_t end = (uint32_t)time(NULL) + 2;
    crash(rig);
    while (time(NULL) <= end)
        usleep(10000);
    rig_start(rig);
    rig_expect(rig, "get once", "1");
    rig_expect(rig, "get twice", "1");
    rig_expect(rig, "get never", "MISS");
    rig_expect(rig, "get back", "MISS");
    rig_do(rig, "sync");
    rig_assert_row(rig, "once", "1");
    rig_assert_row(rig, "twice", "1");
    rig_assert_row(rig, "never", NULL);
    rig_assert_row(rig, "back", NULL);
}

/* A touch that was answered without a look at the row (existence = memory) is in the journal. */
RIG_TEST(blind_touches_come_back, write_behind) {
    enum journal_mode modes[] = {JOURNAL_OS, JOURNAL_ALWAYS};
    for (int i = 0; i < 2; i++) {
        renew(rig, modes[i]);
        rig->spaces[0].existence = EXISTENCE_MEMORY;
        memory_store_put(rig->store, "test", "row", "1", 1000);
        rig_start(rig);
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        rig_expect(rig, "touch row 5000", "NOT_FOUND");
        rig_expect(rig, "touch none 5000", "NOT_FOUND");
        crash(rig);
        assert_int_equal(rig_row_expiry(rig, "row"), 0);
        rig_start(rig);
        assert_true(rig_row_expiry(rig, "row") > time(NULL) + 3000);
        rig_expect(rig, "get row", "1");
        rig_assert_row(rig, "none", NULL);
    }
}

/* New versions begin above those of the store, also when the store did not say at once which those are. */
RIG_TEST(versions_begin_above_the_store, write_behind) {
    uint64_t far = UINT64_C(4102444800000000) << ENTRY_VERSION_NODE_BITS; /* 2100 */
    for (int failing = 0; failing < 2; failing++) {
        renew(rig, JOURNAL_OS);
        memory_store_put(rig->store, "test", "a", "old", far);
        if (failing)
            faulty_fail_call(rig->faulty, FAULTY_HIGH_VERSION, 1, BACKEND_TRANSIENT);
        rig_start(rig);
        rig_expect(rig, "set a new", "STORED");
        rig_do(rig, "sync");
        rig_assert_row(rig, "a", "new");
        rig_expect(rig, "get a", "new");
    }
}

RIG_TEST(the_journal_may_hold_more_than_memory, write_behind) {
    char value[3000];
    rig->options.cache.item_max = 8192;
    rig->spaces[0].flush_batch = 1000000;
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 3000; i++)
        rig_store(rig, "set key%d %s", i, value);
    crash(rig);
    rig->options.cache.memory_limit = 4 << 20;
    rig_start(rig);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 3000);
}

/* The store takes its time: the operator is told how much is left. */
RIG_TEST(a_long_recovery_tells_its_progress, write_behind) {
    enum { KEYS = 25000 }; /* three commits */
    rig->options.cache.memory_limit = 256 << 20;
    rig_start(rig);
    for (int i = 0; i < KEYS; i++)
        rig_store(rig, "set key%d %d", i, i);
    crash(rig);
    rig->awaited_log = "entries of namespace test have yet to be written to backend";
    faulty_delay(rig->faulty, FAULTY_APPLY, 1100);
    rig_start(rig);
    assert_true(rig->awaited_logs >= 1);
    assert_int_equal(memory_store_rows(rig->store), KEYS);
    faulty_delay(rig->faulty, FAULTY_APPLY, 0);
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
    size_t journaled;
    rig->spaces[0].journal = JOURNAL_INTERVAL;
    rig->options.drain_timeout = 10000;
    rig_start(rig);
    for (int i = 0; i < 500; i++) {
        rig_store(rig, "set key%d %d", i, i);
    }
    assert_int_equal(tier_drain(rig->tier, &journaled), 0);
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
        RECOVERY_CASE(versions_survive),
        RECOVERY_CASE(touches_come_back),
        RECOVERY_CASE(a_recovered_touch_waits_for_an_absent_backend),
        RECOVERY_CASE(the_first_read_is_as_new_as_the_store),
        RECOVERY_CASE(the_journal_counts_while_the_store_is_not_writable),
        RECOVERY_CASE(a_touch_of_what_the_store_has_brings_no_old_value_back),
        RECOVERY_CASE(what_was_touched_in_time_is_alive),
        RECOVERY_CASE(blind_touches_come_back),
        RECOVERY_CASE(versions_begin_above_the_store),
        RECOVERY_CASE(the_journal_may_hold_more_than_memory),
        RECOVERY_CASE(a_long_recovery_tells_its_progress),
        RECOVERY_CASE(the_number_of_workers_may_change),
        RECOVERY_CASE(nothing_is_left_after_a_drain),
        RECOVERY_CASE(always_waits_for_the_disk),
        RECOVERY_CASE(a_failing_journal_lets_no_reply_out),
        RECOVERY_CASE(without_a_journal_what_was_not_flushed_is_gone),
        RECOVERY_CASE(the_low_water_version_follows),
        RECOVERY_CASE(a_changed_policy_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
