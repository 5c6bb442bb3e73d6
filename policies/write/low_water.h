/* SPDX-License-Identifier: MIT */
/* The low-water version: every change up to it is in its backend. Proof: at the head of low_water.c. */
#ifndef FOREBAY_POLICIES_WRITE_LOW_WATER_H
#define FOREBAY_POLICIES_WRITE_LOW_WATER_H

#include "policies/tier_parts.h"

/* Worker: opens a turn; sets worker->now and turn_floor. */
void low_water_enter(struct tier_worker *worker, const struct cache_time *now);

/* Worker: everything of the turn is queued. */
void low_water_leave(struct tier_worker *worker);

/* Writer: (1) and (2) of the bound. */
uint64_t low_water_bound(struct tier *tier);

/* Writer: computes the low-water version anew and tells the journal. */
void low_water_advance(struct tier *tier);

#endif
