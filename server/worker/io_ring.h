/* SPDX-License-Identifier: MIT */
/* What is to be known of io_uring before a worker uses it. */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_H
#define FOREBAY_SERVER_WORKER_IO_RING_H

/* Why there is no io_uring here, and what would change that, as a sentence without its subject; NULL: there is. Makes a ring
 * as a worker does, uses it once and drops it. Any thread. */
const char *io_ring_refusal(void);

/* The same for an errno of making one. */
const char *io_ring_reason(int error);

#endif
