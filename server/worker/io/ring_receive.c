/* SPDX-License-Identifier: MIT */
/* See ring_receive.h. */
#include "server/worker/io/ring_receive.h"
#include "server/config/settings.h"
#include "server/worker/connection.h"
#include "server/worker/connection_read.h"
#include "server/worker/input.h"
#include "server/worker/internal.h"
#include "server/worker/io/ring_poll.h"
#include "server/worker/io/ring_submit.h"
#include "server/worker/tls.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ASIDE_SHARE = 4,         /* of request_memory, what all workers may put aside, */
    ASIDE_LEAST = 512 << 10, /* but each at least what one connection may bring at once */
};

/* ---- Asking ---- */

static void listen_to(struct io *io, struct connection *connection, bool once) {
    struct io_uring_sqe *entry = ring_next_entry(io);
    size_t asked = connection_read_usual(connection);
    connection->link.asked = (uint16_t)(once ? asked : CONNECTION_READ);
    connection->link.filled = false;
    if (once)
        io_uring_prep_recv(entry, connection->fd, NULL, asked, 0);
    else
        io_uring_prep_recv_multishot(entry, connection->fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = RING_GROUP;
    io_uring_sqe_set_data64(entry, ring_user_data(RING_OP_RECEIVE, connection));
    connection->link.listens = true;
    connection->link.ahead = !once;
    ring_count_in_flight(connection, 1);
}

void ring_stop_listening(struct io *io, struct connection *connection) {
    struct io_link *link = &connection->link;
    if (!link->listens || link->cancels)
        return;
    link->cancels = true;
    ring_cancel(io, ring_user_data(RING_OP_RECEIVE, connection));
}

/* ---- What comes and is not read ---- */

/* Clients send more than is read of them: what receives ahead ends, also of those that have not done so. */
static void stop_receiving_ahead(struct io *io) {
    for (struct connection *connection = io->worker->connections; connection; connection = connection->next)
        if (connection->link.ahead)
            ring_stop_listening(io, connection);
}

/* What a worker may put aside. */
static size_t aside_bound(const struct server *server) {
    size_t share = settings_request_memory(server->settings) / ASIDE_SHARE /
                   atomic_load_explicit(&server->workers_used, memory_order_relaxed);
    return share > ASIDE_LEAST ? share : ASIDE_LEAST;
}

static void put_aside(struct io *io, struct connection *connection) {
    bool strained = io->buffers.strained;
    if (!ring_buffers_put_aside(&io->buffers, &connection->link, aside_bound(io->worker->server))) {
        connection_set_state(connection, CONNECTION_BROKEN);
        connection_set_ready(connection);
    }
    if (!strained && io->buffers.strained)
        stop_receiving_ahead(io);
}

/* Of one that is in none of the next turns, perhaps (share.h): what has come is not to have the buffers until then. */
static void leave_buffers(struct io *io, struct connection *connection) {
    if (!ring_buffers_are_held(&connection->link))
        return;
    put_aside(io, connection);
    connection->link.one_by_one = true;
    ring_stop_listening(io, connection);
}

/* ---- Completions ---- */

/* What a result below one says of what follows. */
static void note_end(struct io_link *link, int result) {
    switch (result) {
    case -ENOBUFS:
    case -ECANCELED:
    case -EINTR:
    case -EAGAIN:
        return; /* settle asks again */
    default:
        link->ended = true;
        link->error = -result;
    }
}

/* Its first receipt is small (CONNECTION_LITTLE), so that the next one, too, is needed to tell a long pipeline. */
static void note_beginning(struct connection *connection, bool is_full) {
    connection->link.began_full = is_full && !connection->fresh && connection->authenticated;
    connection->link.begins = is_full && connection->fresh;
}

/* Whether there is something to read, as far as is known. */
static bool has_more(const struct io_link *link) {
    return link->first || link->ended || link->filled;
}

/* Who fills what it was asked for once is as a rule not done, and goes on after others (share.h), as it does over
 * epoll: what follows is left to the socket until then. */
static void note_size(struct connection *connection, size_t size) {
    struct io_link *link = &connection->link;
    link->filled = size == link->asked;
    if (link->begins)
        note_beginning(connection, link->filled);
}

void ring_received(struct io *io, struct connection *connection, int result, unsigned flags) {
    struct io_link *link = &connection->link;
    if (!(flags & IORING_CQE_F_MORE)) {
        link->listens = link->cancels = false;
        ring_count_in_flight(connection, -1);
    } else {
        link->cancels = false; /* it was not found when it was to be cancelled: settle asks again */
    }
    if (flags & IORING_CQE_F_BUFFER)
        ring_buffers_receive(&io->buffers, link->gone ? NULL : link, flags >> IORING_CQE_BUFFER_SHIFT,
                             result > 0 ? (size_t)result : 0);
    if (link->gone) {
        ring_free_gone(io, connection);
        return;
    }
    if (result <= 0)
        note_end(link, result);
    else
        note_size(connection, (size_t)result);
    if (connection->pending ? connection->waits_to_send : connection->behind)
        leave_buffers(io, connection);
    connection->hung_up |= link->ended;
    connection->readable = has_more(link);
    /* Settled in this order, and asked for again: whoever got no buffer has to come before those who did, and behind
     * those who got none before, or more that send on than there are buffers would keep it from one for ever. */
    if (result == -ENOBUFS)
        connection_set_ready_first(connection);
    else
        connection_set_ready(connection);
}

/* ---- Reading ---- */

/* Nothing is queued, and what comes is told; or nothing will. */
static ssize_t receive_nothing(struct connection *connection) {
    struct io_link *link = &connection->link;
    connection->readable = link->filled = false;
    if (link->ended && !link->error)
        return 0;
    errno = link->ended ? link->error : EAGAIN;
    return -1;
}

static ssize_t take_queued(struct connection *connection, size_t size, const char **ret_data) {
    struct io_link *link = &connection->link;
    size_t taken = ring_buffers_take(&connection->worker->io->buffers, link, size, ret_data);
    connection->readable = has_more(link);
    return (ssize_t)taken;
}

/* Nothing is queued: what the socket holds, unless something listens, by which that comes. */
static ssize_t receive_now(struct connection *connection, char *data, size_t size) {
    struct io_link *link = &connection->link;
    if (link->listens || link->ended)
        return receive_nothing(connection);
    ssize_t got = recv(connection->fd, data, size, MSG_DONTWAIT);
    link->filled = connection->readable = got == (ssize_t)size;
    if (link->begins && got > 0)
        note_beginning(connection, link->filled);
    return got;
}

ssize_t ring_take(struct connection *connection, size_t size, const char **ret_data) {
    if (connection->link.first)
        return take_queued(connection, size, ret_data);
    return input_take(connection, receive_now, size, ret_data);
}

ssize_t ring_receive(struct connection *connection, char *data, size_t size) {
    size_t got = 0;
    const char *part;
    while (got < size && connection->link.first) {
        ssize_t taken = take_queued(connection, size - got, &part);
        memcpy(data + got, part, (size_t)taken);
        got += (size_t)taken;
    }
    return got > 0 ? (ssize_t)got : receive_now(connection, data, size);
}

/* ---- What to receive next ---- */

/* Nothing is received ahead of it. */
static bool is_to_ask_each_time(const struct connection *connection) {
    struct server *server = connection->worker->server;
    const struct io_link *link = &connection->link;
    return link->one_by_one || link->begins || connection->fresh || connection->sends_ahead ||
           !connection->authenticated || connection->worker->io->buffers.strained ||
           atomic_load_explicit(&server->request_bytes, memory_order_relaxed) >
               settings_request_memory(server->settings) / 2;
}

/* As connection_awaits_much, however much of the value is missing, where all that was read is its. */
static bool awaits_rest(const struct connection *connection) {
    return connection_awaits_much(connection) ||
           (connection->own.size >= CONNECTION_READ && connection->wanted > connection->own.size);
}

/* Whether what comes is wanted now: it would be parsed, or read ahead. */
static bool wants_more(const struct connection *connection) {
    if (connection->worker->stopping && !connection->fresh)
        return false;
    if (connection->stops || connection->pending || connection->held)
        return connection->pending && connection_could_read_ahead(connection);
    return !connection->resumed;
}

static void listen_again(struct io *io, struct connection *connection) {
    if (!connection_awaits_much(connection) && !connection->tls)
        listen_to(io, connection, is_to_ask_each_time(connection));
    else if (!tls_awaits_room(connection))
        ring_poll(io, connection, RING_OP_BYTES, POLLIN);
}

/* What it has sent waits behind others (share.h): what follows is left to the socket meanwhile. */
static bool waits_for_its_share(const struct connection *connection) {
    return connection->behind && connection->resumed && !connection->pending;
}

void ring_begin_receiving(struct io *io, struct connection *connection) {
    connection->link.begins = true;
    if (connection->tls)
        ring_poll(io, connection, RING_OP_BYTES, POLLIN);
    else
        listen_to(io, connection, true);
}

void ring_settle_receiving(struct io *io, struct connection *connection) {
    struct io_link *link = &connection->link;
    if (ring_buffers_are_held(link)) {
        put_aside(io, connection);
        link->one_by_one |= !connection_awaits_much(connection);
    }
    link->one_by_one |= (link->began_full || (link->filled && link->ahead)) && !awaits_rest(connection);
    link->began_full = false;
    link->begins &= !connection_awaits_much(connection);
    if (has_more(link) || waits_for_its_share(connection) || connection_awaits_much(connection))
        ring_stop_listening(io, connection);
    if (!connection->readable && !link->listens && !link->ended && wants_more(connection))
        listen_again(io, connection);
}
