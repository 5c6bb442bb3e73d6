/* SPDX-License-Identifier: MIT */
/*
 * Connections that wait to be served, in the order in which they will be: a worker has one of those that the next turn
 * serves (worker->ready), one of those that wait for their share behind them (worker->behind: share.h), and one of
 * those that wait to be sent large values (worker->to_send). A connection is in one queue at most (is_queued,
 * next_queued).
 *
 * What is put at the front keeps its order, too: the front is a queue before the queue. In an order of last come first
 * served somebody in the middle might never come to the front while others keep coming there.
 *
 * Belongs to the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_CONNECTION_QUEUE_H
#define FOREBAY_SERVER_WORKER_CONNECTION_QUEUE_H

#include "server/worker/connection.h"

struct connection_queue {
    struct connection *first, **tail;
    struct connection **front_tail; /* of those that were put at the front */
    size_t count;
};

static inline void connection_queue_init(struct connection_queue *queue) {
    *queue = (struct connection_queue){.tail = &queue->first, .front_tail = &queue->first};
}

/* Behind all others. Who is in a queue already stays where he is, here as at the front. */
static inline void connection_queue_append(struct connection_queue *queue, struct connection *connection) {
    if (connection->is_queued)
        return;
    connection->is_queued = true;
    connection->next_queued = NULL;
    *queue->tail = connection;
    queue->tail = &connection->next_queued;
    queue->count++;
}

/* Before all but those that were put there by this. */
static inline void connection_queue_append_to_front(struct connection_queue *queue,
                                                    struct connection *connection) {
    if (connection->is_queued)
        return;
    connection->is_queued = true;
    connection->next_queued = *queue->front_tail;
    if (!connection->next_queued)
        queue->tail = &connection->next_queued;
    *queue->front_tail = connection;
    queue->front_tail = &connection->next_queued;
    queue->count++;
}

/* The first leaves the queue. NULL: there is none. */
static inline struct connection *connection_queue_pop(struct connection_queue *queue) {
    struct connection *first = queue->first;
    if (!first)
        return NULL;
    queue->first = first->next_queued;
    if (queue->tail == &first->next_queued)
        queue->tail = &queue->first;
    if (queue->front_tail == &first->next_queued)
        queue->front_tail = &queue->first;
    queue->count--;
    first->is_queued = false;
    return first;
}

/* All that it has is moved into another one, which is empty or not yet a queue. */
static inline void connection_queue_move(struct connection_queue *queue, struct connection_queue *into) {
    connection_queue_init(into);
    if (!queue->first)
        return;
    *into = (struct connection_queue){queue->first, queue->tail, &into->first, queue->count};
    connection_queue_init(queue);
}

#endif
