/* SPDX-License-Identifier: MIT */
/*
 * Huge pages for the log: random reads of a log of some megabytes otherwise miss the TLB nearly every time,
 * and under virtualisation such a miss costs as much as several cache misses.
 *
 * A run of 2 MiB is asked to become a huge page only when all its segments are resident anyway
 * (MADV_COLLAPSE, Linux 6.1; older kernels go on without). So resident memory stays what was counted, unlike
 * with MADV_HUGEPAGE, which would round up every end of a region. A segment that is given back later splits
 * its huge page again.
 *
 * Runs are taken in the order of addresses, each once; a run with an unused segment is waited for.
 */
#include "cache/huge.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define HUGE_NEVER UINT32_MAX

static bool is_resident(const struct cache_shard *shard, uint32_t run) {
    uint32_t segments = REGION_ALIGNMENT / shard->cache->segment_size, first = run * segments;
    if (first + segments > shard->segments_top)
        return false;
    for (uint32_t i = first; i < first + segments; i++)
        if (shard->segments[i].status == SEGMENT_UNUSED)
            return false;
    return true;
}

bool huge_step(struct cache_shard *shard) {
    uint32_t run = shard->huge_next;
    if (run == HUGE_NEVER)
        return false;
    lock_take(&shard->lock);
    bool resident = is_resident(shard, run);
    lock_release(&shard->lock);
    if (!resident)
        return false;
    char *start = shard->log + (size_t)run * REGION_ALIGNMENT;
    bool unsupported = madvise(start, REGION_ALIGNMENT, MADV_COLLAPSE) != 0 && errno == EINVAL;
    shard->huge_next = unsupported ? HUGE_NEVER : run + 1;
    return !unsupported;
}
