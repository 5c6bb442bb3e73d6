/* SPDX-License-Identifier: MIT */
/*
 * What comes over io_uring, until it has been read: the buffers into which the kernel puts it, and what was copied out
 * of them. All connections of a worker share the buffers, so all of these are to be the kernel's again when a turn
 * ends: what a connection has not read by then is put aside, in memory of its own, and so is at once what comes for one
 * that is in none of the next turns. Whoever sends on while its requests wait causes that, so what is put aside has a
 * bound, above which the buffers are `strained` until half of it has been read. ring_receive.c then takes what comes
 * one by one, of those alone that are about to read it.
 *
 * Belongs to the worker's thread, but for what *aside_bytes and *strains count.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_BUFFERS_H
#define FOREBAY_SERVER_WORKER_IO_RING_BUFFERS_H

#include "cache/base/counter.h"
#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>

struct io_link; /* server/worker/io/io.h */

enum {
    RING_BUFFERS =
        128, /* a power of two. A turn with more connections than this receives some of them one by one */
    RING_GROUP = 0, /* the kernel's name for them */
};

/* Bytes that came and were not read yet: in a buffer, or behind this struct. */
struct received {
    struct received *next;
    const char *data;
    size_t size;
    size_t copied; /* bytes behind this struct; 0: in a buffer */
    unsigned short buffer;
};

struct ring_buffers {
    struct io_uring_buf_ring *ring;
    char *memory; /* CONNECTION_READ each */
    struct received received[RING_BUFFERS];
    struct received *spent; /* read to their end, given back after the turn */
    size_t bound;           /* of what is put aside, when that was last looked at */
    bool strained;
    counter *aside_bytes; /* put aside now */
    counter *strains;     /* how often that was above the bound */
};

/* Makes the buffers and tells the ring of them. Returns 0, or a negative errno: ring_buffers_close is to be called in
 * either case. The two counters are the caller's, and stay. */
int ring_buffers_open(struct ring_buffers *buffers, struct io_uring *ring, counter *aside_bytes,
                      counter *strains);

/* After the ring has ended. */
void ring_buffers_close(struct ring_buffers *buffers);

/* The kernel has put `size` bytes into that buffer: they are queued at the link, or the buffer is spent if link is NULL
 * or there are none. */
void ring_buffers_receive(struct ring_buffers *buffers, struct io_link *link, unsigned buffer, size_t size);

/* At most `size` bytes of what is queued; they stay where they are until ring_buffers_give_back. The link has some. */
size_t ring_buffers_take(struct ring_buffers *buffers, struct io_link *link, size_t size,
                         const char **ret_data);

/* Forgets what is queued. */
void ring_buffers_drop(struct ring_buffers *buffers, struct io_link *link);

/* Whether a buffer is queued there. */
bool ring_buffers_are_held(const struct io_link *link);

/* Copies all that is queued, so that its buffers are spent. bound: of all that is put aside; what came already is kept
 * in any case. False: no memory, and all of it is forgotten. */
bool ring_buffers_put_aside(struct ring_buffers *buffers, struct io_link *link, size_t bound);

/* The turn is over: what was spent is the kernel's again. */
void ring_buffers_give_back(struct ring_buffers *buffers);

#endif
