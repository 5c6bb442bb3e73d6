/* SPDX-License-Identifier: MIT */
/* Write-behind: what is flushed when, what happens to entries on the way, fullness, failures, the quarantine.
 */
#include "tests/support/passing_time.h"
#include "tests/support/tier_rig.h"
#include <stdio.h>
#include <stdlib.h>

/* Nothing is due but by age, and that not before the test is over. */
static int set_up(void **state) {
    rig_set_up(state);
    ((struct tier_rig *)*state)->spaces[0].flush_delay = 600000;
    return 0;
}

/* In the list of tests. */
#define FLUSH_CASE(name) RIG_CASE_WITH(name, set_up, rig_tear_down)

/* ---- When ---- */

RIG_TEST(a_flush_is_due_by_age, write_behind) {
    rig->spaces[0].flush_delay = 20;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    eventually(rig_mutations(rig) == 1);
    rig_assert_row(rig, "a", "1");
}

RIG_TEST(a_flush_is_due_by_count, write_behind) {
    rig->spaces[0].flush_batch = 50;
    rig_start(rig);
    for (int i = 0; i < 120; i++)
        rig_store(rig, "set key%d %d", i, i);
    eventually(rig_mutations(rig) >= 100);
    assert_true(faulty_largest_batch(rig->faulty) <= 50);
}

RIG_TEST(a_flush_is_due_by_bytes, write_behind) {
    char value[3000];
    rig->spaces[0].dirty_limit = 100000; /* a flush is due from half of it */
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 25; i++)
        rig_store(rig, "set key%d %s", i, value);
    eventually(rig_mutations(rig) > 0);
}

enum { MANY = 25000, COMMIT = 10000 }; /* more than one commit takes */

/* With the memory that such a batch needs. */
static void enlarge(struct tier_rig *rig) {
    rig->options.cache.memory_limit = 256 << 20;
}

static void set_many(struct tier_rig *rig) {
    for (int i = 0; i < MANY; i++)
        rig_store(rig, "set key%d %d", i * 7919 % MANY, i);
}

/* Several commits, in the order of the keys, with a failure in the second and a refused row in the last. */
RIG_TEST(a_batch_of_several_commits_survives_failures, write_behind) {
    enlarge(rig);
    rig_start(rig);
    set_many(rig);
    faulty_refuse_keys(rig->faulty, "key9999");
    faulty_fail_call(rig->faulty, FAULTY_APPLY, 2, BACKEND_TRANSIENT);
    assert_memory_equal(rig_do(rig, "sync"), "SERVER_ERROR", 12);
    assert_int_equal(memory_store_rows(rig->store), MANY - 1);
    assert_int_equal(faulty_largest_batch(rig->faulty), COMMIT);
    assert_int_equal(rig_mutations(rig), MANY - 1); /* none twice */
    assert_int_equal(rig_stat(rig, "test:retries"), 1);
    assert_int_equal(rig_stat(rig, "test:quarantine"), 1);
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
    rig_assert_row(rig, "key7919", "1");
}

/* What changes between two commits of a batch is not overwritten by the later one. */
RIG_TEST(a_write_between_two_commits_is_not_overwritten, write_behind) {
    enlarge(rig);
    rig_start(rig);
    set_many(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    rig_expect(rig, "set key0 early", "STORED");
    rig_expect(rig, "set key9998 late", "STORED");
    rig_expect(rig, "delete key9997", "DELETED");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_finish(sync);
    rig_do(rig, "sync");
    rig_assert_row(rig, "key0", "early");
    rig_assert_row(rig, "key9998", "late");
    rig_assert_row(rig, "key9997", NULL);
    assert_int_equal(memory_store_rows(rig->store), MANY - 1);
}

/* Write-through changes do not wait for a whole batch. */
RIG_TEST(write_through_does_not_wait_for_a_whole_batch, write_behind) {
    enlarge(rig);
    rig_add_space(rig, "through", "w:", &policy_write_through);
    rig_start(rig);
    set_many(rig);
    faulty_delay(rig->faulty, FAULTY_APPLY, 300);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    struct rig_call *through = rig_begin(rig, 0, "set w:a 1");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(through), "STORED");
    assert_true(cache_dirty_entries(tier_cache(rig->tier), 0) >= MANY - 2 * COMMIT);
    rig_assert_row(rig, "key1001", "21679"); /* among the last that were set, but the first in order */
    faulty_delay(rig->faulty, FAULTY_APPLY, 0);
    rig_finish(sync);
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 0);
}

