/* SPDX-License-Identifier: MIT */
/* What threads that are no workers ask of a tier: to write what is dirty, and whether it is well. */
#include "policies/health.h"
#include "policies/operation.h"
#include "tests/support/tier_rig.h"

static struct slice whole(void) {
    return slice_of("", 0);
}

static enum operation_status sync_space(struct tier_rig *rig, struct slice space, uint32_t timeout_ms,
                                        bool (*gives_up)(void *context), uint64_t *ret_entries) {
    struct operation_patience patience = {timeout_ms, gives_up, rig};
    return operation_sync(rig->tier, space, &patience, ret_entries);
}

/* ---- Sync ---- */

static void start_lazily(struct tier_rig *rig) {
    rig->spaces[0].flush_delay = 600000;
    rig_start(rig);
}

RIG_TEST(a_sync_writes_what_is_dirty, write_behind) {
    uint64_t entries = 0;
    start_lazily(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "set b 2", "STORED");
    assert_int_equal(sync_space(rig, slice_string("test"), 0, NULL, &entries), OPERATION_DONE);
    assert_int_equal(entries, 2);
    rig_assert_row(rig, "a", "1");
    rig_expect(rig, "set a 3", "STORED");
    assert_int_equal(sync_space(rig, whole(), 0, NULL, &entries), OPERATION_DONE);
    assert_int_equal(entries, 1);
    rig_assert_row(rig, "a", "3");
}

RIG_TEST(a_sync_of_nothing_is_done_at_once, write_behind) {
    uint64_t entries = 1;
    start_lazily(rig);
    assert_int_equal(sync_space(rig, whole(), 0, NULL, &entries), OPERATION_DONE);
    assert_int_equal(entries, 0);
}

RIG_TEST(namespaces_that_cannot_be_synced_are_told, write_behind) {
    uint64_t entries;
    rig_add_space(rig, "plain", "plain:", &policy_cache_aside);
    start_lazily(rig);
    assert_int_equal(sync_space(rig, slice_string("nonsense"), 0, NULL, &entries), OPERATION_NO_SPACE);
    assert_int_equal(sync_space(rig, slice_string("plain"), 0, NULL, &entries), OPERATION_HOLDS_NOTHING);
    assert_int_equal(operation_retry(rig->tier, slice_string("plain"), whole(), &entries),
                     OPERATION_HOLDS_NOTHING);
    assert_int_equal(operation_drop(rig->tier, slice_string("nonsense"), whole(), &entries),
                     OPERATION_NO_SPACE);
}

