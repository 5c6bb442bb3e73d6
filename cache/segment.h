/* SPDX-License-Identifier: MIT */
/*
 * The log of a shard: segments, and the queues they are in.
 *
 *     UNUSED --take--> FREE --open--> OPEN --seal--> SEALED --free--> FREE --trim--> UNUSED
 *                                       '--------------free-------------^
 *
 * Records are added to open segments only: one per namespace, queue and TTL class, so that a segment's
 * records tend to expire together, and another such set for what the cleaner carries, which is as old as the
 * segment it came from. A queue is ordered by age. A segment whose last live record dies is freed at once,
 * whatever its status. Free segments are resident memory and counted as such; unused ones are addresses
 * alone.
 *
 * Every call is made under the shard's lock.
 */
#ifndef FOREBAY_CACHE_SEGMENT_H
#define FOREBAY_CACHE_SEGMENT_H

#include "cache/cache.h"

/* SEGMENT_MIN and SEGMENT_MAX: bytes of a segment. */
enum { TTL_CLASSES = 8, SEGMENT_MIN = 16 << 10, SEGMENT_MAX = 256 << 10 };
#define SEGMENT_NONE UINT32_MAX
#define REF_NONE     UINT32_MAX
#define SECOND_NEVER UINT32_MAX

/* The queues of a namespace. lru knows the main queue alone. */
enum queue { QUEUE_MAIN, QUEUE_SMALL, QUEUES };

enum segment_status { SEGMENT_UNUSED, SEGMENT_FREE, SEGMENT_OPEN, SEGMENT_SEALED };

/* A run of the log: owned by one namespace, filled from its start, walked from its start. */
struct segment {
    uint32_t newer, older; /* neighbours in the queue (newer: also the list of free segments) */
    uint32_t used;         /* bytes written */
    uint32_t dead;         /* of them holes */
    uint32_t pinned;       /* of them records that are not clean */
    uint32_t epoch;        /* the namespace's when it was opened; if an older one, flush_all voided it */
    uint32_t born;         /* the shard's count of segments then: orders segments of all namespaces by age */
    /* Of the deadlines of its records; SECOND_NEVER and 0 when it has none. */
    uint32_t soonest, latest;
    uint8_t space, queue, ttl_class, status;
    bool aged; /* filled by the cleaner: its records are as old as its neighbours' */
};

/* Where a record goes. */
struct place {
    int space;
    enum queue queue;
    unsigned ttl_class;
    bool aged;
};

/* The class of a record that has this deadline (0: none). */
unsigned segment_ttl_class(const struct cache *cache, uint32_t deadline, uint32_t now);

/* Room for a record of this size, as yet unwritten: the caller writes it at once. REF_NONE when that takes a
 * new segment: then take one and open it. */
uint32_t segment_append(struct cache_shard *shard, const struct place *place, uint32_t size);

/* A free segment: a resident one of the shard, or a new one whose memory is taken (reserve: whatever the
 * limit says). SEGMENT_NONE when the limit or the addresses are used up. */
uint32_t segment_take(struct cache_shard *shard, int space, bool reserve);

/* Whether a store finds a free resident segment. Once the limit is reached, the last one is kept for the next
 * evacuation. */
bool segment_available(const struct cache_shard *shard);

/* Returns a taken segment that was not opened. */
void segment_untake(struct cache_shard *shard, int space, uint32_t number);

/* Makes a taken segment the open one of a place: at the newest end of the queue, or, for an aged place, right
 * in front of `beside`. */
void segment_open(struct cache_shard *shard, const struct place *place, uint32_t number, uint32_t beside);

/* Closes an open segment, so that nothing is added to it any more. */
void segment_seal(struct cache_shard *shard, uint32_t number);

/* Returns a segment without live records to the shard; sweep and evacuation let go of it. */
void segment_free(struct cache_shard *shard, uint32_t number);

/* Gives free resident segments back to the kernel until at most `keep` are left. */
void segment_trim(struct cache_shard *shard, uint32_t keep);

/* Moves a segment to the newest end of its queue. */
void segment_to_front(struct cache_shard *shard, uint32_t number);

/* Makes `size` bytes at ref a hole; the segment is freed when nothing lives in it any more. */
void segment_add_hole(struct cache_shard *shard, uint32_t ref, uint32_t size);

/* Notes a deadline (0: none) in the segment of a reference. */
void segment_note_deadline(struct cache_shard *shard, uint32_t ref, uint32_t deadline);

#endif
