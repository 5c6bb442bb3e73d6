/* SPDX-License-Identifier: MIT */
/*
 * What a cache and its shards are made of, for the files of this folder alone.
 *
 * Who may touch what:
 *   struct cache          made by cache_create and cache_add_space, afterwards constant, but for the atomics.
 *   struct cache_shard    all of it under its lock, but for what its comments name.
 * A thread holds one shard lock. While it holds it, it may take another one only by trying (evict.c, to take
 * memory from a shard that has more than its share), and gives that back first.
 *
 * Memory is counted when it is taken: cache->used is the sum of all segments that are not given back to the
 * kernel, of the index pages and of the pages of large values. It stays below cache->limit because segments
 * are taken only up to limit - reserve; the reserve covers one segment per shard that a drain fills before it
 * frees one, and the growth of the index until the next segment is taken.
 */
#ifndef FOREBAY_CACHE_SHARD_H
#define FOREBAY_CACHE_SHARD_H

#include "cache/ghost.h"
#include "cache/index.h"
#include "cache/lock.h"
#include "cache/record.h"
#include <stdatomic.h>

enum { CHANGE_COUNTERS = 4096, TTL_CLASSES = 8, SEGMENT_MIN = 16 << 10, SEGMENT_MAX = 256 << 10 };
#define SEGMENT_NONE UINT32_MAX
#define REF_NONE     UINT32_MAX
#define SECOND_NEVER UINT32_MAX

/* The queues of a namespace. lru knows the main queue alone. */
enum queue { QUEUE_MAIN, QUEUE_SMALL, QUEUES };

enum segment_status { SEGMENT_UNUSED, SEGMENT_FREE, SEGMENT_OPEN, SEGMENT_SEALED };

/* A run of the log: owned by one namespace, filled from its start, walked from its start. */
struct segment {
    uint32_t newer, older; /* neighbours in the queue (newer: also the list of free segments) */
    uint32_t used;         /* bytes written */
    uint32_t dead;         /* of them holes */
    uint32_t pinned;       /* of them records that are not clean */
    uint32_t epoch;        /* of the namespace when it was opened: older means flushed by flush_all */
    uint32_t born;         /* the shard's count of segments then: orders segments of all namespaces by age */
    uint32_t soonest,
        latest; /* deadlines of its records: soonest SECOND_NEVER, latest 0 when there is none */
    uint8_t space, queue, ttl_class, status;
    bool aged; /* filled by the cleaner: its records are as old as its neighbours' */
};

/* A namespace inside a shard. */
struct shard_space {
    uint32_t newest[QUEUES], oldest[QUEUES]; /* ends of the queues */
    uint32_t segments[QUEUES];               /* in each queue */
    uint32_t open[2][QUEUES][TTL_CLASSES];   /* [aged] */
    uint64_t dead, pinned;                   /* bytes, summed over the segments */
    uint32_t epoch;
    uint32_t flush_at; /* a flush_all to come, or SECOND_NEVER */
    struct ghost *ghost;
    /* gauges */
    uint64_t entries, bytes, tombstones, negatives, large_entries, large_bytes;
    /* counters */
    uint64_t total_stored, evictions, evicted_unfetched, expired, expired_unfetched, cleaned_bytes, no_memory;
    uint64_t found_expired, found_flushed;
};

/* The walk that empties one segment; at most one per shard, in steps. */
struct drain {
    uint32_t segment; /* or SEGMENT_NONE */
    uint32_t offset;  /* all before it is dead */
    bool evict;       /* else: compaction alone, every live record is carried */
    bool force;       /* evict: no second chances, room is needed now */
    bool for_others;  /* evict: another namespace wants the room, a floor is respected */
};

/* The walk that drops what has expired, in steps. */
struct sweep {
    uint32_t segment; /* or SEGMENT_NONE: look for the next from `next` on */
    uint32_t offset, next;
};

struct cache_shard {
    struct lock lock;         /* taken by everybody */
    uint32_t flush_due;       /* earliest flush_at of all namespaces */
    char *log;                /* constant: base of the segments */
    struct index index;       /* count is read without the lock; the bases are constant */
    uint32_t *changes;        /* counters of changes, by hash */
    uint32_t stale_segments;  /* of an older epoch than their namespace's */
    uint32_t segment_shift;   /* constant: segment of a reference = ref >> shift */
    uint64_t last_us;         /* of the last version drawn or seen */
    struct cache *cache;      /* constant */
    struct index_owner owner; /* constant */

