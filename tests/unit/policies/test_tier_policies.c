/* SPDX-License-Identifier: MIT */
/* What each policy does with each command: answers, memory, and the row in the backend. */
#include "tests/support/tier_rig.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Forgets everything in memory that is clean: what comes next is cold. */
static void cool(struct tier_rig *rig) {
    rig_expect(rig, "flush_all", "OK");
}

/* ---- cache-aside ---- */

RIG_TEST(cache_aside_knows_no_backend, cache_aside) {
    rig_start(rig);
    rig_put_row(rig, "row", "1");
    rig_expect(rig, "get row", "MISS");
    rig_expect(rig, "set a 1", "STORED");
    rig_expect(rig, "get a", "1");
    rig_expect(rig, "add a 2", "NOT_STORED");
    rig_expect(rig, "incr a 4", "5");
    rig_expect(rig, "append a 0", "STORED");
    rig_expect(rig, "get a", "50");
    rig_expect(rig, "delete a", "DELETED");
    rig_expect(rig, "delete a", "NOT_FOUND");
    rig_expect(rig, "touch a 10", "NOT_FOUND");
    assert_int_equal(memory_store_counts(rig->store).keys, 0);
    assert_int_equal(memory_store_counts(rig->store).mutations, 0);
}

/* ---- read-through ---- */

RIG_TEST(read_through_changes_memory_over_what_the_backend_has, read_through) {
    rig_start(rig);
    rig_put_row(rig, "row", "old");
    rig_expect(rig, "get row", "old");
    rig_expect(rig, "get row", "old");
    assert_int_equal(memory_store_counts(rig->store).keys, 1);
    rig_expect(rig, "get nothing", "MISS");
    /* Changes are memory's alone, over what the backend has. */
    rig_put_row(rig, "n", "41");
    rig_expect(rig, "incr n 1", "42");
    rig_assert_row(rig, "n", "41");
    rig_expect(rig, "add n 1", "NOT_STORED");
    rig_put_row(rig, "m", "x");
    rig_expect(rig, "add m 1", "NOT_STORED");
    rig_expect(rig, "replace nothing 1", "NOT_STORED");
    /* A delete invalidates: the next read sees the row. */
    rig_put_row(rig, "row", "new");
    rig_expect(rig, "get row", "old");
    rig_expect(rig, "delete row", "DELETED");
    rig_expect(rig, "get row", "new");
    assert_int_equal(memory_store_counts(rig->store).mutations, 0);
}

RIG_TEST(a_delete_refuses_a_late_fill, read_through) {
    rig->options.workers = 2;
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    rig_put_row(rig, "row", "old");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *get = rig_begin(rig, 0, "get row");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    struct rig_call *delete = rig_begin(rig, 1, "delete row");
    assert_string_equal(rig_finish(delete), "NOT_FOUND"); /* memory alone answers */
    uint64_t asked = memory_store_counts(rig->store).keys;
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(get), "old");
    assert_true(memory_store_counts(rig->store).keys >= asked + 2); /* the first answer was not good enough */
}

RIG_TEST(an_absence_is_remembered, read_through) {
    rig->spaces[0].negative_ttl = 60000;
    rig_start(rig);
    rig_expect(rig, "get nothing", "MISS");
    rig_expect(rig, "get nothing", "MISS");
    assert_int_equal(memory_store_counts(rig->store).keys, 1);
    rig_put_row(rig, "nothing", "something");
    rig_expect(rig, "get nothing", "MISS");       /* a read believes it */
    rig_expect(rig, "delete nothing", "DELETED"); /* a change does not */
    rig_expect(rig, "get nothing", "something");
}

