/* SPDX-License-Identifier: MIT */
/*
 * A namespace at work: its options, its dirty queues, whether it is full and who waits for room.
 *
 * Constant after space_init but for its atomics; `waiting` is under waiting_mutex, which is held together with no
 * other lock and across no call of a backend or of the cache.
 */
#ifndef FOREBAY_POLICIES_SPACE_H
#define FOREBAY_POLICIES_SPACE_H

#include "policies/counter.h"
#include "policies/policy.h"
#include "policies/space_options.h"
#include "policies/write/queue.h"
#include <pthread.h>
#include <stdatomic.h>

struct quarantine;
struct tier;
struct tier_backend;
struct tier_ticket;

struct space_counters { /* written by the writer's thread */
    counter batches, rows, deletes, touches, superseded, retries, bisections, quarantined, flush_us;
};

struct space_worker_counters {    /* written by one worker */
    _Alignas(64) counter changes; /* dirty ones, accepted */
};

struct space {
    struct space_options options;
    const struct policy *policy;
    struct tier *tier;
    struct tier_backend *backend; /* NULL: none */
    int number;                   /* its index in the tier, and its number in the cache */
    size_t prefix_size;

    /* write-behind */
    struct queue *queues; /* one per worker */
    struct space_worker_counters *by_worker;
    uint64_t flush_delay_us;
    size_t batch_bytes;  /* memory that a batch may take: keys, values, bookkeeping */
    size_t flush_bytes;  /* dirty bytes from which a flush is due */
    atomic_bool full;    /* a bound was crossed; until it is well below again */
    atomic_bool starved; /* full because the cache had no room */
    atomic_bool armed;   /* the writer has seen that something is queued and looks again in time */
    atomic_bool urgent;  /* the writer was told that a batch is full */
    atomic_uint_fast64_t
        oldest_since; /* version time of the oldest unflushed change, 0: none; by the writer */
    counter full_waits, full_rejects, full_throughs;

    pthread_mutex_t waiting_mutex;
    struct tier_ticket *waiting; /* tickets parked because it is full, under waiting_mutex */
    atomic_uint waiting_count;

    struct quarantine *quarantine;
    struct space_counters flushed;
    counter loads, load_hits, load_errors; /* by readers, with fetch_add */
};

/* The namespace of a key: the one with the longest prefix. */
struct space *space_of_key(const struct tier *tier, struct slice key);

/* By name, or NULL. */
struct space *space_by_name(struct tier *tier, struct slice name);

/* Readies a namespace; false with a sentence in error. */
bool space_init(struct space *space, struct tier *tier, const struct space_options *options, int number,
                char *error, size_t error_size);
void space_destroy(struct space *space);

/* Is the namespace over a bound? Sets and clears space->full with hysteresis. Any thread. */
void space_judge_full(struct space *space, uint64_t oldest_age_us);

/* Releases those who wait for room: all when there is room again, else those whose deadline is over. Returns
 * the earliest deadline of those that remain (monotonic us), 0: none. Writer thread. */
uint64_t space_release_waiting(struct space *space, uint64_t now_us);

#endif
