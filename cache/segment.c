/* SPDX-License-Identifier: MIT */
#include "cache/segment.h"
#include "cache/memory.h"
#include "cache/shard.h"
#include <assert.h>

unsigned segment_ttl_class(const struct cache *cache, uint32_t deadline, uint32_t now) {
    if (deadline == 0)
        return 0;
    /* Class 7 is below 64 s, 6 below 4 min, 5 below 17 min, 4 below 68 min, 3 below 4.5 h, 2 below 18 h,
     * 1 below 3 days. */
    uint32_t left = deadline > now ? deadline - now : 0;
    unsigned bits = left ? 32 - (unsigned)__builtin_clz(left) : 0;
    unsigned steps = bits <= 6 ? 0 : (bits - 5) / 2;
    return steps >= TTL_CLASSES ? 0 : (TTL_CLASSES - 1 - steps) >> cache->class_shift;
}

static struct shard_space *space_of(struct cache_shard *shard, const struct segment *segment) {
    return &shard->spaces[segment->space];
}

static uint32_t *open_slot(struct cache_shard *shard, const struct place *place) {
    return &shard->spaces[place->space].open[place->aged][place->queue][place->ttl_class];
}

uint32_t segment_append(struct cache_shard *shard, const struct place *place, uint32_t size) {
    uint32_t number = *open_slot(shard, place);
    if (number == SEGMENT_NONE)
        return REF_NONE;
    struct segment *segment = &shard->segments[number];
    if (segment->used + size > shard->cache->segment_size)
        return REF_NONE;
    uint32_t ref = segment_ref(shard, number, segment->used);
    segment->used += size;
    return ref;
}

/* An unused segment's number, with its addresses open; SEGMENT_NONE: there are no more. */
static uint32_t take_unused(struct cache_shard *shard) {
    uint32_t number = shard->unused_list;
    if (number != SEGMENT_NONE) {
        shard->unused_list = shard->segments[number].newer;
        return number;
    }
    number = shard->segments_top;
    if (number == shard->segments_max ||
        !region_open(&shard->region, (number + 1ul) * shard->cache->segment_size))
        return SEGMENT_NONE;
    shard->segments_top++;
    return number;
}

static void give_unused(struct cache_shard *shard, uint32_t number) {
    shard->segments[number].status = SEGMENT_UNUSED;
    shard->segments[number].newer = shard->unused_list;
    shard->unused_list = number;
}

bool segment_available(const struct cache_shard *shard) {
    return shard->free_count > (memory_is_short(shard->cache, 0) ? 1 : 0);
}

uint32_t segment_take(struct cache_shard *shard, int space, bool reserve) {
    struct cache *cache = shard->cache;
    uint32_t size = cache->segment_size, number = shard->free_list;
    if (!reserve && memory_at_ceiling(cache, space, size))
        return SEGMENT_NONE;
    if (reserve ? number != SEGMENT_NONE : segment_available(shard)) {
        shard->free_list = shard->segments[number].newer;
        shard->free_count--;
        atomic_fetch_add_explicit(&cache->space[space].used, size, memory_order_relaxed);
        return number;
    }
    number = take_unused(shard);
    if (number == SEGMENT_NONE)
        return SEGMENT_NONE;
    if (reserve) {
        memory_take_reserve(shard, space, size);
    } else if (!memory_take(shard, space, size)) {
        give_unused(shard, number);
        return SEGMENT_NONE;
    }
    return number;
}

static void give_free(struct cache_shard *shard, int space, uint32_t number) {
    struct segment *segment = &shard->segments[number];
    segment->status = SEGMENT_FREE;
    segment->newer = shard->free_list;
    shard->free_list = number;
    shard->free_count++;
    atomic_fetch_sub_explicit(&shard->cache->space[space].used, shard->cache->segment_size,
                              memory_order_relaxed);
}

void segment_untake(struct cache_shard *shard, int space, uint32_t number) {
    give_free(shard, space, number);
}

/* Puts a segment into its queue, right in front of `behind` (SEGMENT_NONE: at the oldest end). */
static void queue_insert(struct cache_shard *shard, uint32_t number, uint32_t behind) {
    struct segment *segment = &shard->segments[number];
    struct shard_space *space = space_of(shard, segment);
    uint32_t *front = &space->newest[segment->queue], *back = &space->oldest[segment->queue];
    segment->older = behind;
    segment->newer = behind == SEGMENT_NONE ? *back : shard->segments[behind].newer;
    *(segment->newer == SEGMENT_NONE ? front : &shard->segments[segment->newer].older) = number;
    *(behind == SEGMENT_NONE ? back : &shard->segments[behind].newer) = number;
    space->segments[segment->queue]++;
}