/* Another program inserts a row whose absence is remembered: reads may be late, changes may not. */
RIG_TEST(a_change_does_not_believe_a_remembered_absence, write_behind) {
    static const char *const changes[][2] = {
        {"add row 2", "NOT_STORED"},   {"replace row 2", "STORED"}, {"delete row", "DELETED"},
        {"touch row 1000", "TOUCHED"}, {"incr row 1", "42"},        {"append row 0", "STORED"},
        {"gat row 1000", "41"},        {"cas row 2 1", "EXISTS"},   {"vivify row 100", "41"}};
    const struct policy *policies[] = {&policy_read_through, &policy_write_through, &policy_write_behind};
    for (size_t i = 0; i < 3 * sizeof changes / sizeof changes[0]; i++) {
        rig_renew(rig, policies[i % 3]);
        rig->spaces[0].negative_ttl = 60000;
        rig_start(rig);
        rig_expect(rig, "get row", "MISS");
        rig_put_row(rig, "row", "41");
        rig_expect(rig, "get row", "MISS");
        rig_expect(rig, changes[i / 3][0], changes[i / 3][1]);
        if (strcmp(changes[i / 3][1], "NOT_STORED") == 0)
            rig_expect(rig, "get row", "41"); /* and what it learnt, reads know as well */
    }
}

/* With existence = memory a delete is answered NOT_FOUND, but the row goes all the same. */
RIG_TEST(a_remembered_absence_does_not_protect_a_row_from_a_delete, write_behind) {
    const struct policy *policies[] = {&policy_write_through, &policy_write_behind};
    for (int i = 0; i < 2; i++) {
        rig_renew(rig, policies[i]);
        rig->spaces[0].negative_ttl = 60000;
        rig->spaces[0].existence = EXISTENCE_MEMORY;
        rig_start(rig);
        rig_expect(rig, "get row", "MISS");
        rig_put_row(rig, "row", "1");
        rig_expect(rig, "delete row", "NOT_FOUND");
        rig_do(rig, "sync");
        rig_assert_row(rig, "row", NULL);
    }
}

