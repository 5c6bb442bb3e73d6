/* SPDX-License-Identifier: MIT */
/* Which store is open: lost, found again, another one. Threads and real stores are in tests/faults. */
#include "policies/store.h"
#include "tests/support/check.h"

static const struct backend_identity first = {{1, 2, 3, 4}}, same = {{1, 2, 5, 6}}, other = {{1, 3, 3, 4}},
                                     untold = {{0, 0, 3, 4}};

static int set_up(void **state) {
    return (*state = store_create()) ? 0 : -1;
}

static int tear_down(void **state) {
    store_destroy(*state);
    return 0;
}

TEST(a_lost_store_is_found_when_all_have_left_it) {
    struct store *store = *state;
    assert_false(store_found(store, &first));
    assert_true(store_admit(store));
    assert_true(store_lose(store));
    assert_false(store_lose(store));
    assert_false(store_admit(store));
    assert_false(store_is_free(store));
    store_leave(store);
    assert_true(store_is_free(store));
    assert_true(store_found(store, &first));
    assert_false(store_found(store, &first));
}

TEST(another_store_is_told_though_nobody_saw_the_first_go) {
    struct store *store = *state;
    assert_false(store_found(store, &first));
    assert_false(store_found(store, &same));
    assert_true(store_found(store, &other));
    assert_false(store_found(store, &untold));
    assert_false(store_found(store, &other));
    assert_false(store_found(store, &untold));
    assert_true(store_found(store, &first));
}

TEST(readers_read_what_the_writer_has) {
    struct store *store = *state;
    assert_true(store_fits(store, &other));
    assert_false(store_found(store, &first));
    assert_true(store_fits(store, &first));
    assert_false(store_fits(store, &same)); /* of SQLite: another log */
    assert_true(store_fits(store, &untold));
    store_lose(store);
    assert_false(store_fits(store, &untold));
}

TEST(a_store_that_is_found_elsewhere_has_moved) {
    struct store *store = *state;
    char place[BACKEND_PLACE_SHOWN];
    store_get_place(store, place);
    assert_string_equal(place, "");
    assert_int_equal(store_moves(store), 0);
    assert_true(store_note_place(store, "a:1", place));
    assert_string_equal(place, "");
    assert_false(store_note_place(store, "a:1", place));
    assert_int_equal(store_moves(store), 1);
    assert_true(store_note_place(store, "b:2", place));
    assert_string_equal(place, "a:1");
    assert_int_equal(store_moves(store), 2);
    store_get_place(store, place);
    assert_string_equal(place, "b:2");
    store_lose(store);
    store_found(store, &first);
    assert_int_equal(store_moves(store), 3); /* its readers have nothing open */
    assert_int_equal(store_shift(store), 4);
    assert_int_equal(store_moves(store), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_lost_store_is_found_when_all_have_left_it),
        CASE(another_store_is_told_though_nobody_saw_the_first_go),
        CASE(readers_read_what_the_writer_has),
        CASE(a_store_that_is_found_elsewhere_has_moved),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
