/* SPDX-License-Identifier: MIT */
/* A shard: making it, dropping records, the gauges, versions, and what flush_all does to it. */
#include "cache/shard.h"
#include "cache/large.h"
#include "cache/memory.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint64_t owner_hash(const struct index_owner *self, uint32_t ref) {
    const struct cache_shard *shard =
        (const struct cache_shard *)(const void *)((const char *)self - offsetof(struct cache_shard, owner));
    return shard_hash(shard, shard_record(shard, ref));
}

static void owner_prefetch(const struct index_owner *self, uint32_t ref) {
    const struct cache_shard *shard =
        (const struct cache_shard *)(const void *)((const char *)self - offsetof(struct cache_shard, owner));
    __builtin_prefetch(shard_record(shard, ref));
}

static void space_init(struct shard_space *space) {
    for (unsigned queue = 0; queue < QUEUES; queue++)
        space->newest[queue] = space->oldest[queue] = SEGMENT_NONE;
    memset(space->open, 0xff, sizeof(space->open));
    space->void_at = SECOND_NEVER;
}

/* Reserves the addresses of log and index. References have 32 bits, and that bounds a shard. */
static bool shard_reserve(struct cache_shard *shard, size_t reserve_bytes) {
    size_t segment = shard->cache->segment_size, most = (size_t)UINT32_MAX / 2 * RECORD_UNIT;
    if (reserve_bytes > most)
        reserve_bytes = most;
    reserve_bytes = reserve_bytes / segment * segment;
    if (!region_reserve(&shard->region, reserve_bytes))
        return false;
    shard->log = shard->region.base;
    shard->segments_max = (uint32_t)(shard->region.reserved / segment);
    /* Room for one bucket per 256 bytes of log: records of 21 bytes on average before chains grow long. */
    if (!index_create(&shard->index, (shard->region.reserved / 4 + 4095) / 4096 * 4096,
                      shard->cache->huge_index))
        return false;
    shard->segments = calloc(shard->segments_max, sizeof(struct segment));
    shard->changes = calloc(CHANGE_COUNTERS, sizeof(uint32_t));
    return shard->segments && shard->changes;
}

