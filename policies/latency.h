/* SPDX-License-Identifier: MIT */
/*
 * How long requests take from the turn that read them until their replies were sent, counted into the histograms of
 * usage.h without a look at the clock for each of them:
 *
 *     answered in their turn   counted by namespace and kind, and added at its end, all with the time of the turn
 *     held (TIER_HELD)         the same, but added in the turn that sends them
 *     parked                   the ticket knows in which turn they parked; added one by one when they are answered
 *
 * Times are monotonic microseconds. The worker's thread alone.
 */
#ifndef FOREBAY_POLICIES_LATENCY_H
#define FOREBAY_POLICIES_LATENCY_H

#include "policies/tier_parts.h"

/* The way of what is not answered at once. */
void latency_add_delayed(struct tier_worker *worker, struct tier_ticket *ticket,
                         const struct request *request, enum usage_kind kind, enum tier_status status);

/* It was answered in this turn. */
static inline void latency_add_at_once(struct tier_worker *worker, struct usage *usage,
                                       const struct space *space, enum usage_kind kind) {
    if (usage->answered[kind]++ == 0)
        worker->answered_spaces |= 1ull << space->number;
}

/* A request has its answer: TIER_DONE or TIER_HELD. usage: of its namespace; kind: what it is if it has not waited. */
static inline void latency_add(struct tier_worker *worker, struct usage *usage, struct tier_ticket *ticket,
                               const struct request *request, enum usage_kind kind, enum tier_status status) {
    if (__builtin_expect(ticket->riders != 0 || status == TIER_HELD, false))
        latency_add_delayed(worker, ticket, request, kind, status);
    else
        latency_add_at_once(worker, usage, request->space, kind);
}

/* Its request is parked; again, if it has come back without an answer. */
void latency_note_parked(struct tier_worker *worker, struct tier_ticket *ticket);

/* What is held since the last hold had its number goes when this one is released. */
void latency_note_hold(struct tier_worker *worker, uint64_t number);

#endif
