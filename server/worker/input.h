/* SPDX-License-Identifier: MIT */
/* A worker's input: bytes that all its connections share, each for as long as a turn. Whoever empties it between two
 * connections leaves room for a read (turn_read.c). On the worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_INPUT_H
#define FOREBAY_SERVER_WORKER_INPUT_H

#include "server/worker/connection.h"
#include "server/worker/internal.h"

/* As recv, and io_type.receive. */
typedef ssize_t input_receive(struct connection *connection, char *data, size_t size);

/* What io_type.take does, by means of that. */
static inline ssize_t input_take(struct connection *connection, input_receive *receive, size_t size,
                                 const char **ret_data) {
    struct worker *worker = connection->worker;
    char *at = worker->input + worker->input_used;
    ssize_t got = receive(connection, at, size);
    if (got > 0)
        worker->input_used += (size_t)got;
    *ret_data = at;
    return got;
}

#endif
