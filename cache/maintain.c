/* SPDX-License-Identifier: MIT */
/* What is done to the whole cache, shard by shard: flush_all, resizing, maintenance, statistics. */
#include "cache/evict.h"
#include "cache/huge.h"
#include "cache/memory.h"
#include "cache/shard.h"
#include "cache/sweep.h"

enum {
    STEPS = 8,       /* times that a shard is locked in one cache_maintain */
    SHRINKS = 64,    /* index buckets taken away each time */
    PIECE_SHARE = 4, /* of the limit, that one piece of its user's memory may take, */
    OTHERS_SHARE = 2 /* and all of them together */
};

void cache_flush_all(struct cache *cache, int space, uint32_t at, const struct cache_time *now) {
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        lock_take(&shard->lock);
        shard_void_due(shard, now->seconds); /* an earlier one whose second has come */
        for (unsigned j = 0; j < cache->spaces; j++)
            if (space == CACHE_ALL_SPACES || space == (int)j)
                shard->spaces[j].void_at = at;
        shard_void_due(shard, now->seconds);
        lock_release(&shard->lock);
    }
}

void cache_close_space(struct cache *cache, int space, const struct cache_time *now) {
    atomic_store(&cache->space[space].closed, true);
    cache_flush_all(cache, space, now->seconds,
                    now); /* whoever locks a shard after this sees that it is closed */
}

void cache_open_space(struct cache *cache, int space) {
    atomic_store(&cache->space[space].closed, false);
}

/* Spread over all shards, or one would be taken for having more than its share (evict.c). */
bool cache_take_memory(struct cache *cache, size_t bytes) {
    size_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
    if (bytes > limit / PIECE_SHARE)
        return false;
    if (atomic_fetch_add(&cache->others, bytes) + bytes > limit / OTHERS_SHARE) {
        atomic_fetch_sub(&cache->others, bytes);
        return false;
    }
    for (unsigned i = 0; i < cache->shards; i++)
        memory_take_reserve(cache->shard[i], MEMORY_SHARED,
                            bytes / cache->shards + (i < bytes % cache->shards));
    return true;
}

void cache_give_memory(struct cache *cache, size_t bytes) {
    atomic_fetch_sub(&cache->others, bytes);
    for (unsigned i = 0; i < cache->shards; i++)
        memory_give(cache->shard[i], MEMORY_SHARED, bytes / cache->shards + (i < bytes % cache->shards));
}

struct cache_bounds cache_bounds(const struct cache *cache) {
    size_t shards = cache->reserve + cache->shards * (size_t)cache->segment_size * 2,
           others = atomic_load(&cache->others) * OTHERS_SHARE;
    struct cache_bounds bounds = {shards > others ? shards : others, 0};
    for (unsigned i = 0; i < cache->shards; i++)
        bounds.most += cache->shard[i]->region.reserved;
    return bounds;
}

enum cache_status cache_resize(struct cache *cache, size_t memory_limit) {
    struct cache_bounds bounds = cache_bounds(cache);
    if (memory_limit < bounds.least || memory_limit > bounds.most)
        return CACHE_NO_MEMORY;
    atomic_store_explicit(&cache->limit, memory_limit, memory_order_relaxed);
    return CACHE_OK;
}

/* What is done while a shard is locked once. True: there is more to do. */
static bool maintain_step(struct cache_shard *shard, uint32_t now) {
    if (shard->now < now)
        shard->now = now;
    if (shard->void_due <= now)
        shard_void_due(shard, now);
    bool more = sweep_step(shard);
    more |= evict_clean_step(shard);
    more |= evict_shrink_step(shard);
    unsigned shrinks = 0;
    while (shrinks < SHRINKS && index_shrink(&shard->index))
        shrinks++;
    shard->shrinks += shrinks;
    shard_count_index(shard);
    return more || shrinks == SHRINKS;
}

