/* SPDX-License-Identifier: MIT */
/* The cache as a whole: making it, and the path of a read (seek, hit, release). */
#include "cache/cache.h"
#include "cache/find.h"
#include "cache/memory.h"
#include "cache/shard.h"
#include "cache/view.h"
#include <stdlib.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)

enum {
    SHARDS_PER_THREAD = 4,
    SHARDS_MAX = 1024,
    SEGMENTS_PER_SHARD = 256, /* at the limit the cache is made with: one is a small part of it */
    LARGE_SHARE = 4,          /* over a quarter of a segment, values would leave too much room at the ends */
    INDEX_SLACK = 16 << 10    /* bytes an index grows by before its shard takes the next segment */
};
#define LIMIT_MIN        MIB
#define SHARE_MIN        (8 * MIB)    /* of a shard, while there are several */
#define SHARE_MAX        (4096 * MIB) /* references reach 8 GiB, and the limit may be raised */
#define RESERVE_MIN      (256 * MIB)  /* addresses of a shard, so that the limit can be raised later */
#define HUGE_INDEX_SHARE (128 * MIB)  /* of a shard: from here on 2 MiB for its index do not matter */
#define RESERVE_TIMES    8            /* addresses of a shard, in multiples of its share */
#define RESERVE_LEAST    2            /* where addresses are few: shards differ, and holes take some */
#define SEGMENTS_LEAST   16           /* of a shard */
#define ROOM_BESIDE      (512 * MIB)  /* addresses that are left for others where they are few */

