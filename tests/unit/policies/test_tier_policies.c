/* SPDX-License-Identifier: MIT */
/*
 * What each policy does with each command: answers, memory, and the row in the backend. What write-through and
 * write-behind do besides is in test_tier_write_through.c and test_tier_write_behind.c.
 */
#include "tests/support/tier_rig.h"
#include <stdlib.h>

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
