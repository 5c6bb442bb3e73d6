/* SPDX-License-Identifier: MIT */
#include "cache/memory.h"
#include "cache/shard.h"

/* Bytes that may be taken in all. */
static size_t memory_budget(const struct cache *cache) {
    size_t limit = atomic_load_explicit(&cache->limit, memory_order_relaxed);
    return limit > cache->reserve ? limit - cache->reserve : 0;
}

bool memory_is_short(const struct cache *cache, size_t bytes) {
    return atomic_load_explicit(&cache->used, memory_order_relaxed) + bytes > memory_budget(cache);
}

bool memory_at_ceiling(const struct cache *cache, int space, size_t bytes) {
    const struct cache_space *owner = &cache->space[space];
    size_t ceiling = atomic_load_explicit(&owner->ceiling, memory_order_relaxed);
    return ceiling && atomic_load_explicit(&owner->used, memory_order_relaxed) + bytes > ceiling;
}

void memory_take_reserve(struct cache_shard *shard, int space, size_t bytes) {
    struct cache *cache = shard->cache;
    atomic_fetch_add_explicit(&cache->used, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->used, bytes, memory_order_relaxed);
    if (space != MEMORY_SHARED)
        atomic_fetch_add_explicit(&cache->space[space].used, bytes, memory_order_relaxed);
}

bool memory_take(struct cache_shard *shard, int space, size_t bytes) {
    struct cache *cache = shard->cache;
    if (space != MEMORY_SHARED && memory_at_ceiling(cache, space, bytes))
        return false;
    /* Taken first, looked at then: two shards cannot both take the last bytes. */
    size_t before = atomic_fetch_add_explicit(&cache->used, bytes, memory_order_relaxed);
    if (before + bytes > memory_budget(cache)) {
        atomic_fetch_sub_explicit(&cache->used, bytes, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add_explicit(&shard->used, bytes, memory_order_relaxed);
    if (space != MEMORY_SHARED)
        atomic_fetch_add_explicit(&cache->space[space].used, bytes, memory_order_relaxed);
    return true;
}

void memory_give(struct cache_shard *shard, int space, size_t bytes) {
    struct cache *cache = shard->cache;
    atomic_fetch_sub_explicit(&cache->used, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shard->used, bytes, memory_order_relaxed);
    if (space != MEMORY_SHARED)
        atomic_fetch_sub_explicit(&cache->space[space].used, bytes, memory_order_relaxed);
}
