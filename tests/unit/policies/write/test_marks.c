/* SPDX-License-Identifier: MIT */
/* By which batch a store had what. */
#include "policies/write/marks.h"
#include "tests/support/check.h"

static int set_up(void **state) {
    static struct marks marks;
    marks = (struct marks){0};
    *state = &marks;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return 0;
}

TEST(what_an_earlier_batch_had_is_known) {
    struct marks *marks = *state;
    assert_int_equal(marks_find(marks, 1000), 0);
    for (uint64_t i = 1; i <= 5; i++)
        marks_note(marks, i, 100 * i, 1);
    assert_int_equal(marks_find(marks, 99), 0);
    assert_int_equal(marks_find(marks, 100), 1);
    assert_int_equal(marks_find(marks, 399), 3);
    assert_int_equal(marks_find(marks, 1000), 5);
    marks_note(marks, 9, 500, 1); /* nothing was written in between */
    assert_int_equal(marks_find(marks, 500), 9);
}

/* Too little is said of a moment in between, never too much. */
TEST(moments_that_are_near_each_other_are_one) {
    struct marks *marks = *state;
    for (uint64_t i = 1; i <= 1000; i++) {
        marks_note(marks, i, i, 50);
        assert_int_equal(marks_find(marks, i), i);
        assert_true(marks_find(marks, i - 1) <= i - 1);
        assert_true(i < 100 || marks_find(marks, i - 1) + 100 >= i);
    }
    assert_true(marks->count < 30);
}

TEST(the_oldest_go) {
    struct marks *marks = *state;
    for (uint64_t i = 1; i <= 10 * MARKS_MAX; i++)
        marks_note(marks, i, i, 1);
    assert_int_equal(marks->count, MARKS_MAX);
    assert_int_equal(marks_find(marks, 10), 0);
    assert_int_equal(marks_find(marks, 9 * MARKS_MAX + 10), 9 * MARKS_MAX + 10);
}

TEST(a_store_that_went_back_says_nothing_of_what_came_later) {
    struct marks *marks = *state;
    for (uint64_t i = 1; i <= 10; i++)
        marks_note(marks, 10 * i, i, 1);
    marks_go_back(marks, 4);
    assert_int_equal(marks_find(marks, 100), 40);
    marks_note(marks, 200, 50, 1);
    assert_int_equal(marks_find(marks, 49), 40);
    marks_go_back(marks, 0);
    assert_int_equal(marks_find(marks, 100), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_an_earlier_batch_had_is_known),
        CASE(moments_that_are_near_each_other_are_one),
        CASE(the_oldest_go),
        CASE(a_store_that_went_back_says_nothing_of_what_came_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
