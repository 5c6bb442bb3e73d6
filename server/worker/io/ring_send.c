/* SPDX-License-Identifier: MIT */
/* See ring_send.h. */
#include "server/worker/io/ring_send.h"
#include "server/worker/connection.h"
#include "server/worker/connection_send.h"
#include "server/worker/internal.h"
#include "server/worker/io/ring_submit.h"
#include <errno.h>
#include <stdlib.h>

enum { SEND_FLAGS = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL };

/* What went whole is not told (IOSQE_CQE_SKIP_SUCCESS): the wait would end with it. */
void ring_sent(struct io *io, size_t number, int result) {
    if (result >= 0)
        io->sendings[number].sent = result;
    else
        io->sendings[number].sent = result == -EAGAIN || result == -EINTR ? 0 : -1;
}

/* The sends that were submitted, and what is left of them. */
void ring_finish_sends(struct io *io) {
    if (io->sending_count == 0)
        return;
    while (io_uring_sq_ready(&io->ring) > 0) { /* the kernel did not take all of them */
        ring_check_call(io, io_uring_submit_and_get_events(&io->ring));
        ring_take_completions(io);
    }
    for (size_t i = 0; i < io->sending_count; i++) {
        const struct sending *sending = &io->sendings[i];
        connection_sent(sending->connection, io->base, sending->pieces, sending->count, sending->sent);
        if (connection_state(sending->connection) == CONNECTION_BROKEN)
            connection_set_ready(sending->connection);
    }
    io->sending_count = io->message_count = 0;
    output_clear(&io->worker->output);
}

static struct sending *add_sending(struct io *io) {
    if (io->sending_count == io->sending_capacity) {
        size_t capacity = io->sending_capacity ? io->sending_capacity * 2 : 64;
        struct sending *sendings = realloc(io->sendings, capacity * sizeof *sendings);
        if (!sendings)
            return NULL;
        io->sendings = sendings;
        io->sending_capacity = capacity;
    }
    return &io->sendings[io->sending_count++];
}

/* What one send takes of them. */
static size_t size_of(const struct piece *pieces, size_t count) {
    size_t size = 0;
    for (size_t i = 0; i < count && i < SEND_PIECES; i++)
        size += pieces[i].size;
    return size;
}

bool ring_send(struct connection *connection, const char *base, struct piece *pieces, size_t count) {
    struct io *io = connection->worker->io;
    if (count > 1 && io->message_count == RING_MESSAGES)
        return false;
    struct sending *sending = add_sending(io);
    if (!sending)
        return false;
    *sending = (struct sending){connection, pieces, count, (ssize_t)size_of(pieces, count)};
    struct io_uring_sqe *entry = ring_next_entry(io);
    if (count == 1)
        io_uring_prep_send(entry, connection->fd, piece_data(pieces, base), pieces->size, SEND_FLAGS);
    else
        io_uring_prep_sendmsg(entry, connection->fd,
                              piece_message(&io->messages[io->message_count++], base, pieces, count),
                              SEND_FLAGS);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(entry, (uint64_t)(sending - io->sendings) * RING_OPS + RING_OP_SEND);
    io->base = base;
    return true;
}
