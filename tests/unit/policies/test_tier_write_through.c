/* SPDX-License-Identifier: MIT */
/* Write-through, and write-through beside another node over the same store. */
#include "tests/support/tier_rig.h"
#include <inttypes.h>
#include <stdio.h>

/* Forgets everything in memory that is clean: what comes next is cold. */
static void cool(struct tier_rig *rig) {
    rig_expect(rig, "flush_all", "OK");
}

/* ---- write-through ---- */

RIG_TEST(write_through_is_in_the_backend_when_it_is_answered, write_through) {
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    rig_assert_row(rig, "a", "1");
    rig_expect(rig, "get a", "1");
    assert_int_equal(memory_store_counts(rig->store).keys, 0);
    rig_expect(rig, "add a 2", "NOT_STORED");
    rig_expect(rig, "incr a 9", "10");
    rig_assert_row(rig, "a", "10");
    rig_expect(rig, "append a x", "STORED");
    rig_assert_row(rig, "a", "10x");
    rig_expect(rig, "delete a", "DELETED");
    rig_assert_row(rig, "a", NULL);
    rig_expect(rig, "get a", "MISS");
}

RIG_TEST(write_through_looks_at_the_row_first, write_through) {
    rig_start(rig);
    rig_put_row(rig, "n", "41");
    rig_expect(rig, "incr n 1", "42");
    rig_assert_row(rig, "n", "42");
    rig_put_row(rig, "text", "b");
    rig_expect(rig, "prepend text a", "STORED");
    rig_assert_row(rig, "text", "ab");
    cool(rig);
    rig_expect(rig, "add text z", "NOT_STORED");
    rig_expect(rig, "replace none z", "NOT_STORED");
    cool(rig);
    rig_expect(rig, "replace text z", "STORED");
    rig_assert_row(rig, "text", "z");
    cool(rig);
    rig_expect(rig, "gat text 1000", "z");
    assert_true(rig_row_expiry(rig, "text") > 1000);
    cool(rig);
    rig_expect(rig, "delete text", "DELETED");
    rig_expect(rig, "delete text", "NOT_FOUND");
}

RIG_TEST(what_clients_compare_survives_an_eviction, write_behind) {
    const struct policy *policies[] = {&policy_write_through, &policy_write_behind};
    for (int i = 0; i < 2; i++) {
        char command[64];
        unsigned long long cas;
        rig_renew(rig, policies[i]);
        rig_start(rig);
        rig_expect(rig, "set a 1", "STORED");
        assert_int_equal(sscanf(rig_do(rig, "gets a"), "1 %llu", &cas), 1);
        rig_do(rig, "sync");
        cool(rig);
        rig_expect(rig, "touch a 5000", "TOUCHED"); /* a touch does not change what clients compare */
        rig_do(rig, "sync");
        cool(rig);
        snprintf(command, sizeof command, "cas a 2 %llu", cas);
        rig_expect(rig, command, "STORED");
        rig_expect(rig, command, "EXISTS");
        rig_expect(rig, "cas none 2 5", "NOT_FOUND");
        rig_expect(rig, "get a", "2");
    }
}

RIG_TEST(changes_that_wait_share_a_commit, write_through) {
    struct rig_call *calls[20];
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    calls[0] = rig_begin(rig, 0, "set n 0");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    for (int i = 1; i < 20; i++)
        calls[i] = rig_begin(rig, 0, "incr n 1");
    struct rig_call *get = rig_begin(rig, 0, "get other");
    assert_string_equal(rig_finish(get), "MISS"); /* readers are not held up */
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(calls[0]), "STORED");
    for (int i = 1; i < 20; i++) {
        char expected[8];
        snprintf(expected, sizeof expected, "%d", i);
        assert_string_equal(rig_finish(calls[i]), expected);
    }
    rig_assert_row(rig, "n", "19");
    assert_true(memory_store_counts(rig->store).batches <= 3);
}

RIG_TEST(a_refused_row_fails_alone, write_through) {
    struct rig_call *calls[3];
    rig_start(rig);
    faulty_refuse_keys(rig->faulty, "bad");
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *first = rig_begin(rig, 0, "set first 1");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    calls[0] = rig_begin(rig, 0, "set good 1");
    calls[1] = rig_begin(rig, 0, "set bad 1");
    calls[2] = rig_begin(rig, 0, "set good2 1");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(first), "STORED");
    assert_string_equal(rig_finish(calls[0]), "STORED");
    assert_memory_equal(rig_finish(calls[1]), "SERVER_ERROR", 12);
    assert_string_equal(rig_finish(calls[2]), "STORED");
    rig_expect(rig, "get bad", "MISS");
    rig_assert_row(rig, "good2", "1");
}

