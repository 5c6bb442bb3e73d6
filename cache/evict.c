/* SPDX-License-Identifier: MIT */
/*
 * Making room: eviction, compaction, and taking memory from shards that have more than their share.
 *
 * All of it is one mechanism, the evacuation of a segment: it is walked in memory order, each live record in
 * it is either dropped or carried to an open segment, and when the last one is gone the segment is free. An
 * evacuation can pause after any record. One that evicts takes the oldest segment of a queue; one that
 * compacts takes a segment with much room to win, and carries everything that is not over.
 *
 *   lru      One queue. A read raises the record's frequency; a record that was read since it was last
 *            placed moves to the newest end when it has drifted to the oldest one, else it is evicted. (Reads
 *            thus leave no holes.)
 *   s3-fifo  New records go to the small queue, a fortieth of the namespace. At its end, what was read moves
 *            to the main queue, the rest leaves a ghost and is evicted. In the main queue each round costs
 *            one of at most three reads. A key whose ghost is still known starts in the main queue.
 *
 * Misses are counted in entries and memory in bytes: under either eviction, a record much larger than the
 * mean of its namespace has to be read once more to stay, since several others find room in its place.
 *
 * Whatever is not clean, and the record under a cursor, is always carried. A segment most of which is not
 * clean goes round to the newest end as it is, without copying.
 *
 * When the shard is full, every store pays ahead for its own room: it evacuates some three times what it
 * adds, so that a free segment is ready when the open one is full, and no single store pays for a whole one.
 */
#include "cache/evict.h"
#include "cache/large.h"
#include "cache/memory.h"
#include "cache/shard.h"
#include "cache/walk.h"
#include <assert.h>

enum {
    SMALL_SHARE = 40,     /* the small queue is 1/40 of a namespace */
    SMALL_KEEP = 1,       /* reads that move a record from the small to the main queue */
    HOLES_SHARE = 32,     /* holes may take 1/32 of the log before the cleaner works */
    GAIN_SHARE = 8,       /* a segment is compacted when that wins at least 1/8 of it */
    SCAN_SPARSE = 512,    /* segments looked at for the one with the most to win */
    SCAN_OLDEST = 8,      /* segments full of dirty records that go round in one search */
    AGED_FROM = 32,       /* a queue of so many segments has separate ones for the cleaner */
    AHEAD = 3,            /* bytes evacuated for each byte added while the shard is full */
    BATCH = 8,            /* records whose buckets are prefetched together */
    CHANCES = 4,          /* evacuations that respect the frequencies, within one search for room */
    EVACUATIONS_MAX = 64, /* evacuations within one search for a segment */
    STEP = 256            /* records in a step of cache_maintain */
};

enum queue evict_queue(struct cache_shard *shard, int space, uint64_t hash) {
    struct ghost *ghost = shard->spaces[space].ghost;
    if (!ghost || ghost_take(ghost, hash))
        return QUEUE_MAIN;
    return QUEUE_SMALL;
}

/* ---- Choosing a segment ---- */

/* The queue to evict from. */
static enum queue losing_queue(const struct shard_space *space) {
    uint32_t small = space->segments[QUEUE_SMALL], main = space->segments[QUEUE_MAIN];
    return small && (small * SMALL_SHARE >= small + main || !main) ? QUEUE_SMALL : QUEUE_MAIN;
}

/* The segment of a queue that holds the least of what must be kept, or SEGMENT_NONE when all hold little
 * else. */
static uint32_t least_pinned(const struct cache_shard *shard, const struct shard_space *space,
                             enum queue queue) {
    uint32_t best = SEGMENT_NONE, least = UINT32_MAX;
    for (uint32_t at = space->oldest[queue]; at != SEGMENT_NONE; at = shard->segments[at].newer) {
        const struct segment *segment = &shard->segments[at];
        if (segment->pinned < least && segment->pinned < segment->used / 8 * 7) {
            least = segment->pinned;
            best = at;
        }
    }
    return best;
}

/* The oldest segment that is worth an evacuation. */
static uint32_t oldest_in(struct cache_shard *shard, struct shard_space *space, enum queue queue) {
    for (unsigned i = 0; i < SCAN_OLDEST; i++) {
        uint32_t oldest = space->oldest[queue];
        if (oldest == SEGMENT_NONE)
            return SEGMENT_NONE;
        if (shard->segments[oldest].pinned <= shard->segments[oldest].used / 2)
            return oldest;
        segment_to_front(shard, oldest);
    }
    return least_pinned(shard, space, queue);
}

