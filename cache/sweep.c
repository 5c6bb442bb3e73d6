/* SPDX-License-Identifier: MIT */
/*
 * The sweeper: drops what has expired, and what flush_all has voided, without waiting for a read or an
 * eviction.
 *
 * Each segment knows the soonest and the latest deadline of its records. It is due when the latest has
 * passed, or when by these two some sixteenth of its records is over; then it is walked, what is over becomes
 * a hole, and the two are measured anew. A segment in which nothing is left is freed by its last hole; what
 * is left of the others is work for the cleaner. So the sweeper looks at a record some sixteen times in its
 * life at most, and a segment whose records expire together goes as a whole.
 */
#include "cache/sweep.h"
#include "cache/shard.h"

enum {
    DUE_SHARE = 16,
    SCAN = 1024,  /* segments looked at in one step */
    RECORDS = 256 /* records looked at in one step */
};

static bool is_due(const struct cache_shard *shard, const struct segment *segment) {
    if (segment->status != SEGMENT_OPEN && segment->status != SEGMENT_SEALED)
        return false;
    if (segment_is_voided(shard, segment))
        return segment->used > segment->dead + segment->pinned;
    if (segment->soonest > shard->now)
        return false;
    uint64_t passed = shard->now - segment->soonest, range = segment->latest - segment->soonest;
    return passed * DUE_SHARE >= range;
}

/* Finds the next due segment. False: none of those looked at; ret_all: all have been looked at. */
static bool sweep_begin(struct cache_shard *shard, bool *ret_all) {
    struct sweep *sweep = &shard->sweep;
    for (unsigned i = 0; i < SCAN; i++) {
        if (sweep->next >= shard->segments_top) {
            sweep->next = 0;
            *ret_all = true;
            return false;
        }
        uint32_t number = sweep->next++;
        struct segment *segment = &shard->segments[number];
        if (!is_due(shard, segment))
            continue;
        sweep->segment = number;
        sweep->offset = 0;
        segment->soonest = SECOND_NEVER;
        segment->latest = 0;
        return true;
    }
    *ret_all = false;
    return false;
}

static void sweep_record(struct cache_shard *shard, uint32_t ref) {
    const struct record *record = shard_record(shard, ref);
    if (record_is_hole(record))
        return;
    if (shard_is_over(shard, ref, shard->now)) {
        shard_drop(shard, ref, shard_hash(shard, record), REASON_OVER);
        return;
    }
    uint32_t deadline = record_deadline(record);
    if (deadline <= shard->now) /* kept beyond its residency */
        deadline = record->expires_at;
    if (deadline > shard->now) /* that of a dirty one may have passed: it is dropped when it is settled */
        segment_note_deadline(shard, ref, deadline);
}

bool sweep_step(struct cache_shard *shard) {
    struct sweep *sweep = &shard->sweep;
    bool all = false;
    if (sweep->segment == SEGMENT_NONE && !sweep_begin(shard, &all))
        return !all;
    for (unsigned i = 0; i < RECORDS && sweep->segment != SEGMENT_NONE; i++) {
        const struct segment *segment = &shard->segments[sweep->segment];
        if (sweep->offset >= segment->used) {
            sweep->segment = SEGMENT_NONE;
            break;
        }
        uint32_t ref = segment_ref(shard, sweep->segment, sweep->offset);
        sweep->offset += record_size(shard_record(shard, ref));
        sweep_record(shard, ref);
    }
    return true;
}
