/* SPDX-License-Identifier: MIT */
/*
 * Which system calls the process makes, by a seccomp filter that the kernel keeps for good. Whatever is not in the list
 * is answered EPERM, and the kernel's log names it (audit, type=1326): whoever calls so goes on with an error, as for
 * want of rights, and an operator sees which call it was. What a C library tries first, and does without, is not on the
 * log: newer calls are answered ENOSYS, and a netlink socket is as the rest.
 *
 * io_uring goes past all of it with what a ring does. So a ring has no more than the operations that workers use
 * (server/worker/io/ring.c), and once they have theirs no other can be made: calls_close_rings.
 */
#ifndef FOREBAY_SERVER_SANDBOX_CALLS_H
#define FOREBAY_SERVER_SANDBOX_CALLS_H

#include <stdbool.h>

/* For this thread and those that it starts. rings: they may be made. False: errno. */
bool calls_filter(bool rings);

/* For all threads. False: errno. */
bool calls_close_rings(void);

#endif
