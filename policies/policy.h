/* SPDX-License-Identifier: MIT */
/*
 * The four policies: one const struct each, in a file each. A policy decides what a change does to memory
 * and what to the backend; what the command means is evaluate()'s business.
 *
 * It runs on a worker thread, never blocks, and either finishes (TIER_DONE, or TIER_HELD when the answer has
 * to wait for the journal) or leaves the work with the request's ticket (TIER_PARKED). A parked request is
 * executed again, from the start, when its ticket comes back; what the ticket brought decides then. Reads are
 * the same under all four (execution_read).
 */
#ifndef FOREBAY_POLICIES_POLICY_H
#define FOREBAY_POLICIES_POLICY_H

#include "policies/tier.h"

struct policy {
    const char *name;   /* as in the configuration */
    bool needs_backend; /* a namespace with this policy must name one */
    bool holds_back;    /* writes are held back: the namespace has a dirty queue, a journal, a flusher */
    enum tier_status (*change)(struct tier_worker *worker, struct tier_ticket *ticket,
                               struct request *request, struct outcome *ret_outcome);
};

extern const struct policy policy_cache_aside, policy_read_through, policy_write_through, policy_write_behind;

/* Whether changes become rows of the backend. */
static inline bool policy_writes_rows(const struct policy *policy) {
    return policy->holds_back || policy == &policy_write_through;
}

/* By its name in the configuration, or NULL. */
const struct policy *policy_find(const char *name);

/* For messages: the names of those that are wanted (NULL: of all) as a sentence lists them, "a, b or c", each in
 * quote. Cut at size. */
void policy_list(bool (*wanted)(const struct policy *policy), const char *quote, char *ret_text, size_t size);

#endif