    struct segment *segments; /* constant address */
    uint32_t segments_max;    /* constant: what the reserved addresses allow */
    uint32_t segments_top;    /* ever used */
    uint32_t free_list;       /* resident ones, through newer */
    uint32_t free_count;
    uint32_t unused_list; /* given back to the kernel */
    uint32_t births;
    uint32_t pin; /* reference of the record under a cursor: drains carry it and keep this up to date */
    uint32_t now; /* the second of the last change or maintenance */
    struct drain drain;
    uint32_t drains; /* ever begun */
    struct sweep sweep;
    uint32_t clean_hand; /* where the cleaner looks next */
    struct {
        uint32_t log_run, index_run; /* the next of each */
        uint32_t segments, grown_at; /* how far the log reached, and in which second it last grew */
        bool unsupported;
    } huge;               /* touched by huge_step alone, without the lock */
    _Atomic size_t used;  /* bytes: segments, index, large values. Read without the lock */
    size_t index_counted; /* bytes of index in used */
    uint64_t log_bytes;   /* segments open or sealed */
    uint64_t dead;        /* holes in them */
    struct region region;
    struct shard_space spaces[CACHE_SPACES_MAX];
};

/* A namespace of the whole cache. */
struct cache_space {
    struct cache_space_options options;
    _Atomic size_t used; /* bytes: segments, large values */
    _Atomic size_t dirty_bytes, dirty_entries;
};

struct cache {
    struct cache_options options;
    unsigned shards, shard_shift; /* shard of a hash = hash >> shift */
    struct cache_shard **shard;
    uint32_t segment_size, large_from; /* bytes; values from large_from on are large */
    unsigned class_shift;              /* merges TTL classes where there are few segments */
    size_t reserve;
    bool huge_index; /* the shards are so large that huge pages for their indexes do not matter */
    unsigned spaces;
    struct cache_space space[CACHE_SPACES_MAX];
    _Atomic size_t limit;
    _Atomic size_t used;
    _Atomic(struct cache_visitor *) eviction_watcher; /* or NULL */
};

static inline struct cache_shard *cache_shard_of(const struct cache *cache, uint64_t hash) {
    return cache->shard[hash >> 32 >> cache->shard_shift];
}

static inline struct record *shard_record(const struct cache_shard *shard, uint32_t ref) {
    return (struct record *)(void *)(shard->log + (size_t)ref * RECORD_UNIT);
}

static inline struct segment *shard_segment(const struct cache_shard *shard, uint32_t ref) {
    return &shard->segments[ref >> shard->segment_shift];
}

static inline uint32_t segment_ref(const struct cache_shard *shard, uint32_t number, uint32_t offset) {
    return (number << shard->segment_shift) + offset / RECORD_UNIT;
}

static inline uint32_t *shard_change_counter(const struct cache_shard *shard, uint64_t hash) {
    return &shard->changes[hash >> 28 & (CHANGE_COUNTERS - 1)];
}

/* A record that is over is kept by its namespace as long as its residency alone has ended. */
static inline bool shard_keeps_stale(const struct cache_shard *shard, uint32_t ref, uint32_t now) {
    return shard->cache->space[shard_segment(shard, ref)->space].options.keep_stale &&
           !record_expired(shard_record(shard, ref), now);
}

/* True when a record can be forgotten: its life is over or flush_all came by, and no backend waits for it. */
static inline bool shard_is_over(const struct cache_shard *shard, uint32_t ref, uint32_t now) {
    const struct record *record = shard_record(shard, ref);
    if (record_is_over(record, now) && !shard_keeps_stale(shard, ref, now))
        return true;
    if (__builtin_expect(shard->stale_segments == 0, 1))
        return false;
    const struct segment *segment = shard_segment(shard, ref);
    return segment->epoch != shard->spaces[segment->space].epoch && record_state(record) == CACHE_CLEAN;
}

/* ---- shard.c ---- */

struct cache_shard *shard_create(struct cache *cache, size_t reserve_bytes);
void shard_destroy(struct cache_shard *shard);

/* Finds a record; SLOT_NONE when there is none. */
uint32_t shard_find(const struct cache_shard *shard, struct slice key, uint64_t hash);

/* Counts a record in or out of its namespace's gauges and its segment's pins. Every change of a record's
 * size, kind or state happens between leave and join. */
void shard_join(struct cache_shard *shard, uint32_t ref);
void shard_leave(struct cache_shard *shard, uint32_t ref);

/* Why a record is dropped; it chooses the counter. */
enum reason { REASON_REPLACED, REASON_EXPIRED /* or flushed */, REASON_EVICTED };

