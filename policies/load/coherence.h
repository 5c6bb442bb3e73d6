/* SPDX-License-Identifier: MIT */
/*
 * Several servers over one store: what another one changes there is forgotten here (`coherent` of a backend).
 *
 * A thread hears of all changes (backend_type.changes) and compares what memory holds of them (doubts.h). What it holds
 * is believed as long as it is proven that everything was heard that is older than `coherence_limit`:
 *
 *     blind --heard, looked, new epoch--> believed --nothing is proven for coherence_limit--> blind
 *                                            ^                                                  |
 *                                            `------proven again over the same connection-------'
 *
 * While it is blind, what is clean is not shown and nothing is filled (cache_set_blind), so reads go to the store, and
 * on_backend_down decides where that is away. What is dirty is shown and written as ever.
 *
 * Whenever changes may have been missed (a new connection) or all rows have changed at once, all that is clean goes: a
 * new epoch, as flush_all makes it. Before that the writer looks whether the store is still what it was, since what
 * memory holds may be all that is left; where it is written again (rewrite.h), it is believed until that is done.
 */
#ifndef FOREBAY_POLICIES_LOAD_COHERENCE_H
#define FOREBAY_POLICIES_LOAD_COHERENCE_H

#include "policies/tier_parts.h"

struct coherence;

/* NULL: no memory. All namespaces of the backend are blind from the beginning. */
struct coherence *coherence_create(struct tier_backend *backend);

/* Starts and ends its thread; asked to, it ends when the call is over that it is in (any thread). NULL: there is none
 * to end. */
bool coherence_start(struct coherence *coherence);
void coherence_ask_to_end(struct coherence *coherence);
void coherence_stop(struct coherence *coherence);
void coherence_destroy(struct coherence *coherence);

/* Waits until what memory holds is believed, so that it can be filled, or until *stop, at most so long. NULL: does not
 * wait. */
void coherence_await(const struct coherence *coherence, unsigned patience_ms, const atomic_bool *stop);

struct coherence_stats {
    bool believes;
    uint64_t heard;   /* keys that were told to be changed, by this server's own changes as well */
    uint64_t asked;   /* of those, what memory held and was compared */
    uint64_t dropped; /* of those, what was another one */
    uint64_t losses;  /* times that changes may have been missed, or all rows were changed: new epochs */
    uint64_t reconnects;
    uint64_t blinds, blind_us; /* times that it was blind, the start included, and for how long */
};

/* Any thread. */
void coherence_get_stats(const struct coherence *coherence, struct coherence_stats *ret_stats);

#endif
