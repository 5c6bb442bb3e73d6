/* SPDX-License-Identifier: MIT */
/*
 * The count of resident memory: of the whole cache, of each shard and of each namespace.
 *
 * Memory is counted when it is taken: cache->used is the sum of all segments that are not given back to the
 * kernel, of the index pages and of the pages of large values. It stays below cache->limit because segments
 * are taken only up to limit - reserve; the reserve covers one segment per shard that an evacuation fills
 * before it frees one, and the growth of the index until the next segment is taken.
 *
 * The counts are atomic: every call may be made with or without the shard's lock.
 */
#ifndef FOREBAY_CACHE_MEMORY_H
#define FOREBAY_CACHE_MEMORY_H

#include "cache/cache.h"

enum { MEMORY_SHARED = -1 }; /* for space: counted in no namespace */

/* Takes bytes from the limit, and from the ceiling of the namespace. False: there are not so many left, and
 * nothing was taken. */
bool memory_take(struct cache_shard *shard, int space, size_t bytes);

/* Takes bytes out of the reserve: always granted. */
void memory_take_reserve(struct cache_shard *shard, int space, size_t bytes);

/* Gives back what either of them took. */
void memory_give(struct cache_shard *shard, int space, size_t bytes);

/* Whether memory_take would refuse that many bytes: by the limit, by the namespace's ceiling. */
bool memory_is_short(const struct cache *cache, size_t bytes);
bool memory_at_ceiling(const struct cache *cache, int space, size_t bytes);

#endif
