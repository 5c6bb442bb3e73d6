/* SPDX-License-Identifier: MIT */
/*
 * The replies of a turn, handed over with the next wait or flush. They do not wait in the kernel (ring.c): with the
 * call that has submitted them all sends are over, and what became of them is told to their connections.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_SEND_H
#define FOREBAY_SERVER_WORKER_IO_RING_SEND_H

#include "server/worker/io/ring_internal.h"

/* io_type.send */
bool ring_send(struct connection *connection, const char *base, struct piece *pieces, size_t count);

/* The sending of that number went short or failed. */
void ring_sent(struct io *io, size_t number, int result);

/* After the call that handed sends over: tells what became of them, and empties the output. */
void ring_finish_sends(struct io *io);

#endif