static size_t power_below(size_t bytes) {
    return (size_t)1 << (63 - __builtin_clzl(bytes | 1));
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* A power of two, about four for each thread, but none so small that it cannot hold the longest value. */
static unsigned choose_shards(const struct cache_options *options) {
    unsigned threads = options->threads ? options->threads : 1, shards = 1;
    size_t least = larger(SHARE_MIN, options->item_max);
    while (shards < threads * SHARDS_PER_THREAD && shards < SHARDS_MAX)
        shards *= 2;
    while (shards > 1 && options->memory_limit / shards < least)
        shards /= 2;
    while (options->memory_limit / shards > SHARE_MAX)
        shards *= 2;
    return shards;
}

static void choose_sizes(struct cache *cache) {
    size_t share = cache->options.memory_limit / cache->shards,
           size = power_below(share / SEGMENTS_PER_SHARD);
    size = larger(size, SEGMENT_MIN);
    cache->segment_size = (uint32_t)(size < SEGMENT_MAX ? size : SEGMENT_MAX);
    uint32_t quarter = cache->segment_size / LARGE_SHARE;
    cache->large_from = quarter < CACHE_LARGE_VALUE ? quarter : CACHE_LARGE_VALUE;
    size_t segments = share / cache->segment_size;
    cache->class_shift = segments >= 256 ? 0 : segments >= 96 ? 1 : 2;
    cache->huge_index = share >= HUGE_INDEX_SHARE;
    cache->reserve = cache->shards * (cache->segment_size + INDEX_SLACK);
}

static void destroy_shards(struct cache *cache) {
    for (unsigned i = 0; cache->shard && i < cache->shards && cache->shard[i]; i++) {
        shard_destroy(cache->shard[i]);
        cache->shard[i] = NULL;
    }
}

/* For stacks of threads, libraries and all that is allocated. */
static bool leaves_room(void) {
    void *mapped = mmap(NULL, ROOM_BESIDE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mapped != MAP_FAILED && munmap(mapped, ROOM_BESIDE) == 0;
}

static bool create_all(struct cache *cache, size_t reserve) {
    for (unsigned i = 0; i < cache->shards; i++)
        if (!(cache->shard[i] = shard_create(cache, reserve)))
            return false;
    return true;
}

/* All with as many addresses. Where the process may not have so many (ulimit -v), half, and so on; a limit that is
 * raised later has less room then. */
static enum cache_status create_shards(struct cache *cache) {
    size_t share = cache->options.memory_limit / cache->shards;
    size_t reserve = larger(share * RESERVE_TIMES, RESERVE_MIN),
           least = larger(share * RESERVE_LEAST, SEGMENTS_LEAST * (size_t)cache->segment_size);
    cache->shard = calloc(cache->shards, sizeof(struct cache_shard *));
    if (!cache->shard)
        return CACHE_NO_MEMORY;
    while (!create_all(cache, reserve) || (reserve / 2 >= least && !leaves_room())) {
        destroy_shards(cache);
        if ((reserve /= 2) < least)
            return CACHE_NO_MEMORY;
    }
    for (unsigned i = 0; i < cache->shards; i++)
        memory_take_reserve(cache->shard[i], MEMORY_SHARED,
                            CHANGE_COUNTERS * sizeof(uint32_t) + sizeof(struct cache_shard));
    return CACHE_OK;
}

enum cache_status cache_create(const struct cache_options *options, struct cache **ret_cache) {
    struct cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return CACHE_NO_MEMORY;
    cache->options = *options;
    if (!keyed_hash_draw(options->hash_seed, &cache->secret)) {
        free(cache);
        return CACHE_NO_MEMORY;
    }
    cache->options.memory_limit = larger(options->memory_limit, LIMIT_MIN);
    atomic_init(&cache->limit, cache->options.memory_limit);
    cache->shards = choose_shards(&cache->options);
    cache->shard_shift = 32 - (unsigned)__builtin_ctz(cache->shards);
    choose_sizes(cache);
    enum cache_status status = create_shards(cache);
    if (status != CACHE_OK) {
        cache_destroy(cache);
        return status;
    }
    *ret_cache = cache;
    return CACHE_OK;
}

void cache_destroy(struct cache *cache) {
    if (!cache)
        return;
    destroy_shards(cache);
    free(cache->shard);
    free(cache);
}

/* ---- Namespaces ---- */

static void free_ghosts(const struct cache *cache, struct ghost **ghosts) {
    for (unsigned i = 0; ghosts && i < cache->shards; i++)
        if (ghosts[i])
            ghost_destroy(ghosts[i]);
    free(ghosts);
}

/* One for each shard: about as many ghosts as the namespace may have entries. NULL: no memory. */
static struct ghost **create_ghosts(const struct cache *cache, const struct cache_space_options *options) {
    size_t limit = cache->options.memory_limit, ceiling = options->memory_ceiling;
    size_t bytes = (ceiling && ceiling < limit ? ceiling : limit) / cache->shards;
    struct ghost **ghosts = calloc(cache->shards, sizeof(struct ghost *));
    for (unsigned i = 0; ghosts && i < cache->shards; i++)
        if (!(ghosts[i] = ghost_create(bytes / 256))) {
            free_ghosts(cache, ghosts);
            return NULL;
        }
    return ghosts;
}

/* Gives the namespace these, or none, and its former ones away. The list is freed. */
static void set_ghosts(struct cache *cache, int space, struct ghost **ghosts) {
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        lock_take(&shard->lock);
        struct ghost *former = shard->spaces[space].ghost;
        shard->spaces[space].ghost = ghosts ? ghosts[i] : NULL;
        lock_release(&shard->lock);
        if (ghosts)
            memory_take_reserve(shard, MEMORY_SHARED, ghost_bytes(ghosts[i]));
        if (former)
            memory_give(shard, MEMORY_SHARED, ghost_bytes(former));
        ghost_destroy(former);
    }
    free(ghosts);
}

static void take_space_options(struct cache_space *space, const struct cache_space_options *options) {
    space->options.memory_floor = options->memory_floor;
    space->options.memory_ceiling = options->memory_ceiling;
    space->options.eviction = options->eviction;
    space->options.max_residency = options->max_residency;
    space->options.keep_stale = options->keep_stale;
    size_t used = atomic_load_explicit(&space->used, memory_order_relaxed), wanted = options->memory_ceiling;
    space->ceiling = wanted && used > wanted ? used : wanted;
}

int cache_add_space(struct cache *cache, const struct cache_space_options *options) {
    if (cache->spaces == CACHE_SPACES_MAX)
        return -1;
    unsigned space = cache->spaces;
    take_space_options(&cache->space[space], options);
    if (options->eviction == CACHE_S3_FIFO) {
        struct ghost **ghosts = create_ghosts(cache, options);
        if (!ghosts)
            return -1;
        set_ghosts(cache, (int)space, ghosts);
    }
    cache->spaces++;
    return (int)space;
}

/* What changes between the two kinds of eviction needs memory: that is had before anything changes. */
enum cache_status cache_adjust_spaces(struct cache *cache, const struct cache_space_options *options) {
    struct ghost **ghosts[CACHE_SPACES_MAX] = {NULL};
    const unsigned spaces = cache->spaces;
    bool complete = true;
    for (unsigned i = 0; i < spaces && complete; i++)
        if (options[i].eviction == CACHE_S3_FIFO && cache->space[i].options.eviction != CACHE_S3_FIFO)
            complete = (ghosts[i] = create_ghosts(cache, &options[i])) != NULL;
    for (unsigned i = 0; i < spaces; i++) {
        if (!complete) {
            free_ghosts(cache, ghosts[i]);
            continue;
        }
        if (ghosts[i] || options[i].eviction != cache->space[i].options.eviction)
            set_ghosts(cache, (int)i, ghosts[i]);
        take_space_options(&cache->space[i], &options[i]);
    }
    return complete ? CACHE_OK : CACHE_NO_MEMORY;
}

uint64_t cache_hash(const struct cache *cache, struct slice key) {
    return hash_key(&cache->secret, key);
}

void cache_prefetch(const struct cache *cache, uint64_t hash) {
    index_prefetch(&cache_shard_of(cache, hash)->index, hash);
}

/* inline, here and below: their callers are in other files, and call them for every request. */
inline uint64_t cache_hash_and_prefetch(const struct cache *cache, struct slice key,
                                        const void **ret_bucket) {
    uint64_t hash = hash_key(&cache->secret, key);
    *ret_bucket = index_prefetch(&cache_shard_of(cache, hash)->index, hash);
    return hash;
}

static inline const void *prefetch_record(const struct cache_shard *shard, const struct bucket *bucket,
                                          uint64_t hash) {
    int64_t ref = index_peek(bucket, hash);
    if (ref < 0)
        return NULL;
    const struct record *record = shard_record(shard, (uint32_t)ref);
    __builtin_prefetch(record);
    return record;
}

const void *cache_prefetch_entry(const struct cache *cache, uint64_t hash) {
    const struct cache_shard *shard = cache_shard_of(cache, hash);
    return prefetch_record(shard, index_bucket_of(&shard->index, hash), hash);
}

inline const void *cache_prefetch_entry_of(const struct cache *cache, const void *bucket, uint64_t hash) {
    return prefetch_record(cache_shard_of(cache, hash), bucket, hash);
}

static bool is_value(const struct record *record) {
    return record_kind(record) == RECORD_VALUE || record_kind(record) == RECORD_LARGE;
}

/* What a read learns of a record that is not just a live value; drops it when it is over. */
static enum cache_presence seek_other(struct cache_cursor *cursor) {
    struct cache_shard *shard = cursor->shard;
    uint32_t now = cursor->now.seconds;
    cursor->stamp = shard_stamp(shard, cursor->hash);
    cursor->stale = false;
    if (cursor->ref == REF_NONE)
        return CACHE_UNKNOWN;
    if (shard_is_over(shard, cursor->ref, now)) {
        shard_count_found_over(shard, cursor->ref, now);
        shard_drop(shard, cursor->ref, cursor->hash, REASON_OVER);
        cursor->ref = REF_NONE;
        return CACHE_UNKNOWN;
    }
    struct record *record = shard_record(shard, cursor->ref);
    view_fill(&cursor->view, record, now);
    if (shard_is_blind_to(shard, cursor->ref)) {
        cursor->stale = is_value(record) && shard->cache->space[cursor->space].options.keep_stale;
        return CACHE_UNKNOWN;
    }
    if (record_is_over(record, now)) {
        record_end_residency(record); /* or a loader whose clock lags could not fill what was missed here */
        cursor->stale = true;
        return CACHE_UNKNOWN;
    }
    return is_value(record) && !record_expired(record, now) ? CACHE_PRESENT : CACHE_GONE;
}

bool cache_is_hidden(const struct cache_cursor *cursor) {
    if (cursor->presence != CACHE_UNKNOWN || cursor->ref == REF_NONE)
        return false;
    const struct record *record = shard_record(cursor->shard, cursor->ref);
    return is_value(record) && !record_expired(record, cursor->now.seconds);
}

/* Most records: a value in the log, to be shown as long as it lives. */
static inline bool is_plain(const struct cache_shard *shard, const struct record *record, uint32_t now) {
    return (record->shape & (SHAPE_KIND_MASK | SHAPE_RESIDENCY)) == 0 && !record_expired(record, now) &&
           shard->doubts == 0;
}

static inline struct cache_shard *lock_shard_of(const struct cache *cache, uint64_t hash, uint32_t now) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    lock_take(&shard->lock);
    if (__builtin_expect(shard->void_due <= now, 0))
        shard_void_due(shard, now);
    return shard;
}

