/* SPDX-License-Identifier: MIT */
/*
 * What is known before a cache is filled: how much is coming. An index that has its size at once never has to look up
 * the keys of a bucket that splits, and a log that is opened in huge pages takes one page fault instead of 512.
 *
 * Both are resident only when they are touched, and less is made ready than is expected, so that memory stays what was
 * counted: of each log at most a part of the last huge page is resident before it is used. Small shards, where that
 * would matter, are left alone. The runs of the log that were filled so are done with: huge_step goes on behind them.
 */
#include "cache/cache.h"
#include "cache/shard.h"

enum {
    SHARE_OF_LOG = 8, /* what is opened is an eighth less than is expected: shards do not fill up alike */
    LIMIT_SHARE = 2   /* and never more than half of the limit */
};

void cache_expect(struct cache *cache, uint64_t entries, size_t bytes) {
    size_t most = atomic_load_explicit(&cache->limit, memory_order_relaxed) / LIMIT_SHARE;
    size_t all = bytes + entries * RECORD_HEAD;
    if (!cache->huge_index || entries == 0)
        return;
    if (all > most) {
        entries = (uint64_t)((double)entries * (double)most / (double)all);
        all = most;
    }
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        size_t share = all / cache->shards;
        lock_take(&shard->lock);
        index_expect(&shard->index, entries / cache->shards);
        region_expect(&shard->region, share - share / SHARE_OF_LOG);
        shard_count_index(shard);
        lock_release(&shard->lock);
    }
}

void cache_expect_no_more(struct cache *cache) {
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *shard = cache->shard[i];
        lock_take(&shard->lock);
        size_t used = (size_t)shard->segments_top * cache->segment_size;
        uint32_t runs = (uint32_t)(region_expect_no_more(&shard->region, used) / REGION_ALIGNMENT);
        if (shard->huge.log_run < runs)
            shard->huge.log_run = runs;
        lock_release(&shard->lock);
    }
}
