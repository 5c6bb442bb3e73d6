/* SPDX-License-Identifier: MIT */
/*
 * The edge-triggered way: an epoll set of the worker's connections and the descriptor by which other threads wake it.
 * libev has no edge-triggered mode, in which the kernel looks at a ready socket once a turn, not twice; a set that a
 * libev loop watches would cost more than it saves (docs/benchmarks.md).
 */
#include "server/worker/connection.h"
#include "server/worker/input.h"
#include "server/worker/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENTS_MAX = 128, EDGES = EPOLLIN | EPOLLRDHUP | EPOLLET };

struct io {
    struct worker *worker;
    int poll;
};

/* The plain system call. In a program with threads the C library wraps recv in two atomic operations, so that a thread
 * can be cancelled inside. No thread is cancelled here, and a request is so small that they would show. */
static ssize_t receive_now(int fd, void *data, size_t size) {
#ifdef SYS_recvfrom
    return syscall(SYS_recvfrom, fd, data, size, MSG_DONTWAIT, NULL, NULL);
#else
    return recv(fd, data, size, MSG_DONTWAIT);
#endif
}

/* Here, too. */
static int wait_for_events(int poll, struct epoll_event *events, int count, int wait_ms) {
#ifdef SYS_epoll_wait
    return (int)syscall(SYS_epoll_wait, poll, events, count, wait_ms);
#else
    return epoll_wait(poll, events, count, wait_ms);
#endif
}

static void close_epoll(struct io *io) {
    close(io->poll);
    free(io);
}

static struct io *open_epoll(struct worker *worker) {
    struct io *io = malloc(sizeof *io);
    if (!io)
        return NULL;
    *io = (struct io){.worker = worker, .poll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event event = {.events = EPOLLIN};
    if (io->poll >= 0 && epoll_ctl(io->poll, EPOLL_CTL_ADD, worker->wake, &event) == 0)
        return io;
    int error = errno;
    if (io->poll >= 0)
        close(io->poll);
    free(io);
    errno = error;
    return NULL;
}

static void notice(struct connection *connection, uint32_t events) {
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        connection->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        connection->hung_up = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        connection->writable = true;
        connection->readable |= connection->tls != NULL; /* a handshake may have waited for room */
    }
    connection_set_ready(connection);
}

static bool wait_epoll(struct io *io, int wait_ms) {
    struct epoll_event events[EVENTS_MAX];
    bool woken = false;
    int count = wait_for_events(io->poll, events, EVENTS_MAX, wait_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            notice(events[i].data.ptr, events[i].events);
        else
            woken = true;
    }
    return woken;
}

static bool enter_epoll(struct connection *connection) {
    struct epoll_event event = {.events = EDGES, .data.ptr = connection};
    return epoll_ctl(connection->worker->io->poll, EPOLL_CTL_ADD, connection->fd, &event) == 0;
}

static void leave_epoll(struct connection *connection) {
    close(connection->fd); /* epoll forgets it with that */
    free(connection);
}

/* A read that got less than it asked for emptied the socket: what comes then is reported by an edge. */
static inline ssize_t receive_epoll(struct connection *connection, char *data, size_t size) {
    ssize_t got = receive_now(connection->fd, data, size);
    if (__builtin_expect(got > 0, true))
        connection->readable = (size_t)got == size || connection->hung_up;
    else
        connection->readable = got < 0 && errno == EINTR;
    return got;
}

static ssize_t take_epoll(struct connection *connection, size_t size, const char **ret_data) {
    return input_take(connection, receive_epoll, size, ret_data);
}

/* EPOLLOUT is asked for only while it is waited for: otherwise a peer on a Unix socket would cause an edge
 * with each reply it reads. Changing the interest reports the present state again. */
static bool watch_room_epoll(struct connection *connection, bool waits) {
    struct epoll_event event = {.events = waits ? EDGES | EPOLLOUT : EDGES, .data.ptr = connection};
    return epoll_ctl(connection->worker->io->poll, EPOLL_CTL_MOD, connection->fd, &event) == 0;
}

const struct io_type io_epoll = {
    .name = "epoll",
    .open = open_epoll,
    .close = close_epoll,
    .wait = wait_epoll,
    .enter = enter_epoll,
    .leave = leave_epoll,
    .receive = receive_epoll,
    .take = take_epoll,
    .watch_room = watch_room_epoll,
};
