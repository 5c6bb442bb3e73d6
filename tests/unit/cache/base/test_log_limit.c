/* SPDX-License-Identifier: MIT */
/* How many lines of a kind the log gets; time is the test's. */
#include "cache/base/log_limit.h"
#include "tests/support/check.h"
#include <string.h>

static unsigned admitted(struct log_limit *limit, unsigned burst, uint64_t now_us, unsigned tries) {
    unsigned count = 0;
    while (tries-- > 0)
        count += log_limit_admits(limit, burst, now_us);
    return count;
}

TEST(a_few_lines_at_once_then_one_a_second) {
    struct log_limit limit = {0};
    const uint64_t start_us = 1000 * (uint64_t)US_PER_SECOND;
    (void)state;
    assert_int_equal(admitted(&limit, 10, start_us, 1000), 10);
    assert_int_equal(admitted(&limit, 10, start_us + US_PER_SECOND - 1, 1000), 0);
    for (unsigned second = 1; second <= 5; second++)
        assert_int_equal(admitted(&limit, 10, start_us + second * (uint64_t)US_PER_SECOND, 1000), 1);
    assert_int_equal(admitted(&limit, 10, start_us + 8 * (uint64_t)US_PER_SECOND, 1000), 3);
    assert_int_equal(admitted(&limit, 10, start_us + 100 * (uint64_t)US_PER_SECOND, 1000), 10);
}

TEST(where_one_is_enough_there_is_one_a_second) {
    struct log_limit limit = {0};
    (void)state;
    assert_int_equal(admitted(&limit, 1, 1, 1000), 1);
    assert_int_equal(admitted(&limit, 1, US_PER_SECOND, 1000), 0);
    assert_int_equal(admitted(&limit, 1, US_PER_SECOND + 1, 1000), 1);
}

TEST(what_was_left_out_is_told_once) {
    struct log_limit limit = {0};
    char line[64] = "a line", cut[12] = "a line";
    (void)state;
    log_limit_tell_left_out(&limit, line, 6, sizeof line);
    assert_string_equal(line, "a line");
    for (int i = 0; i < 3; i++)
        log_limit_leave_out(&limit);
    assert_true(log_limit_has_left_out(&limit));
    log_limit_tell_left_out(&limit, line, 6, sizeof line);
    assert_string_equal(line, "a line (3 more of this kind left out)");
    assert_false(log_limit_has_left_out(&limit));
    log_limit_leave_out(&limit);
    log_limit_tell_left_out(&limit, cut, 6, sizeof cut);
    assert_string_equal(cut, "a line (1 m");
}

TEST(a_long_line_leaves_room_for_it) {
    struct log_limit limit = {0};
    char line[200], told[] = " (18446744073709551615 more of this kind left out)";
    (void)state;
    assert_int_equal(log_limit_room(NULL, sizeof line), sizeof line);
    assert_int_equal(log_limit_room(&limit, sizeof line), sizeof line);
    atomic_store(&limit.left_out, UINT64_MAX);
    size_t room = log_limit_room(&limit, sizeof line);
    memset(line, 'l', room - 1);
    log_limit_tell_left_out(&limit, line, room - 1, sizeof line);
    assert_string_equal(line + room - 1, told);
    assert_int_equal(strlen(line), sizeof line - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_lines_at_once_then_one_a_second),
        cmocka_unit_test(where_one_is_enough_there_is_one_a_second),
        cmocka_unit_test(what_was_left_out_is_told_once),
        cmocka_unit_test(a_long_line_leaves_room_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
