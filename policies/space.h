/* SPDX-License-Identifier: MIT */
/*
 * A namespace at work: its options, its dirty queues, whether it is full (fullness.h), its quarantine.
 *
 * Constant after space_init, except for the queues, fullness, the quarantine, atomics and counters, and the options
 * that a reload changes (space_adjust). One that a reload removes stays where it is, retired, so that whoever still
 * knows it may go on looking at it.
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
struct copy;
struct quarantine;
struct queue;
struct space_map;
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
    /* These two change once, where a namespace is added at work: it is cache-aside until it may begin (reload.c). */
    _Atomic(const struct policy *) policy;
    _Atomic(struct tier_backend *) backend; /* NULL: none */
    struct tier *tier;
    int number; /* its index in the tier, and its number in the cache */
    unsigned journal_number;
    /* It is in no map: nobody asks for its keys, nothing of it is dirty or in quarantine, and it does not come back
     * unless a reload adds it again. */
    atomic_bool retired;
    bool complete; /* by a reload: one that was added, and could come back after it was removed */
    /* Write-through changes that are with the writer, or will be at the end of a turn. */
    atomic_uint changing;
    size_t prefix_size;
    /* Of its store (backends/key.h): keys are whole numbers after the prefix. Constant once the backends are made. */
    bool integer_keys;
    /* What recovery has restored up to this version may be older than the store's row as long as it is not clean: asked
     * before it is believed (write/confirm.h). 0: nothing is. Falls to 0 once, by the writer. */
    atomic_uint_fast64_t unconfirmed;

    /* write-behind */
    struct queue *queues; /* one per worker */
    struct space_worker_counters *by_worker;
    size_t batch_bytes;         /* memory that a batch may take: keys, values, bookkeeping */
    _Atomic size_t flush_bytes; /* dirty bytes from which a flush is due */
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
    struct log_limit key_lines;     /* the same, of level debug: tell_key */

    struct copy *copy; /* to another backend (write/copy.h); NULL: none. Constant */

    /* with a backend */
    struct absence *absence;               /* NULL: no filter is wanted */
    struct breaker read_breaker;           /* of its table alone; under loader.mutex */
    struct breaker write_breaker;          /* the same; the writer's thread */
    counter loads, load_hits, load_errors; /* by readers, with fetch_add */
    counter rows_unreadable;               /* by readers and the writer, with fetch_add */
    counter load_unfit;                    /* rows that memory cannot take (row.h): readers and the writer */
    atomic_uint_fast64_t unfit_told_us;    /* when the log was last told of one, monotonic; 0: never */
};

/* A map of these, of which one has the prefix ""; NULL: no memory. To be freed. */
struct space_map *space_map_create(struct space *const *spaces, size_t count);

/* The namespace of a key: the one with the longest prefix. In a turn, or where nothing is reloaded. */
struct space *space_of_key(const struct tier *tier, struct slice key);

bool space_has_integer(const struct space *space, struct slice key);

/* Whether the namespace's store can have a row of this key. */
static inline bool space_has_key(const struct space *space, struct slice key) {
    return !space->integer_keys || space_has_integer(space, key);
}

static inline uint64_t space_flush_delay_us(const struct space *space) {
    return (uint64_t)space->options.flush_delay * US_PER_MS;
}

/* What the cache is to know of the namespace, with these options. */
struct cache_space_options space_cache_options(const struct space_options *options);

/* Takes over those options that may change while the namespace is at work; the cache is told by the caller. One thread
 * at a time; those who read them see each change at once, and by itself. */
void space_adjust(struct space *space, const struct space_options *options);

static inline bool space_is_retired(const struct space *space) {
    return atomic_load_explicit(&space->retired, memory_order_relaxed);
}

/* Whether what its journal has is worth keeping when the store has it, too: where that loses something, it can be
 * written again. */
bool space_keeps_journal(const struct space *space);

/* By name, or NULL; not one that is retired. */
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

/* The same in the tier's next place, and in the cache; the caller counts it (space_count). False: the place is as it
 * was. */
bool space_make(struct tier *tier, const struct space_options *options, char *error, size_t error_size);

/* Gives it the next index of its backend's tables; sessions that are opened from now on know it. */
void space_list_table(struct space *space, struct tier_backend *backend);

/* Of a namespace that holds back: opens its quarantine, and raises *highest to the highest version in it. False with a
 * sentence in error. */
bool space_open_quarantine(struct space *space, uint64_t *highest, char *error, size_t error_size);

#endif
