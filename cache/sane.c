/* SPDX-License-Identifier: MIT */
/* The invariants of a shard, checked from its records up. */
#include "cache/sane.h"
#include "cache/find.h"
#include "cache/large.h"
#include "cache/shard.h"

/* What the records of a shard add up to. */
struct sums {
    uint64_t records, log_bytes, dead, doubts;
    struct {
        uint64_t entries, bytes, tombstones, negatives, large_entries, large_bytes, dead, pinned;
        uint64_t dirty_entries, dirty_bytes;
        uint32_t segments[QUEUES];
    } space[CACHE_SPACES_MAX];
    uint64_t space_used[CACHE_SPACES_MAX];
};

static void check_record(const struct cache_shard *shard, uint32_t ref, struct sums *sums) {
    const struct record *record = shard_record(shard, ref);
    const struct segment *segment = shard_segment(shard, ref);
    struct slice key = record_key(record);
    uint64_t hash = hash_key(&shard->cache->secret, key);
    SANE(cache_shard_of(shard->cache, hash) == shard);
    SANE(shard_find(shard, key, hash) == ref);
    SANE(index_find_ref(&shard->index, hash, ref) != SLOT_NONE);
    const struct cache_large *large = record_large(record);
    uint64_t weight = record_size(record) + (large ? large->size : 0);
    unsigned space = segment->space;
    switch (record_kind(record)) {
    case RECORD_LARGE:
        SANE(atomic_load(&((struct cache_large *)(uintptr_t)large)->holders) >= 1);
        SANE(large->shard == shard && large->space == (int)space);
        sums->space[space].large_entries++;
        sums->space[space].large_bytes += large->pages;
        sums->space_used[space] += large->pages;
        /* fall through */
    case RECORD_VALUE:
        sums->space[space].entries++;
        sums->space[space].bytes += weight;
        break;
    case RECORD_TOMBSTONE:
        SANE(record_state(record) != CACHE_CLEAN);
        sums->space[space].tombstones++;
        break;
    case RECORD_ABSENCE:
        SANE(record_state(record) == CACHE_CLEAN);
        sums->space[space].negatives++;
        break;
    }
    if (record_state(record) != CACHE_CLEAN) {
        sums->space[space].pinned += record_size(record);
        sums->space[space].dirty_entries++;
        sums->space[space].dirty_bytes += weight;
    }
    SANE(record_state(record) <= CACHE_FLUSHING);
    SANE(record_state(record) != CACHE_CLEAN || !(record->shape & SHAPE_VOIDED));
    uint32_t deadline = record_deadline(record);
    bool walked = shard->sweep.segment == ref >> shard->segment_shift;
    if (deadline > shard->now && !walked && record_state(record) == CACHE_CLEAN)
        SANE(segment->soonest <= deadline && segment->latest >= deadline);
    sums->records++;
}

static void check_segment(const struct cache_shard *shard, uint32_t number, struct sums *sums) {
    const struct segment *segment = &shard->segments[number];
    const struct shard_space *space = &shard->spaces[segment->space];
    uint32_t dead = 0, offset = 0;
    uint64_t pinned = sums->space[segment->space].pinned;
    while (offset < segment->used) {
        uint32_t ref = segment_ref(shard, number, offset);
        const struct record *record = shard_record(shard, ref);
        SANE(record_size(record) > 0);
        if (record_is_hole(record))
            dead += record_size(record);
        else
            check_record(shard, ref, sums);
        offset += record_size(record);
    }
    SANE(offset == segment->used && offset <= shard->cache->segment_size);
    SANE(dead == segment->dead);
    SANE(sums->space[segment->space].pinned - pinned == segment->pinned);
    uint32_t open = space->open[segment->aged][segment->queue][segment->ttl_class];
    SANE((open == number) == (segment->status == SEGMENT_OPEN));
    sums->dead += dead;
    sums->doubts += segment_is_voided(shard, segment);
    sums->log_bytes += shard->cache->segment_size;
    sums->space[segment->space].dead += dead;
    sums->space[segment->space].segments[segment->queue]++;
    sums->space_used[segment->space] += shard->cache->segment_size;
}

