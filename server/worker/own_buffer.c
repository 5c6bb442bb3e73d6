/* SPDX-License-Identifier: MIT */
/* See own_buffer.h. */
#include "server/worker/own_buffer.h"
#include "server/config/settings.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What a buffer of that size counts. */
static size_t counted_size(size_t capacity) {
    return capacity > CONNECTION_OWN ? capacity - CONNECTION_OWN : 0;
}

/* The buffer is to have that capacity. must: it is counted, but not refused. */
static bool count_capacity(struct connection *connection, size_t capacity, bool must) {
    struct server *server = connection->worker->server;
    size_t more = counted_size(capacity) - counted_size(connection->own.capacity);
    if (more == 0)
        return true;
    size_t before = atomic_fetch_add_explicit(&server->request_bytes, more, memory_order_relaxed);
    if (must || before + more <= settings_request_memory(server->settings))
        return true;
    atomic_fetch_sub_explicit(&server->request_bytes, more, memory_order_relaxed);
    return false;
}

/* Of that capacity, which was counted, only `less` is there. */
static void uncount_capacity(struct connection *connection, size_t capacity, size_t less) {
    size_t bytes = counted_size(capacity) - counted_size(less);
    if (bytes > 0)
        atomic_fetch_sub_explicit(&connection->worker->server->request_bytes, bytes, memory_order_relaxed);
}

/* Twice as much as before, but not more than the awaited request and one read behind it take. */
static size_t grown_capacity(const struct connection *connection, size_t need) {
    if (!connection->authenticated)
        return need <= AUTH_READ ? AUTH_READ : AUTH_KEEP;
    size_t capacity =
        connection->own.capacity > CONNECTION_LITTLE ? connection->own.capacity : (size_t)CONNECTION_LITTLE;
    size_t end = connection->wanted + CONNECTION_READ;
    while (capacity < need)
        capacity *= 2;
    return end >= need && end < capacity && end > CONNECTION_OWN ? end : capacity;
}

static bool resize(struct connection *connection, size_t capacity, bool must) {
    if (!count_capacity(connection, capacity, must))
        return false;
    char *own = realloc(connection->own.bytes, capacity);
    if (!own) {
        uncount_capacity(connection, capacity, connection->own.capacity);
        return false;
    }
    connection->own.bytes = own;
    connection->own.capacity = capacity;
    return true;
}

/* False: not so far; but what every connection may have is there. */
static bool grow(struct connection *connection, size_t need, bool must) {
    if (resize(connection, grown_capacity(connection, need), must))
        return true;
    if (connection->authenticated && connection->own.capacity < CONNECTION_OWN)
        resize(connection, CONNECTION_OWN, false);
    return false;
}

size_t own_buffer_room(const struct connection *connection) {
    return connection->own.capacity - connection->own.start - connection->own.size;
}

bool own_buffer_reserve(struct connection *connection, size_t more, bool must) {
    if (own_buffer_room(connection) >= more)
        return true;
    if (connection->own.start) {
        assert(connection->own.bytes);
        memmove(connection->own.bytes, connection->own.bytes + connection->own.start, connection->own.size);
        connection->own.start = 0;
    }
    return own_buffer_room(connection) >= more || grow(connection, connection->own.size + more, must);
}

char *own_buffer_end(const struct connection *connection) {
    return connection->own.bytes + connection->own.start + connection->own.size;
}

void own_buffer_free(struct connection *connection) {
    uncount_capacity(connection, connection->own.capacity, 0);
    free(connection->own.bytes);
    connection->own.bytes = NULL;
    connection->own.start = connection->own.size = connection->own.capacity = 0;
}
