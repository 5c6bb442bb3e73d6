/* SPDX-License-Identifier: MIT */
/* See connection_read.h. */
#include "server/worker/connection_read.h"
#include "server/config/settings.h"
#include "server/worker/internal.h"
#include "server/worker/tls.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

static void note_kept(struct connection *connection) {
    bool awaits_value = connection->own.bytes && connection->wanted > connection->own.size;
    if (atomic_load_explicit(&connection->awaits_value, memory_order_relaxed) != awaits_value)
        atomic_store_explicit(&connection->awaits_value, awaits_value, memory_order_relaxed);
}

static void set_region(struct connection *connection, const char *data, size_t size, bool is_own) {
    connection->region = data;
    connection->region_is_own = is_own;
    connection->region_size = size;
    connection->region_at = 0;
}

/* Before a client has authenticated: never more is kept than a credential needs. */
static size_t auth_read_size(const struct connection *connection) {
    assert(connection->own.size <= AUTH_KEEP);
    size_t room = AUTH_KEEP - connection->own.size;
    return room < AUTH_READ ? room : AUTH_READ;
}

/* How much to ask the socket for: up to the end of the value that is awaited, growing with what really came.
 */
static size_t read_size(const struct connection *connection) {
    if (!connection->authenticated)
        return auth_read_size(connection);
    size_t missing =
        connection->wanted > connection->own.size ? connection->wanted - connection->own.size : 0;
    size_t trusted = connection->own.size > CONNECTION_READ ? connection->own.size : CONNECTION_READ;
    size_t least = connection_read_usual(connection);
    if (missing > trusted)
        return trusted;
    return missing > least ? missing : least;
}

/* Of `size` bytes that were asked for. */
static bool received(struct connection *connection, ssize_t got, size_t size) {
    if (got > 0) {
        if ((size_t)got < size)
            connection->sends_ahead = false;
        count_add(&connection->worker->bytes_read, (uint64_t)got);
        connection->moved += (size_t)got;
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (got == 0)
        connection->closed_by = CLOSED_BY_CLIENT;
    connection_set_state(connection, got == 0 ? CONNECTION_CLOSING : CONNECTION_BROKEN);
    return false;
}

static bool read_shared(struct connection *connection) {
    struct worker *worker = connection->worker;
    const char *at;
    size_t size = connection_read_usual(connection);
    ssize_t got = __builtin_expect(connection->tls != NULL, false)
                      ? tls_take(connection, size, &at)
                      : worker->io_type->take(connection, size, &at);
    if (!received(connection, got, size))
        return false;
    set_region(connection, at, (size_t)got, false);
    return true;
}

/* Behind what it has in its own buffer, which then is not counted yet. */
static ssize_t ask_for_own(struct connection *connection, size_t size) {
    return connection->tls
               ? tls_receive(connection, own_buffer_end(connection), size)
               : connection->worker->io_type->receive(connection, own_buffer_end(connection), size);
}

static bool take_own(struct connection *connection, ssize_t got, size_t size) {
    if (!received(connection, got, size))
        return false;
    connection->own.size += (size_t)got;
    return true;
}

static bool read_own(struct connection *connection) {
    size_t size = read_size(connection);
    if (!own_buffer_reserve(connection, size, false) && own_buffer_room(connection) < size)
        size = own_buffer_room(connection);
    connection->parser.starved = size == 0;
    if (size == 0)
        count(&connection->worker->requests_starved);
    return size == 0 || take_own(connection, ask_for_own(connection, size), size);
}

bool connection_read(struct connection *connection) {
    bool kept_whole = connection->resumed; /* requests wait in the own buffer: the socket comes later */
    connection->resumed = false;
    if (!connection->own.bytes)
        return !kept_whole && read_shared(connection);
    if (!kept_whole && !read_own(connection))
        return false;
    if (connection->own.size < connection->wanted && !connection->parser.starved)
        return false; /* the value is still on its way: parsing again would find that out the slow way */
    set_region(connection, connection->own.bytes + connection->own.start, connection->own.size, true);
    return true;
}

bool connection_could_read_ahead(const struct connection *connection) {
    bool is_open =
        connection->parser.in_run && connection->parser.run.left == 0; /* of others, all has come */
    return is_open && !connection->ahead_is_full && !(connection->stops & ~STOP_DEFERRED);
}

bool connection_reads_ahead(const struct connection *connection) {
    return connection->readable && connection_could_read_ahead(connection);
}

/* What came before an end is answered before the end is taken notice of, by a read that is not ahead. */
void connection_read_ahead(struct connection *connection) {
    size_t most = settings_request_memory(connection->worker->server->settings) / 2;
    size_t more = connection->own.size / 2 > CONNECTION_READ ? connection->own.size / 2 : CONNECTION_READ;
    if (own_buffer_room(connection) < CONNECTION_READ &&
        (connection->own.size + more > most || !own_buffer_reserve(connection, more, false))) {
        connection->ahead_is_full = true;
        return;
    }
    size_t size = own_buffer_room(connection);
    ssize_t got = ask_for_own(connection, size);
    if (got == 0)
        connection->readable = connection->ahead_is_full = true;
    else if (take_own(connection, got, size))
        connection->resumed = true;
}

bool connection_keep(struct connection *connection, const char *from) {
    const char *end = connection->region + connection->region_size;
    size_t left = (size_t)(end - from);
    if (connection->region_is_own) {
        connection->own.start = (size_t)(from - connection->own.bytes);
        connection->own.size = left;
        if (left == 0)
            own_buffer_free(connection);
        note_kept(connection);
        return true;
    }
    if (connection->own.bytes)
        own_buffer_free(connection);
    if (left == 0)
        return true;
    if (!own_buffer_reserve(connection, left, true)) {
        connection_tell_end(connection, LOG_KIND_REQUEST_MEMORY, LOG_LEVEL_WARNING,
                            "no memory for %zu bytes of a request", left);
        connection_set_state(connection, CONNECTION_BROKEN);
        return false;
    }
    memcpy(connection->own.bytes, from, left);
    connection->own.size = left;
    note_kept(connection);
    return true;
}