/* The first dirty time does not move: a key that is written all the time is flushed nevertheless. */
RIG_TEST(a_hot_key_is_flushed_nevertheless, write_behind) {
    rig->spaces[0].flush_delay = 100;
    rig_start(rig);
    for (int i = 0; i < 5000 && rig_mutations(rig) < 3; i++) {
        rig_expect(rig, "set hot x", "STORED");
        usleep(1000);
    }
    assert_true(rig_mutations(rig) >= 3);
}

RIG_TEST(the_clock_may_step_back, write_behind) {
    rig->spaces[0].flush_delay = 50;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig->clock_shift_us = -3600ll * 1000000;
    rig_expect(rig, "set a 2", "STORED");
    rig_expect(rig, "set b 1", "STORED");
    eventually(rig_mutations(rig) >= 2 && cache_dirty_entries(tier_cache(rig->tier), 0) == 0);
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "b", "1");
    rig->clock_shift_us = 3600ll * 1000000;
    rig_expect(rig, "set a 3", "STORED");
    rig->clock_shift_us = 0;
    rig_expect(rig, "set a 4", "STORED");
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "4");
}

/* ---- On the way ---- */

RIG_TEST(what_is_written_during_a_flush_is_flushed_next, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set gone 1", "STORED");
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *sync = rig_begin(rig, 0, "sync");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    rig_expect(rig, "set a 2", "STORED");
    rig_expect(rig, "delete gone", "DELETED");
    rig_expect(rig, "get a", "2");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(sync), "2");
    rig_assert_row(rig, "a", "1");
    rig_assert_row(rig, "gone", "1");
    assert_int_equal(cache_dirty_entries(tier_cache(rig->tier), 0), 2);
    rig_expect(rig, "get a", "2");
    rig_expect(rig, "get gone", "MISS");
    rig_expect(rig, "sync", "2");
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "gone", NULL);
}

RIG_TEST(what_expired_while_it_was_dirty_deletes_its_row, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_do(rig, "sync");
    rig_expect(rig, "set a 2 1000", "STORED"); /* dies before it is flushed */
    pass_us(1001ull * US_PER_SECOND);
    rig_expect(rig, "get a", "MISS"); /* and the row must not come back */
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", NULL);
    rig_expect(rig, "get a", "MISS");
    assert_int_equal(rig_stat(rig, "test:rows_deleted"), 1);
}

RIG_TEST(the_newer_row_of_another_node_wins, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set a ours", "STORED");
    memory_store_put(rig->store, "test", "a", "theirs", version_from_us(wall_us() + 3600000000ull, 2));
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "theirs");
    rig_expect(rig, "get a", "theirs");
    assert_int_equal(rig_stat(rig, "test:rows_superseded"), 1);
    assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 0);
}

/* Nobody but this node makes such versions, and it has not made these. */
static void meet_own_versions(struct tier_rig *rig, const char *there_then) {
    rig->awaited_log = "newer versions of this node";
    rig_start(rig);
    for (int i = 0; i < 3; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        rig_store(rig, "set %s before", key);
        rig_do(rig, "sync");
        uint64_t hour_us = 3600u * (uint64_t)US_PER_SECOND;
        unsigned lower =
            version_lower(rig->options.cache.node, cache_hash(tier_cache(rig->tier), slice_string(key)));
        memory_store_put(rig->store, "test", key, "theirs",
                         version_from_us(wall_us() + (1 + (unsigned)i) * hour_us, lower));
        rig_store(rig, "set %s ours", key);
        rig_do(rig, "sync");
        rig_expect(rig, i == 0 ? "get key0" : i == 1 ? "get key1" : "get key2", there_then);
    }
    assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 3);
    assert_int_equal(rig->awaited_logs, 1); /* the others within the minute are counted alone */
    assert_true(rig_said(rig, "of the last: here"));
    assert_false(rig_said(rig, "key0")); /* keys are for the level debug */
}

RIG_TEST(what_no_other_node_explains_is_told, write_behind) {
    meet_own_versions(rig, "theirs");
}

