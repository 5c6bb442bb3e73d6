/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_CACHE_WALK_H
#define FOREBAY_CACHE_WALK_H

#include "cache/cache.h"

/* Shows a record that is about to be evicted to whoever watches evictions, if anybody does. Under the shard's
 * lock. */
void walk_show_eviction(const struct cache_shard *shard, uint32_t ref);

#endif
