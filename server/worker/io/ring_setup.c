/* SPDX-License-Identifier: MIT */
/* See ring_setup.h. */
#include "server/worker/io/ring_setup.h"
#include "server/worker/io/ring_buffers.h"
#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ENTRIES = 512,      /* submissions that are queued before they are handed over early */
    COMPLETIONS = 4096, /* beyond, the kernel keeps them elsewhere */
};

int ring_make(struct io_uring *ring) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    return io_uring_queue_init_params(ENTRIES, ring, &params);
}

/* io_uring_enable_rings, which the shared library of liburing 2.3 does not show. */
int ring_enable(struct io_uring *ring) {
    long enabled = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return enabled < 0 ? -errno : 0;
}

const char *io_ring_reason(int error) {
    switch (error) {
    case EPERM:
    case EACCES:
        return "is not allowed here (a container's seccomp filter, or the sysctl kernel.io_uring_disabled): allow it there";
    case ENOSYS:
        return "is not there: this kernel was built without it, or does not show it";
    case EINVAL:
        return "is too old here: Linux 6.1 is needed";
    case ENOMEM:
        return "gets no memory: raise the limit of locked memory (ulimit -l) or of the control group";
    case EMFILE:
    case ENFILE:
        return "gets no descriptor: raise the limit of open files (ulimit -n)";
    default:
        return "cannot be set up here";
    }
}

/* A request that does nothing, there and back: a filter may let a ring be made, and refuse its use. */
static int try_ring(struct io_uring *ring) {
    int result = ring_enable(ring);
    if (result < 0)
        return result;
    io_uring_prep_nop(io_uring_get_sqe(ring));
    do
        result = io_uring_submit_and_wait(ring, 1);
    while (result == -EINTR);
    return result;
}

const char *io_ring_refusal(void) {
    struct io_uring ring;
    struct ring_buffers buffers;
    int result = ring_make(&ring);
    if (result < 0)
        return io_ring_reason(-result);
    result = ring_buffers_open(&buffers, &ring, NULL, NULL);
    if (result >= 0)
        result = try_ring(&ring);
    io_uring_queue_exit(&ring);
    ring_buffers_close(&buffers);
    return result < 0 ? io_ring_reason(-result) : NULL;
}
