/* SPDX-License-Identifier: MIT */
/*
 * How long a short run goes on. Its first rounds are the same every time. Where FOREBAY_FUZZ_SECONDS is set, others
 * follow until so many seconds have passed, each time other ones: from a seed that is told, and that FOREBAY_FUZZ_SEED
 * gives to a run which is to do the same.
 */
#ifndef FOREBAY_TESTS_FUZZ_ROUNDS_H
#define FOREBAY_TESTS_FUZZ_ROUNDS_H

#include "tests/fuzz/corpus.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct rounds {
    const char *target;
    size_t least, count;
    double seconds, until;
};

/* Of a target whose time is divided among so many tests. */
static inline struct rounds rounds_of(const char *target, size_t least, unsigned tests) {
    const char *seconds = getenv("FOREBAY_FUZZ_SECONDS");
    return (struct rounds){.target = target, .least = least, .seconds = seconds ? atof(seconds) / tests : 0};
}

/* Not clock_gettime: some programs have a clock of their own there (tests/support/passing_time.h). */
static inline double rounds_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline void rounds_begin_others(struct rounds *rounds) {
    const char *given = getenv("FOREBAY_FUZZ_SEED");
    double now = rounds_now();
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)(now * 1e6) * 1000 + (uint64_t)getpid();
    fprintf(stderr, "%s: %zu rounds as always, and others for %g seconds (FOREBAY_FUZZ_SEED=%llu)\n",
            rounds->target, rounds->count, rounds->seconds, (unsigned long long)seed);
    random_state = seed ? seed : 1; /* it would stay 0 */
    rounds->until = now + rounds->seconds;
}

/* Is there another round? Asked before each. */
static inline bool rounds_go_on(struct rounds *rounds) {
    if (rounds->count == rounds->least && rounds->seconds > 0)
        rounds_begin_others(rounds);
    bool more = rounds->count < rounds->least || (rounds->seconds > 0 && rounds_now() < rounds->until);
    if (more)
        rounds->count++;
    else if (rounds->seconds > 0)
        fprintf(stderr, "%s: %zu rounds\n", rounds->target, rounds->count);
    return more;
}

#endif
