/* SPDX-License-Identifier: MIT */
/* The stamps of all keys at once: a copy of every shard's counters of changes. See cache.h. */
#include "cache/cache.h"
#include "cache/shard.h"
#include <stdlib.h>
#include <string.h>

struct shard_stamps {
    uint64_t epochs;
    uint32_t changes[CHANGE_COUNTERS];
};

struct cache_stamps {
    const struct cache *cache;
    struct shard_stamps shards[];
};

struct cache_stamps *cache_stamps_create(const struct cache *cache) {
    struct cache_stamps *stamps = calloc(1, sizeof *stamps + cache->shards * sizeof stamps->shards[0]);
    if (stamps)
        stamps->cache = cache;
    return stamps;
}

void cache_stamps_take(struct cache_stamps *stamps) {
    const struct cache *cache = stamps->cache;
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        lock_take(&shard->lock);
        stamps->shards[i].epochs = shard->epochs;
        memcpy(stamps->shards[i].changes, shard->changes, sizeof stamps->shards[i].changes);
        lock_release(&shard->lock);
    }
}

uint64_t cache_stamps_of(const struct cache_stamps *stamps, uint64_t hash) {
    const struct shard_stamps *shard = &stamps->shards[hash >> 32 >> stamps->cache->shard_shift];
    return shard->epochs + shard->changes[change_counter_of(hash)] + 1;
}

void cache_stamps_destroy(struct cache_stamps *stamps) {
    free(stamps);
}
