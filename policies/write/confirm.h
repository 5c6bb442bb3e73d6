/* SPDX-License-Identifier: MIT */
/*
 * After the power was lost a store can be ahead of the journal (docs/design.md, "Promises"), and where several servers
 * write to it after any kill: the journal may hold what was written before another one changed it. What recovery has
 * restored is therefore not believed before the store has seen it: whoever wants to know such a key waits until
 * the writer has written this one entry, ahead of all that is due. If the store has a newer row its version guard
 * says so, memory gives way, and the row is loaded as on any miss. Redis tells of a newer delete in the same way.
 *
 * The writer writes all that was restored as soon as it runs, so few keys are asked for before it gets there.
 * While the store, or the namespace's table in it, cannot be written to, the journal's word counts.
 */
#ifndef FOREBAY_POLICIES_WRITE_CONFIRM_H
#define FOREBAY_POLICIES_WRITE_CONFIRM_H

#include "policies/tier_parts.h"

struct writer;

/* May the store have a newer row than this entry of memory? Any thread. */
static inline bool confirm_is_needed(const struct space *space, const struct cache_view *view) {
    uint64_t up_to = atomic_load_explicit(&space->unconfirmed, memory_order_acquire);
    return up_to != 0 && view->state != CACHE_CLEAN && view->version <= up_to;
}

/* Worker: hands over a ticket that ticket_keep_key has prepared. It comes back with `confirmed` set: the store has
 * seen what memory holds of the key, or cannot be asked. */
void confirm_submit(struct tier_ticket *ticket);

/* ---- Writer thread ---- */

/* With the writer's mutex: takes over what workers have handed over. */
void confirms_take(struct writer *writer);

/* Writes the entries that are asked for, of each namespace in one commit. */
void confirms_run(struct writer *writer);

/* When those that could not be written are to be tried again, monotonic us, if the backend's breaker lets it;
 * UINT64_MAX: there are none. */
uint64_t confirms_retry_at(const struct writer *writer);

/* The writer ends: nobody will be asked. */
void confirms_give_up(struct writer *writer);

#endif