RIG_TEST(a_commit_whose_answer_was_lost_is_repeated, write_through) {
    rig_start(rig);
    rig_put_row(rig, "n", "1");
    faulty_lose_answer(rig->faulty); /* applied, but reported as failed: repeated with the same version */
    rig_expect(rig, "incr n 1", "2");
    rig_assert_row(rig, "n", "2");
    rig_expect(rig, "get n", "2");
}

/* ---- Another node over the same store ---- */

/* It has changed the row just now. value NULL: deleted it. */
static void change_elsewhere(struct tier_rig *rig, const char *key, const char *value) {
    enum { OTHER_NODE = 7 };
    uint64_t hash = cache_hash(tier_cache(rig->tier), slice_string(key));
    memory_store_put(rig->store, "test", key, value,
                     version_from_us(wall_us(), version_lower(OTHER_NODE, hash)));
}

RIG_TEST(changes_are_made_of_what_another_node_has_written, write_through) {
    const struct {
        const char *command, *reply, *row;
    } cases[] = {
        {"incr n 1", "16", "16"},          {"decr n 1", "14", "14"},       {"append n 0", "STORED", "150"},
        {"prepend n 1", "STORED", "115"},  {"replace n 3", "STORED", "3"}, {"set n 4", "STORED", "4"},
        {"touch n 1000", "TOUCHED", "15"}, {"gat n 1000", "15", "15"},     {"delete n", "DELETED", NULL},
    };
    rig_start(rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig_expect(rig, "set n 10", "STORED");
        change_elsewhere(rig, "n", "15");
        rig_expect(rig, cases[i].command, cases[i].reply);
        rig_assert_row(rig, "n", cases[i].row);
        rig_expect(rig, "get n", cases[i].row ? cases[i].row : "MISS");
    }
    assert_int_equal(rig_stat(rig, "store:write_through_again"), 7); /* not the set, nor the delete */
}

RIG_TEST(changes_are_made_of_what_another_node_has_deleted, write_through) {
    const char *const cases[][2] = {{"incr n 1", "NOT_FOUND"},
                                    {"append n 0", "NOT_STORED"},
                                    {"replace n 3", "NOT_STORED"},
                                    {"touch n 1000", "NOT_FOUND"},
                                    {"gat n 1000", "MISS"}};
    rig_start(rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig_expect(rig, "set n 10", "STORED");
        change_elsewhere(rig, "n", NULL);
        rig_expect(rig, cases[i][0], cases[i][1]);
        rig_assert_row(rig, "n", NULL);
        rig_expect(rig, "get n", "MISS");
    }
}

RIG_TEST(a_cas_of_a_copy_that_another_node_has_replaced_is_refused, write_through) {
    char value[64], command[128];
    rig_start(rig);
    rig_expect(rig, "set n 10", "STORED");
    snprintf(value, sizeof value, "%s", rig_do(rig, "gets n"));
    change_elsewhere(rig, "n", "15");
    snprintf(command, sizeof command, "cas n 11 %s", strchr(value, ' ') + 1);
    rig_expect(rig, command, "EXISTS");
    rig_assert_row(rig, "n", "15");
    snprintf(value, sizeof value, "%s", rig_do(rig, "gets n"));
    snprintf(command, sizeof command, "cas n 16 %s", strchr(value, ' ') + 1);
    rig_expect(rig, command, "STORED");
    rig_assert_row(rig, "n", "16");
}

RIG_TEST(an_add_is_refused_where_another_node_was_faster, write_through) {
    rig_start(rig);
    faulty_hold(rig->faulty, FAULTY_APPLY, true);
    struct rig_call *add = rig_begin(rig, 0, "add n ours"); /* it has looked at the row */
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    change_elsewhere(rig, "n", "theirs");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_string_equal(rig_finish(add), "NOT_STORED");
    rig_assert_row(rig, "n", "theirs");
    rig_expect(rig, "get n", "theirs");
}

/* What was made of an old copy is made anew, and so is what builds on it, in the order in which it was sent. */
RIG_TEST(a_pipeline_that_meets_another_nodes_change_keeps_its_order, write_through) {
    rig_start(rig);
    rig_expect(rig, "set n 10", "STORED");
    rig_expect(rig, "set m 1", "STORED");
    change_elsewhere(rig, "n", "15");
    assert_string_equal(
        rig_pipeline(rig, "incr n 1;incr m 1;incr n 1;set n 5;incr n 1;add n 9;delete n;add n 7;incr n 1"),
        "16,2,17,STORED,6,NOT_STORED,DELETED,STORED,8");
    rig_assert_row(rig, "n", "8");
    rig_assert_row(rig, "m", "2");
    rig_expect(rig, "get n", "8");
}

