/* SPDX-License-Identifier: MIT */
/*
 * What a thread is at, and since when: one word, which the thread stores and anyone reads, without a lock. So whoever
 * judges whether the process goes on waits for nobody.
 */
#ifndef FOREBAY_CACHE_BASE_PROGRESS_H
#define FOREBAY_CACHE_BASE_PROGRESS_H

#include "cache/base/clock.h"
#include <stdatomic.h>

enum progress_state {
    PROGRESS_IDLE, /* waits for work: may last for ever */
    PROGRESS_WORKS,
    PROGRESS_CALLS, /* waits for a backend, or a disk */
};

enum { PROGRESS_STATE_BITS = 2 };

struct progress {
    atomic_uint_fast64_t word; /* microseconds (monotonic), then the state; 0: idle since ever */
};

/* By its thread alone. */
static inline void progress_note(struct progress *progress, enum progress_state state) {
    atomic_store_explicit(&progress->word, monotonic_us() << PROGRESS_STATE_BITS | state,
                          memory_order_relaxed);
}

/* Since when (monotonic us) it has been in this state. Any thread. */
static inline uint64_t progress_since(const struct progress *progress, enum progress_state *ret_state) {
    uint64_t word = atomic_load_explicit(&progress->word, memory_order_relaxed);
    *ret_state = (enum progress_state)(word & ((1u << PROGRESS_STATE_BITS) - 1));
    return word >> PROGRESS_STATE_BITS;
}

/* Begins a call within whatever it is at; returns what progress_end_call goes back to. By its thread alone. */
static inline enum progress_state progress_begin_call(struct progress *progress) {
    enum progress_state before;
    progress_since(progress, &before);
    progress_note(progress, PROGRESS_CALLS);
    return before;
}

static inline void progress_end_call(struct progress *progress, enum progress_state before) {
    progress_note(progress, before);
}

/* Idle, without a look at the clock. By its thread alone. */
static inline void progress_rest(struct progress *progress) {
    atomic_store_explicit(&progress->word, PROGRESS_IDLE, memory_order_relaxed);
}

/* For how long (us) it has been at work, or in a call: 0 if it is not. */
static inline uint64_t progress_at_us(const struct progress *progress, enum progress_state state,
                                      uint64_t now_us) {
    enum progress_state is;
    uint64_t since_us = progress_since(progress, &is);
    return is == state && now_us > since_us ? now_us - since_us : 0;
}

#endif
