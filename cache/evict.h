/* SPDX-License-Identifier: MIT */
/*
 * Making room in the log, by eviction and by compaction; how is said in evict.c. Every call is made under the
 * shard's lock, and may try, never wait for, another shard's.
 */
#ifndef FOREBAY_CACHE_EVICT_H
#define FOREBAY_CACHE_EVICT_H

#include "cache/segment.h"

/* The walk that empties one segment; at most one per shard, in steps. */
struct evacuation {
    uint32_t segment; /* or SEGMENT_NONE */
    uint32_t offset;  /* all before it is dead */
    bool evict;       /* else compaction alone: every live record is carried */
    bool force;       /* evict: no second chances, room is needed now */
    bool for_others;  /* evict: another namespace wants the room, a floor is respected */
};

/* A place in the log for a record, after eviction and compaction if need be. REF_NONE: nothing can be
 * evicted. */
uint32_t evict_append(struct cache_shard *shard, const struct place *place, uint32_t size);

/* Takes bytes from the limit for a large value, evicting if need be. False: nothing can be evicted. */
bool evict_take(struct cache_shard *shard, int space, size_t bytes);

/* The queue that a new record of a namespace joins. */
enum queue evict_queue(struct cache_shard *shard, int space, uint64_t hash);

/* Steps for cache_maintain: compaction when there are many holes, shrinking to a lower limit. True: there is
 * or to a lower ceiling of a namespace. True: there is more to do. */
bool evict_clean_step(struct cache_shard *shard);
bool evict_shrink_step(struct cache_shard *shard);

#endif