/* A set is on whatever there is, but is not lost because the other node's clock is ahead. */
RIG_TEST(a_set_of_a_slow_clock_is_given_a_newer_version, write_through) {
    rig_start(rig);
    memory_store_put(rig->store, "test", "a", "theirs", version_from_us(wall_us() + 3600000000ull, 2));
    rig_expect(rig, "set a ours", "STORED");
    rig_assert_row(rig, "a", "ours");
    memory_store_put(rig->store, "test", "b", "theirs", version_from_us(wall_us() + 7200000000ull, 2));
    assert_string_equal(rig_pipeline(rig, "set b 1;set b 2;incr b 1;delete b;set b 4"),
                        "STORED,STORED,3,DELETED,STORED");
    rig_assert_row(rig, "b", "4");
    memory_store_put(rig->store, "test", "c", "theirs", version_from_us(wall_us() + 10800000000ull, 2));
    rig_expect(rig, "delete c", "DELETED");
    rig_assert_row(rig, "c", NULL);
}

/* What it meets is what it has written itself. */
RIG_TEST(changes_of_one_key_whose_answer_was_lost_are_repeated, write_through) {
    rig_start(rig);
    rig_expect(rig, "set n 10", "STORED");
    faulty_lose_answer(rig->faulty);
    assert_string_equal(rig_pipeline(rig, "incr n 1;add n 7;incr n 1;set n 5;touch n 1000;incr n 1"),
                        "11,NOT_STORED,12,STORED,TOUCHED,6");
    rig_assert_row(rig, "n", "6");
    faulty_tear(rig->faulty, 2);
    assert_string_equal(rig_pipeline(rig, "incr n 1;append n 0;incr n 1"), "7,STORED,71");
    rig_assert_row(rig, "n", "71");
    rig_expect(rig, "get n", "71");
}

/* It may have been counted, and the other node may have seen that: it is not counted twice. */
RIG_TEST(a_change_that_may_have_been_made_is_not_made_anew, write_through) {
    rig_start(rig);
    rig_expect(rig, "set n 10", "STORED");
    faulty_lose_answer_and_hold(rig->faulty);
    struct rig_call *incr = rig_begin(rig, 0, "incr n 1");
    faulty_wait_held(rig->faulty, FAULTY_APPLY);
    rig_assert_row(rig, "n", "11");
    change_elsewhere(rig, "n", "20");
    faulty_hold(rig->faulty, FAULTY_APPLY, false);
    assert_memory_equal(rig_finish(incr), "SERVER_ERROR", 12);
    rig_assert_row(rig, "n", "20");
    rig_expect(rig, "get n", "20");
}

RIG_TEST(a_change_that_others_always_outrun_is_given_up, write_through) {
    rig_start(rig);
    rig_expect(rig, "set n 10", "STORED");
    rig_expect(rig, "set m 10", "STORED");
    memory_store_be_faster(rig->store, true);
    rig_expect(rig, "incr n 1",
               "SERVER_ERROR other servers change this key all the time, nothing was changed: try again");
    rig_assert_row(rig, "n", "10");
    memory_store_be_faster(rig->store, false);
    assert_string_equal(rig_pipeline(rig, "incr n 1;incr m 1;get n"), "11,11,11");
}

/* Whoever fills an empty place keeps it, though the store knows nothing of it. */
RIG_TEST(a_placeholder_is_filled_unless_another_node_was_faster, write_through) {
    char value[64], command[128];
    rig_start(rig);
    for (unsigned faster = 0; faster < 2; faster++) {
        rig_expect(rig, "vivify p 30", "WON");
        snprintf(value, sizeof value, "%s", rig_do(rig, "gets p"));
        snprintf(command, sizeof command, "cas p made %s", strchr(value, ' ') + 1);
        if (faster)
            change_elsewhere(rig, "p", "theirs");
        rig_expect(rig, command, faster ? "EXISTS" : "STORED");
        rig_assert_row(rig, "p", faster ? "theirs" : "made");
        rig_expect(rig, "delete p", "DELETED");
    }
}

/* The versions of the place, of a delete that the store remembers and of the CAS that a client dictates are no
 * order. */
static const uint64_t dictated[] = {0, 1, UINT64_MAX};

static void vivify_where_nothing_is(struct tier_rig *rig, const char *key, uint64_t cas) {
    char command[128];
    rig_store(rig, "set %s old", key);
    rig_do(rig, "sync");
    snprintf(command, sizeof command, "delete %s", key);
    rig_expect(rig, command, "DELETED");
    rig_do(rig, "sync");
    snprintf(command, sizeof command, "vivify %s 30 %" PRIu64, key, cas);
    rig_expect(rig, command, "WON");
}

