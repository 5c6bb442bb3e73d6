/* SPDX-License-Identifier: MIT */
/*
 * What an operator asks of a tier from outside of its workers. The same as the commands `sync` and `quarantine`, by any
 * thread, which may wait here.
 */
#ifndef FOREBAY_POLICIES_OPERATION_H
#define FOREBAY_POLICIES_OPERATION_H

#include "policies/tier.h"

enum operation_status {
    OPERATION_DONE,
    OPERATION_NO_SPACE,      /* there is no namespace of this name */
    OPERATION_HOLDS_NOTHING, /* it is not write-behind */
    OPERATION_LATE,          /* not all is in the backend; it is being written all the same */
    OPERATION_REFUSED,       /* the backend has refused some of it, which is in quarantine now */
    OPERATION_FAILED,        /* no memory, or the quarantine's file cannot be written: nothing was done */
};

/* For how long to wait. */
struct operation_patience {
    uint32_t timeout_ms; /* 0: for as long as it takes */
    /* Asked now and then, by the caller's thread: true ends the wait, with LATE. */
    bool (*gives_up)(void *context);
    void *context;
};

/* Waits until what is dirty now in the namespace (empty: in all) is in its backend. *ret_entries: how many that
 * were. */
enum operation_status operation_sync(struct tier *tier, struct slice space,
                                     const struct operation_patience *patience, uint64_t *ret_entries);

/* on: from now on no write-behind namespace answers a change before its backend has it, and what is dirty is written
 * (the same answers as those of a sync of all). Then memory holds nothing that another server would not find in the
 * backend, so that keys may move to one. It stays on after a LATE or REFUSED, too, until it is turned off or the tier
 * ends. */
enum operation_status operation_hand_over(struct tier *tier, bool on,
                                          const struct operation_patience *patience, uint64_t *ret_entries);

/* Has the quarantined entry of the key (empty: all of the namespace) tried again. *ret_entries: how many. */
enum operation_status operation_retry(struct tier *tier, struct slice space, struct slice key,
                                      uint64_t *ret_entries);

/* Gives it up (or all), on disk before it returns: acknowledged changes are lost. */
enum operation_status operation_drop(struct tier *tier, struct slice space, struct slice key,
                                     uint64_t *ret_entries);

#endif
