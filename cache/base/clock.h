/* SPDX-License-Identifier: MIT */
/*
 * The clocks, in microseconds. Deadlines, pauses and durations (idle times and uptime among them) are of the monotonic
 * clock, which stands still while the machine sleeps: nobody could speak meanwhile. Versions and what people read are
 * of the wall clock, which an operator may set. Lives are counted by the machine's clock (cache/base/life_clock.h).
 * Any thread.
 */
#ifndef FOREBAY_CACHE_BASE_CLOCK_H
#define FOREBAY_CACHE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { US_PER_SECOND = 1000000, US_PER_MS = 1000 };

static inline uint64_t clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * US_PER_SECOND + (uint64_t)now.tv_nsec / 1000;
}

/* Microseconds since the machine started, or about that: never goes back. */
static inline uint64_t monotonic_us(void) {
    return clock_us(CLOCK_MONOTONIC);
}

static inline uint32_t monotonic_seconds(void) {
    return (uint32_t)(monotonic_us() / US_PER_SECOND);
}

/* The same, and goes on while the machine sleeps. */
static inline uint64_t boot_us(void) {
    return clock_us(CLOCK_BOOTTIME);
}

/* Microseconds since 1970. */
static inline uint64_t wall_us(void) {
    return clock_us(CLOCK_REALTIME);
}

#endif
