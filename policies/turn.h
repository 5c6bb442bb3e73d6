/* SPDX-License-Identifier: MIT */
/*
 * A worker, as the tier sees it: what its turn has gathered so far. That worker's thread alone, except the
 * members marked "shared".
 */
#ifndef FOREBAY_POLICIES_TURN_H
#define FOREBAY_POLICIES_TURN_H

#include "cache/base/counter.h"
#include "policies/journal/journal.h"
#include "policies/ticket.h"

struct worker_counters {
#define WORKER_COUNTER(name) counter name;
    TIER_COUNTERS(WORKER_COUNTER)
#undef WORKER_COUNTER
};

struct tier_worker {
    /* its thread's alone */
    struct tier *tier;
    unsigned index;
    /* of the turn; us is the versions' time: it never goes back, whatever the clock does (low_water.c) */
    struct cache_time now;
    uint64_t turn_floor; /* no version drawn in this turn is below */
    char *scratch;       /* item_max + some: built and copied values */
    size_t scratch_size;
    struct journal_series *journal;
    struct tier_ticket *submitted, **submitted_end; /* of this turn, in order */
    struct tier_ticket *returned;                   /* taken off `ready`, in order */
    uint64_t queued_spaces; /* a bit for each namespace of which something was queued in this turn */
    bool appended;          /* this turn has records in the journal's buffer */
    struct worker_counters counters;
    /* shared */
    _Alignas(64) _Atomic(struct tier_ticket *) ready; /* tickets that came back, newest first */
    atomic_uint_fast64_t floor;   /* low_water.c: 0 entering a turn, turn_floor in one, else UINT64_MAX */
    atomic_uint_fast64_t durable; /* position up to which its journal is on disk */
    atomic_bool journal_stuck;    /* a journal_write failed: the worker has to be woken to try again */
};

#endif
