/* SPDX-License-Identifier: MIT */
#include "server/worker/io/ring_limits.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the files of the ring prepare. */
static const uint8_t operations[] = {IORING_OP_RECV,     IORING_OP_SEND,         IORING_OP_SENDMSG,
                                     IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_TIMEOUT};

enum { OPERATIONS = sizeof operations / sizeof *operations };

int ring_limits_set(struct io_uring *ring) {
    struct io_uring_restriction allowed[OPERATIONS + 3] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
         .sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_RING_FDS},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_RING_FDS}};
    for (int i = 0; i < OPERATIONS; i++)
        allowed[i + 3] =
            (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = operations[i]};
    /* io_uring_register_restrictions, which the shared library of liburing 2.3 does not show */
    long result = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
                          sizeof allowed / sizeof *allowed);
    return result < 0 ? -errno : 0;
}