/* Whether others may take memory from this namespace. */
static bool above_floor(const struct cache *cache, unsigned space) {
    size_t least = cache->space[space].options.memory_floor;
    return least == 0 || atomic_load_explicit(&cache->space[space].used, memory_order_relaxed) >= least;
}

/* The oldest segment among the namespaces that may lose one: `space` and, unless own_only, all that are above
 * their floor. */
static uint32_t pick_victim(struct cache_shard *shard, int space, bool own_only) {
    uint32_t victim = SEGMENT_NONE;
    for (unsigned i = 0; i < shard->cache->spaces; i++) {
        bool own = (int)i == space;
        if (!own && (own_only || !above_floor(shard->cache, i)))
            continue;
        struct shard_space *owner = &shard->spaces[i];
        enum queue queue = losing_queue(owner);
        uint32_t number = oldest_in(shard, owner, queue);
        if (number == SEGMENT_NONE)
            number = oldest_in(shard, owner, queue == QUEUE_MAIN ? QUEUE_SMALL : QUEUE_MAIN);
        if (number != SEGMENT_NONE && (victim == SEGMENT_NONE || (int32_t)(shard->segments[number].born -
                                                                           shard->segments[victim].born) < 0))
            victim = number;
    }
    return victim;
}

/* The sealed segment whose compaction wins most, of any namespace or of one; SEGMENT_NONE when none is worth
 * it. */
static uint32_t pick_sparse(struct cache_shard *shard, int space) {
    uint32_t best = SEGMENT_NONE, most = shard->cache->segment_size / GAIN_SHARE;
    uint32_t scan = shard->segments_top < SCAN_SPARSE ? shard->segments_top : SCAN_SPARSE;
    for (; scan; scan--) {
        uint32_t number = shard->clean_hand++;
        if (shard->clean_hand >= shard->segments_top)
            shard->clean_hand = 0;
        if (number >= shard->segments_top)
            continue;
        const struct segment *segment = &shard->segments[number];
        if (segment->status != SEGMENT_SEALED || (space != CACHE_ALL_SPACES && segment->space != space) ||
            segment->dead * HOLES_SHARE < shard->cache->segment_size) /* moving room at an end wins nothing */
            continue;
        uint32_t gain = shard->cache->segment_size - segment->used + segment->dead;
        if (gain > most) {
            most = gain;
            best = number;
        }
    }
    return best;
}

static bool many_holes(const struct cache_shard *shard, int space) {
    if (space == CACHE_ALL_SPACES)
        return shard->dead * HOLES_SHARE > shard->log_bytes;
    const struct shard_space *owner = &shard->spaces[space];
    uint64_t bytes = (uint64_t)(owner->segments[0] + owner->segments[1]) * shard->cache->segment_size;
    return owner->dead * HOLES_SHARE > bytes;
}

/* ---- Evacuating ---- */

/* space: who wants the room, or CACHE_ALL_SPACES. */
static void evacuation_start(struct cache_shard *shard, int space, uint32_t number, bool evict, bool force) {
    if (shard->segments[number].status == SEGMENT_OPEN)
        segment_seal(shard, number);
    bool for_others = evict && space != shard->segments[number].space;
    shard->evacuation = (struct evacuation){number, 0, evict, force, for_others};
    shard->evacuations++;
}

/* Goes on with the evacuation under way, or begins one: of a segment with holes when there are many, else of
 * the oldest. own_only: of this namespace. False: there is none to begin. */
static bool evacuation_begin(struct cache_shard *shard, int space, bool own_only, bool force) {
    if (shard->evacuation.segment != SEGMENT_NONE) {
        shard->evacuation.force |= force;
        shard->evacuation.for_others |=
            shard->evacuation.evict && space != shard->segments[shard->evacuation.segment].space;
        return true;
    }
    int only = own_only ? space : CACHE_ALL_SPACES;
    uint32_t number = many_holes(shard, only) ? pick_sparse(shard, only) : SEGMENT_NONE;
    if (number != SEGMENT_NONE) {
        evacuation_start(shard, CACHE_ALL_SPACES, number, false, false);
        return true;
    }
    if (shard->cache->options.no_eviction)
        return false;
    number = pick_victim(shard, space, own_only);
    if (number == SEGMENT_NONE)
        return false;
    evacuation_start(shard, space, number, true, force);
    return true;
}