/* Drops a record: out of the index, out of the gauges, its place becomes a hole. shard_drop_record leaves the
 * index to the caller. */
void shard_drop(struct cache_shard *shard, uint32_t ref, uint64_t hash, enum reason reason);
void shard_drop_record(struct cache_shard *shard, uint32_t ref, enum reason reason);

/* Counts that a seek found an entry that is over, and why. */
void shard_count_found_over(struct cache_shard *shard, uint32_t ref, uint32_t now);

/* Puts the index pages into the count of memory. */
void shard_count_index(struct cache_shard *shard);

/* Activates what flush_all left to be done at a later second. */
void shard_flush_due(struct cache_shard *shard, uint32_t now);

uint64_t shard_next_version(struct cache_shard *shard, uint64_t now_us);
void shard_saw_version(struct cache_shard *shard, uint64_t version);

/* ---- memory.c ---- */

/* Takes bytes from the limit, and from the ceiling of a namespace when space >= 0. False: not there. */
bool memory_take(struct cache_shard *shard, int space, size_t bytes);

/* The same where the reserve answers for it. */
void memory_take_reserve(struct cache_shard *shard, int space, size_t bytes);
void memory_give(struct cache_shard *shard, int space, size_t bytes);

/* Bytes that may be taken in all, and whether that many more are not there. */
size_t memory_budget(const struct cache *cache);
bool memory_is_short(const struct cache *cache, size_t bytes);
bool memory_at_ceiling(const struct cache *cache, int space, size_t bytes);

/* ---- segment.c ---- */

/* Where a record goes. */
struct place {
    int space;
    enum queue queue;
    unsigned ttl_class;
    bool aged;
};

unsigned segment_ttl_class(const struct cache *cache, uint32_t deadline, uint32_t now);

/* Room for a record of this size, as yet unwritten: the caller writes it at once. REF_NONE when that takes a
 * new segment: then make one and open it. */
uint32_t segment_append(struct cache_shard *shard, const struct place *place, uint32_t size);

/* A free segment: a resident one of the shard, or a new one whose memory is taken (reserve: whatever the
 * limit says). SEGMENT_NONE when the limit or the addresses are used up. */
uint32_t segment_take(struct cache_shard *shard, int space, bool reserve);

/* Whether a store finds a free resident segment. The last one belongs to the next drain once the limit is
 * reached. */
bool segment_available(const struct cache_shard *shard);

/* Returns a taken segment that was not opened. */
void segment_untake(struct cache_shard *shard, int space, uint32_t number);

/* Makes a taken segment the open one of a place, in front of the queue, or behind `beside` for an aged one.
 */
void segment_open(struct cache_shard *shard, const struct place *place, uint32_t number, uint32_t beside);

/* Closes an open segment, so that nothing is added any more. */
void segment_seal(struct cache_shard *shard, uint32_t number);

/* Returns a segment without live records to the shard; the sweep and the drain let go of it. */
void segment_free(struct cache_shard *shard, uint32_t number);

/* Gives free resident segments back to the kernel until at most `keep` are left. */
void segment_trim(struct cache_shard *shard, uint32_t keep);

/* Moves a segment to the newest end of its queue. */
void segment_to_front(struct cache_shard *shard, uint32_t number);

/* Makes `size` bytes at ref a hole; the segment is freed when nothing lives in it any more. */
void segment_add_hole(struct cache_shard *shard, uint32_t ref, uint32_t size);

/* Notes a deadline in the segment of a reference. */
void segment_note_deadline(struct cache_shard *shard, uint32_t ref, uint32_t deadline);

/* ---- evict.c ---- */

/* A place in the log for a record, after eviction and cleaning if need be. REF_NONE: nothing can be evicted.
 */
uint32_t evict_append(struct cache_shard *shard, const struct place *place, uint32_t size);

/* Takes bytes from the limit for a large value, evicting if need be. */
bool evict_take(struct cache_shard *shard, int space, size_t bytes);

/* Where a new record of a namespace goes. */
enum queue evict_queue(struct cache_shard *shard, int space, uint64_t hash);

/* Steps for cache_maintain: compaction when there are many holes, shrinking to a lower limit. True: more to
 * do. */
bool evict_clean_step(struct cache_shard *shard);
bool evict_shrink_step(struct cache_shard *shard);

/* ---- walk.c ---- */

/* Shows a record to who watches evictions, if anybody does. */
void walk_show_eviction(const struct cache_shard *shard, uint32_t ref);

/* ---- sweep.c ---- */

/* Drops expired and flushed records of a few hundred; true: there is more to do. */
bool sweep_step(struct cache_shard *shard);

#endif
