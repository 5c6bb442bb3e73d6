/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_CACHE_HUGE_H
#define FOREBAY_CACHE_HUGE_H

#include "cache/shard.h"

/* Makes the next run of the shard's log that is wholly in use one huge page. Takes the shard's lock for a
 * look, and calls the kernel without it. True: it did, and may again. Called by the maintenance alone. */
bool huge_step(struct cache_shard *shard);

#endif