/* Room for a carried record; a segment that it takes comes out of the reserve. */
static uint32_t carry_room(struct cache_shard *shard, const struct segment *from, uint32_t size) {
    const struct shard_space *space = &shard->spaces[from->space];
    bool evict = shard->evacuation.evict;
    struct place place = {.space = from->space,
                          .queue = evict ? QUEUE_MAIN : (enum queue)from->queue,
                          .ttl_class = from->ttl_class,
                          .aged = !evict && space->segments[from->queue] >= AGED_FROM};
    uint32_t ref = segment_append(shard, &place, size);
    if (ref != REF_NONE)
        return ref;
    uint32_t number = segment_take(shard, from->space, true);
    if (number == SEGMENT_NONE)
        return REF_NONE;
    segment_open(shard, &place, number, shard->evacuation.segment);
    return segment_append(shard, &place, size);
}

/* Moves a record. False: no room, it stays. */
static bool carry(struct cache_shard *shard, uint32_t ref, uint64_t hash, uint32_t frequency) {
    struct segment *from = shard_segment(shard, ref);
    struct record *record = shard_record(shard, ref);
    uint32_t size = record_size(record), slot = index_find_ref(&shard->index, hash, ref);
    assert(slot != SLOT_NONE);
    uint32_t to = carry_room(shard, from, size);
    if (to == REF_NONE)
        return false;
    struct record *moved = shard_record(shard, to);
    memcpy(moved, record, size);
    record_set_frequency(moved, frequency);
    index_set_ref(&shard->index, slot, to);
    segment_note_deadline(shard, to, record_deadline(moved));
    if (record_state(moved) != CACHE_CLEAN) {
        if (segment_is_voided(shard, from))
            moved->shape |= SHAPE_VOIDED;
        from->pinned -= size;
        shard_segment(shard, to)->pinned += size;
    }
    if (shard->pin == ref)
        shard->pin = to;
    if (!shard->evacuation.evict)
        shard->spaces[from->space].cleaned_bytes += size;
    segment_add_hole(shard, ref, size);
    return true;
}

/* True when it takes the room of several others of its namespace: more than 3/2 of the mean under s3-fifo,
 * more than twice the mean under lru. */
static bool is_bulky(const struct shard_space *space, const struct record *record) {
    const struct cache_large *large = record_large(record);
    uint64_t bytes = record_size(record) + (large ? large->size : 0);
    return bytes * space->entries * 2 > space->bytes * (space->ghost ? 3 : 4);
}

/* The frequency with which a record goes on, or a negative one when it is to be evicted. */
static int second_chance(const struct cache_shard *shard, const struct segment *from,
                         const struct record *record) {
    int frequency = (int)record_frequency(record);
    if (!shard->evacuation.evict)
        return frequency;
    if (record_kind(record) == RECORD_ABSENCE || shard->evacuation.force)
        return -1;
    if (is_bulky(&shard->spaces[from->space], record))
        frequency--;
    if (from->queue == QUEUE_SMALL)
        return frequency >= SMALL_KEEP ? 0 : -1;
    return frequency - 1;
}

/* While others take from a namespace, any record may bring it down to its floor: large values take many times
 * the memory of the segment that holds their records. */
static bool is_protected(const struct cache_shard *shard, const struct segment *from) {
    return shard->evacuation.for_others && !above_floor(shard->cache, from->space);
}

/* Decides about one record. False: it could not be carried. */
static bool evacuate_record(struct cache_shard *shard, uint32_t ref, uint64_t hash) {
    const struct record *record = shard_record(shard, ref);
    const struct segment *from = shard_segment(shard, ref);
    bool keep = record_state(record) != CACHE_CLEAN || ref == shard->pin;
    if (!keep && shard_is_over(shard, ref, shard->now)) {
        shard_drop(shard, ref, hash, REASON_OVER);
        return true;
    }
    int frequency = second_chance(shard, from, record);
    if (keep || frequency >= 0 || is_protected(shard, from))
        return carry(shard, ref, hash, frequency < 0 ? 0 : (uint32_t)frequency);
    if (from->queue == QUEUE_SMALL && shard->spaces[from->space].ghost) /* it may have turned to lru since */
        ghost_add(shard->spaces[from->space].ghost, hash);
    walk_show_eviction(shard, ref);
    shard_drop(shard, ref, hash, REASON_EVICTED);
    return true;
}

