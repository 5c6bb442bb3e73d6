/* SPDX-License-Identifier: MIT */
/* The low-water version of a namespace: every change of it up to that is in its backend. Proof: at the head of
 * low_water.c. */
#ifndef FOREBAY_POLICIES_WRITE_LOW_WATER_H
#define FOREBAY_POLICIES_WRITE_LOW_WATER_H

#include "policies/tier_parts.h"

/* Worker: opens a turn; sets worker->now and turn_floor. */
void low_water_enter(struct tier_worker *worker, const struct cache_time *now);

/* Worker: everything of the turn is queued. */
void low_water_leave(struct tier_worker *worker);

/* Writer: (1) and (2) of the bounds of its namespaces. (3) is to be read after it. */
uint64_t low_water_bound(struct tier *tier);

/* Writer of the namespace: all below bound is written, and the store has it as of this mark (journal_set_mark). Tells
 * the journal. */
void low_water_pass(struct space *space, uint64_t bound, uint64_t mark);

/* The least of the namespaces that hold changes back; 0: none has one yet. Any thread. */
uint64_t low_water_least(const struct tier *tier);

#endif