/* The absence that the change has just seen is remembered again, and is believed by this change: it is current. */
RIG_TEST(a_change_over_an_absence_asks_once, write_behind) {
    rig->spaces[0].negative_ttl = 60000;
    rig_start(rig);
    rig_expect(rig, "get nothing", "MISS");
    rig_expect(rig, "replace nothing 1", "NOT_STORED");
    assert_int_equal(memory_store_counts(rig->store).keys, 2);
    rig_expect(rig, "get nothing", "MISS");
    assert_int_equal(memory_store_counts(rig->store).keys, 2);
    rig_expect(rig, "add nothing 1", "STORED");
    rig_expect(rig, "get nothing", "1");
    assert_int_equal(memory_store_counts(rig->store).keys, 3);
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

/* The versions of the place, of a delete that the store remembers and of the CAS that a client dictates are no order. */
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

/* ---- All ---- */

RIG_TEST(a_key_is_loaded_once_for_all, read_through) {
    struct rig_call *calls[30];
    rig_start(rig);
    rig_put_row(rig, "hot", "x");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    for (int i = 0; i < 30; i++)
        calls[i] = rig_begin(rig, 0, "get hot");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    for (int i = 0; i < 30; i++)
        assert_string_equal(rig_finish(calls[i]), "x");
    assert_int_equal(memory_store_counts(rig->store).keys, 1);
}

RIG_TEST(the_keys_of_a_get_are_loaded_together, read_through) {
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    rig_put_row(rig, "c", "3");
    rig_put_row(rig, "d", "4");
    unsigned before = faulty_calls(rig->faulty, FAULTY_LOAD);
    assert_string_equal(rig_pipeline(rig, "get a;get b;get c;get d;get e"), "1,MISS,3,4,MISS");
    assert_int_equal(faulty_calls(rig->faulty, FAULTY_LOAD) - before, 1);
    assert_string_equal(rig_pipeline(rig, "get a;get c;get d"), "1,3,4");
    assert_int_equal(faulty_calls(rig->faulty, FAULTY_LOAD) - before, 1);
}

RIG_TEST(the_changes_of_a_pipeline_go_together, write_through) {
    rig_add_space(rig, "behind", "behind:", &policy_write_behind);
    rig_start(rig);
    unsigned before = faulty_calls(rig->faulty, FAULTY_APPLY);
    assert_string_equal(rig_pipeline(rig, "set a 1;incr a 2;append a x;incr a 1;"
                                          "delete b;add b 1;add b 2;set c 1"),
                        "STORED,3,STORED,CLIENT_ERROR cannot increment or decrement non-numeric value,"
                        "NOT_FOUND,STORED,NOT_STORED,STORED");
    assert_int_equal(faulty_calls(rig->faulty, FAULTY_APPLY) - before, 1);
    rig_assert_row(rig, "a", "3x");
    rig_assert_row(rig, "b", "1");
    /* reads, and other policies, are waited for and let nothing by */
    before = faulty_calls(rig->faulty, FAULTY_APPLY);
    assert_string_equal(rig_pipeline(rig, "set a 1;get a;set a 2;set behind:a 5;get behind:a;"
                                          "delete a;gat a 100;set a 3;gat a 100;vivify a 30;touch a 0;get a"),
                        "STORED,1,STORED,STORED,5,DELETED,MISS,STORED,3,3,TOUCHED,3");
    assert_true(faulty_calls(rig->faulty, FAULTY_APPLY) - before > 3);
    /* each is refused for itself, and those behind get their own answers */
    faulty_refuse_keys(rig->faulty, "bad");
    assert_memory_equal(rig_pipeline(rig, "set bad 1;set a 4;get a;get bad"), "SERVER_ERROR", 12);
    assert_string_equal(strchr(rig->reply, ','), ",STORED,4,MISS");
}

/* More than go together at once. */
RIG_TEST(a_long_pipeline_of_changes_keeps_its_order, write_through) {
    char commands[RIG_REPLY] = "", expected[RIG_REPLY] = "";
    rig_start(rig);
    rig_expect(rig, "set n 0", "STORED");
    for (int i = 0; i < RIG_PIPELINE; i++) {
        sprintf(commands + strlen(commands), "%sincr n 1", i ? ";" : "");
        sprintf(expected + strlen(expected), "%s%d", i ? "," : "", i + 1);
    }
    assert_string_equal(rig_pipeline(rig, commands), expected);
    rig_assert_row(rig, "n", "300");
}

RIG_TEST(a_set_refuses_a_late_fill, write_behind) {
    rig->options.workers = 2;
    rig_start(rig);
    rig_put_row(rig, "a", "old");
    faulty_hold(rig->faulty, FAULTY_LOAD, true);
    struct rig_call *get = rig_begin(rig, 0, "get a");
    faulty_wait_held(rig->faulty, FAULTY_LOAD);
    struct rig_call *set = rig_begin(rig, 1, "set a new");
    assert_string_equal(rig_finish(set), "STORED");
    faulty_hold(rig->faulty, FAULTY_LOAD, false);
    assert_string_equal(rig_finish(get), "new");
    rig_expect(rig, "get a", "new");
}

RIG_TEST(unknown_is_not_a_miss, write_behind) {
    enum on_backend_down answers[] = {DOWN_ERROR, DOWN_MISS, DOWN_STALE};
    for (int i = 0; i < 3; i++) {
        rig_renew(rig, &policy_write_behind);
        rig->spaces[0].on_backend_down = answers[i];
        rig_start(rig);
        rig_expect(rig, "set known 1", "STORED");
        faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
        if (answers[i] == DOWN_MISS)
            rig_expect(rig, "get unknown", "MISS");
        else
            assert_memory_equal(rig_do(rig, "get unknown"), "SERVER_ERROR", 12);
        if (answers[i] == DOWN_MISS) /* and no placeholder is made, which changes would take for the row */
            rig_expect(rig, "vivify unknown 60", "MISS");
        assert_memory_equal(rig_do(rig, "incr unknown 1"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(rig, "append unknown 1"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(rig, "add unknown 1"), "SERVER_ERROR", 12);
        rig_expect(rig, "get known", "1");
        rig_expect(rig, "set unknown 2", "STORED"); /* needs to know nothing */
        rig_expect(rig, "get unknown", "2");
        faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_OK);
    }
}

/* unknown_set = "refuse": nothing is stored over a row that cannot be looked at. What memory knows is changed as
 * ever, and while the backend answers, a set of an unknown key asks nothing. */
RIG_TEST(a_set_over_an_unknown_row_is_refused_while_the_backend_is_down, write_behind) {
    const enum existence decided_by[] = {EXISTENCE_BACKEND, EXISTENCE_MEMORY};
    for (int i = 0; i < 2; i++) {
        rig_renew(rig, &policy_write_behind);
        rig->spaces[0].unknown_set = UNKNOWN_SET_REFUSE;
        rig->spaces[0].existence = decided_by[i];
        rig_start(rig);
        rig_put_row(rig, "row", "1");
        rig_expect(rig, "set first 1", "STORED"); /* the first of all asks whether the backend is there */
        rig_do(rig, "sync");
        uint64_t asked = memory_store_counts(rig->store).keys;
        rig_expect(rig, "set known 1", "STORED");
        assert_int_equal(memory_store_counts(rig->store).keys, asked);
        rig_do(rig, "sync");
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        assert_memory_equal(rig_do(rig, "get row"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(rig, "set row 2"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(rig, "add row 2"), "SERVER_ERROR", 12);
        rig_expect(rig, "set known 2", "STORED");
        rig_expect(rig, "get known", "2");
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
        eventually(strcmp(rig_do(rig, "set row 3"), "STORED") == 0);
        rig_do(rig, "sync");
        rig_assert_row(rig, "row", "3");
    }
}

/* Also where nothing was read yet, and where only the writer has noticed that the backend is away. */
RIG_TEST(a_set_finds_out_whether_the_backend_is_there, write_behind) {
    for (int noticed = 0; noticed < 2; noticed++) {
        rig_renew(rig, &policy_write_behind);
        rig->spaces[0].unknown_set = UNKNOWN_SET_REFUSE;
        rig->spaces[0].flush_delay = 10;
        rig_start(rig);
        if (noticed) {
            rig_expect(rig, "set known 1", "STORED");
            rig_do(rig, "sync");
        }
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
        if (noticed) {
            rig_expect(rig, "set known 2", "STORED");
            eventually(rig_stat(rig, "store:write_failures") > 0);
        }
        assert_memory_equal(rig_do(rig, "set unknown 1"), "SERVER_ERROR", 12);
        faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
        eventually(strcmp(rig_do(rig, "set unknown 1"), "STORED") == 0);
    }
}

/* on_backend_down = "stale": what has outstayed max_residency is shown while the backend cannot be asked. */
RIG_TEST(stale_entries_are_read_while_the_backend_is_down, write_behind) {
    const struct policy *policies[] = {&policy_read_through, &policy_write_through, &policy_write_behind};
    for (int i = 0; i < 3; i++) {
        rig_renew(rig, policies[i]);
        rig->spaces[0].on_backend_down = DOWN_STALE;
        rig->spaces[0].max_residency = 10;
        rig->backend.store.timeout_ms = 3000; /* what write-through waits for below */
        rig_start(rig);
        rig_put_row(rig, "a", "1");
        rig_put_row(rig, "b", "1");
        rig_expect(rig, "get a", "1");
        rig_expect(rig, "gat b 15", "1");
        rig_do(rig, "sync");
        rig_put_row(rig, "a", "2");
        faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
        rig->clock_shift_us = 11 * 1000000;
        rig_expect(rig, "get a", "1");
        rig_expect(rig, "get b", "1");
        assert_string_equal(rig_pipeline(rig, "get a;get b"), "1,1");
        assert_memory_equal(rig_do(rig, "get unknown"), "SERVER_ERROR", 12);
        assert_memory_equal(rig_do(rig, "incr a 1"), "SERVER_ERROR", 12); /* no change on old grounds */
        assert_memory_equal(rig_do(rig, "gat a 100"), "SERVER_ERROR", 12);
        rig->clock_shift_us = 16 * 1000000; /* the life of b is over */
        rig_expect(rig, "get a", "1");
        assert_memory_equal(rig_do(rig, "get b"), "SERVER_ERROR", 12);
        faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_OK);
        eventually(strcmp(rig_do(rig, "get a"), "2") == 0);
        rig_expect(rig, "get a", "2");
    }
}

/* A change that needs to know nothing takes the stale entry's place; nobody sees that again. */
RIG_TEST(nobody_sees_a_stale_entry_after_a_change, write_behind) {
    rig->spaces[0].on_backend_down = DOWN_STALE;
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig->spaces[0].max_residency = 10;
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    rig_put_row(rig, "b", "1");
    rig_expect(rig, "get a", "1");
    rig_expect(rig, "get b", "1");
    rig->clock_shift_us = 11 * 1000000;
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig_expect(rig, "set a 2", "STORED");
    rig_expect(rig, "get a", "2");
    rig_expect(rig, "delete b", "NOT_FOUND"); /* memory does not know; the row goes nevertheless */
    rig_expect(rig, "get b", "MISS");
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    rig_do(rig, "sync");
    rig_assert_row(rig, "a", "2");
    rig_assert_row(rig, "b", NULL);
}

RIG_TEST(reads_recover, read_through) {
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
    for (int i = 0; i < 10; i++)
        assert_memory_equal(rig_do(rig, "get a"), "SERVER_ERROR", 12);
    assert_true(rig_stat(rig, "store:read_breaker_opened") >= 1);
    faulty_fail_all(rig->faulty, FAULTY_LOAD, BACKEND_OK);
    eventually(strcmp(rig_do(rig, "get a"), "1") == 0);
    rig_expect(rig, "get a", "1");
}

RIG_TEST(each_namespace_has_its_table, cache_aside) {
    rig_add_space(rig, "one", "s:", &policy_write_through);
    rig_add_space(rig, "two", "s:deep:", &policy_write_through);
    rig_start(rig);
    rig_expect(rig, "set s:a 1", "STORED");
    rig_expect(rig, "set s:deep:a 2", "STORED");
    rig_expect(rig, "set s 3", "STORED");
    char *one = memory_store_get(rig->store, "one", "s:a", NULL, NULL);
    char *two = memory_store_get(rig->store, "two", "s:deep:a", NULL, NULL);
    assert_string_equal(one, "1");
    assert_string_equal(two, "2");
    assert_int_equal(memory_store_rows(rig->store), 2);
    free(one);
    free(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(cache_aside_knows_no_backend),
        RIG_CASE(read_through_changes_memory_over_what_the_backend_has),
        RIG_CASE(a_delete_refuses_a_late_fill),
        RIG_CASE(an_absence_is_remembered),
        RIG_CASE(a_change_does_not_believe_a_remembered_absence),
        RIG_CASE(a_remembered_absence_does_not_protect_a_row_from_a_delete),
        RIG_CASE(a_change_over_an_absence_asks_once),
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
        RIG_CASE(a_key_is_loaded_once_for_all),
        RIG_CASE(the_keys_of_a_get_are_loaded_together),
        RIG_CASE(the_changes_of_a_pipeline_go_together),
        RIG_CASE(a_long_pipeline_of_changes_keeps_its_order),
        RIG_CASE(a_set_refuses_a_late_fill),
        RIG_CASE(unknown_is_not_a_miss),
        RIG_CASE(a_set_over_an_unknown_row_is_refused_while_the_backend_is_down),
        RIG_CASE(a_set_finds_out_whether_the_backend_is_there),
        RIG_CASE(stale_entries_are_read_while_the_backend_is_down),
        RIG_CASE(nobody_sees_a_stale_entry_after_a_change),
        RIG_CASE(reads_recover),
        RIG_CASE(each_namespace_has_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
