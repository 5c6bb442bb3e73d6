/* SPDX-License-Identifier: MIT */
#include "cache/base/life_clock.h"

static int64_t load(const atomic_int_fast64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

static int64_t difference(uint64_t a_us, uint64_t b_us) {
    return (int64_t)(a_us - b_us);
}

static uint64_t size_of(int64_t us) {
    return us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
}

static uint64_t life_us(const struct life_clock *clock, uint64_t boot_us) {
    return boot_us + (uint64_t)load(&clock->ahead_us);
}

void life_clock_init(struct life_clock *clock, uint64_t boot_us, uint64_t wall_us) {
    atomic_init(&clock->ahead_us, difference(wall_us, boot_us));
    atomic_init(&clock->wall_ahead_us, difference(wall_us, boot_us));
    atomic_init(&clock->steady_since_us, boot_us);
    clock->ticked_us = boot_us;
}

static bool is_step(const struct life_clock *clock, int64_t wall_ahead_us) {
    return size_of(wall_ahead_us - load(&clock->wall_ahead_us)) >= LIFE_CLOCK_STEP_US;
}

static bool is_steady(const struct life_clock *clock, uint64_t boot_us) {
    return boot_us - atomic_load_explicit(&clock->steady_since_us, memory_order_relaxed) >=
           LIFE_CLOCK_STEADY_US;
}

/* By how much the clock may move towards the wall clock in a tick of this length. */
static int64_t share(int64_t off_us, uint64_t passed_us) {
    int64_t most = (int64_t)(passed_us / LIFE_CLOCK_SHARE);
    return off_us > most ? most : off_us < -most ? -most : off_us;
}

int64_t life_clock_tick(struct life_clock *clock, uint64_t boot_us, uint64_t wall_us) {
    int64_t wall_ahead_us = difference(wall_us, boot_us), ahead_us = load(&clock->ahead_us);
    int64_t step_us = is_step(clock, wall_ahead_us) ? wall_ahead_us - load(&clock->wall_ahead_us) : 0;
    if (step_us != 0)
        atomic_store_explicit(&clock->steady_since_us, boot_us, memory_order_relaxed);
    atomic_store_explicit(&clock->wall_ahead_us, wall_ahead_us, memory_order_relaxed);
    int64_t off_us = wall_ahead_us - ahead_us;
    bool wrong = size_of(off_us) > LIFE_CLOCK_WRONG_US && is_steady(clock, boot_us);
    ahead_us += wrong ? off_us : share(off_us, boot_us - clock->ticked_us);
    atomic_store_explicit(&clock->ahead_us, ahead_us, memory_order_relaxed);
    clock->ticked_us = boot_us;
    return step_us;
}

struct cache_time life_clock_at(const struct life_clock *clock, uint64_t boot_us, uint64_t wall_us) {
    uint64_t now_us = life_us(clock, boot_us), later_us = now_us > wall_us ? now_us : wall_us;
    return (struct cache_time){.us = wall_us,
                               .seconds = (uint32_t)(now_us / US_PER_SECOND),
                               .lives_from = (uint32_t)(later_us / US_PER_SECOND)};
}

uint32_t life_clock_over_at(const struct life_clock *clock, uint64_t boot_us, uint64_t wall_us) {
    uint64_t now_us = life_us(clock, boot_us), earlier_us = now_us < wall_us ? now_us : wall_us;
    bool steady = is_steady(clock, boot_us) && !is_step(clock, difference(wall_us, boot_us));
    return steady ? (uint32_t)(earlier_us / US_PER_SECOND) : 0;
}
