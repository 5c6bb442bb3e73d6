/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_CACHE_SWEEP_H
#define FOREBAY_CACHE_SWEEP_H

#include "cache/cache.h"

/* The walk that drops what is over, in steps. */
struct sweep {
    uint32_t segment; /* or SEGMENT_NONE: look for the next one, from `next` on */
    uint32_t offset, next;
};

/* Looks at a few hundred records, and drops those that have expired or were voided. True: there is more to
 * do. Under the shard's lock. */
bool sweep_step(struct cache_shard *shard);

#endif
