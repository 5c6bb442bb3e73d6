/* SPDX-License-Identifier: MIT */
/*
 * Looking at entries that nobody asked for by key: a walk over all of them, and the watch over evictions.
 *
 * A walk goes through the buckets of each shard's index in their order, a few at a time under the lock. The
 * index grows at its end by splitting earlier buckets, so what moves meanwhile is met again later rather than
 * missed; when it shrinks, its last bucket is merged into one that may be behind the walk already.
 */
#include "cache/walk.h"
#include "cache/shard.h"
#include "cache/view.h"

enum { WALK_BUCKETS = 64 };

static bool is_live_value(const struct cache_shard *shard, uint32_t ref, uint32_t now) {
    const struct record *record = shard_record(shard, ref);
    enum record_kind kind = record_kind(record);
    return (kind == RECORD_VALUE || kind == RECORD_LARGE) && !record_is_over(record, now) &&
           !shard_is_over(shard, ref, now);
}

static void visit_chain(struct cache_shard *shard, int space, uint32_t number, uint32_t now,
                        struct cache_visitor *visitor) {
    const struct bucket *bucket = index_bucket(&shard->index, number);
    for (;;) {
        for (unsigned place = 0; place < BUCKET_SLOTS && bucket->tags[place]; place++) {
            uint32_t ref = bucket->refs[place];
            int owner = shard_segment(shard, ref)->space;
            if ((space != CACHE_ALL_SPACES && space != owner) || !is_live_value(shard, ref, now))
                continue;
            struct cache_view view;
            view_fill(&view, shard_record(shard, ref), now);
            visitor->entry(visitor, owner, &view);
        }
        if (bucket->next == 0)
            return;
        bucket = &shard->index.overflow[bucket->next - 1];
    }
}

bool cache_walk(struct cache *cache, int space, struct cache_walk *walk, const struct cache_time *now,
                struct cache_visitor *visitor) {
    if (walk->shard >= cache->shards)
        return false;
    struct cache_shard *shard = cache->shard[walk->shard];
    lock_take(&shard->lock);
    shard_void_due(shard, now->seconds);
    uint32_t end = shard->index.count;
    if (end > walk->bucket + WALK_BUCKETS)
        end = walk->bucket + WALK_BUCKETS;
    while (walk->bucket < end)
        visit_chain(shard, space, walk->bucket++, now->seconds, visitor);
    bool shard_done = walk->bucket >= shard->index.count;
    lock_release(&shard->lock);
    if (shard_done)
        *walk = (struct cache_walk){.shard = walk->shard + 1};
    return walk->shard < cache->shards;
}

/* ---- Dropping by prefix ---- */

/* A clean record of the chain of a bucket that is to be dropped, or REF_NONE. */
static uint32_t find_in_chain(struct cache_shard *shard, uint32_t number, struct slice prefix, int except) {
    const struct bucket *bucket = index_bucket(&shard->index, number);
    for (;;) {
        for (unsigned place = 0; place < BUCKET_SLOTS && bucket->tags[place]; place++) {
            uint32_t ref = bucket->refs[place];
            const struct record *record = shard_record(shard, ref);
            if (shard_segment(shard, ref)->space != except && record_state(record) == CACHE_CLEAN &&
                slice_starts_with(record_key(record), prefix))
                return ref;
        }
        if (bucket->next == 0)
            return REF_NONE;
        bucket = &shard->index.overflow[bucket->next - 1];
    }
}

/* Dropping changes the chain: it is looked at anew after each. */
static void drop_in_chain(struct cache_shard *shard, uint32_t number, struct slice prefix, int except) {
    uint32_t ref;
    while ((ref = find_in_chain(shard, number, prefix, except)) != REF_NONE) {
        uint64_t hash = shard_hash(shard, shard_record(shard, ref));
        ++*shard_change_counter(shard, hash);
        shard_drop(shard, ref, hash, REASON_REPLACED);
    }
}

/* One pass over a shard. False: its index shrank meanwhile, and something may have been missed. */
static bool drop_in_shard(struct cache_shard *shard, struct slice prefix, int except) {
    uint32_t shrinks = 0, bucket = 0;
    bool more = true, same = true;
    for (bool first = true; more; first = false) {
        lock_take(&shard->lock);
        shrinks = first ? shard->shrinks : shrinks;
        same = shard->shrinks == shrinks;
        for (uint32_t i = 0; i < WALK_BUCKETS && bucket < shard->index.count; i++)
            drop_in_chain(shard, bucket++, prefix, except);
        more = bucket < shard->index.count;
        lock_release(&shard->lock);
    }
    return same;
}

void cache_drop_prefix(struct cache *cache, struct slice prefix, int except) {
    for (unsigned i = 0; i < cache->shards; i++)
        while (!drop_in_shard(cache->shard[i], prefix, except))
            ;
}

void cache_watch_evictions(struct cache *cache, struct cache_visitor *visitor) {
    atomic_store_explicit(&cache->eviction_watcher, visitor, memory_order_release);
}

void walk_show_eviction(const struct cache_shard *shard, uint32_t ref) {
    struct cache_visitor *visitor =
        atomic_load_explicit(&shard->cache->eviction_watcher, memory_order_acquire);
    if (!visitor || !is_live_value(shard, ref, shard->now))
        return;
    struct cache_view view;
    view_fill(&view, shard_record(shard, ref), shard->now);
    visitor->entry(visitor, shard_segment(shard, ref)->space, &view);
}
