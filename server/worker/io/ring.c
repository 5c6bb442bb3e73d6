/* SPDX-License-Identifier: MIT */
/*
 * io_uring: a ring for each worker. What comes on a connection is put into one of the ring's buffers without being
 * asked for each time (a multishot receive), and the replies of a turn are handed over by the same system call that
 * waits for what comes next. So a request costs no system call of its own.
 *
 *     wait    gives back the buffers of the last turn, submits its sends, waits, and takes all completions:
 *               received    the buffer is queued at its connection (struct received), which is ready
 *               not sent    kept until the kernel has all sends; then connection_sent for each, and the output is empty
 *               has room    the socket of a slow reader takes bytes again
 *               time        the second is over: one timer, not one for each wait
 *     turn    takes what is queued (take, receive), and queues its sends
 *     settle  asks for what the connection waits for next
 *
 * Sends do not wait: a socket that does not take all at once is a slow reader, whose rest is kept and sent by system
 * calls once it is polled to have room. So a submitted send is over when its submission is, and the output can be used
 * again. Only one that went short or failed is completed: the others would end the wait for what comes next.
 *
 * The buffers are shared by all connections, and at the end of a turn all of them are the ring's again: what a
 * connection has not read by then is copied (put_aside, ring_buffers.h). Who waits for a share (share.h) is in no turn
 * for a while: nothing is received of it meanwhile, and what was under way is copied as it comes. That happens to
 * clients that send on while their requests wait; from then on such a connection is received from one by one, and only
 * while it may be read, so that the socket holds the client back. The same holds for those that have not authenticated,
 * for those of which nothing has come yet (little, and if that is full once more; for good if that is full, too, and of
 * more than one request: there may be much behind), for those that have sent more than could be served at once (little
 * again), for all where unfinished requests take much memory, and for all of a worker where the copies do: then what
 * receives ahead is cancelled, and at most what the buffers hold comes besides. Without a free buffer the kernel ends a
 * receive (ENOBUFS); it is asked for again when the turn is over.
 *
 * What fills a receipt is taken to be not all (link.filled): the connection waits behind others (share.h), nothing is
 * received of it meanwhile, and when its share comes the rest is read by a system call, as under epoll. So the socket
 * holds who never ends back, and others are served before.
 *
 * A long value does not come by way of the buffers: while one is awaited its connection is polled, and read by system
 * calls into its own buffer, as under epoll.
 *
 * An encrypted connection is polled, and read and written by system calls: OpenSSL makes them (tls.h).
 *
 * A closed connection may still be known to the kernel: its requests are cancelled, and it is freed with the last of
 * them.
 */
#include "server/config/settings.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/io/ring_internal.h"
#include "server/worker/io/ring_limits.h"
#include "server/worker/io/ring_poll.h"
#include "server/worker/io/ring_receive.h"
#include "server/worker/io/ring_send.h"
#include "server/worker/io/ring_setup.h"
#include "server/worker/io/ring_submit.h"
#include "server/worker/tls.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    END_ROUNDS = 100, /* of at most END_WAIT_MS, to see the last of what was cancelled */
    END_WAIT_MS = 10,
};

/* ---- Completions ---- */

void ring_free_gone(struct io *io, struct connection *connection) {
    if (connection->link.in_flight > 0)
        return;
    struct connection **at = &io->leaving;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    free(connection);
}

static void complete(struct io *io, const struct io_uring_cqe *completion) {
    enum ring_op operation = completion->user_data % RING_OPS;
    uint64_t about = completion->user_data - operation;
    struct connection *connection = (struct connection *)(uintptr_t)about;
    switch (operation) {
    case RING_OP_RECEIVE:
        ring_received(io, connection, completion->res, completion->flags);
        break;
    case RING_OP_SEND:
        ring_sent(io, about / RING_OPS, completion->res);
        break;
    case RING_OP_BYTES:
    case RING_OP_ROOM:
    case RING_OP_END:
        ring_polled(io, connection, operation, completion->res, completion->flags);
        break;
    case RING_OP_WAKE:
        io->woken = true;
        io->polls_wake = completion->flags & IORING_CQE_F_MORE;
        break;
    case RING_OP_TIME:
        io->limited = false;
        break;
    case RING_OP_CANCEL:
    case RING_OPS:
        break;
    }
}

void ring_take_completions(struct io *io) {
    struct io_uring_cqe *completion;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&io->ring, head, completion) {
        complete(io, completion);
        count++;
    }
    io_uring_cq_advance(&io->ring, count);
}

/* ---- The worker's ---- */

/* One for many waits: each of its own would cost the kernel a timer. */
static void start_timer(struct io *io, int wait_ms) {
    struct io_uring_sqe *entry = ring_next_entry(io);
    io->limit = (struct __kernel_timespec){.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000ll};
    io_uring_prep_timeout(entry, &io->limit, 0, 0);
    io_uring_sqe_set_data64(entry, ring_user_data(RING_OP_TIME, NULL));
    io->limited = true;
}

