/* SPDX-License-Identifier: MIT */
/* Nothing that was added is missed, few others are found, and no more than 12 bits are taken. */
#include "policies/bloom.h"
#include "tests/support/check.h"

enum { KEYS = 200000 };

/* splitmix64: a hash of each number. */
static uint64_t hash_of(uint64_t number) {
    uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static void add_up_to(struct bloom *bloom, uint64_t from, uint64_t to) {
    for (uint64_t number = from; number < to; number++)
        bloom_add(bloom, hash_of(number));
}

/* Of so many others, how many are found. */
static unsigned found(const struct bloom *bloom, unsigned others) {
    unsigned count = 0;
    for (unsigned i = 0; i < others; i++)
        count += bloom_has(bloom, hash_of((UINT64_C(1) << 40) + i));
    return count;
}

TEST(it_forgets_nothing_and_finds_few_others) {
    static const size_t sizes[] = {0, 1, 100, 2730, KEYS};
    for (unsigned i = 0; i < 5; i++) {
        struct bloom *bloom = bloom_create(sizes[i]);
        assert_non_null(bloom);
        assert_int_equal(found(bloom, 1000), 0);
        add_up_to(bloom, 0, sizes[i]);
        for (uint64_t number = 0; number < sizes[i]; number++)
            assert_true(bloom_has(bloom, hash_of(number)));
        assert_false(bloom_is_crowded(bloom));
        assert_in_range(found(bloom, 100000), 0, 600);
        bloom_destroy(bloom);
    }
}

TEST(it_is_crowded_before_one_in_100_others_is_found) {
    struct bloom *bloom = bloom_create(KEYS);
    uint64_t number = 0;
    for (; !bloom_is_crowded(bloom); number += 100)
        add_up_to(bloom, number, number + 100);
    assert_in_range(number, KEYS + KEYS / 10, KEYS + KEYS / 6);
    assert_in_range(found(bloom, 200000), 200, 2000);
    bloom_destroy(bloom);
}

TEST(it_takes_12_bits_for_each) {
    assert_in_range(bloom_bytes(KEYS) * 8, (size_t)KEYS * 12 - 1024, (size_t)KEYS * 12);
    assert_int_equal(bloom_bytes(0), 4096);
}

TEST(what_is_added_again_does_not_count) {
    struct bloom *bloom = bloom_create(KEYS);
    add_up_to(bloom, 0, 1000);
    size_t once = bloom_count(bloom);
    add_up_to(bloom, 0, 1000);
    assert_in_range(once, 990, 1000);
    assert_int_equal(bloom_count(bloom), once);
    bloom_destroy(bloom);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_forgets_nothing_and_finds_few_others),
        cmocka_unit_test(it_is_crowded_before_one_in_100_others_is_found),
        cmocka_unit_test(it_takes_12_bits_for_each),
        cmocka_unit_test(what_is_added_again_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
