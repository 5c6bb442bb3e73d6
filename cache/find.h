/* SPDX-License-Identifier: MIT */
/* Finding a record by its key: the hot part of every read, inline for that reason. */
#ifndef FOREBAY_CACHE_FIND_H
#define FOREBAY_CACHE_FIND_H

#include "cache/shard.h"

/* 0 where eight bytes are the same. */
static inline uint64_t key_difference(const char *a, const char *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x ^ y;
}

/* Keys are short and mostly equal when it comes to this: a few loads, which overlap, instead of a call. */
static inline bool key_equal(const char *a, const char *b, size_t size) {
    const char *a_end = a + size, *b_end = b + size;
    if (__builtin_expect(size > 32, 0))
        return memcmp(a, b, size) == 0;
    if (size > 16)
        return (key_difference(a, b) | key_difference(a + 8, b + 8) | key_difference(a_end - 16, b_end - 16) |
                key_difference(a_end - 8, b_end - 8)) == 0;
    if (size >= 8)
        return (key_difference(a, b) | key_difference(a_end - 8, b_end - 8)) == 0;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* The record of a key, whatever its state; REF_NONE when there is none. Under the shard's lock. */
static inline uint32_t shard_find(const struct cache_shard *shard, struct slice key, uint64_t hash) {
    const struct index *index = &shard->index;
    uint8_t tag = hash_tag(hash);
    const struct bucket *bucket = index_bucket_of(index, hash);
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
