/* SPDX-License-Identifier: MIT */
/*
 * The 64 bits of a key's hash, and how they are shared out: the lowest choose the bucket (up to 27), bits 28 to 39 the
 * change counter, 40 to 47 are the tag, the highest choose the shard (up to 12).
 *
 * It is two hashes. The 12 highest bits are XXH3's and the same in every process, because they are also in the versions
 * of the key (base/entry.h), however many shards there are: versions are on disks and in stores, and clients see them.
 * The lower 52 are secret, as they decide how long a search in a shard takes. So who chooses keys can bring them all
 * into one shard, which is no more than asking for one key again and again does to its lock, but not into one bucket;
 * and what versions show of a hash tells nothing about the rest.
 */
#ifndef FOREBAY_CACHE_HASH_H
#define FOREBAY_CACHE_HASH_H

#include "cache/base/keyed_hash.h"
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_PUBLIC_BITS ENTRY_VERSION_NODE_BITS

static inline uint64_t hash_key(const struct keyed_hash *secret, struct slice key) {
    uint64_t shown = XXH3_64bits(key.data, key.size) >> (64 - HASH_PUBLIC_BITS) << (64 - HASH_PUBLIC_BITS);
    return shown | keyed_hash_of(secret, key) >> HASH_PUBLIC_BITS;
}

/* Never 0: that marks a free slot. */
static inline uint8_t hash_tag(uint64_t hash) {
    uint8_t tag = (uint8_t)(hash >> 40);
    return tag ? tag : 255;
}

#endif
