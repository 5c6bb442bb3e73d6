/* SPDX-License-Identifier: MIT */
/*
 * The dirty queue: which entries of a namespace turned dirty, in the order in which they did, from one worker
 * (the only producer) to the backend's writer thread (the only consumer). Lock-free.
 *
 * An element is a word, not the entry: the hash of the key and the time of the turn in which it turned dirty.
 * What is flushed is what the cache holds when the element is popped, so repeated writes of a key coalesce;
 * and since an entry that is DIRTY already is not queued again, its first dirty time does not move.
 *
 * Per queue `since` never decreases: the front is the oldest, and no change announced by a later element has
 * a version below the front's `since`. The low-water version rests on that (low_water.c).
 */
#ifndef FOREBAY_POLICIES_WRITE_QUEUE_H
#define FOREBAY_POLICIES_WRITE_QUEUE_H

#include "cache/base/entry.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dirty {
    uint64_t hash;
    /* a version: the lower bound of the versions of the turn in which the entry turned dirty */
    uint64_t since;
};

enum {
    QUEUE_CHUNK_ELEMENTS = 510,
    /* `since` of what recovery queues: lower than that of any change, so nothing of the old journals is forgotten
     * before it is in the backend. Says nothing about an age. */
    QUEUE_SINCE_RECOVERY = 1 << ENTRY_VERSION_NODE_BITS
};

struct queue_chunk {
    struct dirty elements[QUEUE_CHUNK_ELEMENTS];
    /* written by the producer before it publishes the first element of the next chunk */
    struct queue_chunk *next;
};

struct queue {
    /* the producer's */
    struct queue_chunk *tail;
    struct queue_chunk *reserved; /* the chunk after tail, once queue_reserve had to make it */
    unsigned tail_used;           /* elements of tail that are written */
    /* shared */
    _Alignas(64) atomic_uint_fast64_t pushed; /* elements ever pushed: written by the producer */
    _Atomic(struct queue_chunk *) spare;      /* a drained chunk on its way back to the producer */
    /* the consumer's */
    _Alignas(64) struct queue_chunk *head;
    unsigned head_used; /* elements of head that are popped */
    uint64_t popped;    /* elements ever popped */
};

/* Makes an empty queue in place. False: no memory. */
bool queue_init(struct queue *queue);

/* Frees what is left. Neither side may use the queue any more. */
void queue_clear(struct queue *queue);

/* Producer: makes sure that the next queue_push cannot fail. False: no memory. */
bool queue_reserve_chunk(struct queue *queue);
static inline bool queue_reserve(struct queue *queue) {
    return queue->tail_used < QUEUE_CHUNK_ELEMENTS || queue->reserved != NULL || queue_reserve_chunk(queue);
}

/* Producer: appends and publishes. A successful queue_reserve must have come before. */
void queue_push(struct queue *queue, struct dirty element);

/* Elements ever pushed; any thread. What was pushed before the call is counted. */
static inline uint64_t queue_pushed(const struct queue *queue) {
    return atomic_load_explicit(&queue->pushed, memory_order_acquire);
}

/* Consumer: the front without taking it. False: empty. */
bool queue_peek(struct queue *queue, struct dirty *ret_front);

/* Consumer: the element n places behind the front, as a hint: false also where it would be work to find
 * it. */
static inline bool queue_peek_ahead(const struct queue *queue, unsigned n, struct dirty *ret_element) {
    if (queue->head_used + n >= QUEUE_CHUNK_ELEMENTS || queue->popped + n >= queue_pushed(queue))
        return false;
    *ret_element = queue->head->elements[queue->head_used + n];
    return true;
}

/* Consumer: takes the front. False: empty. */
bool queue_pop(struct queue *queue, struct dirty *ret_front);

/* For asserts; both sides must be at rest. */
bool queue_is_sane(const struct queue *queue);

#endif
