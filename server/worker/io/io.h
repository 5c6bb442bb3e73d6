/* SPDX-License-Identifier: MIT */
/*
 * How a worker learns what came in and hands over what goes out. There are two ways, chosen once at the start for all
 * workers (io_choose), behind one table of functions:
 *
 *     epoll.c    an edge-triggered epoll set, and a system call for each read and each send
 *     ring.c     io_uring: the kernel puts what comes into buffers of the ring, and a turn's replies are handed over
 *                together with the wait for what comes next
 *
 * All of it belongs to the worker's thread, but for open, close and what is said below.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_IO_H
#define FOREBAY_SERVER_WORKER_IO_IO_H

#include "server/config/settings.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct connection;
struct io; /* a worker's */
struct output;
struct piece;    /* server/worker/output.h */
struct received; /* server/worker/io/ring_buffers.h */
struct worker;

struct io_type {
    const char *name;

    /* Before the worker's thread runs. NULL: errno says why. */
    struct io *(*open)(struct worker *worker);
    /* After that thread has ended and its connections are closed. */
    void (*close)(struct io *io);
    /* First and last of all on the worker's thread. NULL: nothing. */
    void (*begin)(struct io *io);
    void (*end)(struct io *io);

    /* Hands over what send has queued, waits up to wait_ms (0: not at all) until there is something to do, and puts the
     * connections concerned into worker->ready. Also returns when the wait_ms of an earlier call are over. True:
     * worker->wake was written to. */
    bool (*wait)(struct io *io, int wait_ms);
    /* Hands over what is queued, and tells what became of it. Not during a turn, but at its end. NULL: nothing ever
     * is. */
    void (*flush)(struct io *io);

    /* Begins to watch a connection. False: no place for it, errno says why. */
    bool (*enter)(struct connection *connection);
    /* Closes its socket, and frees it when the kernel knows it no longer. Afterwards it is nobody's. After flush, or
     * after the thread has ended. */
    void (*leave)(struct connection *connection);

    /* As recv: bytes, 0 at the end, or -1 with errno (EAGAIN: nothing there). Says in connection->readable whether
     * there may be more. take: into memory that stays as it is until this turn has ended, at most `size` bytes. */
    ssize_t (*receive)(struct connection *connection, char *data, size_t size);
    ssize_t (*take)(struct connection *connection, size_t size, const char **ret_data);

    /* Whether the connection waits until its socket takes bytes. False: it cannot be watched any more. */
    bool (*watch_room)(struct connection *connection, bool waits);

    /* Queues pieces of the output to be sent by the next wait or flush; they and the bytes at `base` stay until then,
     * and what became of it is told by connection_sent. False: send them now. NULL: always so. */
    bool (*send)(struct connection *connection, const char *base, struct piece *pieces, size_t count);

    /* A turn that served the connection is over, and it stays. NULL: nothing to do. */
    void (*settle)(struct connection *connection);
};

extern const struct io_type io_epoll, io_ring;

/* The way that is to be gone. NULL: `kind` cannot be had; *ret_reason says why in either case if it is not what
 * io_uring would be: a sentence without its subject. */
const struct io_type *io_choose(enum io_kind kind, const char **ret_reason);

/* What is told of such a reason: where it is an error, and where epoll takes its place. */
#define IO_REFUSED  "io_uring %s; or give --io auto (io), which takes epoll then"
#define IO_REPLACED "epoll is used: io_uring %s. Or give --io epoll (io), and this is not told"

/* A connection's part of ring.c and what belongs to it. */
struct io_link {
    struct received *first, *last; /* what came and was not read yet */
    int error;                     /* errno that follows it; 0: none */
    uint8_t in_flight;             /* requests of it that the kernel has */
    uint16_t asked;                /* bytes that the receipt at hand asks for; not ahead */
    bool ended;                    /* nothing will follow but the end or the error */
    bool filled;                   /* by what came last: the socket may hold more */
    bool listens;                  /* what comes is received */
    bool ahead;                    /* ... again and again, whether it is read or not */
    bool cancels;                  /* ... but is to be no longer */
    bool begins;                   /* all that came filled what was asked for, or nothing came yet */
    bool began_full;               /* so did what came after its first request; settled with its turn */
    bool one_by_one;               /* it brought more than was read: each receipt is asked for */
    bool awaits_bytes, awaits_room, awaits_end; /* the socket is polled for that */
    bool half_closed; /* it sends no more: room is polled for by one poll that goes on */
    bool gone;        /* closed; freed with the last request in flight */
};

#endif
