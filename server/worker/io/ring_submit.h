/* SPDX-License-Identifier: MIT */
/*
 * Asking the kernel: entries of the submission queue, which are handed over together with the wait or a flush, and what
 * the kernel says to such a call.
 *
 * Each entry is to have user data: the operation in the low bits, above it a connection, nothing, or the number of a
 * sending.
 */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_SUBMIT_H
#define FOREBAY_SERVER_WORKER_IO_RING_SUBMIT_H

#include "server/worker/io/ring_internal.h"
#include <stdint.h>

static inline uint64_t ring_user_data(enum ring_op operation, const void *pointer) {
    return (uintptr_t)pointer | operation;
}

/* An entry to fill. A full queue is handed over early; what completes by that is taken by the next wait. */
struct io_uring_sqe *ring_next_entry(struct io *io);

/* Cancels the request that has this user data. */
void ring_cancel(struct io *io, uint64_t which);

/* The kernel has one request of the connection more (1) or less (-1). */
void ring_count_in_flight(struct connection *connection, int change);

/* What the kernel said to a call of the ring: an errno below zero. Pauses where it lacked something. What is neither a
 * moment's lack nor an interruption does not pass by itself, and a worker without its ring serves nobody: the process
 * ends, as by a kill, and is started again. */
void ring_check_call(struct io *io, int result);

#endif
