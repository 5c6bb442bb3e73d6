/* SPDX-License-Identifier: MIT */
/*
 * What comes: receipts into the ring's buffers, either ahead, again and again, or one by one, and what becomes of it
 * until it is read. A connection that is encrypted, or in the middle of a long value, is polled instead (ring_poll.h).
 * When which is right, and of whom little is received: ring.c.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_RECEIVE_H
#define FOREBAY_SERVER_WORKER_IO_RING_RECEIVE_H

#include "server/worker/io/ring_internal.h"

/* Asks for the first bytes of a connection that has just come. */
void ring_begin_receiving(struct io *io, struct connection *connection);

/* Cancels what receives, if anything does. What comes all the same is not lost. */
void ring_stop_listening(struct io *io, struct connection *connection);

/* A receipt has brought something, or has ended. */
void ring_received(struct io *io, struct connection *connection, int result, unsigned flags);

/* io_type.receive and io_type.take */
ssize_t ring_receive(struct connection *connection, char *data, size_t size);
ssize_t ring_take(struct connection *connection, size_t size, const char **ret_data);

/* The turn that served the connection is over: what it has not read leaves the buffers, and what it waits for is asked
 * for, or no longer. */
void ring_settle_receiving(struct io *io, struct connection *connection);

#endif
