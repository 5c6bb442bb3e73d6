/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_CACHE_HUGE_H
#define FOREBAY_CACHE_HUGE_H

#include "cache/cache.h"

/* How far a shard has got with its huge pages. */
struct huge_progress {
    uint32_t log_run, index_run; /* the next of each */
    uint32_t segments, grown_at; /* how far the log reached, and in which second it last grew */
    bool unsupported;            /* by the kernel */
};

/* Makes the next run of the shard's log or index that is wholly in use one huge page, if its memory does not
 * grow at the moment. Takes the shard's lock for a look, and calls the kernel without it. Called by the
 * maintenance alone, once a round: while the kernel is at it, whoever touches the run waits. */
void huge_step(struct cache_shard *shard, uint32_t now);

#endif