static inline enum cache_presence seek(struct cache *cache, int space, struct slice key, uint64_t hash,
                                       const struct cache_time *now, struct cache_cursor *ret_cursor,
                                       bool shows) {
    struct cache_shard *shard = lock_shard_of(cache, hash, now->seconds);
    ret_cursor->queue = false;
    ret_cursor->cache = cache;
    ret_cursor->shard = shard;
    ret_cursor->key = key;
    ret_cursor->hash = hash;
    ret_cursor->now = *now;
    ret_cursor->space = space;
    uint32_t ref = ret_cursor->ref = shard_find(shard, key, hash);
    if (__builtin_expect(ref != REF_NONE, 1)) {
        const struct record *record = shard_record(shard, ref);
        if (is_plain(shard, record, now->seconds)) {
            if (shows)
                view_fill(&ret_cursor->view, record, now->seconds);
            ret_cursor->stamp = 0; /* nothing can be filled */
            return ret_cursor->presence = CACHE_PRESENT;
        }
    }
    return ret_cursor->presence = seek_other(ret_cursor);
}

enum cache_presence cache_seek(struct cache *cache, int space, struct slice key, uint64_t hash,
                               const struct cache_time *now, struct cache_cursor *ret_cursor) {
    return seek(cache, space, key, hash, now, ret_cursor, true);
}

