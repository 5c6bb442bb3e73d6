/* SPDX-License-Identifier: MIT */
/*
 * A worker's ring as its own files see it: ring.c (its life, and what completes), ring_setup.c (making one),
 * ring_submit.c (asking the kernel), ring_receive.c (what comes), ring_poll.c (what is polled for), ring_send.c (a
 * turn's replies). Their design is at the head of ring.c.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_INTERNAL_H
#define FOREBAY_SERVER_WORKER_IO_RING_INTERNAL_H

#include "server/worker/io/ring_buffers.h"
#include "server/worker/output.h"
#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct connection;
struct worker;

enum {
    RING_MESSAGES = 32 /* sends of more than one piece in a turn; what is more is sent by system calls */
};

/* What is asked of the kernel, and so what a completion is about. */
enum ring_op {
    RING_OP_RECEIVE, /* ring_receive.c */
    RING_OP_SEND,    /* ring_send.c */
    RING_OP_BYTES,   /* ring_poll.c, as what follows */
    RING_OP_ROOM,
    RING_OP_END,
    RING_OP_WAKE,
    RING_OP_TIME,   /* ring.c */
    RING_OP_CANCEL, /* ring_submit.c */
    RING_OPS = 8,   /* kinds of them that fit beside a pointer: ring_submit.h */
};

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
    struct connection *leaving; /* closed, and known to the kernel yet */
    struct sending *sendings;
    size_t sending_count, sending_capacity;
    const char *base;               /* of their pieces */
    struct piece_message *messages; /* RING_MESSAGES */
    size_t message_count;
    size_t in_flight;               /* requests of all connections that the kernel has */
    unsigned lacks;                 /* calls in a row for which the kernel lacked something */
    struct __kernel_timespec limit; /* of the wait, as the kernel reads it when it is submitted */
    bool limited;                   /* the timer runs */
    bool woken;                     /* by another thread, and the worker was not told yet */
    bool polls_wake;
    bool runs; /* between begin and end */
};

/* A closed connection goes with the last of its requests: one has ended. */
void ring_free_gone(struct io *io, struct connection *connection);

/* Takes what has completed. What a completion says of a connection may put that into worker->ready. */
void ring_take_completions(struct io *io);

#endif
