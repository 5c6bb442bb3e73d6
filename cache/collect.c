/* SPDX-License-Identifier: MIT */
/*
 * The cache's side of flushing: dirty entries are collected for the backend, and settled once it has them.
 * And what else the write side asks for: how much is dirty, and versions.
 *
 *     DIRTY --collect--> FLUSHING --settle--> CLEAN, or dropped (tombstone, expired, voided)
 *       ^-----unsettle------'
 *
 * What is collected stays where it is, readable and pinned. A version says whether an entry is still the one
 * that was collected: each change draws a new one.
 */
#include "cache/find.h"
#include "cache/segment.h"
#include "cache/shard.h"
#include "cache/view.h"

static bool is_dirty(struct cache_shard *shard, int space, uint64_t hash, uint32_t ref) {
    const struct record *record = shard_record(shard, ref);
    return record_state(record) == CACHE_DIRTY && shard_segment(shard, ref)->space == space &&
           shard_hash(shard, record) == hash;
}

unsigned cache_collect(struct cache *cache, int space, uint64_t hash, const struct cache_time *now,
                       struct cache_collector *collector) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    const struct index *index = &shard->index;
    unsigned found = 0;
    lock_take(&shard->lock);
    const struct bucket *bucket = index_bucket_of(index, hash);
    for (; bucket; bucket = bucket->next ? &index->overflow[bucket->next - 1] : NULL) {
        for (uint32_t match = bucket_match(bucket, hash_tag(hash)); match; match &= match - 1) {
            uint32_t ref = bucket->refs[__builtin_ctz(match)];
            if (!is_dirty(shard, space, hash, ref))
                continue;
            struct record *record = shard_record(shard, ref);
            struct cache_view view;
            record_set_state(record, CACHE_FLUSHING);
            view_fill(&view, record, now->seconds);
            collector->entry(collector, &view);
            found++;
        }
    }
    lock_release(&shard->lock);
    return found;
}

/* The first dirty one with this hash, or REF_NONE. */
static uint32_t find_dirty(struct cache_shard *shard, int space, uint64_t hash) {
    const struct index *index = &shard->index;
    const struct bucket *bucket = index_bucket_of(index, hash);
    for (; bucket; bucket = bucket->next ? &index->overflow[bucket->next - 1] : NULL)
        for (uint32_t match = bucket_match(bucket, hash_tag(hash)); match; match &= match - 1) {
            uint32_t ref = bucket->refs[__builtin_ctz(match)];
            if (is_dirty(shard, space, hash, ref))
                return ref;
        }
    return REF_NONE;
}

void cache_forget_dirty(struct cache *cache, int space, uint64_t hash) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    lock_take(&shard->lock);
    for (uint32_t ref; (ref = find_dirty(shard, space, hash)) != REF_NONE;) {
        shard_drop(shard, ref, hash, REASON_REPLACED);
        ++*shard_change_counter(shard, hash);
    }
    lock_release(&shard->lock);
}

/* A record that nobody waits for any more becomes clean, if it is worth keeping. It may be evicted from now on, and
 * what was read of the store until now is older: to whoever has a stamp from before, it counts as a change. */
static void settle(struct cache_shard *shard, uint32_t ref, uint64_t hash, uint32_t now) {
    struct record *record = shard_record(shard, ref);
    bool voided = (record->shape & SHAPE_VOIDED) || segment_is_voided(shard, shard_segment(shard, ref));
    ++*shard_change_counter(shard, hash);
    shard_leave(shard, ref);
    record_set_state(record, CACHE_CLEAN);
    record->shape &= ~(uint32_t)SHAPE_TTL_ONLY;
    shard_join(shard, ref);
    if (record_expired(record, now))
        shard_drop(shard, ref, hash, REASON_OVER);
    else if (voided || record_kind(record) == RECORD_TOMBSTONE)
        shard_drop(shard, ref, hash, REASON_REPLACED);
    else /* the sweeper has passed it by if its time came while it was dirty */
        segment_note_deadline(shard, ref, record_deadline(record));
}

bool cache_settle(struct cache *cache, struct slice key, uint64_t hash, uint64_t version,
                  const struct cache_time *now) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    lock_take(&shard->lock);
    uint32_t ref = shard_find(shard, key, hash);
    bool current = ref != REF_NONE && record_version(shard_record(shard, ref)) == version;
    if (current && record_state(shard_record(shard, ref)) != CACHE_CLEAN)
        settle(shard, ref, hash, now->seconds);
    lock_release(&shard->lock);
    return current;
}

bool cache_unsettle(struct cache *cache, struct slice key, uint64_t hash, uint64_t version) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    lock_take(&shard->lock);
    uint32_t ref = shard_find(shard, key, hash);
    bool found = ref != REF_NONE && record_state(shard_record(shard, ref)) == CACHE_FLUSHING &&
                 record_version(shard_record(shard, ref)) == version;
    if (found)
        record_set_state(shard_record(shard, ref), CACHE_DIRTY);
    lock_release(&shard->lock);
    return found;
}

size_t cache_dirty_bytes(const struct cache *cache, int space) {
    return atomic_load_explicit(&cache->space[space].dirty_bytes, memory_order_relaxed);
}

size_t cache_dirty_entries(const struct cache *cache, int space) {
    return atomic_load_explicit(&cache->space[space].dirty_entries, memory_order_relaxed);
}

uint64_t cache_next_version(struct cache *cache, uint64_t hash, const struct cache_time *now) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    lock_take(&shard->lock);
    uint64_t version = shard_next_version(shard, hash, now->us);
    lock_release(&shard->lock);
    return version;
}

uint64_t cache_last_version_us(const struct cache *cache) {
    uint64_t last_us = 0;
    for (unsigned i = 0; i < cache->shards; i++) {
        uint64_t us = shard_last_us(cache->shard[i]);
        last_us = us > last_us ? us : last_us;
    }
    return last_us;
}

bool cache_raise_version(struct cache *cache, uint64_t version) {
    if (version > ENTRY_VERSION_HIGHEST)
        return false;
    for (unsigned i = 0; i < cache->shards; i++) {
        lock_take(&cache->shard[i]->lock);
        shard_saw_version(cache->shard[i], version);
        lock_release(&cache->shard[i]->lock);
    }
    return true;
}
