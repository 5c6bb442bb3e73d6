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
 * A long value does not come by way of the buffers: while one is awaited its connection is polled, and read by system
 * calls into its own buffer, as under epoll.
 *
 * An encrypted connection is polled, and read and written by system calls: OpenSSL makes them (tls.h).
 *
 * A closed connection may still be known to the kernel: its requests are cancelled, and it is freed with the last of
 * them.
 */
#include "server/worker/io_ring.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/ring_buffers.h"
#include "server/worker/ring_limits.h"
#include "server/worker/tls.h"
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ENTRIES = 512,      /* submissions that are queued before they are handed over early */
    COMPLETIONS = 4096, /* beyond, the kernel keeps them elsewhere */
    MESSAGES = 32,      /* sends of more than one piece in a turn; what is more is sent by system calls */
    END_ROUNDS = 100,   /* of at most END_WAIT_MS, to see the last of what was cancelled */
    END_WAIT_MS = 10,
    PAUSE_US = 1000,         /* while the kernel lacks something, */
    LACKS_TOLD = 1000,       /* which is told when so many calls in a row were refused for it */
    ASIDE_SHARE = 4,         /* of request_memory, what all workers may put aside, */
    ASIDE_LEAST = 512 << 10, /* but each at least what one connection may bring at once */
};

/* What a completion is about: the low bits of its user data. The rest is the connection, or the number of a sending. */
enum operation { RECEIVE, SEND, BYTES, ROOM, END, WAKE, TIME, CANCEL, OPERATIONS = 8 };

enum { SEND_FLAGS = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL };

/* Pieces of one connection, handed over. */
struct sending {
    struct connection *connection;
    struct piece *pieces;
    size_t count;
    ssize_t sent; /* all of it, as long as nothing else is told; or -1 */
};

struct io {
    struct worker *worker;
    struct io_uring ring;
    struct ring_buffers buffers;
    struct connection *leaving;
    struct sending *sendings;
    size_t sending_count, sending_capacity;
    const char *base; /* of their pieces */
    struct piece_message *messages;
    size_t message_count;
    size_t in_flight;               /* of all connections */
    unsigned lacks;                 /* calls in a row for which the kernel lacked something */
    struct __kernel_timespec limit; /* of the wait, as the kernel reads it when it is submitted */
    bool limited;                   /* the timer runs */
    bool woken;                     /* by another thread, and the worker was not told yet */
    bool polls_wake;
    bool runs; /* between begin and end */
};

/* ---- Making a ring ---- */

static int make_ring(struct io_uring *ring) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    return io_uring_queue_init_params(ENTRIES, ring, &params);
}

const char *io_ring_reason(int error) {
    switch (error) {
    case EPERM:
    case EACCES:
        return "is not allowed here (a container's seccomp filter, or the sysctl kernel.io_uring_disabled): allow it there";
    case ENOSYS:
        return "is not there: this kernel was built without it, or does not show it";
    case EINVAL:
        return "is too old here: Linux 6.1 is needed";
    case ENOMEM:
        return "gets no memory: raise the limit of locked memory (ulimit -l) or of the control group";
    case EMFILE:
    case ENFILE:
        return "gets no descriptor: raise the limit of open files (ulimit -n)";
    default:
        return "cannot be set up here";
    }
}

/* io_uring_enable_rings, which the shared library of liburing 2.3 does not show. */
static int enable_ring(struct io_uring *ring) {
    long enabled = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return enabled < 0 ? -errno : 0;
}

/* A request that does nothing, there and back: a filter may let a ring be made, and refuse its use. */
static int try_ring(struct io_uring *ring) {
    int result = enable_ring(ring);
    if (result < 0)
        return result;
    io_uring_prep_nop(io_uring_get_sqe(ring));
    do
        result = io_uring_submit_and_wait(ring, 1);
    while (result == -EINTR);
    return result;
}

