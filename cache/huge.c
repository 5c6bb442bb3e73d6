/* SPDX-License-Identifier: MIT */
/*
 * Huge pages for the log and the index: random reads of some megabytes otherwise miss the TLB nearly every
 * time, and under virtualisation such a miss costs as much as several cache misses.
 *
 * A run of 2 MiB is asked to become a huge page only when all of it is resident anyway (MADV_COLLAPSE,
 * Linux 6.1; older kernels go on without). So resident memory stays what was counted, unlike with
 * MADV_HUGEPAGE, which would round up every end of a region. A segment that is given back later splits its
 * huge page again.
 *
 * The kernel takes a millisecond or more for a run, and holds up page faults meanwhile: those of whoever
 * touches the run, and those of a log that grows into fresh pages (measured: workers' turns of 8 to 32 ms).
 * So a shard waits until its log has not grown for QUIET_SECONDS, and takes one run in a round of the
 * maintenance.
 *
 * Runs are taken in the order of addresses, each once; one with an unused segment holds up those behind it.
 */
#include "cache/huge.h"
#include "cache/shard.h"
#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
enum { QUIET_SECONDS = 2 };

static bool is_resident(const struct cache_shard *shard, uint32_t run) {
    uint32_t segments = REGION_ALIGNMENT / shard->cache->segment_size, first = run * segments;
    if (first + segments > shard->segments_top)
        return false;
    for (uint32_t i = first; i < first + segments; i++)
        if (shard->segments[i].status == SEGMENT_UNUSED)
            return false;
    return true;
}

static bool grows(struct cache_shard *shard, uint32_t now) {
    if (shard->huge.segments != shard->segments_top) {
        shard->huge.segments = shard->segments_top;
        shard->huge.grown_at = now;
    }
    return now - shard->huge.grown_at < QUIET_SECONDS;
}

/* The run to take now, or NULL. */
static char *choose_run(struct cache_shard *shard, uint32_t now) {
    char *run = NULL;
    if (shard->huge.index_run == 0 && shard->index.bucket_region.huge)
        shard->huge.index_run = 1; /* the first is one already */
    lock_take(&shard->lock);
    if (grows(shard, now)) {
        run = NULL;
    } else if ((shard->huge.index_run + 1ul) * REGION_ALIGNMENT <=
               shard->index.count * sizeof(struct bucket)) {
        run = shard->index.bucket_region.base + (size_t)shard->huge.index_run++ * REGION_ALIGNMENT;
    } else if (is_resident(shard, shard->huge.log_run)) {
        run = shard->log + (size_t)shard->huge.log_run++ * REGION_ALIGNMENT;
    }
    lock_release(&shard->lock);
    return run;
}

void huge_step(struct cache_shard *shard, uint32_t now) {
    char *run = shard->huge.unsupported ? NULL : choose_run(shard, now);
    if (run && madvise(run, REGION_ALIGNMENT, MADV_COLLAPSE) != 0 && errno == EINVAL)
        shard->huge.unsupported = true;
}
