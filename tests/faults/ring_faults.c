/* SPDX-License-Identifier: MIT */
/*
 * A kernel that makes use of what it may do, under a whole server: a library to preload (LD_PRELOAD) between it and
 * liburing. Of what is submitted, sends go short or not at all (EAGAIN, EINTR), receives get few bytes, end although
 * more was asked for, or find no buffer (ENOBUFS), and polls are interrupted: one in RING_FAULTS of each, drawn from
 * RING_SEED. Of the rings, there is no memory for the one of number RING_REFUSED, and of eventfds no descriptor for
 * that of number EVENTFD_REFUSED.
 */
#include "tests/faults/refused_entries.h"

#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

enum { FEW_BYTES = 7 };

static _Thread_local unsigned random_state;

static unsigned draw(unsigned below) {
    if (random_state == 0) {
        const char *seed = getenv("RING_SEED");
        random_state = seed ? (unsigned)atoi(seed) * 2654435761u + 1 : 1;
    }
    random_state = random_state * 1103515245u + 12345u;
    return (random_state >> 16) % below;
}

static bool strikes(void) {
    const char *one_in = getenv("RING_FAULTS");
    return one_in && draw((unsigned)atoi(one_in)) == 0;
}

static void harm_send(struct io_uring_sqe *entry) {
    if (draw(3) == 0) {
        refused_entries_add(entry, draw(2) ? -EAGAIN : -EINTR);
    } else if (entry->opcode == IORING_OP_SEND && entry->len > 1) {
        entry->len = 1 + draw(entry->len - 1);
        entry->flags &=
            (__u8)~IOSQE_CQE_SKIP_SUCCESS; /* it is told, as it is when the socket takes no more */
    }
}

static void harm_receive(struct io_uring_sqe *entry) {
    if (draw(3) == 0) {
        refused_entries_add(entry, draw(2) ? -ENOBUFS : -EINTR);
        return;
    }
    entry->ioprio = 0; /* once, not again and again */
    entry->len = 1 + draw(FEW_BYTES);
}

static void harm(struct io_uring *ring) {
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
        struct io_uring_sqe *entry = &ring->sq.sqes[at & ring->sq.ring_mask];
        if (!strikes())
            continue;
        if (entry->opcode == IORING_OP_SEND || entry->opcode == IORING_OP_SENDMSG)
            harm_send(entry);
        else if (entry->opcode == IORING_OP_RECV)
            harm_receive(entry);
        else if (entry->opcode == IORING_OP_POLL_ADD)
            refused_entries_add(entry, -EINTR);
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether this is the one of the number that the environment names. */
static bool is_named(const char *name, atomic_int *made) {
    const char *number = getenv(name);
    return number && atomic_fetch_add(made, 1) + 1 == atoi(number);
}

int eventfd(unsigned first, int flags) {
    static atomic_int made;
    if (!is_named("EVENTFD_REFUSED", &made))
        return REAL(eventfd)(first, flags);
    errno = EMFILE;
    return -1;
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params) {
    static atomic_int made;
    if (is_named("RING_REFUSED", &made))
        return -ENOMEM;
    return REAL(io_uring_queue_init_params)(entries, ring, params);
}

int io_uring_submit(struct io_uring *ring) {
    harm(ring);
    int result = REAL(io_uring_submit)(ring);
    refused_entries_answer(ring);
    return result;
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
    harm(ring);
    int result = REAL(io_uring_submit_and_wait)(ring, count);
    refused_entries_answer(ring);
    return result;
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
    harm(ring);
    int result = REAL(io_uring_submit_and_get_events)(ring);
    refused_entries_answer(ring);
    return result;
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **ret_completion,
                                     unsigned count, struct __kernel_timespec *limit, sigset_t *mask) {
    harm(ring);
    int result = REAL(io_uring_submit_and_wait_timeout)(ring, ret_completion, count, limit, mask);
    refused_entries_answer(ring);
    return result;
}