/* Who waits for the answer is given one above them. */
RIG_TEST(what_no_other_node_explains_is_told_under_write_through, write_through) {
    meet_own_versions(rig, "ours");
}

/* A batch whose answer was lost meets its own rows. */
RIG_TEST(what_a_repeated_batch_meets_is_explained, write_through) {
    rig_start(rig);
    faulty_lose_answer(rig->faulty);
    assert_string_equal(rig_pipeline(rig, "set a 1;set a 2"), "STORED,STORED");
    rig_assert_row(rig, "a", "2");
    assert_int_equal(rig_stat(rig, "store:superseded_unexplained"), 0);
}

RIG_TEST(transient_failures_lose_nothing, write_behind) {
    char command[64], value[16];
    rig->spaces[0].flush_delay = 10;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    for (int i = 0; i < 200; i++)
        rig_store(rig, "set key%d %d", i, i);
    eventually(rig_stat(rig, "store:write_breaker_opened") >= 1);
    rig_expect(rig, "get key7", "7");
    rig_expect(rig, "set key7 new", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    faulty_tear(rig->faulty, 100);
    assert_true(rig_wait_clean(rig));
    for (int i = 0; i < 200; i++) {
        snprintf(command, sizeof command, "key%d", i);
        snprintf(value, sizeof value, "%d", i);
        rig_assert_row(rig, command, i == 7 ? "new" : value);
    }
    assert_true(rig_stat(rig, "test:retries") >= 2);
}

RIG_TEST(a_connection_that_fails_is_opened_anew, write_behind) {
    rig->spaces[0].flush_delay = 10;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "set a 1", "STORED");
    eventually(rig_stat(rig, "store:write_failures") >= 5);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    assert_true(rig_wait_clean(rig));
    rig_assert_row(rig, "a", "1");
    assert_true(rig_stat(rig, "store:write_connects") >= 1);
}

/* It is the writer that looks at what waits; but its age is wanted most while a call holds the writer up. */
RIG_TEST(what_waits_grows_old_while_the_writer_is_held_up, write_behind) {
    rig_add_space(rig, "other", "other:", &policy_write_behind);
    rig->spaces[0].flush_delay = 60000;
    rig->spaces[1].flush_delay = 10;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_expect(rig, "set other:a 1", "STORED");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    assert_int_equal(rig_stat(rig, "test:oldest_dirty_ms"), 0);
    rig_expect(rig, "set a 1", "STORED");
    eventually(rig_stat(rig, "test:oldest_dirty_ms") >= 20);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_do(rig, "sync");
    assert_int_equal(rig_stat(rig, "test:oldest_dirty_ms"), 0);
}

/* ---- Fullness ---- */

static void assert_waits_and_rejects(struct tier_rig *rig, int waits, int rejects) {
    assert_int_equal(rig_stat(rig, "test:full_waits"), waits);
    assert_int_equal(rig_stat(rig, "test:full_rejects"), rejects);
}

/* Writes 1,000-byte values under names of its own until one is not answered at once; returns that call. */
static struct rig_call *fill_up(struct tier_rig *rig, int *ret_count) {
    char command[1200], value[1001];
    memset(value, 'x', 1000);
    value[1000] = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(command, sizeof command, "set fill%d %s", i, value);
        struct rig_call *call = rig_begin(rig, 0, command);
        if (!call->done || strcmp(call->reply, "STORED") != 0) {
            *ret_count = i;
            return call;
        }
        rig_free(call);
    }
    fail_msg("it never was full");
    return NULL;
}

RIG_TEST(a_change_waits_for_room, write_behind) {
    int count;
    rig->spaces[0].dirty_limit = 50000;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *call = fill_up(rig, &count);
    assert_false(call->done);
    assert_true(count >= 40 && count <= 51);
    assert_int_equal(strlen(rig_do(rig, "get fill1")), 1000); /* reads go on */
    rig_expect(rig, "add fill1 x", "NOT_STORED");             /* so does what changes nothing */
    assert_int_equal(rig_stat(rig, "test:full"), 1);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(call), "STORED");
    assert_waits_and_rejects(rig, 1, 0);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), (size_t)count + 1);
    assert_int_equal(rig_stat(rig, "test:full"), 0);
}

