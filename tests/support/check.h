/* SPDX-License-Identifier: MIT */
/*
 * What every test in C begins with: cmocka with the headers that it needs, and the few words that it lacks.
 *
 *     static int set_up(void **state) { *state = open_something(); return 0; }
 *     static int tear_down(void **state) { close_something(*state); return 0; }
 *
 *     TEST(a_sentence_that_says_what_holds) {
 *         struct something *something = *state;
 *         assert_int_equal(something->size, 0);
 *     }
 *
 *     int main(void) {
 *         const struct CMUnitTest tests[] = {CASE(a_sentence_that_says_what_holds)};
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 *
 * A failing assertion leaves the test at once, but not its tear_down: whatever has to be stopped, joined,
 * freed or removed is reached from *state and ends there.
 */
#ifndef FOREBAY_TESTS_SUPPORT_CHECK_H
#define FOREBAY_TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the ones above */

#include "cache/base/clock.h"
#include <stdlib.h>
#include <unistd.h>

/* What is asserted holds from there on: clang's analyzer does not see that cmocka leaves the test otherwise. */
#ifdef __clang_analyzer__
#undef assert_true
#undef assert_false
#undef assert_null
#undef assert_non_null
#undef assert_int_equal
#undef fail_msg
#define assert_true(condition)       ((condition) ? (void)0 : abort())
#define assert_false(condition)      assert_true(!(condition))
#define assert_null(pointer)         assert_true((pointer) == NULL)
#define assert_non_null(pointer)     assert_true((pointer) != NULL)
#define assert_int_equal(one, other) assert_true((long long)(one) == (long long)(other))
#define fail_msg(...)                (print_error(__VA_ARGS__), abort())
#endif

/* Defines a test; `state` is there for those that use it. */
#define TEST(name) static void name(void **state __attribute__((unused)))

/* In the list of tests: one between the file's own set_up and tear_down. */
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

enum { EVENTUALLY_SECONDS = 60 };

/* Waits until the condition holds, and fails with its text when it does not within a minute: long enough for
 * sanitizers on a busy machine, and nobody waits for it but a test that fails. Any thread that may assert. */
#define eventually(condition)                                                                                \
    do {                                                                                                     \
        uint64_t until_us_ = monotonic_us() + (uint64_t)EVENTUALLY_SECONDS * US_PER_SECOND;                  \
        while (!(condition)) {                                                                               \
            if (monotonic_us() > until_us_)                                                                  \
                fail_msg("never became true: %s", #condition);                                               \
            usleep(1000);                                                                                    \
        }                                                                                                    \
    } while (0)

#endif