struct batch {
    unsigned size;
    uint32_t refs[BATCH];
    uint64_t hashes[BATCH];
};

/* Takes the next live records, up to `most`, and brings their buckets near. */
static void next_batch(struct cache_shard *shard, unsigned most, struct batch *ret_batch) {
    struct evacuation *evacuation = &shard->evacuation;
    const struct segment *segment = &shard->segments[evacuation->segment];
    ret_batch->size = 0;
    while (ret_batch->size < most && ret_batch->size < BATCH && evacuation->offset < segment->used) {
        uint32_t ref = segment_ref(shard, evacuation->segment, evacuation->offset);
        const struct record *record = shard_record(shard, ref);
        evacuation->offset += record_size(record);
        if (record_is_hole(record))
            continue;
        uint64_t hash = shard_hash(shard, record);
        index_prefetch(&shard->index, hash);
        ret_batch->refs[ret_batch->size] = ref;
        ret_batch->hashes[ret_batch->size++] = hash;
    }
}

/* Goes on with the evacuation for at most that many live records. False: it had to be given up. */
static bool evacuate(struct cache_shard *shard, unsigned records) {
    while (records && shard->evacuation.segment != SEGMENT_NONE) {
        uint32_t number = shard->evacuation.segment;
        struct batch batch;
        next_batch(shard, records, &batch);
        for (unsigned i = 0; i < batch.size; i++)
            if (!evacuate_record(shard, batch.refs[i], batch.hashes[i])) {
                shard->evacuation.segment = SEGMENT_NONE;
                return false;
            }
        records -= batch.size;
        if (batch.size == 0) { /* it held nothing from the start */
            assert(shard->evacuation.segment == number);
            segment_free(shard, number);
        }
    }
    return true;
}

/* ---- Room for a record ---- */

/* Takes memory from a shard that has more than this one. The other shard is only tried: two shards that want
 * each other's memory never wait. True: something was given back to the limit. */
static bool steal(struct cache_shard *shard, int space, bool own_only, size_t more_than, size_t bytes) {
    struct cache *cache = shard->cache;
    for (unsigned i = 0; i < cache->shards; i++) {
        struct cache_shard *other = cache->shard[i];
        if (other == shard || atomic_load_explicit(&other->used, memory_order_relaxed) <= more_than ||
            !lock_try(&other->lock))
            continue;
        size_t before = atomic_load_explicit(&other->used, memory_order_relaxed);
        if (other->now < shard->now)
            other->now = shard->now;
        for (unsigned evacuations = 0; evacuations < CHANCES + 2; evacuations++) {
            segment_trim(other, 0);
            if (atomic_load_explicit(&other->used, memory_order_relaxed) + bytes <= before ||
                !evacuation_begin(other, space, own_only, evacuations >= CHANCES) ||
                !evacuate(other, UINT32_MAX))
                break;
        }
        size_t after = atomic_load_explicit(&other->used, memory_order_relaxed);
        lock_release(&other->lock);
        if (after < before)
            return true;
    }
    return false;
}

/* One attempt at making `bytes` more available; at most that many records are looked at. False: there is
 * nothing to take. */
static bool make_room(struct cache_shard *shard, int space, size_t bytes, unsigned records, bool force) {
    struct cache *cache = shard->cache;
    bool own_only = memory_at_ceiling(cache, space, bytes);
    size_t used = atomic_load_explicit(&shard->used, memory_order_relaxed);
    size_t much_more = used + used / 16 + 4ul * cache->segment_size;
    if (shard->evacuation.segment == SEGMENT_NONE && !cache->options.no_eviction &&
        steal(shard, space, own_only, much_more, bytes))
        return true;
    if (evacuation_begin(shard, space, own_only, force) && evacuate(shard, records))
        return true;
    return steal(shard, space, own_only, 0, bytes);
}