static void check_queue(const struct cache_shard *shard, unsigned number, unsigned queue) {
    const struct shard_space *space = &shard->spaces[number];
    uint32_t count = 0, newer = SEGMENT_NONE;
    for (uint32_t at = space->newest[queue]; at != SEGMENT_NONE; at = shard->segments[at].older) {
        const struct segment *segment = &shard->segments[at];
        SANE(segment->space == number && segment->queue == queue && segment->newer == newer);
        SANE(segment->status == SEGMENT_OPEN || segment->status == SEGMENT_SEALED);
        newer = at;
        count++;
    }
    SANE(space->oldest[queue] == newer);
    SANE(space->segments[queue] == count);
}

static void check_space(const struct cache_shard *shard, unsigned number, const struct sums *sums) {
    const struct shard_space *space = &shard->spaces[number];
    SANE(space->entries == sums->space[number].entries);
    SANE(space->bytes == sums->space[number].bytes);
    SANE(space->tombstones == sums->space[number].tombstones);
    SANE(space->negatives == sums->space[number].negatives);
    SANE(space->large_entries == sums->space[number].large_entries);
    SANE(space->large_bytes == sums->space[number].large_bytes);
    SANE(space->dead == sums->space[number].dead);
    SANE(space->pinned == sums->space[number].pinned);
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        check_queue(shard, number, queue);
        SANE(space->segments[queue] == sums->space[number].segments[queue]);
    }
}

static uint32_t list_length(const struct cache_shard *shard, uint32_t at, enum segment_status status) {
    uint32_t length = 0;
    for (; at != SEGMENT_NONE; at = shard->segments[at].newer, length++)
        SANE(shard->segments[at].status == status);
    return length;
}

/* Checks one shard and adds its dirty entries to the totals of the namespaces. */
static void check_shard(const struct cache_shard *shard, struct sums *totals) {
    struct sums sums = {0};
    uint32_t in_log = 0;
    for (uint32_t number = 0; number < shard->segments_top; number++) {
        uint8_t status = shard->segments[number].status;
        if (status != SEGMENT_OPEN && status != SEGMENT_SEALED)
            continue;
        check_segment(shard, number, &sums);
        in_log++;
    }
    SANE(in_log + list_length(shard, shard->free_list, SEGMENT_FREE) +
             list_length(shard, shard->unused_list, SEGMENT_UNUSED) ==
         shard->segments_top);
    SANE(list_length(shard, shard->free_list, SEGMENT_FREE) == shard->free_count);
    SANE(index_is_sane(&shard->index, &shard->owner));
    SANE(shard->index.entries == sums.records);
    SANE(shard->index_counted >= index_bytes(&shard->index)); /* a drop is counted at the next change */
    SANE(shard->dead == sums.dead && shard->log_bytes == sums.log_bytes);
    SANE(shard->pin == REF_NONE);
    for (unsigned i = 0; i < shard->cache->spaces; i++) {
        check_space(shard, i, &sums);
        sums.doubts += shard->spaces[i].blind;
        totals->space[i].dirty_entries += sums.space[i].dirty_entries;
        totals->space[i].dirty_bytes += sums.space[i].dirty_bytes;
        totals->space_used[i] += sums.space_used[i];
    }
    SANE(shard->doubts == sums.doubts);
}

bool cache_is_sane(struct cache *cache) {
    struct sums totals = {0};
    /* All at once, in order: the totals of the namespaces are then what the shards add up to. */
    for (unsigned i = 0; i < cache->shards; i++)
        lock_take(&cache->shard[i]->lock);
    for (unsigned i = 0; i < cache->shards; i++)
        check_shard(cache->shard[i], &totals);
    for (unsigned i = 0; i < cache->spaces; i++) {
        SANE(cache_dirty_entries(cache, (int)i) == totals.space[i].dirty_entries);
        SANE(cache_dirty_bytes(cache, (int)i) == totals.space[i].dirty_bytes);
        /* More where large values are held by others. */
        SANE(atomic_load(&cache->space[i].used) >= totals.space_used[i]);
    }
    for (unsigned i = 0; i < cache->shards; i++)
        lock_release(&cache->shard[i]->lock);
    return true;
}
