/* SPDX-License-Identifier: MIT */
/* Finding a record by its key: the hot part of every read, inline for that reason. */
#ifndef FOREBAY_CACHE_FIND_H
#define FOREBAY_CACHE_FIND_H

#include "cache/shard.h"

/* Keys are short and mostly equal when it comes to this: two or four loads instead of a call. */
static inline bool key_equal(const char *a, const char *b, size_t size) {
    uint64_t x, y, p, q;
    if (size > 16)
        return memcmp(a, b, size) == 0;
    if (size >= 8) {
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        memcpy(&p, a + size - 8, 8);
        memcpy(&q, b + size - 8, 8);
        return ((x ^ y) | (p ^ q)) == 0;
    }
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* The record of a key, whatever its state; REF_NONE when there is none. Under the shard's lock. */
static inline uint32_t shard_find(const struct cache_shard *shard, struct slice key, uint64_t hash) {
    const struct index *index = &shard->index;
    uint8_t tag = hash_tag(hash);
    const struct bucket *bucket = &index->buckets[index_home(index->count, hash)];
    for (;;) {
        for (uint32_t match = bucket_match(bucket, tag); match; match &= match - 1) {
            uint32_t ref = bucket->refs[__builtin_ctz(match)];
            const struct record *record = shard_record(shard, ref);
            if (record_key_size(record) == key.size && key_equal(record->data, key.data, key.size))
                return ref;
        }
        if (__builtin_expect(bucket->next == 0, 1))
            return REF_NONE;
        bucket = &index->overflow[bucket->next - 1];
    }
}

#endif
