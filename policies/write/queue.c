/* SPDX-License-Identifier: MIT */
/* A list of chunks with the producer at one end and the consumer at the other; `pushed` is the one word
 * between them. The consumer never touches a slot at or beyond `pushed`, so it follows `next` only once the
 * producer has written it. A drained chunk goes back through `spare`, so a steady queue allocates nothing. */
#include "policies/write/queue.h"
#include <assert.h>
#include <stdlib.h>

bool queue_init(struct queue *queue) {
    struct queue_chunk *first = calloc(1, sizeof *first);
    if (!first)
        return false;
    queue->tail = queue->head = first;
    queue->reserved = NULL;
    queue->tail_used = queue->head_used = 0;
    queue->popped = 0;
    atomic_init(&queue->pushed, 0);
    atomic_init(&queue->spare, NULL);
    return true;
}

void queue_clear(struct queue *queue) {
    while (queue->head) {
        struct queue_chunk *next = queue->head == queue->tail ? NULL : queue->head->next;
        free(queue->head);
        queue->head = next;
    }
    free(queue->reserved);
    free(atomic_load(&queue->spare));
    atomic_store(&queue->spare, NULL);
    queue->tail = queue->reserved = NULL;
}

bool queue_reserve_chunk(struct queue *queue) {
    struct queue_chunk *chunk = atomic_exchange_explicit(&queue->spare, NULL, memory_order_acquire);
    if (!chunk)
        chunk = malloc(sizeof *chunk);
    if (!chunk)
        return false;
    chunk->next = NULL;
    queue->reserved = chunk;
    return true;
}

void queue_push(struct queue *queue, struct dirty element) {
    if (queue->tail_used == QUEUE_CHUNK_ELEMENTS) {
        assert(queue->reserved); /* queue_reserve comes first */
        queue->tail->next = queue->reserved;
        queue->tail = queue->reserved;
        queue->reserved = NULL;
        queue->tail_used = 0;
    }
    queue->tail->elements[queue->tail_used++] = element;
    uint64_t pushed = atomic_load_explicit(&queue->pushed, memory_order_relaxed);
    atomic_store_explicit(&queue->pushed, pushed + 1, memory_order_release);
}

/* The consumer's chunk with an unpopped element, or NULL. */
static struct queue_chunk *front_chunk(struct queue *queue) {
    if (queue->popped == queue_pushed(queue))
        return NULL;
    if (queue->head_used == QUEUE_CHUNK_ELEMENTS) {
        struct queue_chunk *drained = queue->head;
        queue->head = drained->next;
        queue->head_used = 0;
        free(atomic_exchange_explicit(&queue->spare, drained, memory_order_acq_rel));
    }
    return queue->head;
}

bool queue_peek(struct queue *queue, struct dirty *ret_front) {
    struct queue_chunk *chunk = front_chunk(queue);
    if (!chunk)
        return false;
    *ret_front = chunk->elements[queue->head_used];
    return true;
}

bool queue_pop(struct queue *queue, struct dirty *ret_front) {
    if (!queue_peek(queue, ret_front))
        return false;
    queue->head_used++;
    queue->popped++;
    return true;
}

bool queue_is_sane(const struct queue *queue) {
    uint64_t chunks = 0;
    for (const struct queue_chunk *chunk = queue->head; chunk != queue->tail; chunk = chunk->next)
        chunks++;
    uint64_t held = chunks * QUEUE_CHUNK_ELEMENTS + queue->tail_used - queue->head_used;
    assert(queue->head_used <= QUEUE_CHUNK_ELEMENTS && queue->tail_used <= QUEUE_CHUNK_ELEMENTS);
    assert(queue_pushed(queue) - queue->popped == held);
    (void)held; /* without assertions */
    return true;
}
