/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_CACHE_HUGE_H
#define FOREBAY_CACHE_HUGE_H

#include "cache/shard.h"

/* Makes the next run of the shard's log or index that is wholly in use one huge page, if its memory does not
 * grow at the moment. Takes the shard's lock for a look, and calls the kernel without it. Called by the
 * maintenance alone, once a round: while the kernel is at it, who touches the run waits. */
void huge_step(struct cache_shard *shard, uint32_t now);

#endif
