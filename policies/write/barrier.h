/* SPDX-License-Identifier: MIT */
/*
 * Barriers: "all that is queued now is in its backend" (sync, and a change that is to be committed before it
 * is answered, on_full = write-through).
 *
 * A ticket that waits for one has a barrier at each writer that it concerns; these count
 * ticket->barrier.pending down, and the last one makes the answer and returns the ticket. A barrier is
 * reached when the queues have been popped as far as they were filled when it was made, and all that was
 * popped is in the backend, or in quarantine: then it is reached too, but the answer is an error.
 */
#ifndef FOREBAY_POLICIES_WRITE_BARRIER_H
#define FOREBAY_POLICIES_WRITE_BARRIER_H

#include "policies/tier_parts.h"

struct barrier;
struct flusher;
struct writer;

/* Worker, or a thread with a waiter: hands a ticket with ticket->barrier filled in (space, timeout_ms, holds_outcome)
 * to all writers that it concerns. It comes back at once where there are none. */
void barrier_submit(struct tier *tier, struct tier_ticket *ticket);

/* ---- Writer thread ---- */

/* With the writer's mutex: takes over what workers have handed over. */
void barriers_take(struct writer *writer);

/* Does one wait for this namespace? Then it is flushed at once. */
bool barriers_await(const struct writer *writer, const struct flusher *flusher);

/* Ends those that are reached, those whose time is over, and all of them if fail_all. */
void barriers_check(struct writer *writer, uint64_t now_us, bool fail_all);

/* The earliest time at which one is over, monotonic us; UINT64_MAX: none. */
uint64_t barriers_deadline(const struct writer *writer);

#endif
