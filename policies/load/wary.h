/* SPDX-License-Identifier: MIT */
/*
 * What readers do not ask a store for that went back to what it was: for a while it may show a row that was replaced or
 * deleted, and acknowledged to be, to a client that has seen the newer one.
 *
 *     a new link, or a load over Sentinel, shows     all loads wait until the writer has looked (wary_suspect)
 *         less than was acknowledged
 *     the writer has found it out                    all loads wait until it has opened what is there, unless that fails
 *     what is lost is written again                  loads of keys that may be concerned wait until it is (write/at_risk.h)
 *     a load was under way when it was found out     it is made again (wary_begin)
 *
 * A load that waits ends when its time is over, like one that a store does not answer. Nothing is noticed of a store
 * that was emptied, or went back, over links that stay open (FLUSHALL), before the writer's next look or batch; but
 * over Sentinel.
 *
 * Any thread, and no lock is taken, except where it says so.
 */
#ifndef FOREBAY_POLICIES_LOAD_WARY_H
#define FOREBAY_POLICIES_LOAD_WARY_H

#include "policies/tier_parts.h"

enum { WARY_POLL_US = 20000 /* how often those that wait are looked at again */ };

struct wary { /* all zero but the backend: nothing is suspected */
    struct tier_backend *backend;
    atomic_uint look;                   /* of the writer, that was asked for last */
    atomic_uint_fast64_t not_before_us; /* monotonic: and no load is made before */
};

/* Before a lookup, and before wary_holds is asked of its keys: a loss between the two would be neither waited for nor
 * noticed. */
unsigned wary_begin(const struct wary *wary);

/* Behind it, with what wary_begin gave: may what it brought be what the store went back to? */
bool wary_distrusts(const struct wary *wary, unsigned begun);

/* A reader has met a store that lacks something (BACKEND_REPLACED). Takes a lock of the writer. */
void wary_suspect(struct wary *wary);

/* Some wait: the writer may have been unable to look. The same lock. */
void wary_urge(const struct wary *wary);

/* Must a load of this key wait? */
bool wary_holds(const struct wary *wary, const struct space *space, uint64_t hash);

#endif
