/* SPDX-License-Identifier: MIT */
/* A ring is a way past any filter of system calls. In a sandbox, that of a worker has no more than what its files ask
 * of it. */
#ifndef FOREBAY_SERVER_WORKER_IO_RING_LIMITS_H
#define FOREBAY_SERVER_WORKER_IO_RING_LIMITS_H

#include <liburing.h>

/* For a ring that is made and not enabled yet, and whose buffers are registered; from then on for good. What else is
 * asked of it comes to -EACCES. 0, or below it an errno. */
int ring_limits_set(struct io_uring *ring);

#endif
