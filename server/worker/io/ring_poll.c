/* SPDX-License-Identifier: MIT */
/* See ring_poll.h. */
#include "server/worker/io/ring_poll.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/io/ring_submit.h"
#include <poll.h>

/* Whether that poll is under way. */
static bool *polled_flag(struct io_link *link, enum ring_op operation) {
    return operation == RING_OP_BYTES  ? &link->awaits_bytes
           : operation == RING_OP_ROOM ? &link->awaits_room
                                       : &link->awaits_end;
}

void ring_poll(struct io *io, struct connection *connection, enum ring_op operation, unsigned events) {
    bool *under_way = polled_flag(&connection->link, operation);
    if (*under_way)
        return;
    *under_way = true;
    struct io_uring_sqe *entry = ring_next_entry(io);
    if (operation == RING_OP_ROOM && connection->link.half_closed)
        io_uring_prep_poll_multishot(entry, connection->fd, events);
    else
        io_uring_prep_poll_add(entry, connection->fd, events);
    io_uring_sqe_set_data64(entry, ring_user_data(operation, connection));
    ring_count_in_flight(connection, 1);
}

void ring_poll_wake(struct io *io) {
    io->polls_wake = true;
    struct io_uring_sqe *entry = ring_next_entry(io);
    io_uring_prep_poll_multishot(entry, io->worker->wake, POLLIN);
    io_uring_sqe_set_data64(entry, ring_user_data(RING_OP_WAKE, NULL));
}

void ring_stop_polling(struct io *io, struct connection *connection) {
    for (enum ring_op operation = RING_OP_BYTES; operation <= RING_OP_END; operation++)
        if (*polled_flag(&connection->link, operation))
            ring_cancel(io, ring_user_data(operation, connection));
}

/* That a client has shut its sending side ends each poll at once, whatever it is for. So its room is awaited by a poll
 * that goes on: that tells it once, and then of room. */
static bool is_half_close_alone(enum ring_op operation, int result) {
    return operation == RING_OP_ROOM && result > 0 && !(result & (POLLOUT | POLLERR | POLLHUP | POLLNVAL));
}

void ring_polled(struct io *io, struct connection *connection, enum ring_op operation, int result,
                 unsigned flags) {
    struct io_link *link = &connection->link;
    bool goes_on = flags & IORING_CQE_F_MORE;
    if (!goes_on) {
        ring_count_in_flight(connection, -1);
        *polled_flag(link, operation) = false;
    }
    if (link->gone) {
        ring_free_gone(io, connection);
        return;
    }
    if (is_half_close_alone(operation, result)) {
        link->half_closed = true;
        if (!goes_on)
            connection_set_ready(connection); /* settle polls again */
        return;
    }
    connection->writable |= result > 0 && operation == RING_OP_ROOM;
    connection->readable |=
        result > 0 && (operation == RING_OP_BYTES || (operation == RING_OP_ROOM && connection->tls));
    connection->hung_up |= result > 0 && operation == RING_OP_END;
    connection_set_ready(connection); /* settle asks again where that is needed */
}

/* A poll that goes on tells of room only where there was none: then the next turn tries. */
bool ring_watch_room(struct connection *connection, bool waits) {
    if (!waits)
        return true;
    connection->writable = connection->link.half_closed && connection->link.awaits_room;
    ring_poll(connection->worker->io, connection, RING_OP_ROOM, POLLOUT);
    return true;
}
