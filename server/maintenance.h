/* SPDX-License-Identifier: MIT */
/* The thread that sweeps, cleans and resizes the cache (tier_maintain) ten times a second, and more often
 * while there is more to do. A thread of its own, so that signals and new connections never wait for it. */
#ifndef FOREBAY_SERVER_MAINTENANCE_H
#define FOREBAY_SERVER_MAINTENANCE_H

#include "policies/tier.h"

struct maintenance;

/* NULL when there is no memory or no thread. */
struct maintenance *maintenance_start(struct tier *tier);

/* When it last turned, which it does ten times a second; monotonic us. Any thread, while it is not stopped. */
uint64_t maintenance_turned_us(const struct maintenance *maintenance);

/* Ends the thread and frees all. */
void maintenance_stop(struct maintenance *maintenance); /* NULL is allowed */

#endif
