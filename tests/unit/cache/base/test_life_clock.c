/* SPDX-License-Identifier: MIT */
/* What steps of the wall clock do to lives (cache/base/life_clock.h). Time passes as the test says. */
#include "cache/base/life_clock.h"
#include "tests/support/check.h"

#define SECOND_US ((int64_t)US_PER_SECOND)
#define HOUR_US   (3600 * SECOND_US)
#define DAY_US    (24 * HOUR_US)

struct clocks {
    struct life_clock clock;
    uint64_t boot_us, wall_us;
};

static void start(struct clocks *clocks) {
    clocks->boot_us = UINT64_C(5000) * US_PER_SECOND;
    clocks->wall_us = UINT64_C(1700000000) * US_PER_SECOND;
    life_clock_init(&clocks->clock, clocks->boot_us, clocks->wall_us);
}

/* Seconds go by, the wall clock's among them; the sum of the steps that were seen. */
static int64_t pass(struct clocks *clocks, unsigned seconds) {
    int64_t stepped_us = 0;
    for (unsigned i = 0; i < seconds; i++) {
        uint32_t before = life_clock_at(&clocks->clock, clocks->boot_us, clocks->wall_us).seconds;
        clocks->boot_us += US_PER_SECOND;
        clocks->wall_us += US_PER_SECOND;
        stepped_us += life_clock_tick(&clocks->clock, clocks->boot_us, clocks->wall_us);
        if (life_clock_at(&clocks->clock, clocks->boot_us, clocks->wall_us).seconds < before)
            fail_msg("the clock of lives went back");
    }
    return stepped_us;
}

static struct cache_time now(const struct clocks *clocks) {
    return life_clock_at(&clocks->clock, clocks->boot_us, clocks->wall_us);
}

static uint32_t over_at(const struct clocks *clocks) {
    return life_clock_over_at(&clocks->clock, clocks->boot_us, clocks->wall_us);
}

static uint32_t wall_seconds(const struct clocks *clocks) {
    return (uint32_t)(clocks->wall_us / US_PER_SECOND);
}

TEST(without_steps_it_is_the_wall_clock) {
    (void)state;
    struct clocks clocks;
    start(&clocks);
    assert_int_equal(pass(&clocks, 10000), 0);
    assert_int_equal(now(&clocks).us, clocks.wall_us);
    assert_int_equal(now(&clocks).seconds, wall_seconds(&clocks));
    assert_int_equal(now(&clocks).lives_from, wall_seconds(&clocks));
}

TEST(a_step_moves_no_life_before_or_after_the_tick) {
    static const int64_t steps[] = {HOUR_US, -HOUR_US, 300 * DAY_US, -300 * DAY_US};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct clocks clocks;
        start(&clocks);
        pass(&clocks, 1000);
        uint32_t before = now(&clocks).seconds;
        clocks.wall_us += (uint64_t)steps[i];
        assert_int_equal(now(&clocks).seconds, before);
        assert_int_equal(now(&clocks).us, clocks.wall_us); /* versions go by the wall clock, as ever */
        assert_int_equal(life_clock_tick(&clocks.clock, clocks.boot_us, clocks.wall_us), steps[i]);
        assert_int_equal(now(&clocks).seconds, before);
        uint32_t later = before > wall_seconds(&clocks) ? before : wall_seconds(&clocks);
        assert_int_equal(now(&clocks).lives_from, later);
    }
}

/* The half hour that a session had takes 27 to 34 minutes, and in eight hours the clocks agree. */
TEST(the_clocks_agree_again_by_small_shares) {
    (void)state;
    for (int direction = -1; direction <= 1; direction += 2) {
        struct clocks clocks;
        start(&clocks);
        clocks.wall_us += (uint64_t)(direction * HOUR_US);
        uint32_t before = now(&clocks).seconds;
        assert_int_equal(pass(&clocks, 1800), direction * HOUR_US);
        assert_int_equal(now(&clocks).seconds - before, 1800 + direction * 1800 / LIFE_CLOCK_SHARE);
        pass(&clocks, 8 * 3600 - 1800);
        assert_int_equal(now(&clocks).seconds, wall_seconds(&clocks));
        assert_int_equal(now(&clocks).lives_from, wall_seconds(&clocks));
    }
}

TEST(a_step_that_is_taken_back_has_been_next_to_nothing) {
    (void)state;
    struct clocks clocks;
    start(&clocks);
    clocks.wall_us += (uint64_t)HOUR_US;
    pass(&clocks, 80);
    clocks.wall_us -= (uint64_t)HOUR_US;
    assert_int_equal(now(&clocks).seconds - wall_seconds(&clocks), 80 / LIFE_CLOCK_SHARE);
    pass(&clocks, 80);
    assert_int_equal(now(&clocks).seconds, wall_seconds(&clocks));
}

TEST(a_clock_that_was_wrong_altogether_is_corrected_once_it_is_steady) {
    (void)state;
    struct clocks clocks;
    start(&clocks);
    pass(&clocks, 10);
    clocks.wall_us += (uint64_t)(300 * DAY_US);
    pass(&clocks, 590);
    assert_true(wall_seconds(&clocks) - now(&clocks).seconds > 299 * 86400);
    pass(&clocks, 20);
    assert_int_equal(now(&clocks).seconds, wall_seconds(&clocks));
}

TEST(nothing_is_over_before_the_wall_clock_has_been_steady) {
    (void)state;
    struct clocks clocks;
    start(&clocks);
    assert_int_equal(over_at(&clocks), 0); /* it may be wrong, and about to be set */
    pass(&clocks, 590);
    assert_int_equal(over_at(&clocks), 0);
    pass(&clocks, 20);
    assert_int_equal(over_at(&clocks), wall_seconds(&clocks));
    clocks.wall_us += (uint64_t)HOUR_US;
    assert_int_equal(over_at(&clocks), 0); /* even before a tick has seen it */
    pass(&clocks, 620);
    assert_int_equal(over_at(&clocks), now(&clocks).seconds); /* the earlier clock */
    assert_true(over_at(&clocks) < wall_seconds(&clocks));
    clocks.wall_us -= (uint64_t)(2 * HOUR_US);
    pass(&clocks, 620);
    assert_int_equal(over_at(&clocks), wall_seconds(&clocks));
    assert_true(over_at(&clocks) < now(&clocks).seconds);
}

/* A leap second, or what a time service corrects at once. */
TEST(a_second_is_no_step) {
    (void)state;
    struct clocks clocks;
    start(&clocks);
    pass(&clocks, 620);
    clocks.wall_us += US_PER_SECOND;
    assert_int_equal(pass(&clocks, 1), 0);
    assert_int_not_equal(over_at(&clocks), 0);
    pass(&clocks, LIFE_CLOCK_SHARE);
    assert_int_equal(now(&clocks).seconds, wall_seconds(&clocks));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_steps_it_is_the_wall_clock),
        cmocka_unit_test(a_step_moves_no_life_before_or_after_the_tick),
        cmocka_unit_test(the_clocks_agree_again_by_small_shares),
        cmocka_unit_test(a_step_that_is_taken_back_has_been_next_to_nothing),
        cmocka_unit_test(a_clock_that_was_wrong_altogether_is_corrected_once_it_is_steady),
        cmocka_unit_test(nothing_is_over_before_the_wall_clock_has_been_steady),
        cmocka_unit_test(a_second_is_no_step),
    };
    return cmocka_run_group_tests_name("life clock", tests, NULL, NULL);
}
