/* SPDX-License-Identifier: MIT */
/* See ring_submit.h. */
#include "server/worker/io/ring_submit.h"
#include "server/log.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_US = 1000,   /* while the kernel lacks something, */
    LACKS_TOLD = 1000, /* which is told when so many calls in a row were refused for it */
};

static void tell_of_lack(struct server *server, int result) {
    server_log_limited(
        server, LOG_KIND_RING, LOG_LEVEL_WARNING,
        "io_uring of a worker gets no memory (%s), its clients wait: give the machine more, or say io = epoll",
        strerror(-result));
}

void ring_check_call(struct io *io, int result) {
    if (result >= 0)
        io->lacks = 0;
    if (result >= 0 || result == -EINTR)
        return;
    if (result == -EAGAIN || result == -EBUSY || result == -ENOMEM) {
        usleep(PAUSE_US);
        if (++io->lacks == LACKS_TOLD)
            tell_of_lack(io->worker->server, result);
        return;
    }
    server_log(io->worker->server, LOG_LEVEL_ERROR,
               "io_uring of a worker does not work any more: %s; say io = \"epoll\" if that happens again",
               strerror(-result));
    abort();
}

struct io_uring_sqe *ring_next_entry(struct io *io) {
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&io->ring)))
        ring_check_call(io, io_uring_submit(&io->ring));
    return entry;
}

void ring_cancel(struct io *io, uint64_t which) {
    struct io_uring_sqe *entry = ring_next_entry(io);
    io_uring_prep_cancel64(entry, which, 0);
    io_uring_sqe_set_data64(entry, ring_user_data(RING_OP_CANCEL, NULL));
}

void ring_count_in_flight(struct connection *connection, int change) {
    connection->link.in_flight = (uint8_t)(connection->link.in_flight + change);
    connection->worker->io->in_flight += (size_t)change;
}