RIG_TEST(waiting_for_room_ends, write_behind) {
    int count;
    rig->spaces[0].dirty_limit = 50000;
    rig->backend.store.timeout_ms = 200;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    struct rig_call *call = fill_up(rig, &count);
    assert_memory_equal(rig_finish(call), "SERVER_ERROR", 12);
    assert_waits_and_rejects(rig, 1, 1);
    assert_null(rig_row(rig, "fill0"));
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), (size_t)count); /* the refused one changed nothing */
}

RIG_TEST(a_change_without_room_is_refused_where_that_is_wanted, write_behind) {
    int count;
    rig->spaces[0].dirty_limit = 50000;
    rig->spaces[0].on_full = FULL_REJECT;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *call = fill_up(rig, &count);
    assert_true(call->done);
    assert_memory_equal(call->reply, "SERVER_ERROR", 12);
    assert_waits_and_rejects(rig, 0, 1);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "test:full") == 0);
    rig_expect(rig, "set again 1", "STORED");
}

RIG_TEST(a_change_without_room_is_committed_where_that_is_wanted, write_behind) {
    int count;
    rig->spaces[0].dirty_limit = 50000;
    rig->spaces[0].on_full = FULL_WRITE_THROUGH;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *call = fill_up(rig, &count);
    assert_false(call->done);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(call), "STORED");
    char name[16];
    snprintf(name, sizeof name, "fill%d", count);
    char *row = rig_row(rig, name);
    assert_non_null(row); /* committed when it was answered */
    free(row);
}

RIG_TEST(a_change_without_room_or_backend_is_refused, write_behind) {
    int count;
    rig->spaces[0].flush_delay = 10;
    rig->spaces[0].dirty_limit = 50000;
    rig->spaces[0].on_full = FULL_WRITE_THROUGH;
    rig->backend.store.timeout_ms = 200;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    struct rig_call *call = fill_up(rig, &count);
    assert_memory_equal(rig_finish(call), "SERVER_ERROR", 12);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    assert_true(rig_wait_clean(rig));
    assert_true(memory_store_rows(rig->store) >= (size_t)count);
}

RIG_TEST(an_old_change_makes_it_full, write_behind) {
    rig->spaces[0].flush_delay = 10;
    rig->spaces[0].dirty_age_limit = 100;
    rig->spaces[0].on_full = FULL_REJECT;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(rig, "set a 1", "STORED");
    eventually(rig_stat(rig, "test:full") == 1);
    assert_memory_equal(rig_do(rig, "set b 1"), "SERVER_ERROR", 12);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    eventually(rig_stat(rig, "test:full") == 0);
    rig_expect(rig, "set b 1", "STORED");
}

/* All memory is dirty: that is fullness too, whatever the limit says. */
RIG_TEST(memory_full_of_dirty_entries_is_fullness_too, write_behind) {
    char value[3000];
    rig->options.cache.memory_limit = 4 << 20;
    rig->options.cache.item_max = 8192;
    rig->spaces[0].dirty_limit = 1 << 30;
    rig->spaces[0].flush_batch = 1000000;
    rig_start(rig);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 4000; i++) { /* three times the memory */
        rig_store(rig, "set key%d %s", i, value);
    }
    rig_do(rig, "sync");
    assert_int_equal(memory_store_rows(rig->store), 4000);
}

/* However often it was tried again meanwhile, it has waited once. */
RIG_TEST(waiting_for_memory_is_waiting_for_room, write_behind) {
    int count;
    rig->options.cache.memory_limit = 1 << 20;
    rig->spaces[0].dirty_limit = 1 << 30;
    rig->backend.store.timeout_ms = 200;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    struct rig_call *call = fill_up(rig, &count);
    assert_memory_equal(rig_finish(call), "SERVER_ERROR", 12);
    assert_waits_and_rejects(rig, 1, 1);
}

/* ---- The quarantine ---- */

static char *quarantine(struct tier_rig *rig, const char *argument) {
    char *text = NULL;
    size_t size = 0;
    const char *error = NULL;
    struct cache_time now = cache_time_from_us(1);
    FILE *out = open_memstream(&text, &size);
    tier_turn_begin(tier_get_worker(rig->tier, 0), &now);
    bool fine = tier_quarantine(tier_get_worker(rig->tier, 0), slice_string(argument), out, &error);
    tier_turn_end(tier_get_worker(rig->tier, 0), NULL);
    fclose(out);
    assert_true(fine);
    return text;
}

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

