/* SPDX-License-Identifier: MIT */
/*
 * A value too large for the log: pages of its own, counted by whoever holds it. The record in the log holds
 * it once; a reply that is being sent without a copy holds it too. The last drop gives the pages back to the
 * kernel and the bytes back to the memory limit, on whatever thread that happens.
 */
#ifndef FOREBAY_CACHE_LARGE_H
#define FOREBAY_CACHE_LARGE_H

#include "cache/cache.h"

struct cache_large {
    _Atomic uint32_t holders;
    int space;
    size_t size, pages; /* bytes of the value; bytes of resident memory */
    struct cache *cache;
    struct cache_shard *shard;
    char data[];
};

/* Bytes of resident memory that a value of this size takes. */
size_t large_pages(size_t size);

/* Copies a value into pages whose bytes are already taken from the memory limit; NULL when the kernel has
 * none. */
struct cache_large *large_create(struct cache_shard *shard, int space, struct slice value);

#endif