const char *io_ring_refusal(void) {
    struct io_uring ring;
    struct ring_buffers buffers;
    int result = make_ring(&ring);
    if (result < 0)
        return io_ring_reason(-result);
    result = ring_buffers_open(&buffers, &ring, NULL, NULL);
    if (result >= 0)
        result = try_ring(&ring);
    io_uring_queue_exit(&ring);
    ring_buffers_close(&buffers);
    return result < 0 ? io_ring_reason(-result) : NULL;
}

/* ---- Submitting ---- */

static uint64_t user_data(enum operation operation, const void *pointer) {
    return (uintptr_t)pointer | operation;
}

static void tell_of_lack(struct server *server, int result) {
    server_log_limited(
        server, LOG_KIND_RING, LOG_LEVEL_WARNING,
        "io_uring of a worker gets no memory (%s), its clients wait: give the machine more, or say io = epoll",
        strerror(-result));
}

/* What the kernel says to a call of the ring. What is neither a moment's lack of something nor an interruption does not pass by
 * itself, and a worker without its ring serves nobody: the process ends, as by a kill, and is started again. */
static void check_call(struct io *io, int result) {
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

/* Handed over early: the queue is full. What completes is taken by the next wait. */
static struct io_uring_sqe *next_entry(struct io *io) {
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&io->ring)))
        check_call(io, io_uring_submit(&io->ring));
    return entry;
}

static void cancel(struct io *io, uint64_t which) {
    struct io_uring_sqe *entry = next_entry(io);
    io_uring_prep_cancel64(entry, which, 0);
    io_uring_sqe_set_data64(entry, user_data(CANCEL, NULL));
}

static void count_in_flight(struct connection *connection, int change) {
    connection->link.in_flight = (uint8_t)(connection->link.in_flight + change);
    connection->worker->io->in_flight += (size_t)change;
}

