/* SPDX-License-Identifier: MIT */
/*
 * How the 64 bits of a key's hash are shared out: the lowest choose the bucket (up to 27), bits 28 to 39 the
 * change counter, 40 to 47 are the tag, the highest choose the shard (up to 12). The 12 highest are also in
 * the versions of the key (base/entry.h), however many shards there are.
 */
#ifndef FOREBAY_CACHE_HASH_H
#define FOREBAY_CACHE_HASH_H

#include "cache/base/slice.h"
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash_key(struct slice key) {
    return XXH3_64bits(key.data, key.size);
}

/* Never 0: that marks a free slot. */
static inline uint8_t hash_tag(uint64_t hash) {
    uint8_t tag = (uint8_t)(hash >> 40);
    return tag ? tag : 255;
}

#endif
