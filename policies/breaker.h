/* SPDX-License-Identifier: MIT */
/*
 * A breaker: whether a backend is worth asking now. Closed while calls succeed; a few failures in a row open
 * it, and then nothing is asked until a pause is over. The pause doubles with each further failure up to a
 * ceiling, with jitter, so that many servers do not return to a store that came back all at once.
 *
 *     CLOSED --BREAKER_PATIENCE failures--> OPEN --pause over--> HALF_OPEN --success--> CLOSED
 *                                             ^------failure--------'
 *
 * Each failure sets a pause, also before the breaker opens: retry_at. Not thread-safe: its owner's lock, or
 * its owner's thread; but any thread may read state, retry_at and opened.
 */
#ifndef FOREBAY_POLICIES_BREAKER_H
#define FOREBAY_POLICIES_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum {
    BREAKER_PATIENCE = 3,        /* failures in a row that open it */
    BREAKER_FIRST_PAUSE = 20,    /* ms after the first failure */
    BREAKER_LONGEST_PAUSE = 2000 /* ms: how late a store that came back is noticed at most */
};

struct breaker {
    atomic_int state;              /* enum breaker_state */
    unsigned failures;             /* in a row */
    atomic_uint_fast64_t retry_at; /* monotonic us: nothing is to be asked before */
    uint64_t random;
    atomic_uint_fast64_t opened; /* times, for statistics */
    uint64_t told;               /* hash of the reason that was told last */
    uint64_t tell_at_us;         /* another one is not told before, monotonic */
    uint64_t tell_pause_us;
};

void breaker_init(struct breaker *breaker, uint64_t seed);

/* May the backend be asked now? When the pause of an open breaker is over, the first to ask is the probe. */
bool breaker_admits(struct breaker *breaker, uint64_t now_us);

/* Is there any use in queueing work for it? False while it is open and its pause lasts, or the probe is
 * out. */
bool breaker_hopeful(const struct breaker *breaker, uint64_t now_us);

/* A call was answered. True: this has closed it. */
bool breaker_success(struct breaker *breaker);

/* A call failed. True: this has opened it; false where a probe failed. */
bool breaker_failure(struct breaker *breaker, uint64_t now_us);

/* The same, where failures are told. True: this reason is to be told, as the failure has opened the breaker, or as the
 * reason has become another one since, and with it perhaps the remedy. The pause between two lines of one outage
 * doubles from a second up to ten minutes, so that reasons that alternate fill no log. */
bool breaker_failure_is_news(struct breaker *breaker, const char *reason, uint64_t now_us);

static inline enum breaker_state breaker_state(const struct breaker *breaker) {
    return (enum breaker_state)atomic_load_explicit(&breaker->state, memory_order_relaxed);
}

static inline uint64_t breaker_retry_at(const struct breaker *breaker) {
    return atomic_load_explicit(&breaker->retry_at, memory_order_relaxed);
}

/* "closed", "open", "half-open" */
const char *breaker_state_name(enum breaker_state state);

#endif