struct cache_shard *shard_create(struct cache *cache, size_t reserve_bytes) {
    /* In pages of its own: most namespaces are never touched, and no two shards share a cache line. */
    struct cache_shard *shard =
        mmap(NULL, sizeof(*shard), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (shard == MAP_FAILED)
        return NULL;
    shard->cache = cache;
    shard->segment_shift = (uint32_t)__builtin_ctz(cache->segment_size / RECORD_UNIT);
    shard->free_list = shard->unused_list = SEGMENT_NONE;
    shard->pin = REF_NONE;
    shard->evacuation.segment = shard->sweep.segment = SEGMENT_NONE;
    shard->void_due = SECOND_NEVER;
    shard->owner = (struct index_owner){owner_hash, owner_prefetch};
    for (unsigned i = 0; i < CACHE_SPACES_MAX; i++)
        space_init(&shard->spaces[i]);
    if (!shard_reserve(shard, reserve_bytes)) {
        shard_destroy(shard);
        return NULL;
    }
    shard_count_index(shard);
    return shard;
}

/* Drops the large values that the records hold. */
static void drop_larges(struct cache_shard *shard) {
    for (uint32_t number = 0; number < shard->segments_top; number++) {
        const struct segment *segment = &shard->segments[number];
        if (segment->status != SEGMENT_OPEN && segment->status != SEGMENT_SEALED)
            continue;
        for (uint32_t offset = 0; offset < segment->used;) {
            struct record *record = shard_record(shard, segment_ref(shard, number, offset));
            if (!record_is_hole(record) && record_kind(record) == RECORD_LARGE)
                cache_large_drop(record_large(record));
            offset += record_size(record);
        }
    }
}

void shard_destroy(struct cache_shard *shard) {
    if (shard->segments)
        drop_larges(shard);
    for (unsigned i = 0; i < CACHE_SPACES_MAX; i++)
        ghost_destroy(shard->spaces[i].ghost);
    free(shard->segments);
    free(shard->changes);
    index_destroy(&shard->index);
    region_free(&shard->region);
    munmap(shard, sizeof(*shard));
}

static uint32_t record_weight(const struct record *record) {
    const struct cache_large *large = record_large(record);
    return record_size(record) + (large ? (uint32_t)large->size : 0);
}

static void count_gauges(struct shard_space *space, const struct record *record, uint64_t one,
                         uint64_t weight) {
    switch (record_kind(record)) {
    case RECORD_LARGE:
        space->large_entries += one;
        space->large_bytes += one * record_large(record)->pages;
        /* fall through */
    case RECORD_VALUE:
        space->entries += one;
        space->bytes += weight;
        break;
    case RECORD_TOMBSTONE:
        space->tombstones += one;
        break;
    case RECORD_ABSENCE:
        space->negatives += one;
        break;
    }
}

void shard_join(struct cache_shard *shard, uint32_t ref) {
    const struct record *record = shard_record(shard, ref);
    struct segment *segment = shard_segment(shard, ref);
    struct shard_space *space = &shard->spaces[segment->space];
    uint32_t weight = record_weight(record);
    count_gauges(space, record, 1, weight);
    segment_note_deadline(shard, ref, record_deadline(record));
    if (record_state(record) == CACHE_CLEAN)
        return;
    segment->pinned += record_size(record);
    space->pinned += record_size(record);
    struct cache_space *whole = &shard->cache->space[segment->space];
    atomic_fetch_add_explicit(&whole->dirty_bytes, weight, memory_order_relaxed);
    atomic_fetch_add_explicit(&whole->dirty_entries, 1, memory_order_relaxed);
}

void shard_leave(struct cache_shard *shard, uint32_t ref) {
    const struct record *record = shard_record(shard, ref);
    struct segment *segment = shard_segment(shard, ref);
    struct shard_space *space = &shard->spaces[segment->space];
    uint32_t weight = record_weight(record);
    count_gauges(space, record, UINT64_MAX, (uint64_t) - (int64_t)weight);
    if (record_state(record) == CACHE_CLEAN)
        return;
    segment->pinned -= record_size(record);
    space->pinned -= record_size(record);
    struct cache_space *whole = &shard->cache->space[segment->space];
    atomic_fetch_sub_explicit(&whole->dirty_bytes, weight, memory_order_relaxed);
    atomic_fetch_sub_explicit(&whole->dirty_entries, 1, memory_order_relaxed);
}

static void count_reason(struct shard_space *space, const struct record *record, enum reason reason) {
    enum record_kind kind = record_kind(record);
    bool live = kind == RECORD_VALUE || kind == RECORD_LARGE, fetched = record->use & USE_FETCHED;
    if (!live || reason == REASON_REPLACED)
        return;
    *(reason == REASON_OVER ? &space->expired : &space->evictions) += 1;
    if (!fetched)
        *(reason == REASON_OVER ? &space->expired_unfetched : &space->evicted_unfetched) += 1;
}

void shard_drop_record(struct cache_shard *shard, uint32_t ref, enum reason reason) {
    struct record *record = shard_record(shard, ref);
    struct cache_large *large = record_large(record);
    count_reason(&shard->spaces[shard_segment(shard, ref)->space], record, reason);
    shard_leave(shard, ref);
    if (large)
        cache_large_drop(large);
    segment_add_hole(shard, ref, record_size(record));
}

void shard_drop(struct cache_shard *shard, uint32_t ref, uint64_t hash, enum reason reason) {
    uint32_t slot = index_find_ref(&shard->index, hash, ref);
    assert(slot != SLOT_NONE);
    index_remove(&shard->index, slot, hash);
    shard_drop_record(shard, ref, reason);
}

void shard_count_found_over(struct cache_shard *shard, uint32_t ref, uint32_t now) {
    const struct record *record = shard_record(shard, ref);
    struct shard_space *space = &shard->spaces[shard_segment(shard, ref)->space];
    enum record_kind kind = record_kind(record);
    if (kind != RECORD_VALUE && kind != RECORD_LARGE)
        return;
    if (record_expired(record, now))
        space->found_expired++;
    else if (!record_is_over(record, now)) /* its residency has not ended either */
        space->found_voided++;
}

void shard_count_index(struct cache_shard *shard) {
    size_t bytes = index_bytes(&shard->index);
    if (bytes == shard->index_counted)
        return;
    if (bytes > shard->index_counted)
        memory_take_reserve(shard, MEMORY_SHARED, bytes - shard->index_counted);
    else
        memory_give(shard, MEMORY_SHARED, shard->index_counted - bytes);
    shard->index_counted = bytes;
}

/* Begins a new epoch of a namespace: whatever its segments hold is voided. */
static void void_space(struct cache_shard *shard, unsigned number) {
    struct shard_space *space = &shard->spaces[number];
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        uint32_t newer;
        for (uint32_t at = space->oldest[queue]; at != SEGMENT_NONE; at = newer) {
            struct segment *segment = &shard->segments[at];
            newer = segment->newer;
            if (segment->used == segment->dead) {
                segment_free(shard, at);
                continue;
            }
            if (segment->status == SEGMENT_OPEN)
                segment_seal(shard, at);
            shard->doubts += segment->epoch == space->epoch;
        }
    }
    space->epoch++;
    shard->epochs += EPOCH_STEP;
}

void shard_void_due(struct cache_shard *shard, uint32_t now) {
    shard->void_due = SECOND_NEVER;
    for (unsigned i = 0; i < shard->cache->spaces; i++) {
        struct shard_space *space = &shard->spaces[i];
        if (space->void_at <= now) {
            void_space(shard, i);
            space->void_at = SECOND_NEVER;
        }
        if (space->void_at < shard->void_due)
            shard->void_due = space->void_at;
    }
}

uint64_t shard_last_us(const struct cache_shard *shard) {
    return atomic_load_explicit(&shard->last_us, memory_order_relaxed);
}

/* Shards draw their times without asking one another, so two may draw the same. The upper bits of the hash,
 * by which keys are shared out to shards (hash.h), tell their versions apart. */
uint64_t shard_next_version(struct cache_shard *shard, uint64_t hash, uint64_t now_us) {
    uint64_t last_us = shard_last_us(shard), time_us = version_time(now_us),
             us = time_us > last_us ? time_us : last_us + 1;
    atomic_store_explicit(&shard->last_us, us, memory_order_relaxed);
    return version_from_us(us, version_lower(shard->cache->options.node, hash));
}

void shard_saw_version(struct cache_shard *shard, uint64_t version) {
    if (version_us(version) > shard_last_us(shard) && version <= ENTRY_VERSION_HIGHEST)
        atomic_store_explicit(&shard->last_us, version_us(version), memory_order_relaxed);
}