static void listen_to(struct io *io, struct connection *connection, bool once) {
    struct io_uring_sqe *entry = next_entry(io);
    size_t asked = connection_read_usual(connection);
    connection->link.asked = (uint16_t)asked;
    if (once)
        io_uring_prep_recv(entry, connection->fd, NULL, asked, 0);
    else
        io_uring_prep_recv_multishot(entry, connection->fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = RING_GROUP;
    io_uring_sqe_set_data64(entry, user_data(RECEIVE, connection));
    connection->link.listens = true;
    connection->link.ahead = !once;
    count_in_flight(connection, 1);
}

static void stop_listening(struct io *io, struct connection *connection) {
    struct io_link *link = &connection->link;
    if (!link->listens || link->cancels)
        return;
    link->cancels = true;
    cancel(io, user_data(RECEIVE, connection));
}

/* Whether that poll is under way. */
static bool *polled_flag(struct io_link *link, enum operation operation) {
    return operation == BYTES  ? &link->awaits_bytes
           : operation == ROOM ? &link->awaits_room
                               : &link->awaits_end;
}

static void poll_for(struct io *io, struct connection *connection, enum operation operation,
                     unsigned events) {
    bool *under_way = polled_flag(&connection->link, operation);
    if (*under_way)
        return;
    *under_way = true;
    struct io_uring_sqe *entry = next_entry(io);
    if (operation == ROOM && connection->link.half_closed)
        io_uring_prep_poll_multishot(entry, connection->fd, events);
    else
        io_uring_prep_poll_add(entry, connection->fd, events);
    io_uring_sqe_set_data64(entry, user_data(operation, connection));
    count_in_flight(connection, 1);
}

static void poll_wake(struct io *io) {
    io->polls_wake = true;
    struct io_uring_sqe *entry = next_entry(io);
    io_uring_prep_poll_multishot(entry, io->worker->wake, POLLIN);
    io_uring_sqe_set_data64(entry, user_data(WAKE, NULL));
}

/* One for many waits: each of its own would cost the kernel a timer. */
static void start_timer(struct io *io, int wait_ms) {
    struct io_uring_sqe *entry = next_entry(io);
    io->limit = (struct __kernel_timespec){.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000ll};
    io_uring_prep_timeout(entry, &io->limit, 0, 0);
    io_uring_sqe_set_data64(entry, user_data(TIME, NULL));
    io->limited = true;
}

/* ---- What comes and is not read ---- */

/* Clients send more than is read of them: what receives ahead ends, also of those that have not done so. */
static void stop_receiving_ahead(struct io *io) {
    for (struct connection *connection = io->worker->connections; connection; connection = connection->next)
        if (connection->link.ahead)
            stop_listening(io, connection);
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
    stop_listening(io, connection);
}

/* ---- Completions ---- */

static void free_gone(struct io *io, struct connection *connection) {
    if (connection->link.in_flight > 0)
        return;
    struct connection **at = &io->leaving;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    free(connection);
}

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

static void on_received(struct io *io, struct connection *connection, int result, unsigned flags) {
    struct io_link *link = &connection->link;
    if (!(flags & IORING_CQE_F_MORE)) {
        link->listens = link->cancels = false;
        count_in_flight(connection, -1);
    } else {
        link->cancels = false; /* it was not found when it was to be cancelled: settle asks again */
    }
    if (flags & IORING_CQE_F_BUFFER)
        ring_buffers_receive(&io->buffers, link->gone ? NULL : link, flags >> IORING_CQE_BUFFER_SHIFT,
                             result > 0 ? (size_t)result : 0);
    if (link->gone) {
        free_gone(io, connection);
        return;
    }
    if (result <= 0)
        note_end(link, result);
    if (link->begins && result > 0)
        note_beginning(connection, result == link->asked);
    if (connection->behind && !connection->pending)
        leave_buffers(io, connection);
    connection->hung_up |= link->ended;
    connection->readable = link->first || link->ended;
    connection_set_ready(connection);
}

/* That a client has shut its sending side ends each poll at once, whatever it is for. So its room is awaited by a poll that
 * goes on: that tells it once, and then of room. */
static bool is_half_close_alone(enum operation operation, int result) {
    return operation == ROOM && result > 0 && !(result & (POLLOUT | POLLERR | POLLHUP | POLLNVAL));
}

static void on_polled(struct io *io, struct connection *connection, enum operation operation, int result,
                      unsigned flags) {
    struct io_link *link = &connection->link;
    bool goes_on = flags & IORING_CQE_F_MORE;
    if (!goes_on) {
        count_in_flight(connection, -1);
        *polled_flag(link, operation) = false;
    }
    if (link->gone) {
        free_gone(io, connection);
        return;
    }
    if (is_half_close_alone(operation, result)) {
        link->half_closed = true;
        if (!goes_on)
            connection_set_ready(connection); /* settle polls again */
        return;
    }
    connection->writable |= result > 0 && operation == ROOM;
    connection->readable |= result > 0 && (operation == BYTES || (operation == ROOM && connection->tls));
    connection->hung_up |= result > 0 && operation == END;
    connection_set_ready(connection); /* settle asks again where that is needed */
}

/* What went whole is not told (IOSQE_CQE_SKIP_SUCCESS): the wait would end with it. */
static void on_sent(struct io *io, size_t number, int result) {
    if (result >= 0)
        io->sendings[number].sent = result;
    else
        io->sendings[number].sent = result == -EAGAIN || result == -EINTR ? 0 : -1;
}

static void complete(struct io *io, const struct io_uring_cqe *completion) {
    enum operation operation = completion->user_data % OPERATIONS;
    uint64_t about = completion->user_data - operation;
    struct connection *connection = (struct connection *)(uintptr_t)about;
    switch (operation) {
    case RECEIVE:
        on_received(io, connection, completion->res, completion->flags);
        break;
    case SEND:
        on_sent(io, about / OPERATIONS, completion->res);
        break;
    case BYTES:
    case ROOM:
    case END:
        on_polled(io, connection, operation, completion->res, completion->flags);
        break;
    case WAKE:
        io->woken = true;
        io->polls_wake = completion->flags & IORING_CQE_F_MORE;
        break;
    case TIME:
        io->limited = false;
        break;
    case CANCEL:
    case OPERATIONS:
        break;
    }
}

static void take_completions(struct io *io) {
    struct io_uring_cqe *completion;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&io->ring, head, completion) {
        complete(io, completion);
        count++;
    }
    io_uring_cq_advance(&io->ring, count);
}

