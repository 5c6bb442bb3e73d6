/* SPDX-License-Identifier: MIT */
/*
 * What a cache and its shards are made of, for the files of this folder alone. What is done with them is
 * promised by the headers beside this one: index.h, segment.h, evict.h, memory.h, sweep.h, find.h, walk.h.
 *
 * Who may touch what:
 *
 *     struct cache          made by cache_create and cache_add_space, constant afterwards except the atomics
 *     struct cache_shard    all of it under its lock, except what its comments name
 *
 * A thread holds one shard lock. While it holds it, it may take another one only by trying (evict.c, to take
 * memory from a shard that has more than its share), and gives that back first.
 */
#ifndef FOREBAY_CACHE_SHARD_H
#define FOREBAY_CACHE_SHARD_H

#include "cache/evict.h"
#include "cache/ghost.h"
#include "cache/huge.h"
#include "cache/index.h"
#include "cache/lock.h"
#include "cache/record.h"
#include "cache/segment.h"
#include "cache/sweep.h"
#include <stdatomic.h>

enum { CHANGE_COUNTERS = 4096 };

/* Above all that the counters of changes add to a stamp. */
#define EPOCH_STEP ((uint64_t)1 << 33)

/* A namespace inside a shard. */
struct shard_space {
    uint32_t newest[QUEUES], oldest[QUEUES]; /* ends of the queues */
    uint32_t segments[QUEUES];               /* in each queue */
    uint32_t open[2][QUEUES][TTL_CLASSES];   /* [aged] */
    uint64_t dead, pinned;                   /* bytes, summed over the segments */
    uint32_t epoch;                          /* flush_alls so far */
    uint32_t void_at;                        /* the second of a flush_all to come, or SECOND_NEVER */
    bool blind;                              /* cache_set_blind */
    struct ghost *ghost;                     /* of s3-fifo, else NULL */
    /* gauges */
    uint64_t entries, bytes, tombstones, negatives, large_entries, large_bytes;
    /* counters */
    uint64_t total_stored, evictions, evicted_unfetched, expired, expired_unfetched, cleaned_bytes, no_memory;
    uint64_t found_expired, found_voided;
};

struct cache_shard {
    struct lock lock;   /* taken by everybody */
    uint32_t void_due;  /* earliest void_at of all namespaces */
    char *log;          /* constant: base of the segments */
    struct index index; /* count is read without the lock; the bases are constant */
    uint32_t *changes;  /* counters of changes, by hash */
    uint64_t epochs;    /* flush_alls of all namespaces so far, times EPOCH_STEP */
    /* Reasons for a seek to look closer: segments of an older epoch than their namespace's, and namespaces that are
     * blind. */
    uint32_t doubts;
    uint32_t segment_shift;   /* constant: segment of a reference = ref >> shift */
    _Atomic uint64_t last_us; /* of the last version drawn or seen. Read without the lock */
    struct cache *cache;      /* constant */
    struct index_owner owner; /* constant */

    struct segment *segments; /* constant address */
    uint32_t segments_max;    /* constant: what the reserved addresses allow */
    uint32_t segments_top;    /* ever used */
    uint32_t free_list;       /* resident ones, through newer */
    uint32_t free_count;
    uint32_t unused_list; /* given back to the kernel */
    uint32_t births;
    uint32_t pin; /* the record under a cursor: evacuations carry it and keep this up to date */
    uint32_t now; /* the second of the last change or maintenance */
    struct evacuation evacuation;
    uint32_t evacuations; /* ever begun */
    struct sweep sweep;
    uint32_t clean_hand;       /* where the cleaner looks next */
    uint32_t shrinks;          /* of the index, so far: a walk may have missed something */
    struct huge_progress huge; /* touched by huge_step alone, and by expect.c before it */
    _Atomic size_t used;       /* bytes: segments, index, large values. Read without the lock */
    size_t index_counted;      /* bytes of index in used */
    uint64_t log_bytes;        /* segments open or sealed */
    uint64_t dead;             /* holes in them */
    struct region region;
    struct shard_space spaces[CACHE_SPACES_MAX];
};

/* A namespace of the whole cache. */
struct cache_space {
    struct cache_space_options options;
    /* Bytes that it cannot exceed now, 0: none. Where the options' ceiling was lowered below what it has,
     * cache_maintain takes it there in steps: stores evict what they need, and never all that is too much. By the one
     * thread that maintains, or adjusts. */
    _Atomic size_t ceiling;
    _Atomic size_t used; /* bytes: segments, large values */
    _Atomic size_t dirty_bytes, dirty_entries;
    atomic_bool closed; /* changed and looked at with the lock of every shard */
};

struct cache {
    struct cache_options options;
    struct keyed_hash secret;     /* of the hashes */
    unsigned shards, shard_shift; /* shard of a hash = hash >> 32 >> shift */
    struct cache_shard **shard;
    uint32_t segment_size, large_from; /* bytes; values from large_from on are large */
    unsigned class_shift;              /* merges TTL classes where there are few segments */
    size_t reserve;                    /* bytes of the limit: see memory.h */
    bool huge_index; /* the shards are so large that a huge page for each one's index does not matter */
    _Atomic unsigned spaces; /* only grows, when all of the new one is ready */
    struct cache_space space[CACHE_SPACES_MAX];
    _Atomic size_t limit;
    _Atomic size_t used;
    _Atomic size_t others;                            /* of used: cache_take_memory */
    _Atomic(struct cache_visitor *) eviction_watcher; /* or NULL */
};

