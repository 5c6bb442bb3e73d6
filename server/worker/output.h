/* SPDX-License-Identifier: MIT */
/*
 * The replies of a turn: one run of bytes for all connections, in the order in which they were served, and a
 * list of pieces that says whose they are. As a connection is served at one go, its pieces lie together and
 * go out with one system call. Belongs to the worker's thread.
 *
 * Where there is no memory the connection concerned is broken: it is closed without the reply.
 */
#ifndef FOREBAY_SERVER_WORKER_OUTPUT_H
#define FOREBAY_SERVER_WORKER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct cache_large;
struct cache_view;
struct connection;
struct io_type; /* server/worker/io/io.h */

enum { SEND_PIECES = 64 }; /* of one send */

enum { OUTPUT_REPLY = 36 << 10 }; /* more than any one reply without a large value: 32 KiB and a line */

/* A stretch of replies for one connection: bytes of the turn's output, or a large value. */
struct piece {
    struct connection *connection;
    size_t offset, size;
    struct cache_large *large; /* held; data points into it */
    const char *data;          /* NULL: at the offset from the output's data */
};

static inline const char *piece_data(const struct piece *piece, const char *base) {
    return piece->data ? piece->data : base + piece->offset;
}

/* Several pieces, as one send takes them. */
struct piece_message {
    struct msghdr header;
    struct iovec parts[SEND_PIECES];
};

/* Makes it of the first SEND_PIECES of them, and returns its header. */
const struct msghdr *piece_message(struct piece_message *message, const char *base,
                                   const struct piece *pieces, size_t count);

struct output {
    char *data;
    size_t size, capacity;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    size_t large_size;        /* bytes of large values, beside `size` */
    size_t share;             /* bytes of one connection: share.h */
    size_t mark;              /* when size is above it, it is looked who has had much */
    struct connection *owner; /* of the last piece, when that grows with the bytes; else NULL */
};

/* False: no memory. output_free is to be called in either case. */
bool output_init(struct output *output);
void output_free(struct output *output);

/* ---- Writing ---- */

/* Makes that room; NULL: no memory. */
char *output_grow(struct output *output, size_t need);

/* Begins a new piece at the end of the bytes. */
void output_begin(struct output *output, struct connection *connection);

/* Room for OUTPUT_REPLY + more bytes behind output->size, or NULL. */
static inline char *output_reserve(struct output *output, size_t more) {
    size_t need = OUTPUT_REPLY + more;
    if (__builtin_expect(output->capacity - output->size < need, 0))
        return output_grow(output, need);
    return output->data + output->size;
}

/* What was written up to end belongs to the connection. */
static inline void output_commit(struct output *output, struct connection *connection, const char *end) {
    size_t size = (size_t)(end - output->data);
    if (size == output->size)
        return;
    if (output->owner != connection)
        output_begin(output, connection);
    output->size = size;
}

void output_append(struct output *output, struct connection *connection, const char *data, size_t size);

/* What was said and not sent yet, with the large values. */
static inline size_t output_said(const struct output *output) {
    return output->size + output->large_size;
}

/* Appends a value that is held, not copied. False: no memory. */
bool output_large(struct output *output, struct connection *connection, const struct cache_view *view);

/* ---- Taking back ---- */

/* A place in the replies of a turn. */
struct output_place {
    size_t size, piece_count;
    struct connection *owner;
};

/* Where the next reply will begin. */
struct output_place output_here(const struct output *output);

/* Takes back what was said since that place. False: it has been sent. */
bool output_cut(struct output *output, const struct output_place *place);

/* ---- Sending ---- */

/* Nothing of the turn may be sent: its connections are broken, except for those that are held. output_send
 * comes next. */
void output_break(struct output *output);

/* Sends all of it and empties it. */
void output_send(struct output *output);

/* The same at the end of a turn, where what can be queued is: then it stays until output_clear. */
void output_hand_over(struct output *output, const struct io_type *type);

/* All of it has gone, or is kept by its connections. */
void output_clear(struct output *output);

#endif
