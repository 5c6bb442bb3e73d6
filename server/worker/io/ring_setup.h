/* SPDX-License-Identifier: MIT */
/* Making a ring, and what is to be known of io_uring before a worker uses it. Any thread. */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_SETUP_H
#define FOREBAY_SERVER_WORKER_IO_RING_SETUP_H

struct io_uring;

/* Why there is no io_uring here, and what would change that, as a sentence without its subject; NULL: there is. Makes a
 * ring as a worker does, uses it once and drops it. */
const char *io_ring_refusal(void);

/* The same for an errno of making one. */
const char *io_ring_reason(int error);

/* Makes a ring that takes nothing until it is enabled, which its one thread is to do. 0, or below it an errno. */
int ring_make(struct io_uring *ring);
int ring_enable(struct io_uring *ring);

#endif
