/* SPDX-License-Identifier: MIT */
#include "server/worker/io/io.h"
#include "server/worker/io/ring_setup.h"

const struct io_type *io_choose(enum io_kind kind, const char **ret_reason) {
    *ret_reason = NULL;
    if (kind == IO_EPOLL)
        return &io_epoll;
    *ret_reason = io_ring_refusal();
    if (!*ret_reason)
        return &io_ring;
    return kind == IO_AUTO ? &io_epoll : NULL;
}
