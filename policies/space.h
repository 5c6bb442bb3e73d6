/* SPDX-License-Identifier: MIT */
/*
 * A namespace at work: its options, its dirty queues, whether it is full (fullness.h), its quarantine.
 *
 * Constant after space_init, except for the queues, fullness, the quarantine, atomics and counters.
 */
#ifndef FOREBAY_POLICIES_SPACE_H
#define FOREBAY_POLICIES_SPACE_H

#include "cache/base/counter.h"
#include "cache/base/log_limit.h"
#include "policies/breaker.h"
#include "policies/fullness.h"
#include "policies/policy.h"
#include "policies/space_options.h"
#include <stdatomic.h>

struct absence;
struct quarantine;
struct queue;
struct tier;
struct tier_backend;

/* What the writer counts of a namespace, under the names and in the order of `stats write_behind`. */
#define FLUSH_COUNTERS(X)                                                                                    \
    X(batches)                                                                                               \
    X(rows)                                                                                                  \
    X(rows_deleted)                                                                                          \
    X(rows_touched)                                                                                          \
    X(rows_superseded)                                                                                       \
    X(flush_us)                                                                                              \
    X(retries)                                                                                               \
    X(bisections)

struct flush_counters { /* written by the writer's thread */
#define FLUSH_COUNTER(name) counter name;
    FLUSH_COUNTERS(FLUSH_COUNTER)
#undef FLUSH_COUNTER
    counter quarantined;
};

struct space_worker_counters {    /* written by one worker */
    _Alignas(64) counter changes; /* dirty ones, accepted */
    counter coalesced;            /* of those, changes of entries that were waiting already */
};

struct space {
    struct space_options options;
    const struct policy *policy;
    struct tier *tier;
    struct tier_backend *backend; /* NULL: none */
    int number;                   /* its index in the tier, and its number in the cache */
    size_t prefix_size;
    /* Of its store (backends/key.h): keys are whole numbers after the prefix. Constant once the backends are made. */
    bool integer_keys;
    /* What recovery has restored up to this version may be older than the store's row as long as it is not clean: asked
     * before it is believed (write/confirm.h). 0: nothing is. Falls to 0 once, by the writer. */
    atomic_uint_fast64_t unconfirmed;

    /* write-behind */
    struct queue *queues; /* one per worker */
    struct space_worker_counters *by_worker;
    uint64_t flush_delay_us;
    size_t batch_bytes; /* memory that a batch may take: keys, values, bookkeeping */
    size_t flush_bytes; /* dirty bytes from which a flush is due */
    struct fullness fullness;
    atomic_bool armed;  /* the writer has seen that something is queued and looks again in time */
    atomic_bool urgent; /* the writer was told that a batch is full */
    /* by the writer */
    atomic_uint_fast64_t oldest_us; /* when the oldest unflushed change was made, monotonic; 0: none */
    atomic_uint_fast64_t low_water; /* low_water.c */
    struct quarantine *quarantine;
    struct flush_counters flushed;

    /* write-through */
    struct log_limit refused_lines; /* of the log: rows that the backend refused */

    /* with a backend */
    struct absence *absence;               /* NULL: no filter is wanted */
    struct breaker read_breaker;           /* of its table alone; under loader.mutex */
    struct breaker write_breaker;          /* the same; the writer's thread */
    counter loads, load_hits, load_errors; /* by readers, with fetch_add */
    counter rows_unreadable;               /* by readers and the writer, with fetch_add */
    counter load_unfit;                    /* rows that memory cannot take (row.h): readers and the writer */
    atomic_uint_fast64_t unfit_told_us;    /* when the log was last told of one, monotonic; 0: never */
};

/* The namespace of a key: the one with the longest prefix. */
struct space *space_of_key(const struct tier *tier, struct slice key);

bool space_has_integer(const struct space *space, struct slice key);

/* Whether the namespace's store can have a row of this key. */
static inline bool space_has_key(const struct space *space, struct slice key) {
    return !space->integer_keys || space_has_integer(space, key);
}

/* By name, or NULL. */
struct space *space_by_name(struct tier *tier, struct slice name);

/* The loss window without a journal: the age of the oldest change that is not in the backend; 0: there is none. */
uint64_t space_oldest_dirty_us(const struct space *space);

/* A row was asked for, alone, and the backend cannot read it: counts it, and says so on the log, the more rarely the
 * more there were. Readers and the writer. */
void space_note_unreadable(struct space *space, struct slice key, const char *reason);

/* Readies a namespace; false with a sentence in error. */
bool space_init(struct space *space, struct tier *tier, const struct space_options *options, int number,
                char *error, size_t error_size);
void space_destroy(struct space *space);

#endif