/* The sends that were submitted, and what is left of them. */
static void finish_sends(struct io *io) {
    if (io->sending_count == 0)
        return;
    while (io_uring_sq_ready(&io->ring) > 0) { /* the kernel did not take all of them */
        check_call(io, io_uring_submit_and_get_events(&io->ring));
        take_completions(io);
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

/* ---- The worker's ---- */

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
    if (!io || (result = make_ring(&io->ring)) < 0) {
        free(io);
        errno = -result;
        return NULL;
    }
    io->worker = worker;
    io->messages = malloc(MESSAGES * sizeof *io->messages);
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
    while ((result = enable_ring(&io->ring)) < 0)
        check_call(io, result);
    io_uring_register_ring_fd(&io->ring); /* one lookup less in each call; it works without as well */
    io->runs = true;
    poll_wake(io);
}

/* What completes may bring more that is to be handed over. */
static void flush_ring(struct io *io) {
    while (io->runs && (io->sending_count > 0 || io_uring_sq_ready(&io->ring) > 0)) {
        check_call(io, io_uring_submit_and_get_events(&io->ring));
        take_completions(io);
        finish_sends(io);
    }
}

static bool wait_ring(struct io *io, int wait_ms) {
    ring_buffers_give_back(&io->buffers);
    if (!io->polls_wake)
        poll_wake(io);
    if (io->woken) /* as a flush found out */
        wait_ms = 0;
    if (wait_ms > 0 && !io->limited)
        start_timer(io, wait_ms);
    check_call(io, wait_ms > 0 ? io_uring_submit_and_wait(&io->ring, 1)
                               : io_uring_submit_and_get_events(&io->ring));
    take_completions(io);
    finish_sends(io);
    bool woken = io->woken;
    io->woken = false;
    return woken;
}

static void end_ring(struct io *io) {
    flush_ring(io);
    io->runs = false;
    struct io_uring_sqe *entry = next_entry(io);
    io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    io_uring_sqe_set_data64(entry, user_data(CANCEL, NULL));
    for (int i = 0; i < END_ROUNDS && io->in_flight > 0; i++) {
        struct __kernel_timespec limit = {.tv_nsec = END_WAIT_MS * 1000000ll};
        struct io_uring_cqe *first;
        io_uring_submit_and_wait_timeout(&io->ring, &first, 1, &limit, NULL);
        take_completions(io);
        ring_buffers_give_back(&io->buffers);
    }
}

/* ---- A connection's ---- */

static bool is_to_ask_each_time(const struct connection *connection) {
    struct server *server = connection->worker->server;
    const struct io_link *link = &connection->link;
    return link->one_by_one || link->begins || connection->fresh || connection->sends_ahead ||
           !connection->authenticated || connection->worker->io->buffers.strained ||
           atomic_load_explicit(&server->request_bytes, memory_order_relaxed) >
               settings_request_memory(server->settings) / 2;
}

static bool enter_ring(struct connection *connection) {
    connection->link.begins = true;
    if (connection->tls)
        poll_for(connection->worker->io, connection, BYTES, POLLIN);
    else
        listen_to(connection->worker->io, connection, is_to_ask_each_time(connection));
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
    stop_listening(io, connection);
    for (enum operation operation = BYTES; operation <= END; operation++)
        if (*polled_flag(link, operation))
            cancel(io, user_data(operation, connection));
}

/* Whether it is in the middle of a long value. */
static bool awaits_much(const struct connection *connection) {
    return connection->own && connection->wanted > connection->own_size + CONNECTION_READ;
}

/* The same, however much of it is missing, where all that was read is its. */
static bool awaits_rest(const struct connection *connection) {
    return awaits_much(connection) ||
           (connection->own_size >= CONNECTION_READ && connection->wanted > connection->own_size);
}

/* Nothing is queued. */
static ssize_t receive_nothing(struct connection *connection) {
    const struct io_link *link = &connection->link;
    connection->readable = false;
    if (link->ended && !link->error)
        return 0;
    errno = link->ended ? link->error : EAGAIN;
    return -1;
}

static ssize_t take_ring(struct connection *connection, size_t size, const char **ret_data) {
    struct io_link *link = &connection->link;
    if (!link->first)
        return receive_nothing(connection);
    size_t taken = ring_buffers_take(&connection->worker->io->buffers, link, size, ret_data);
    connection->readable = link->first || link->ended;
    return (ssize_t)taken;
}

/* Of a connection that is not listened to. */
static ssize_t receive_now(struct connection *connection, char *data, size_t size) {
    ssize_t got = recv(connection->fd, data, size, MSG_DONTWAIT);
    connection->readable = got == (ssize_t)size;
    return got;
}

static ssize_t receive_ring(struct connection *connection, char *data, size_t size) {
    size_t got = 0;
    const char *part;
    while (got < size && connection->link.first) {
        ssize_t taken = take_ring(connection, size - got, &part);
        memcpy(data + got, part, (size_t)taken);
        got += (size_t)taken;
    }
    if (got > 0)
        return (ssize_t)got;
    return connection->link.listens || connection->link.ended ? receive_nothing(connection)
                                                              : receive_now(connection, data, size);
}

/* A poll that goes on tells of room only where there was none: then the next turn tries. */
static bool watch_room_ring(struct connection *connection, bool waits) {
    if (!waits)
        return true;
    connection->writable = connection->link.half_closed && connection->link.awaits_room;
    poll_for(connection->worker->io, connection, ROOM, POLLOUT);
    return true;
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

static bool send_ring(struct connection *connection, const char *base, struct piece *pieces, size_t count) {
    struct io *io = connection->worker->io;
    if (count > 1 && io->message_count == MESSAGES)
        return false;
    struct sending *sending = add_sending(io);
    if (!sending)
        return false;
    *sending = (struct sending){connection, pieces, count, (ssize_t)size_of(pieces, count)};
    struct io_uring_sqe *entry = next_entry(io);
    if (count == 1)
        io_uring_prep_send(entry, connection->fd, piece_data(pieces, base), pieces->size, SEND_FLAGS);
    else
        io_uring_prep_sendmsg(entry, connection->fd,
                              piece_message(&io->messages[io->message_count++], base, pieces, count),
                              SEND_FLAGS);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(entry, (uint64_t)(sending - io->sendings) * OPERATIONS + SEND);
    io->base = base;
    return true;
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
    if (!awaits_much(connection) && !connection->tls)
        listen_to(io, connection, is_to_ask_each_time(connection));
    else if (!connection->readable && !tls_awaits_room(connection))
        poll_for(io, connection, BYTES, POLLIN);
}

/* What it has sent waits behind others (share.h): what follows is left to the socket meanwhile. */
static bool waits_for_its_share(const struct connection *connection) {
    return connection->behind && connection->resumed && !connection->pending;
}

static void settle_ring(struct connection *connection) {
    struct io *io = connection->worker->io;
    struct io_link *link = &connection->link;
    if (ring_buffers_are_held(link)) {
        put_aside(io, connection);
        link->one_by_one |= !awaits_much(connection);
    }
    link->one_by_one |= link->began_full && !awaits_rest(connection);
    link->began_full = false;
    link->begins &= !awaits_much(connection);
    if (link->first || waits_for_its_share(connection) || awaits_much(connection))
        stop_listening(io, connection);
    if (!link->first && !link->listens && !link->ended && wants_more(connection))
        listen_again(io, connection);
    if ((connection->sends && !connection->writable) || tls_awaits_room(connection))
        poll_for(io, connection, ROOM, POLLOUT);
    if (connection->awaits_check && !connection->hung_up)
        poll_for(io, connection, END, POLLRDHUP);
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
    .receive = receive_ring,
    .take = take_ring,
    .watch_room = watch_room_ring,
    .send = send_ring,
    .settle = settle_ring,
};
