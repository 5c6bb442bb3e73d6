/* SPDX-License-Identifier: MIT */
/* The end of a backend's call: counted (backend_calls.h), and told on the log if it took slow_log or longer. For the
 * files of policies alone. Any thread that makes calls. */
#ifndef FOREBAY_POLICIES_SLOW_LOG_H
#define FOREBAY_POLICIES_SLOW_LOG_H

#include "policies/tier_parts.h"

/* A call that began then (monotonic us) has ended now. space: NULL where it is of no namespace; rows: that it was asked
 * for, gave or wrote, 0 where it is not about rows. Returns its status. */
enum backend_status slow_log_end(struct tier_backend *backend, const struct space *space,
                                 enum backend_call call, size_t rows, uint64_t began_us,
                                 enum backend_status status);

#endif