RIG_TEST(a_sync_is_late_and_what_it_asked_for_is_written_later, write_behind) {
    uint64_t entries;
    start_lazily(rig);
    rig_expect(rig, "set a 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    assert_int_equal(sync_space(rig, whole(), 20, NULL, &entries), OPERATION_LATE);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    assert_int_equal(sync_space(rig, whole(), 0, NULL, &entries), OPERATION_DONE);
    rig_assert_row(rig, "a", "1");
}

static bool at_once(void *context) {
    (void)context;
    return true;
}

RIG_TEST(a_sync_ends_when_who_waits_gives_up, write_behind) {
    uint64_t entries;
    start_lazily(rig);
    rig_expect(rig, "set a 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    assert_int_equal(sync_space(rig, whole(), 0, at_once, &entries), OPERATION_LATE);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
}

RIG_TEST(a_refused_row_is_told_retried_and_dropped, write_behind) {
    uint64_t entries;
    start_lazily(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    rig_expect(rig, "set bad1 1", "STORED");
    rig_expect(rig, "set bad2 2", "STORED");
    assert_int_equal(sync_space(rig, whole(), 0, NULL, &entries), OPERATION_REFUSED);
    assert_int_equal(operation_drop(rig->tier, slice_string("test"), slice_string("bad1"), &entries),
                     OPERATION_DONE);
    assert_int_equal(entries, 1);
    rig_expect(rig, "get bad1", "MISS");
    faulty_refuse_keys(rig->faulty, NULL);
    assert_int_equal(operation_retry(rig->tier, slice_string("test"), whole(), &entries), OPERATION_DONE);
    assert_int_equal(entries, 1);
    eventually(rig_stat(rig, "test:quarantine") == 0);
    rig_assert_row(rig, "bad2", "2");
    rig_assert_row(rig, "bad1", NULL);
}

/* ---- Health ---- */

enum { LONG_MS = 600000 };

struct counting_judge {
    struct health_judge base;
    unsigned faults, notes;
};

static void count_finding(struct health_judge *self, bool is_fault, const char *text) {
    struct counting_judge *judge = (struct counting_judge *)self;
    assert_non_null(text);
    judge->faults += is_fault;
    judge->notes += !is_fault;
}

static struct counting_judge judge_writers(struct tier_rig *rig) {
    struct counting_judge judge = {.base = {count_finding}};
    health_judge_writers(rig->tier, 1, &judge.base);
    return judge;
}

RIG_TEST(a_writer_that_stays_in_a_call_is_told_and_no_fault, write_behind) {
    rig->spaces[0].flush_delay = 1;
    rig->backend.store.timeout_ms = 50;
    rig_start(rig);
    eventually(judge_writers(rig).notes == 0);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    rig_expect(rig, "set a 1", "STORED");
    eventually(judge_writers(rig).notes == 1 && judge_writers(rig).faults == 0);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    eventually(judge_writers(rig).notes == 0);
}

static unsigned stuck_readers(struct tier_rig *rig) {
    struct counting_judge judge = {.base = {count_finding}};
    health_judge_readers(rig->tier, 1, &judge.base);
    return judge.faults;
}

RIG_TEST(readers_that_are_all_stuck_are_found, read_through) {
    rig->backend.store.timeout_ms = 2000;
    rig->backend.readers = 1;
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *call = rig_begin(rig, 0, "get a");
    eventually(stuck_readers(rig) == 1);
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    rig_finish(call);
    eventually(stuck_readers(rig) == 0);
}

static struct counting_judge judge_backends_by(struct tier_rig *rig, uint32_t stall_ms) {
    struct counting_judge judge = {.base = {count_finding}};
    health_judge_backends(rig->tier, stall_ms, &judge.base);
    return judge;
}

static struct counting_judge judge_backends(struct tier_rig *rig) {
    return judge_backends_by(rig, LONG_MS);
}

RIG_TEST(a_backend_that_keeps_its_writer_in_a_call_is_a_fault_where_it_is_needed, write_through) {
    rig->backend.store.timeout_ms = 2000; /* on a busy machine the change has to reach the writer within it */
    rig_start(rig);
    eventually(judge_backends_by(rig, 1).faults == 0);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *call = rig_begin(rig, 0, "set a 1");
    eventually(judge_backends_by(rig, 1).faults == 1);
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    rig_finish(call);
    eventually(judge_backends_by(rig, 1).faults == 0);
}

static void fail_until_told(struct tier_rig *rig) {
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    eventually(rig_do(rig, "set a 2") && judge_backends(rig).faults + judge_backends(rig).notes == 1);
}

RIG_TEST(a_backend_that_is_away_is_a_fault_where_it_is_needed, write_through) {
    rig->backend.store.timeout_ms = 1000; /* so long, and some, a failure counts */
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    assert_int_equal(judge_backends(rig).faults, 0);
    fail_until_told(rig);
    assert_int_equal(judge_backends(rig).faults, 1);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    eventually(judge_backends(rig).faults == 0); /* nobody asks it but the writer by itself */
}

RIG_TEST(and_worth_knowing_where_it_is_not, write_behind) {
    rig->spaces[0].flush_delay = 1;
    rig_start(rig);
    fail_until_told(rig);
    assert_int_equal(judge_backends(rig).faults, 0);
    assert_int_equal(judge_backends(rig).notes, 1);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    eventually(judge_backends(rig).notes == 0);
}

RIG_TEST(a_full_namespace_is_a_fault_where_changes_are_refused, write_behind) {
    struct counting_judge judge = {.base = {count_finding}};
    rig->spaces[0].flush_delay = 600000;
    rig->spaces[0].dirty_limit = 100000;
    rig->spaces[0].on_full = FULL_REJECT;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    for (int i = 0; i < 10000 && judge.faults == 0; i++) {
        char command[100];
        snprintf(command, sizeof command, "set key%d a-value-of-some-length", i);
        rig_do(rig, command);
        health_judge_room(rig->tier, &judge.base);
    }
    assert_int_equal(judge.faults, 1);
    assert_int_equal(judge.notes, 0);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(a_sync_writes_what_is_dirty),
        RIG_CASE(a_sync_of_nothing_is_done_at_once),
        RIG_CASE(namespaces_that_cannot_be_synced_are_told),
        RIG_CASE(a_sync_is_late_and_what_it_asked_for_is_written_later),
        RIG_CASE(a_sync_ends_when_who_waits_gives_up),
        RIG_CASE(a_refused_row_is_told_retried_and_dropped),
        RIG_CASE(a_writer_that_stays_in_a_call_is_told_and_no_fault),
        RIG_CASE(readers_that_are_all_stuck_are_found),
        RIG_CASE(a_backend_that_keeps_its_writer_in_a_call_is_a_fault_where_it_is_needed),
        RIG_CASE(a_backend_that_is_away_is_a_fault_where_it_is_needed),
        RIG_CASE(and_worth_knowing_where_it_is_not),
        RIG_CASE(a_full_namespace_is_a_fault_where_changes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