bool cache_maintain(struct cache *cache, const struct cache_time *now) {
    bool more = false;
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        bool again = true;
        for (unsigned step = 0; again && step < STEPS; step++) {
            lock_take(&shard->lock);
            again = maintain_step(shard, now->seconds);
            lock_release(&shard->lock);
        }
        more |= again;
        huge_step(shard, now->seconds);
    }
    return more;
}

static void add_space(struct cache_stats *sum, const struct cache_shard *shard, unsigned number) {
    const struct shard_space *space = &shard->spaces[number];
    uint64_t segments = space->segments[QUEUE_MAIN] + space->segments[QUEUE_SMALL];
    sum->entries += space->entries;
    sum->bytes += space->bytes;
    sum->total_stored += space->total_stored;
    sum->evictions += space->evictions;
    sum->evicted_unfetched += space->evicted_unfetched;
    sum->expired += space->expired;
    sum->expired_unfetched += space->expired_unfetched;
    sum->found_expired += space->found_expired;
    sum->found_voided += space->found_voided;
    sum->tombstones += space->tombstones;
    sum->negatives += space->negatives;
    sum->large_entries += space->large_entries;
    sum->large_bytes += space->large_bytes;
    sum->segments += segments;
    sum->segment_bytes += segments * shard->cache->segment_size;
    sum->dead_bytes += space->dead;
    sum->cleaned_bytes += space->cleaned_bytes;
    sum->no_memory += space->no_memory;
}

void cache_get_stats(struct cache *cache, int space, struct cache_stats *ret_stats) {
    struct cache_stats sum = {.memory_limit = atomic_load_explicit(&cache->limit, memory_order_relaxed)};
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        lock_take(&shard->lock);
        for (unsigned j = 0; j < cache->spaces; j++)
            if (space == CACHE_ALL_SPACES || space == (int)j)
                add_space(&sum, shard, j);
        sum.index_buckets += shard->index.count + shard->index.overflow_used;
        sum.index_bytes += index_bytes(&shard->index);
        lock_release(&shard->lock);
    }
    for (unsigned j = 0; j < cache->spaces; j++) {
        if (space != CACHE_ALL_SPACES && space != (int)j)
            continue;
        sum.dirty_entries += cache_dirty_entries(cache, (int)j);
        sum.dirty_bytes += cache_dirty_bytes(cache, (int)j);
        sum.memory_used += atomic_load_explicit(&cache->space[j].used, memory_order_relaxed);
    }
    if (space == CACHE_ALL_SPACES)
        sum.memory_used = atomic_load_explicit(&cache->used, memory_order_relaxed);
    *ret_stats = sum;
}

void cache_get_space_stats(struct cache *cache, struct cache_stats ret_stats[static CACHE_SPACES_MAX]) {
    memset(ret_stats, 0, CACHE_SPACES_MAX * sizeof *ret_stats);
    for (unsigned i = 0; i < cache->shards; i++) {
        lock_take(&cache->shard[i]->lock);
        for (unsigned j = 0; j < cache->spaces; j++)
            add_space(&ret_stats[j], cache->shard[i], j);
        lock_release(&cache->shard[i]->lock);
    }
    for (unsigned j = 0; j < cache->spaces; j++) {
        ret_stats[j].dirty_entries = cache_dirty_entries(cache, (int)j);
        ret_stats[j].dirty_bytes = cache_dirty_bytes(cache, (int)j);
        ret_stats[j].memory_used = atomic_load_explicit(&cache->space[j].used, memory_order_relaxed);
    }
}

void cache_reset_stats(struct cache *cache) {
    for (unsigned i = 0; i < cache->shards; i++) {
        lock_take(&cache->shard[i]->lock);
        for (unsigned j = 0; j < cache->spaces; j++) {
            struct shard_space *space = &cache->shard[i]->spaces[j];
            space->total_stored = space->evictions = space->evicted_unfetched = space->expired = 0;
            space->found_expired = space->found_voided = 0;
            space->expired_unfetched = space->cleaned_bytes = space->no_memory = 0;
        }
        lock_release(&cache->shard[i]->lock);
    }
}
