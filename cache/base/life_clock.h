/* SPDX-License-Identifier: MIT */
/*
 * The clock of lives: Unix time that does not jump when the wall clock does.
 *
 * Expiry times are Unix seconds, in memory, in journals and in stores, so that they mean the same after a restart and
 * to others. But a wall clock is set: by an operator, by a time service that finds it wrong, by mistake and back
 * again. If lives were counted by it, a step forward would end them all at once. So what has expired is decided by
 * this clock. It is the wall clock's as it was at the start, goes on as the machine's own clock goes (that of
 * CLOCK_BOOTTIME: a machine that sleeps does not stop the lives of sessions), and where the wall clock has stepped, it
 * goes faster or slower by LIFE_CLOCK_SHARE until they agree again. A wall clock that is off by more than a day
 * corrects one that was wrong altogether: once it has been steady for LIFE_CLOCK_STEADY_US, its time is taken over at
 * once. Only then can this clock go back.
 *
 * As long as the two differ, a life that begins is counted from the later one (cache_time.lives_from): neither memory
 * nor whoever reads the store by the wall clock ends it before its time. What only goes away (rows that are purged)
 * goes when both say that its life is over, and the wall clock has been steady.
 *
 * Threads: life_clock_tick is for one thread, about ten times a second; all others may be called by any. Nothing
 * blocks. Times are microseconds; boot_us is of CLOCK_BOOTTIME, wall_us of CLOCK_REALTIME.
 */
#ifndef FOREBAY_CACHE_BASE_LIFE_CLOCK_H
#define FOREBAY_CACHE_BASE_LIFE_CLOCK_H

#include "cache/base/entry.h"
#include <stdatomic.h>

enum { LIFE_CLOCK_SHARE = 8 }; /* it gains or loses at most one second in so many */
#define LIFE_CLOCK_STEP_US                                                                                   \
    (UINT64_C(2) * US_PER_SECOND) /* less is no step: a leap second, a slow correction */
#define LIFE_CLOCK_STEADY_US (UINT64_C(600) * US_PER_SECOND)
#define LIFE_CLOCK_WRONG_US  (UINT64_C(86400) * US_PER_SECOND)

struct life_clock {
    atomic_int_fast64_t ahead_us;         /* of CLOCK_BOOTTIME */
    atomic_int_fast64_t wall_ahead_us;    /* of CLOCK_BOOTTIME, when it was looked at last */
    atomic_uint_fast64_t steady_since_us; /* boot_us */
    uint64_t ticked_us;                   /* boot_us of the last tick; the ticking thread's */
};

void life_clock_init(struct life_clock *clock, uint64_t boot_us, uint64_t wall_us);

/* Follows the wall clock. By how much that has stepped since the last tick; 0: it has not. */
int64_t life_clock_tick(struct life_clock *clock, uint64_t boot_us, uint64_t wall_us);

struct cache_time life_clock_at(const struct life_clock *clock, uint64_t boot_us, uint64_t wall_us);

/* Lives that ended by this second are over whatever the clocks do; 0: nobody can say now. */
uint32_t life_clock_over_at(const struct life_clock *clock, uint64_t boot_us, uint64_t wall_us);

static inline struct cache_time life_clock_now(const struct life_clock *clock) {
    return life_clock_at(clock, boot_us(), wall_us());
}

#endif