/* Pays for the room of a record while there still is some for it. */
static void evict_ahead(struct cache_shard *shard, int space, uint32_t size) {
    struct cache *cache = shard->cache;
    if (!memory_is_short(cache, cache->segment_size) || segment_available(shard) ||
        cache->options.no_eviction)
        return;
    if (!evacuation_begin(shard, space, memory_at_ceiling(cache, space, cache->segment_size), false))
        return;
    uint32_t number = shard->evacuation.segment, goal = shard->evacuation.offset + AHEAD * size;
    while (shard->evacuation.segment == number && shard->evacuation.offset < goal)
        if (!evacuate(shard, 2))
            return;
}

static bool is_over_limit(const struct cache *cache) {
    return atomic_load_explicit(&cache->used, memory_order_relaxed) >
           atomic_load_explicit(&cache->limit, memory_order_relaxed);
}

uint32_t evict_append(struct cache_shard *shard, const struct place *place, uint32_t size) {
    evict_ahead(shard, place->space, size);
    uint32_t ref = segment_append(shard, place, size);
    if (ref != REF_NONE)
        return ref;
    uint32_t number;
    for (unsigned evacuations = 0;; evacuations++) {
        /* Evacuations or the index took more than the reserve: not to be kept. */
        if (is_over_limit(shard->cache))
            segment_trim(shard, 1);
        number = segment_take(shard, place->space, false);
        if (number != SEGMENT_NONE)
            break;
        if (evacuations == EVACUATIONS_MAX ||
            !make_room(shard, place->space, shard->cache->segment_size, UINT32_MAX, evacuations >= CHANCES))
            return REF_NONE;
    }
    ref = segment_append(shard, place, size);
    if (ref != REF_NONE) { /* an evacuation has opened a segment here meanwhile */
        segment_untake(shard, place->space, number);
        return ref;
    }
    segment_open(shard, place, number, SEGMENT_NONE);
    return segment_append(shard, place, size);
}

bool evict_take(struct cache_shard *shard, int space, size_t bytes) {
    uint32_t before = shard->evacuations, most = 2 * shard->segments_top + EVACUATIONS_MAX;
    while (!memory_take(shard, space, bytes)) {
        if (shard->free_count) {
            segment_trim(shard, 0);
            continue;
        }
        uint32_t evacuations = shard->evacuations - before;
        if (evacuations > most || !make_room(shard, space, bytes, 4, evacuations > CHANCES))
            return false;
    }
    return true;
}

/* ---- Steps of cache_maintain ---- */

bool evict_clean_step(struct cache_shard *shard) {
    segment_trim(shard, 1);
    if (shard->evacuation.segment == SEGMENT_NONE) {
        uint32_t number =
            many_holes(shard, CACHE_ALL_SPACES) ? pick_sparse(shard, CACHE_ALL_SPACES) : SEGMENT_NONE;
        if (number == SEGMENT_NONE)
            return false;
        evacuation_start(shard, CACHE_ALL_SPACES, number, false, false);
    }
    if (shard->evacuation.evict)
        return false; /* stores go on with it when they need room */
    return evacuate(shard, STEP);
}

/* Lets the ceiling of a namespace follow what it has, down to what it is to be. True: it is not there yet. */
static bool lower_ceiling(struct cache_space *space) {
    size_t wanted = space->options.memory_ceiling, ceiling = space->ceiling;
    size_t used = atomic_load_explicit(&space->used, memory_order_relaxed);
    if (ceiling == wanted)
        return false;
    space->ceiling = wanted && used > wanted ? used : wanted;
    return wanted && used > wanted;
}

static bool shrink_spaces(struct cache_shard *shard) {
    struct cache *cache = shard->cache;
    for (unsigned i = 0; i < cache->spaces; i++)
        if (lower_ceiling(&cache->space[i]) && evacuation_begin(shard, (int)i, true, true) &&
            evacuate(shard, STEP))
            return true;
    return false;
}

bool evict_shrink_step(struct cache_shard *shard) {
    struct cache *cache = shard->cache;
    if (cache->options.no_eviction)
        return false;
    if (!is_over_limit(cache))
        return shrink_spaces(shard);
    segment_trim(shard, 0);
    if (!is_over_limit(cache))
        return false;
    bool begun = evacuation_begin(shard, CACHE_ALL_SPACES, false, true);
    for (unsigned i = 0; !begun && i < cache->spaces; i++)
        begun = evacuation_begin(shard, (int)i, true, true); /* the limit outranks the floors */
    return begun && evacuate(shard, STEP);
}
