/* SPDX-License-Identifier: MIT */
/* When a namespace is full: the bounds, and the gap between them. */
#include "policies/fullness.h"
#include "tests/support/check.h"
#include <stdlib.h>

static int set_up(void **state) {
    struct fullness *fullness = calloc(1, sizeof *fullness);
    assert_non_null(fullness);
    fullness_init(fullness);
    *state = fullness;
    return 0;
}

static int tear_down(void **state) {
    fullness_destroy(*state);
    free(*state);
    return 0;
}

/* Once full it is full until the dirty bytes are well below the bound, and not with every batch anew. */
TEST(what_was_full_has_room_again_well_below_the_bound) {
    enum { DIRTY = 8000 };
    const struct {
        size_t percent; /* of the dirty bytes */
        bool full;
    } limits[] = {{200, false}, {120, false}, {100, true},  {120, true},
                  {130, true},  {140, false}, {101, false}, {90, true}};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct space_options options = {.dirty_limit = DIRTY * limits[i].percent / 100,
                                        .quarantine_limit = 1};
        fullness_judge(*state, &options, DIRTY, 0, 0);
        assert_int_equal(fullness_is_full(*state), limits[i].full);
    }
}

TEST(the_age_of_the_oldest_change_counts_in_the_same_way) {
    struct space_options options = {.dirty_limit = 1 << 20, .dirty_age_limit = 100, .quarantine_limit = 1};
    const struct {
        uint64_t age_us;
        bool full;
    } ages[] = {{99999, false}, {100000, true}, {75000, true}, {74999, false}, {99999, false}};
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        fullness_judge(*state, &options, 0, 0, ages[i].age_us);
        assert_int_equal(fullness_is_full(*state), ages[i].full);
    }
}

TEST(without_memory_it_is_full_until_something_was_flushed) {
    struct space_options options = {.dirty_limit = 1 << 20, .quarantine_limit = 1};
    fullness_starve(*state);
    assert_true(fullness_is_full(*state));
    fullness_judge(*state, &options, 1, 0, 0);
    assert_true(fullness_is_full(*state));
    fullness_relieve(*state);
    fullness_judge(*state, &options, 1, 0, 0);
    assert_false(fullness_is_full(*state));
}

TEST(a_quarantine_at_its_limit_is_fullness_until_it_is_well_below) {
    struct space_options options = {.dirty_limit = 1 << 20, .quarantine_limit = 1000};
    const struct {
        size_t bytes;
        bool full;
    } quarantines[] = {{999, false}, {1000, true}, {750, true}, {749, false}, {999, false}};
    for (size_t i = 0; i < sizeof quarantines / sizeof quarantines[0]; i++) {
        fullness_judge(*state, &options, 0, quarantines[i].bytes, 0);
        assert_int_equal(fullness_is_full(*state), quarantines[i].full);
        assert_int_equal(fullness_is_crowded(*state), quarantines[i].full);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_was_full_has_room_again_well_below_the_bound),
        CASE(the_age_of_the_oldest_change_counts_in_the_same_way),
        CASE(a_quarantine_at_its_limit_is_fullness_until_it_is_well_below),
        CASE(without_memory_it_is_full_until_something_was_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