enum cache_presence cache_seek_place(struct cache *cache, int space, struct slice key, uint64_t hash,
                                     const struct cache_time *now, struct cache_cursor *ret_cursor) {
    return seek(cache, space, key, hash, now, ret_cursor, false);
}

enum cache_glance cache_glance(struct cache *cache, struct slice key, uint64_t hash, uint32_t now,
                               struct cache_view *ret_view, struct cache_cursor *ret_cursor) {
    struct cache_shard *shard = lock_shard_of(cache, hash, now);
    uint32_t ref = shard_find(shard, key, hash);
    if (__builtin_expect(ref != REF_NONE, 1)) {
        const struct record *record = shard_record(shard, ref);
        if (__builtin_expect(is_plain(shard, record, now), 1)) {
            view_fill_value(ret_view, record);
            ret_cursor->shard = shard;
            ret_cursor->ref = ref;
            ret_cursor->now.seconds = now;
            return GLANCE_VALUE;
        }
    }
    lock_release(&shard->lock);
    return ref == REF_NONE ? GLANCE_NOTHING : GLANCE_CLOSER;
}

void cache_hit(struct cache_cursor *cursor) {
    struct record *record = shard_record(cursor->shard, cursor->ref);
    uint32_t use = record->use;
    uint32_t more =
        (use & USE_FREQUENCY_MASK) == USE_FREQUENCY_MASK ? use : use + (1u << USE_FREQUENCY_SHIFT);
    uint32_t seen = (more & ~USE_ACCESS_MASK) | USE_FETCHED | (cursor->now.seconds & USE_ACCESS_MASK);
    if (seen != use)
        record->use = seen;
}

void cache_release(struct cache_cursor *cursor) {
    lock_release(&cursor->shard->lock);
}
