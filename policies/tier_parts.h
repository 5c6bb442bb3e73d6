/* SPDX-License-Identifier: MIT */
/*
 * What a tier is made of: who owns what, and which thread may touch it. For the files of policies alone.
 *
 *     struct tier            one; constant after tier_create, except its atomics, and what a reload changes
 *       struct space         a namespace: options, dirty queues (one per worker), fullness, quarantine
 *       struct tier_backend  a backend: one loader (reader threads) and one writer (one thread)
 *     struct tier_worker     one per worker thread: that thread alone, except the members marked "shared"
 *     struct tier_ticket     one per connection: its worker's thread; while parked, whoever works on it
 *
 * Locks, none of which is ever held together with another one or across a call of a backend or of the cache:
 * loader.mutex, writer.mutex, store.mutex, fullness.mutex, absence.mutex, quarantine.mutex (but with
 * quarantine.file_mutex, which is before it), tier.stats_mutex, tier.halt_mutex.
 */
#ifndef FOREBAY_POLICIES_TIER_PARTS_H
#define FOREBAY_POLICIES_TIER_PARTS_H

#include "backends/nodes.h"
#include "cache/base/life_clock.h"
#include "policies/backend_calls.h"
#include "policies/service.h"
#include "policies/space.h"
#include "policies/turn.h"

struct coherence;
struct loader;
struct store;
struct writer;

struct tier_backend {
    struct tier *tier;
    struct tier_backend_options options;
    const struct backend_type *type;
    /* Of the namespaces that use it, in order of their index, with room for more; those that are added at work are
     * behind the others, and a session that was opened before opens anew (session.h). */
    const struct backend_table **tables;
    _Atomic size_t table_count;
    unsigned timeout_ms;
    struct store *store; /* which one is open */
    struct backend_nodes *nodes;
    unsigned former_node; /* the writer's (write/store_note.h): backend_options */
    struct backend_calls calls;
    struct log_limit slow_lines; /* of the log: slow_log.h */
    struct loader *loader;
    struct writer *writer;
    struct coherence *coherence; /* NULL: others that change the store are not heard */
    char down[160];              /* the reply line when it cannot be asked */
    /* When a call of its writer or readers last failed, and when the writer last had an answer; monotonic, 0: never.
     * Stored by those threads, read by anyone. */
    atomic_uint_fast64_t failed_us, answered_us;
    /* Of its writer (write/company.h), read by anyone: how many other servers use the store, and by how much its clock
     * is ahead; how far it is off at the least, ahead or behind; and whether another server has this one's node number,
     * or that cannot be seen. */
    atomic_uint others;
    atomic_int_fast64_t ahead_us;
    atomic_uint_fast64_t clock_off_us;
    atomic_bool rival;
};

/* The prefix is the space's: here, so that what is looked at in turn lies together. */
struct space_prefix {
    const char *text; /* not empty */
    size_t size;
    struct space *space;
    uint64_t head, mask; /* its first bytes, up to 8, and which of a word's bits these are */
};

/* Which namespace has which keys: constant. A reload replaces it as a whole (policies/reload/map.c). */
struct space_map {
    size_t count; /* without the default one */
    struct space *default_space;
    uint8_t first[UINT8_MAX + 1]; /* in by_prefix, of those that begin with this byte; count: there is none */
    struct space_prefix by_prefix[]; /* longest first */
};

static inline bool map_is_halted(uint64_t serial) {
    return serial & 1;
}

struct tier {
    struct tier_options options;
    struct service service;
    struct cache *cache;
    struct life_clock clock;
    /* By how much versions are drawn ahead of the wall clock: as far as some backend's is ahead. */
    atomic_uint_fast64_t ahead_us;
    uint64_t step_told_us;      /* on the log, monotonic; 0: never; by tier_maintain */
    struct space *spaces;       /* CACHE_SPACES_MAX places: none ever moves, or goes before the end */
    _Atomic size_t space_count; /* places in use; grows when all of the new one is ready */
    _Atomic(struct space_map *) map;
    /* Twice the number of its changes; and one more while no worker may begin a turn, as a reload changes it or is
     * about to (reload.c, turn.c). */
    atomic_uint_fast64_t map_serial;
    struct space *own_default;  /* of no configuration; NULL: there was one */
    pthread_mutex_t halt_mutex; /* a leaf */
    pthread_cond_t halt_over;
    atomic_bool stop_reloading;
    struct tier_backend *backends;
    size_t backend_count;
    struct tier_worker *workers;
    int folder_lock;                    /* of the data folder; -1: none is used, or another tier has it */
    struct journal *journal;            /* NULL: none */
    atomic_uint_fast64_t version_floor; /* version_floor.h */
    uint64_t recovered_version;         /* the highest of what journal and quarantines held at the start */
    atomic_uint awaiting;               /* workers whose `awaited` is not 0: hold.c */
    atomic_uint preloads;               /* that have to end before the tier is ready */
    size_t copies;           /* namespaces that are copied to another backend; constant once they are made */
    atomic_bool writers_run; /* their threads, or they are about to */
    atomic_bool draining, stop_draining;
    atomic_bool hands_over; /* nothing new is held back: tier_hands_over */
    uint64_t replayed, replayed_files, replay_ms;
    pthread_mutex_t stats_mutex;
    /* At the last reset; under stats_mutex. */
    struct tier_counters counters_base;
    struct tier_counters space_counters_base[CACHE_SPACES_MAX];
    struct histogram_sum latency_base[CACHE_SPACES_MAX][USAGE_KINDS];
};

/* The cache of a tier. False: there is no memory for it; a sentence in ret_error. */
bool tier_create_cache(const struct cache_options *options, struct cache **ret_cache, char *ret_error,
                       size_t error_size);

/* Whether a namespace writes a journal, and there is a folder for that. */
bool tier_wants_journal(const struct tier_options *options);

/* tier_now, as versions are to be drawn. */
struct cache_time tier_now_for_versions(const struct tier *tier);

/* Writers: lives that ended by this second are over for certain, so that their rows can go; 0: none is known to be. */
uint32_t tier_over_at(const struct tier *tier);

#endif