/* Those of the others are written at once, more of them than are tried together, and those of the part once it is back. */
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
    size_t journaled;
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    rig_start(rig);
    quarantine_one(rig);
    assert_int_equal(tier_drain(rig->tier, &journaled), 0);
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

/* ---- Sync, drain ---- */

RIG_TEST(a_sync_waits_and_fails, write_behind) {
    struct outcome outcome;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    struct cache_time now = cache_time_from_us(1);
    struct tier_worker *worker = tier_get_worker(rig->tier, 0);
    struct tier_ticket *ticket = tier_ticket_create(worker, NULL);
    tier_turn_begin(worker, &now);
    assert_int_equal(tier_sync(worker, ticket, SLICE("test"), 100, &outcome), TIER_PARKED);
    tier_submit(worker, ticket);
    tier_turn_end(worker, NULL);
    eventually(tier_next_ready(worker) == ticket);
    assert_int_equal(tier_sync(worker, ticket, SLICE("test"), 100, &outcome), TIER_DONE);
    assert_int_equal(outcome.status, OUTCOME_ERROR);
    assert_int_equal(tier_sync(worker, ticket, SLICE("nonsense"), 100, &outcome), TIER_DONE);
    assert_int_equal(outcome.status, OUTCOME_ERROR);
    tier_ticket_destroy(ticket);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_expect(rig, "sync test", "1");
}

RIG_TEST(a_drain_leaves_nothing, write_behind) {
    size_t journaled;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "delete b", "NOT_FOUND");
    assert_int_equal(tier_drain(rig->tier, &journaled), 0);
    rig_assert_row(rig, "a", "1");
}

RIG_TEST(a_drain_is_bounded, write_behind) {
    size_t journaled;
    rig_use_folder(rig);
    rig->options.drain_timeout = 100;
    rig->spaces[0].journal = JOURNAL_OS;
    rig_add_space(rig, "second", "2:", &policy_write_behind);
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set 2:a 1", "STORED");
    assert_int_equal(tier_drain(rig->tier, &journaled), 2);
    assert_int_equal(journaled, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FLUSH_CASE(a_flush_is_due_by_age),
        FLUSH_CASE(a_flush_is_due_by_count),
        FLUSH_CASE(a_flush_is_due_by_bytes),
        FLUSH_CASE(a_batch_of_several_commits_survives_failures),
        FLUSH_CASE(a_write_between_two_commits_is_not_overwritten),
        FLUSH_CASE(write_through_does_not_wait_for_a_whole_batch),
        FLUSH_CASE(a_hot_key_is_flushed_nevertheless),
        FLUSH_CASE(the_clock_may_step_back),
        FLUSH_CASE(what_is_written_during_a_flush_is_flushed_next),
        FLUSH_CASE(what_expired_while_it_was_dirty_deletes_its_row),
        FLUSH_CASE(the_newer_row_of_another_node_wins),
        FLUSH_CASE(transient_failures_lose_nothing),
        FLUSH_CASE(a_connection_that_fails_is_opened_anew),
        FLUSH_CASE(a_change_waits_for_room),
        FLUSH_CASE(waiting_for_room_ends),
        FLUSH_CASE(a_change_without_room_is_refused_where_that_is_wanted),
        FLUSH_CASE(a_change_without_room_is_committed_where_that_is_wanted),
        FLUSH_CASE(a_change_without_room_or_backend_is_refused),
        FLUSH_CASE(an_old_change_makes_it_full),
        FLUSH_CASE(memory_full_of_dirty_entries_is_fullness_too),
        FLUSH_CASE(what_waits_grows_old_while_the_writer_is_held_up),
        FLUSH_CASE(waiting_for_memory_is_waiting_for_room),
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
        FLUSH_CASE(what_no_other_node_explains_is_told),
        FLUSH_CASE(what_no_other_node_explains_is_told_under_write_through),
        FLUSH_CASE(what_a_repeated_batch_meets_is_explained),
        FLUSH_CASE(what_is_quarantined_can_be_dropped),
        FLUSH_CASE(the_quarantine_survives_a_restart),
        FLUSH_CASE(nothing_is_flushed_for_good_before_the_quarantine_lets_go),
        FLUSH_CASE(a_sync_waits_and_fails),
        FLUSH_CASE(a_drain_leaves_nothing),
        FLUSH_CASE(a_drain_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