RIG_TEST(a_placeholder_is_touched_where_a_delete_is_remembered, write_through) {
    const struct policy *policies[] = {&policy_write_through, &policy_write_behind};
    const char *const commands[] = {"touch p 1000", "gat p 1000"}, *const replies[] = {"TOUCHED", ""};
    for (size_t i = 0; i < 12; i++) {
        rig_renew(rig, policies[i % 2]);
        rig_start(rig);
        vivify_where_nothing_is(rig, "p", dictated[i / 4]);
        rig_expect(rig, commands[i / 2 % 2], replies[i / 2 % 2]);
        rig_do(rig, "sync");
        rig_assert_row(rig, "p", "");
        rig_expect(rig, "forget p", "FORGOTTEN");
        rig_expect(rig, "append p more", "STORED");
        rig_do(rig, "sync");
        rig_assert_row(rig, "p", "more");
        assert_true(rig_row_expiry(rig, "p") > cache_time_now().seconds + 900);
    }
}

/* Its clock may be behind that of the version that the place has here. */
RIG_TEST(a_placeholder_gives_way_to_another_nodes_row, write_through) {
    const struct policy *policies[] = {&policy_write_through, &policy_write_behind};
    for (size_t i = 0; i < 12; i++) {
        bool is_behind = i / 2 % 2;
        uint64_t us = wall_us();
        rig_renew(rig, policies[i % 2]);
        rig_start(rig);
        vivify_where_nothing_is(rig, "p", dictated[i / 4]);
        memory_store_put(rig->store, "test", "p", "theirs",
                         version_from_us(is_behind ? us : us + 5000000, 7));
        rig_expect(rig, "touch p 1000", "TOUCHED");
        rig_do(rig, "sync");
        rig_assert_row(rig, "p", "theirs");
        rig_expect(rig, "get p", "theirs");
    }
}

RIG_TEST(write_through_fails_while_the_backend_is_down, write_through) {
    rig->backend.store.timeout_ms = 3000;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    assert_memory_equal(rig_do(rig, "set a 2"), "SERVER_ERROR", 12);
    rig_expect(rig, "get a", "1"); /* the outcome is unknown, so the backend is asked */
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    eventually(strcmp(rig_do(rig, "set a 3"), "STORED") == 0);
    rig_expect(rig, "get a", "3");
    rig_assert_row(rig, "a", "3");
}

/* Whatever is said of a key is true of the store: a change that gives up takes along what was seen behind it. */
RIG_TEST(nothing_is_answered_from_what_was_not_committed, write_through) {
    rig->backend.store.timeout_ms = 150;
    rig_start(rig);
    rig_expect(rig, "set a 1", "STORED");
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    const char *down = "SERVER_ERROR backend store is not available";
    char expected[RIG_REPLY];
    snprintf(expected, sizeof expected, "%s,%s,%s,%s", down, down, down, down);
    assert_string_equal(rig_pipeline(rig, "delete a;append a x;incr a 1;touch a 100"), expected);
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_OK);
    rig_expect(rig, "get a", "1");

    faulty_refuse_keys(rig->faulty, "bad");
    eventually(strcmp(rig_do(rig, "set a 2"), "STORED") == 0);
    rig_pipeline(rig, "set bad 1;add bad 2;add a 3");
    const char *behind = strchr(rig->reply, ',');
    assert_non_null(behind);
    assert_memory_equal(behind, ",SERVER_ERROR", 13);
    assert_string_equal(strrchr(rig->reply, ','), ",NOT_STORED");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(write_through_is_in_the_backend_when_it_is_answered),
        RIG_CASE(write_through_looks_at_the_row_first),
        RIG_CASE(what_clients_compare_survives_an_eviction),
        RIG_CASE(changes_that_wait_share_a_commit),
        RIG_CASE(a_refused_row_fails_alone),
        RIG_CASE(a_commit_whose_answer_was_lost_is_repeated),
        RIG_CASE(changes_are_made_of_what_another_node_has_written),
        RIG_CASE(changes_are_made_of_what_another_node_has_deleted),
        RIG_CASE(a_cas_of_a_copy_that_another_node_has_replaced_is_refused),
        RIG_CASE(an_add_is_refused_where_another_node_was_faster),
        RIG_CASE(a_pipeline_that_meets_another_nodes_change_keeps_its_order),
        RIG_CASE(a_set_of_a_slow_clock_is_given_a_newer_version),
        RIG_CASE(changes_of_one_key_whose_answer_was_lost_are_repeated),
        RIG_CASE(a_change_that_may_have_been_made_is_not_made_anew),
        RIG_CASE(a_change_that_others_always_outrun_is_given_up),
        RIG_CASE(a_placeholder_is_filled_unless_another_node_was_faster),
        RIG_CASE(a_placeholder_is_touched_where_a_delete_is_remembered),
        RIG_CASE(a_placeholder_gives_way_to_another_nodes_row),
        RIG_CASE(write_through_fails_while_the_backend_is_down),
        RIG_CASE(nothing_is_answered_from_what_was_not_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