static inline struct cache_shard *cache_shard_of(const struct cache *cache, uint64_t hash) {
    return cache->shard[hash >> 32 >> cache->shard_shift];
}

static inline struct record *shard_record(const struct cache_shard *shard, uint32_t ref) {
    return (struct record *)(void *)(shard->log + (size_t)ref * RECORD_UNIT);
}

static inline uint64_t shard_hash(const struct cache_shard *shard, const struct record *record) {
    return hash_key(&shard->cache->secret, record_key(record));
}

static inline struct segment *shard_segment(const struct cache_shard *shard, uint32_t ref) {
    return &shard->segments[ref >> shard->segment_shift];
}

static inline uint32_t segment_ref(const struct cache_shard *shard, uint32_t number, uint32_t offset) {
    return (number << shard->segment_shift) + offset / RECORD_UNIT;
}

static inline uint32_t change_counter_of(uint64_t hash) {
    return hash >> 28 & (CHANGE_COUNTERS - 1);
}

static inline uint32_t *shard_change_counter(const struct cache_shard *shard, uint64_t hash) {
    return &shard->changes[change_counter_of(hash)];
}

/* Its records are from before the last flush_all: the clean ones may be forgotten, the others once they are
 * settled. */
static inline bool segment_is_voided(const struct cache_shard *shard, const struct segment *segment) {
    return segment->epoch != shard->spaces[segment->space].epoch;
}

/* Its namespace is blind: what is clean is neither shown nor dropped. */
static inline bool shard_is_blind_to(const struct cache_shard *shard, uint32_t ref) {
    return shard->spaces[shard_segment(shard, ref)->space].blind &&
           record_state(shard_record(shard, ref)) == CACHE_CLEAN;
}

/* What a load brings is kept only if this is the same afterwards: the key's changes, and the epochs. */
static inline uint64_t shard_stamp(const struct cache_shard *shard, uint64_t hash) {
    return shard->epochs + *shard_change_counter(shard, hash) + 1;
}

/* A record that is over is kept by its namespace as long as its residency alone has ended. */
static inline bool shard_keeps_stale(const struct cache_shard *shard, uint32_t ref, uint32_t now) {
    return shard->cache->space[shard_segment(shard, ref)->space].options.keep_stale &&
           !record_expired(shard_record(shard, ref), now);
}

/* True when a record can be forgotten: its life is over or it was voided, and no backend waits for it. */
static inline bool shard_is_over(const struct cache_shard *shard, uint32_t ref, uint32_t now) {
    const struct record *record = shard_record(shard, ref);
    if (record_is_over(record, now) && !shard_keeps_stale(shard, ref, now))
        return true;
    if (__builtin_expect(shard->doubts == 0, 1))
        return false;
    return segment_is_voided(shard, shard_segment(shard, ref)) && record_state(record) == CACHE_CLEAN;
}

/* ---- shard.c ---- */

/* An empty shard with that many addresses; NULL: there are fewer, or no memory. */
struct cache_shard *shard_create(struct cache *cache, size_t reserve_bytes);
void shard_destroy(struct cache_shard *shard);

/* Counts a record in or out of its namespace's gauges and its segment's pins. Every change of a record's
 * size, kind or state happens between leave and join. */
void shard_join(struct cache_shard *shard, uint32_t ref);
void shard_leave(struct cache_shard *shard, uint32_t ref);

/* Why a record is dropped; it chooses the counter. OVER: see shard_is_over. */
enum reason { REASON_REPLACED, REASON_OVER, REASON_EVICTED };

/* Drops a record: out of the index, out of the gauges, its place becomes a hole. shard_drop_record leaves the
 * index to the caller. */
void shard_drop(struct cache_shard *shard, uint32_t ref, uint64_t hash, enum reason reason);
void shard_drop_record(struct cache_shard *shard, uint32_t ref, enum reason reason);

/* Counts that a seek found an entry that is over, and why. */
void shard_count_found_over(struct cache_shard *shard, uint32_t ref, uint32_t now);

/* Puts the index pages into the count of memory. */
void shard_count_index(struct cache_shard *shard);

/* Voids the namespaces whose flush_all was given a second that has come. */
void shard_void_due(struct cache_shard *shard, uint32_t now);

/* Draws the next version of the shard, for the key with this hash: larger than every one drawn or seen there,
 * and another than any shard draws for any key. */
uint64_t shard_next_version(struct cache_shard *shard, uint64_t hash, uint64_t now_us);
/* One above ENTRY_VERSION_HIGHEST is passed over. */
void shard_saw_version(struct cache_shard *shard, uint64_t version);
/* The time of the last version drawn or seen there. Without the lock: a hint. */
uint64_t shard_last_us(const struct cache_shard *shard);

#endif