static void close_ring(struct io *io) {
    io_uring_queue_exit(&io->ring);
    struct connection *connection;
    while ((connection = io->leaving)) {
        io->leaving = connection->next;
        free(connection);
    }
    ring_buffers_close(&io->buffers);
    free(io->messages);
    free(io->sendings);
    free(io);
}

static struct io *open_ring(struct worker *worker) {
    struct io *io = calloc(1, sizeof *io);
    int result = -ENOMEM;
    if (!io || (result = ring_make(&io->ring)) < 0) {
        free(io);
        errno = -result;
        return NULL;
    }
    io->worker = worker;
    io->messages = malloc(RING_MESSAGES * sizeof *io->messages);
    result = ring_buffers_open(&io->buffers, &io->ring, &worker->aside_bytes, &worker->aside_strains);
    if (result >= 0 && worker->server->settings->sandbox != SANDBOX_OFF)
        result = ring_limits_set(&io->ring);
    if (result < 0 || !io->messages) {
        close_ring(io);
        errno = result < 0 ? -result : ENOMEM;
        return NULL;
    }
    return io;
}

/* From here on the ring is this thread's alone. A ring that is not enabled takes nothing. */
static void begin_ring(struct io *io) {
    int result;
    while ((result = ring_enable(&io->ring)) < 0)
        ring_check_call(io, result);
    io_uring_register_ring_fd(&io->ring); /* one lookup less in each call; it works without as well */
    io->runs = true;
    ring_poll_wake(io);
}

/* What completes may bring more that is to be handed over. */
static void flush_ring(struct io *io) {
    while (io->runs && (io->sending_count > 0 || io_uring_sq_ready(&io->ring) > 0)) {
        ring_check_call(io, io_uring_submit_and_get_events(&io->ring));
        ring_take_completions(io);
        ring_finish_sends(io);
    }
}

static bool wait_ring(struct io *io, int wait_ms) {
    ring_buffers_give_back(&io->buffers);
    if (!io->polls_wake)
        ring_poll_wake(io);
    if (io->woken) /* as a flush found out */
        wait_ms = 0;
    if (wait_ms > 0 && !io->limited)
        start_timer(io, wait_ms);
    ring_check_call(io, wait_ms > 0 ? io_uring_submit_and_wait(&io->ring, 1)
                                    : io_uring_submit_and_get_events(&io->ring));
    ring_take_completions(io);
    ring_finish_sends(io);
    bool woken = io->woken;
    io->woken = false;
    return woken;
}

static void end_ring(struct io *io) {
    flush_ring(io);
    io->runs = false;
    struct io_uring_sqe *entry = ring_next_entry(io);
    io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    io_uring_sqe_set_data64(entry, ring_user_data(RING_OP_CANCEL, NULL));
    for (int i = 0; i < END_ROUNDS && io->in_flight > 0; i++) {
        struct __kernel_timespec limit = {.tv_nsec = END_WAIT_MS * 1000000ll};
        struct io_uring_cqe *first;
        io_uring_submit_and_wait_timeout(&io->ring, &first, 1, &limit, NULL);
        ring_take_completions(io);
        ring_buffers_give_back(&io->buffers);
    }
}

/* ---- A connection's ---- */

static bool enter_ring(struct connection *connection) {
    ring_begin_receiving(connection->worker->io, connection);
    return true;
}

static void leave_ring(struct connection *connection) {
    struct io *io = connection->worker->io;
    struct io_link *link = &connection->link;
    assert(!io->runs ||
           io_uring_sq_ready(&io->ring) == 0); /* what is queued would name this descriptor, soon another's */
    ring_buffers_drop(&io->buffers, link);
    if (link->in_flight > 0)
        shutdown(connection->fd, SHUT_RDWR); /* whatever becomes of the cancelling */
    close(connection->fd);
    if (!io->runs || link->in_flight == 0) {
        free(connection);
        return;
    }
    link->gone = true;
    connection->next = io->leaving;
    io->leaving = connection;
    ring_stop_listening(io, connection);
    ring_stop_polling(io, connection);
}

static void settle_ring(struct connection *connection) {
    struct io *io = connection->worker->io;
    ring_settle_receiving(io, connection);
    if ((connection->sends && !connection->writable) || tls_awaits_room(connection))
        ring_poll(io, connection, RING_OP_ROOM, POLLOUT);
    if (connection->awaits_check && !connection->hung_up)
        ring_poll(io, connection, RING_OP_END, POLLRDHUP);
}

const struct io_type io_ring = {
    .name = "io_uring",
    .open = open_ring,
    .close = close_ring,
    .begin = begin_ring,
    .end = end_ring,
    .wait = wait_ring,
    .flush = flush_ring,
    .enter = enter_ring,
    .leave = leave_ring,
    .receive = ring_receive,
    .take = ring_take,
    .watch_room = ring_watch_room,
    .send = ring_send,
    .settle = settle_ring,
};
