/* SPDX-License-Identifier: MIT */
/* Write-behind: what is flushed when, what happens to entries on the way, fullness, failures. */
#include "tests/support/flush_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    struct tier_left left;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "delete b", "NOT_FOUND");
    tier_drain(rig->tier, &left);
    assert_int_equal(left.entries, 0);
    rig_assert_row(rig, "a", "1");
}

RIG_TEST(a_drain_is_bounded, write_behind) {
    struct tier_left left;
    rig_use_folder(rig);
    rig->options.drain_timeout = 100;
    rig->spaces[0].journal = JOURNAL_OS;
    rig_add_space(rig, "second", "2:", &policy_write_behind);
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set 2:a 1", "STORED");
    tier_drain(rig->tier, &left);
    assert_int_equal(left.entries, 2);
    assert_int_equal(left.journaled, 1);
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
        FLUSH_CASE(what_no_other_node_explains_is_told),
        FLUSH_CASE(what_no_other_node_explains_is_told_under_write_through),
        FLUSH_CASE(what_a_repeated_batch_meets_is_explained),
        FLUSH_CASE(a_sync_waits_and_fails),
        FLUSH_CASE(a_drain_leaves_nothing),
        FLUSH_CASE(a_drain_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
