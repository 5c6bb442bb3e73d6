/* SPDX-License-Identifier: MIT */
/*
 * Calls on an io_uring that fail, as the rest of them in injected_faults.c, and what is asked by it of clients'
 * sockets. A receive is not cut short: how much arrives at once is up to the network (ring_faults.c has that).
 */
#include "tests/faults/injected.h"
#include "tests/faults/refused_entries.h"

#include <errno.h>

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params) {
    return injected_fails(RING_SETUP) ? -errno : REAL(io_uring_queue_init_params)(entries, ring, params);
}

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *about, unsigned flags) {
    return injected_fails(RING_SETUP) ? -errno : REAL(io_uring_register_buf_ring)(ring, about, flags);
}

int io_uring_register_ring_fd(struct io_uring *ring) {
    return injected_fails(RING_SETUP) ? -errno : REAL(io_uring_register_ring_fd)(ring);
}

static void judge_entry(struct io_uring_sqe *entry) {
    bool receives = entry->opcode == IORING_OP_RECV,
         sends = entry->opcode == IORING_OP_SEND || entry->opcode == IORING_OP_SENDMSG;
    if ((!receives && !sends) || !injected_fails(receives ? RING_RECEIVING : RING_SENDING))
        return;
    if (errno) {
        refused_entries_add(entry, -errno);
    } else if (entry->opcode == IORING_OP_SEND && entry->len > 1) {
        entry->len /= 2;
        entry->flags &= (__u8)~IOSQE_CQE_SKIP_SUCCESS; /* it is told, as when the socket takes no more */
    }
}

/* Whether the call fails; if not, some of what it submits may. */
static bool call_fails(struct io_uring *ring) {
    if (injected_fails(RING_CALL))
        return true;
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++)
        judge_entry(&ring->sq.sqes[at & ring->sq.ring_mask]);
    return false;
}

static int answered(struct io_uring *ring, int result) {
    refused_entries_answer(ring);
    return result;
}

int io_uring_submit(struct io_uring *ring) {
    return call_fails(ring) ? -errno : answered(ring, REAL(io_uring_submit)(ring));
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
    return call_fails(ring) ? -errno : answered(ring, REAL(io_uring_submit_and_get_events)(ring));
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
    return call_fails(ring) ? -errno : answered(ring, REAL(io_uring_submit_and_wait)(ring, count));
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **ret_events, unsigned count,
                                     struct __kernel_timespec *longest, sigset_t *signals) {
    return call_fails(ring) ? -errno
                            : answered(ring, REAL(io_uring_submit_and_wait_timeout)(ring, ret_events, count,
                                                                                    longest, signals));
}
