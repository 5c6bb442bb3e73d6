/* SPDX-License-Identifier: MIT */
/*
 * The loader of a backend: a few reader threads, each with its own connection, that look up the keys that
 * tickets wait for.
 *
 * Single flight: a key that is being looked up is not looked up again; later tickets join the flight. A
 * flight that has landed takes no more passengers: what it brought may be older than their question.
 *
 * Where a store has several parts, one reader more, the patient one, asks for what the others went on without, as its
 * part was silent: so one that hangs keeps nobody from what the others have.
 */
#ifndef FOREBAY_POLICIES_LOAD_LOADER_H
#define FOREBAY_POLICIES_LOAD_LOADER_H

#include "policies/breaker.h"
#include "policies/tier_parts.h"

struct session;

struct loader *loader_create(struct tier_backend *backend);

/* Starts the threads; false: not all could be started. */
bool loader_start(struct loader *loader);

/* The threads begin nothing new, and end when the call is over that each is in. Any thread. */
void loader_ask_to_end(struct loader *loader);

/* Ends the threads. Tickets that still wait are returned as failed. A second time, there is nothing to do. */
void loader_stop(struct loader *loader);
void loader_destroy(struct loader *loader);

/* Takes the loads of a ticket to the loaders of their backends. Any worker. */
void loader_submit(struct tier_ticket *ticket);

/* Is there reason to think that the backend cannot be asked: has the last call of readers or writer failed, or was
 * there none yet? Any thread. */
bool loader_is_in_doubt(const struct loader *loader);

/* The writer had no answer. Any thread. */
void loader_doubt(struct loader *loader);

/* The writer had an answer: whatever the readers found before, the backend can be asked, and for keys of this
 * namespace; NULL: of none in particular. Any thread. */
void loader_backend_answers(struct loader *loader, struct space *space);

/* The store is lost, or is or may be elsewhere: readers that have it open close their connections, or go where it
 * is; those that wait too. */
void loader_let_go(struct loader *loader);

/* Asks for the preload (preload.h). True: this is the first that `waits`, to be counted in tier->preloads,
 * which the preload counts down once everything that is waited for is preloaded. Before loader_start. */
bool loader_preload(struct loader *loader, bool waits);

/* For how long (us) every reader but the patient one has been in a call; 0: one of them is not. Any thread; no lock is
 * taken. */
uint64_t loader_stuck_us(const struct loader *loader, uint64_t now_us);

/* Have the last calls of readers failed? Any thread; no lock is taken. */
bool loader_is_cut_off(const struct loader *loader);

struct loader_stats {
    uint64_t loads, joined, failures, in_flight, breaker_opened;
    enum breaker_state breaker;
};
void loader_get_stats(struct loader *loader, struct loader_stats *ret_stats);

#endif
