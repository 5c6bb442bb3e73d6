/* SPDX-License-Identifier: MIT */
/*
 * What the ring polls for: that the socket of a connection has bytes (RING_OP_BYTES: an encrypted one, or one in the
 * middle of a long value, which are read by system calls), has room again (RING_OP_ROOM: a slow reader), or has come to
 * its end (RING_OP_END: its credential is being checked); and that another thread wakes the worker. Of each kind a
 * connection has one poll at most, which link.awaits_... notes.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_POLL_H
#define FOREBAY_SERVER_WORKER_IO_RING_POLL_H

#include "server/worker/io/ring_internal.h"

/* Polls, unless that is under way. */
void ring_poll(struct io *io, struct connection *connection, enum ring_op operation, unsigned events);
void ring_poll_wake(struct io *io);

/* A poll of the connection has told something. */
void ring_polled(struct io *io, struct connection *connection, enum ring_op operation, int result,
                 unsigned flags);

/* Cancels all polls of it. */
void ring_stop_polling(struct io *io, struct connection *connection);

/* io_type.watch_room */
bool ring_watch_room(struct connection *connection, bool waits);

#endif
