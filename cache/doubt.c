/* SPDX-License-Identifier: MIT */
/*
 * What becomes of entries whose rows others change: a key that was changed, and a namespace of which nobody hears any
 * more.
 *
 *     CLEAN --cache_doubt--> asked for in the store --is what the store has--> CLEAN
 *                                                    `--cache_forget_other--> absent
 *     FLUSHING: looked at again (cache_doubt_again) once it is settled. DIRTY: the store's guard decides at its flush.
 *
 * What is loaded meanwhile is refused, as the key counts as changed.
 */
#include "cache/find.h"
#include "cache/large.h"
#include "cache/shard.h"

static bool is_absence(const struct cache_shard *shard, uint32_t ref) {
    return record_kind(shard_record(shard, ref)) == RECORD_ABSENCE;
}

static enum cache_state show(const struct cache_shard *shard, uint32_t ref,
                             struct cache_doubted *ret_doubted) {
    const struct record *record = shard_record(shard, ref);
    ret_doubted->key = record_key(record);
    ret_doubted->version = record_version(record);
    return record_state(record);
}

static enum cache_doubt doubt_of(enum cache_state state) {
    return state == CACHE_CLEAN      ? CACHE_DOUBTS
           : state == CACHE_FLUSHING ? CACHE_WILL_DOUBT
                                     : CACHE_DOUBTS_NOTHING;
}

enum cache_doubt cache_doubt(struct cache *cache, int space, struct slice key, uint64_t hash,
                             const struct cache_time *now, uint64_t *ret_version) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    struct cache_doubted doubted;
    enum cache_doubt doubt = CACHE_DOUBTS_NOTHING;
    lock_take(&shard->lock);
    uint32_t ref = shard_find(shard, key, hash);
    ++*shard_change_counter(shard, hash);
    if (ref != REF_NONE && shard_segment(shard, ref)->space == space) {
        if (is_absence(shard, ref)) {
            shard_drop(shard, ref, hash, REASON_REPLACED);
        } else if (!record_expired(shard_record(shard, ref), now->seconds)) {
            doubt = doubt_of(show(shard, ref, &doubted));
            *ret_version = doubted.version;
        }
    }
    lock_release(&shard->lock);
    return doubt;
}

/* The record with this hash that is no remembered absence, or REF_NONE: two keys of one hash are not met. */
static uint32_t find_hash(const struct cache_shard *shard, int space, uint64_t hash) {
    const struct index *index = &shard->index;
    const struct bucket *bucket = index_bucket_of(index, hash);
    for (; bucket; bucket = bucket->next ? &index->overflow[bucket->next - 1] : NULL)
        for (uint32_t match = bucket_match(bucket, hash_tag(hash)); match; match &= match - 1) {
            uint32_t ref = bucket->refs[__builtin_ctz(match)];
            if (shard_segment(shard, ref)->space == space && !is_absence(shard, ref) &&
                shard_hash(shard, shard_record(shard, ref)) == hash)
                return ref;
        }
    return REF_NONE;
}

enum cache_doubt cache_doubt_again(struct cache *cache, int space, uint64_t hash, char *ret_key,
                                   struct cache_doubted *ret_doubted) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    enum cache_doubt doubt = CACHE_DOUBTS_NOTHING;
    lock_take(&shard->lock);
    uint32_t ref = find_hash(shard, space, hash);
    if (ref != REF_NONE) {
        doubt = doubt_of(show(shard, ref, ret_doubted));
        memcpy(ret_key, ret_doubted->key.data, ret_doubted->key.size);
        ret_doubted->key.data = ret_key;
    }
    lock_release(&shard->lock);
    return doubt;
}

static bool is_row(const struct record *record, const struct entry *row) {
    const struct cache_large *large = record_large(record);
    struct slice value = slice_of(record->data + record_key_size(record), record_value_size(record));
    if (large)
        value = slice_of(large->data, large->size);
    return row && row->version == record_version(record) && row->flags == record_flags(record) &&
           row->expires_at == record->expires_at && slice_equal(row->value, value);
}

bool cache_forget_other(struct cache *cache, struct slice key, uint64_t hash, uint64_t version,
                        const struct entry *row) {
    struct cache_shard *shard = cache_shard_of(cache, hash);
    lock_take(&shard->lock);
    uint32_t ref = shard_find(shard, key, hash);
    const struct record *record = ref == REF_NONE ? NULL : shard_record(shard, ref);
    bool other = record && record_state(record) == CACHE_CLEAN && record_version(record) == version &&
                 !is_row(record, row);
    if (other) {
        ++*shard_change_counter(shard, hash);
        shard_drop(shard, ref, hash, REASON_REPLACED);
    }
    lock_release(&shard->lock);
    return other;
}

void cache_set_blind(struct cache *cache, int space, bool blind) {
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        lock_take(&shard->lock);
        if (shard->spaces[space].blind != blind) {
            shard->spaces[space].blind = blind;
            shard->doubts += blind ? 1u : UINT32_MAX;
        }
        lock_release(&shard->lock);
    }
}
