/* SPDX-License-Identifier: MIT */
/* Trying anew what an operator asked for in a quarantine (quarantine retry). The writer's thread. */
#ifndef FOREBAY_POLICIES_WRITE_RETRY_H
#define FOREBAY_POLICIES_WRITE_RETRY_H

#include "policies/write/flusher.h"

/* Tries, for a while: others are not to wait for all of it. What is of a part of the store that is away is put off,
 * behind all others. False: nothing more can be written now, and is still asked for. */
bool retry_run(struct writer *writer, struct flusher *flusher);

/* When there is something to be tried, monotonic us: 0 now, UINT64_MAX never. */
uint64_t retry_due(const struct flusher *flusher);

#endif
