/* SPDX-License-Identifier: MIT */
/*
 * The bytes that a connection keeps from one turn to the next: what has come of an unfinished request, or requests that
 * wait. Nothing is kept of one that is idle.
 *
 * The buffers of all connections, beyond CONNECTION_OWN of each, are counted (server->request_bytes) and held below a
 * limit. One that may not grow makes its parser starved. Before a client has authenticated, its buffer has room for one
 * credential, AUTH_KEEP bytes.
 *
 * Belongs to the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_OWN_BUFFER_H
#define FOREBAY_SERVER_WORKER_OWN_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct connection;

struct own_buffer {
    char *bytes; /* or NULL */
    size_t start, size, capacity;
};

/* How much fits behind its bytes as they lie. */
size_t own_buffer_room(const struct connection *connection);

/* Where that is. */
char *own_buffer_end(const struct connection *connection);

/* Makes that room behind its bytes, which may move. must: it is counted, but not refused for the limit. False: it may
 * not grow so far, or there is no memory; what room there is is behind the bytes. */
bool own_buffer_reserve(struct connection *connection, size_t more, bool must);

void own_buffer_free(struct connection *connection);

#endif
