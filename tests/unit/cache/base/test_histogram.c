/* SPDX-License-Identifier: MIT */
/* Which bucket a time falls into, and what is told of many. */
#include "cache/base/histogram.h"
#include "tests/support/check.h"

TEST(a_bucket_ends_at_its_power_of_two) {
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(1), 0);
    assert_int_equal(histogram_bucket(2), 1);
    assert_int_equal(histogram_bucket(3), 2);
    assert_int_equal(histogram_bucket(4), 2);
    assert_int_equal(histogram_bucket(5), 3);
    for (unsigned i = 1; i < HISTOGRAM_BUCKETS - 1; i++) {
        assert_int_equal(histogram_bucket(UINT64_C(1) << i), i);
        assert_int_equal(histogram_bucket((UINT64_C(1) << i) + 1), i + 1);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

TEST(ranks_are_upper_bounds) {
    struct histogram histogram = {0};
    struct histogram_sum sum = {0};
    assert_int_equal(histogram_rank_us(&sum, 5000), 0);
    histogram_add(&histogram, 3, 98);
    histogram_add(&histogram, 100, 1);
    histogram_add_shared(&histogram, 1000);
    histogram_collect(&sum, &histogram);
    assert_int_equal(histogram_count(&sum), 100);
    assert_int_equal(sum.sum_us, 3 * 98 + 100 + 1000);
    assert_int_equal(histogram_rank_us(&sum, 5000), 4);
    assert_int_equal(histogram_rank_us(&sum, 9800), 4);
    assert_int_equal(histogram_rank_us(&sum, 9801), 128);
    assert_int_equal(histogram_rank_us(&sum, 9900), 128);
    assert_int_equal(histogram_rank_us(&sum, 10000), 1024);
}

TEST(what_takes_longest_has_the_last_bound) {
    struct histogram histogram = {0};
    struct histogram_sum sum = {0};
    histogram_add(&histogram, UINT64_C(1) << 40, 1);
    histogram_collect(&sum, &histogram);
    assert_int_equal(sum.buckets[HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(histogram_rank_us(&sum, 5000), UINT64_C(1) << (HISTOGRAM_BUCKETS - 2));
}

TEST(what_was_before_is_taken_out) {
    struct histogram histogram = {0};
    struct histogram_sum before = {0}, sum = {0};
    histogram_add(&histogram, 10, 5);
    histogram_collect(&before, &histogram);
    histogram_add(&histogram, 1000, 2);
    histogram_collect(&sum, &histogram);
    histogram_subtract(&sum, &before);
    assert_int_equal(histogram_count(&sum), 2);
    assert_int_equal(sum.sum_us, 2000);
    assert_int_equal(histogram_rank_us(&sum, 1), 1024);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_ends_at_its_power_of_two),
        cmocka_unit_test(ranks_are_upper_bounds),
        cmocka_unit_test(what_takes_longest_has_the_last_bound),
        cmocka_unit_test(what_was_before_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