static void queue_remove(struct cache_shard *shard, uint32_t number) {
    struct segment *segment = &shard->segments[number];
    struct shard_space *space = space_of(shard, segment);
    *(segment->newer == SEGMENT_NONE ? &space->newest[segment->queue]
                                     : &shard->segments[segment->newer].older) = segment->older;
    *(segment->older == SEGMENT_NONE ? &space->oldest[segment->queue]
                                     : &shard->segments[segment->older].newer) = segment->newer;
    space->segments[segment->queue]--;
}

void segment_open(struct cache_shard *shard, const struct place *place, uint32_t number, uint32_t beside) {
    uint32_t *slot = open_slot(shard, place);
    if (*slot != SEGMENT_NONE)
        segment_seal(shard, *slot);
    *slot = number;
    struct shard_space *space = &shard->spaces[place->space];
    bool aged = place->aged && beside != SEGMENT_NONE;
    shard->segments[number] = (struct segment){.epoch = space->epoch,
                                               .born = aged ? shard->segments[beside].born : shard->births++,
                                               .soonest = SECOND_NEVER,
                                               .space = (uint8_t)place->space,
                                               .queue = (uint8_t)place->queue,
                                               .ttl_class = (uint8_t)place->ttl_class,
                                               .status = SEGMENT_OPEN,
                                               .aged = place->aged};
    queue_insert(shard, number, aged ? beside : space->newest[place->queue]);
    shard->log_bytes += shard->cache->segment_size;
}

void segment_seal(struct cache_shard *shard, uint32_t number) {
    struct segment *segment = &shard->segments[number];
    assert(segment->status == SEGMENT_OPEN);
    space_of(shard, segment)->open[segment->aged][segment->queue][segment->ttl_class] = SEGMENT_NONE;
    segment->status = SEGMENT_SEALED;
}

void segment_free(struct cache_shard *shard, uint32_t number) {
    struct segment *segment = &shard->segments[number];
    struct shard_space *space = space_of(shard, segment);
    assert(segment->used == segment->dead && segment->pinned == 0);
    if (segment->status == SEGMENT_OPEN)
        segment_seal(shard, number);
    if (segment_is_voided(shard, segment))
        shard->doubts--;
    if (shard->evacuation.segment == number)
        shard->evacuation.segment = SEGMENT_NONE;
    if (shard->sweep.segment == number)
        shard->sweep.segment = SEGMENT_NONE;
    queue_remove(shard, number);
    space->dead -= segment->dead;
    shard->dead -= segment->dead;
    shard->log_bytes -= shard->cache->segment_size;
    give_free(shard, segment->space, number);
}

void segment_trim(struct cache_shard *shard, uint32_t keep) {
    uint32_t size = shard->cache->segment_size;
    while (shard->free_count > keep) {
        uint32_t number = shard->free_list;
        shard->free_list = shard->segments[number].newer;
        shard->free_count--;
        region_forget(&shard->region, (size_t)number * size, size);
        give_unused(shard, number);
        memory_give(shard, MEMORY_SHARED, size);
    }
}

void segment_to_front(struct cache_shard *shard, uint32_t number) {
    struct segment *segment = &shard->segments[number];
    queue_remove(shard, number);
    segment->born = shard->births++;
    queue_insert(shard, number, space_of(shard, segment)->newest[segment->queue]);
}

void segment_add_hole(struct cache_shard *shard, uint32_t ref, uint32_t size) {
    struct segment *segment = shard_segment(shard, ref);
    record_make_hole(shard_record(shard, ref), size);
    segment->dead += size;
    space_of(shard, segment)->dead += size;
    shard->dead += size;
    if (segment->dead == segment->used)
        segment_free(shard, ref >> shard->segment_shift);
}

void segment_note_deadline(struct cache_shard *shard, uint32_t ref, uint32_t deadline) {
    if (deadline == 0)
        return;
    struct segment *segment = shard_segment(shard, ref);
    if (deadline < segment->soonest)
        segment->soonest = deadline;
    if (deadline > segment->latest)
        segment->latest = deadline;
}
