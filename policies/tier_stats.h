/* SPDX-License-Identifier: MIT */
/* Counting what was answered. Summing and telling it is declared in tier.h. */
#ifndef FOREBAY_POLICIES_TIER_STATS_H
#define FOREBAY_POLICIES_TIER_STATS_H

#include "policies/turn.h"

/* Worker: an answer to a request with a key, of the namespace with this usage. */
void count_outcome(struct tier_worker *worker, struct usage *usage, const struct request *request,
                   const struct outcome *outcome);

#endif
