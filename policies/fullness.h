/* SPDX-License-Identifier: MIT */
/*
 * When a write-behind namespace is full, and who waits for room. What is done then (on_full) is
 * write_behind.c's.
 *
 *     room --dirty bytes at dirty_limit, or the oldest at dirty_age_limit, or the cache has no memory,
 *            or the quarantine at quarantine_limit--> full
 *          <--all well below, and something was flushed since the cache had none--'
 *
 * The gap between the bounds keeps writers from being let in and stopped again with every batch.
 *
 * Locks: `waiting` is under the mutex, which is held together with no other lock.
 */
#ifndef FOREBAY_POLICIES_FULLNESS_H
#define FOREBAY_POLICIES_FULLNESS_H

#include "cache/base/counter.h"
#include "policies/space_options.h"
#include <pthread.h>
#include <stdatomic.h>

struct tier_ticket;

/* Part of a namespace. */
struct fullness {
    atomic_bool full;                 /* a bound was crossed; until it is well below again */
    atomic_bool starved;              /* full because the cache had no room */
    atomic_bool crowded;              /* full because the quarantine has reached its limit */
    counter waits, rejects, throughs; /* what was done then; by workers, with fetch_add */
    pthread_mutex_t mutex;
    struct tier_ticket *waiting; /* under the mutex */
    atomic_uint waiting_count;
};

void fullness_init(struct fullness *fullness);
void fullness_destroy(struct fullness *fullness);

static inline bool fullness_is_full(const struct fullness *fullness) {
    return atomic_load_explicit(&fullness->full, memory_order_relaxed);
}

/* Is it full for the sake of its quarantine? What the backend refuses would have to be kept: whatever on_full says,
 * nothing is let through. */
static inline bool fullness_is_crowded(const struct fullness *fullness) {
    return atomic_load_explicit(&fullness->crowded, memory_order_relaxed);
}

/* Sets or clears `full` by what is dirty and in quarantine now. Writer thread. */
void fullness_judge(struct fullness *fullness, const struct space_options *options, size_t dirty_bytes,
                    size_t quarantined_bytes, uint64_t oldest_age_us);

/* Worker: after a change. dirty_bytes: of the whole namespace. */
static inline void fullness_note(struct fullness *fullness, const struct space_options *options,
                                 size_t dirty_bytes) {
    if (dirty_bytes >= options->dirty_limit)
        atomic_store_explicit(&fullness->full, true, memory_order_relaxed);
}

/* Worker: the cache had no memory for a change. Full until something was flushed. */
void fullness_starve(struct fullness *fullness);

/* Writer thread: something was flushed, or nothing is left to be. */
void fullness_relieve(struct fullness *fullness);

/* Worker: the ticket waits for room until its deadline_us. */
void fullness_wait(struct fullness *fullness, struct tier_ticket *ticket);

/* Returns those who wait: all when there is room again, else those whose deadline is over, with
 * room_denied set. Returns the time until which some that remain can be left alone (monotonic us), 0: none
 * remains. Writer thread. */
uint64_t fullness_release(struct fullness *fullness, uint64_t now_us);

#endif
