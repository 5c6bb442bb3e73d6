/* SPDX-License-Identifier: MIT */
/*
 * How many lines of one kind the log gets: a few at once, then one a second. For what clients or neighbours can cause
 * over and over. What is left out is counted, and told with the next line that is let through. Any thread, no lock.
 */
#ifndef FOREBAY_CACHE_BASE_LOG_LIMIT_H
#define FOREBAY_CACHE_BASE_LOG_LIMIT_H

#include "cache/base/clock.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    LOG_LIMIT_BURST = 10,    /* lines at once */
    LOG_LIMIT_TOLD_MAX = 50, /* bytes of log_limit_tell_left_out */
    LOG_LIMIT_EVERY_US = US_PER_SECOND
};

/* Of one kind, all zero at first. */
struct log_limit {
    atomic_uint_fast64_t paid_until_us; /* monotonic: each line moves it by LOG_LIMIT_EVERY_US */
    atomic_uint_fast64_t left_out;
};

/* May the log have this line, where `burst` are let through at once? */
static inline bool log_limit_admits(struct log_limit *limit, unsigned burst, uint64_t now_us) {
    uint64_t ahead_us = (uint64_t)(burst - 1) * LOG_LIMIT_EVERY_US;
    uint64_t until_us = atomic_load_explicit(&limit->paid_until_us, memory_order_relaxed), next_us;
    do {
        if (until_us > now_us + ahead_us)
            return false;
        next_us = (until_us > now_us ? until_us : now_us) + LOG_LIMIT_EVERY_US;
    } while (!atomic_compare_exchange_weak(&limit->paid_until_us, &until_us, next_us));
    return true;
}

/* A line that was not let through. */
static inline void log_limit_leave_out(struct log_limit *limit) {
    atomic_fetch_add_explicit(&limit->left_out, 1, memory_order_relaxed);
}

static inline bool log_limit_has_left_out(const struct log_limit *limit) {
    return atomic_load_explicit(&limit->left_out, memory_order_relaxed) > 0;
}

/* How many lines were left out and not told of; from now on they are. */
static inline uint64_t log_limit_take_left_out(struct log_limit *limit) {
    return atomic_exchange_explicit(&limit->left_out, 0, memory_order_relaxed);
}

/* Of the bytes of a line, those that leave room for log_limit_tell_left_out. limit may be NULL. */
static inline size_t log_limit_room(const struct log_limit *limit, size_t size) {
    return limit && log_limit_has_left_out(limit) ? size - LOG_LIMIT_TOLD_MAX : size;
}

/* Says so at the end of a line, of which `used` bytes are written, cut at size; nothing if none were. */
static inline void log_limit_tell_left_out(struct log_limit *limit, char *line, size_t used, size_t size) {
    uint64_t left_out = log_limit_has_left_out(limit) ? log_limit_take_left_out(limit) : 0;
    if (left_out && used < size)
        snprintf(line + used, size - used, " (%" PRIu64 " more of this kind left out)", left_out);
}

#endif
