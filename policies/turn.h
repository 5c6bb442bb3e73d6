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
#include "policies/usage.h"

/* What is no answer to a request with a key; those are counted in usage.h. */
struct worker_counters {
    counter cmd_flush, loads, parked, closed_reads;
};

enum {
    TURN_HOLDS_MAX = 64,    /* turns whose replies are held apart from one another */
    TURN_CHANGED_WORDS = 8, /* of the filter of changed keys: a cache line */
    TURN_LATE_MAX = 128, /* groups of held answers whose time is to be taken; beyond, their turn's counts */
};

/* What the replies of a turn wait for (hold.h). */
struct hold {
    uint64_t number;
    uint64_t position; /* in the worker's own journal: durable up to here; 0: no matter */
    uint64_t shown,
        shown_always; /* the highest version that others may have yet to write; to write and sync */
    /* the worker that is looked at now, and what is awaited of it: 0, nothing yet */
    unsigned next_maker;
    uint64_t awaited_turn, awaited_position;
};

/* Records of mode `always` that may not be durable: up to this position, of turns whose floors are no lower. */
struct unsynced {
    uint64_t position, floor;
};

/* Held answers of one turn, namespace and kind: latency.h. */
struct late {
    struct usage *usage;
    enum usage_kind kind;
    uint32_t times;
    uint64_t began_us;
    uint64_t hold; /* number; 0: not known yet */
};

struct tier_worker {
    /* its thread's alone */
    struct tier *tier;
    unsigned index;
    /* of the turn; us is the versions' time: it never goes back, whatever the clock does (low_water.c) */
    struct cache_time now;
    uint64_t map_serial; /* of the map that this turn goes by */
    uint64_t turn_floor; /* no version drawn in this turn is below */
    char *scratch;       /* item_max + some: built and copied values */
    size_t scratch_size;
    struct journal_series *journal;
    struct tier_ticket *submitted, **submitted_end; /* of this turn, in order */
    struct tier_ticket *returned;                   /* taken off `ready`, in order */
    uint64_t queued_spaces; /* a bit for each namespace of which something was queued in this turn */
    bool appended;          /* this turn has records in the journal's buffer */
    struct worker_counters counters;
    struct usage *usage;          /* of each namespace, by its number */
    uint64_t began_us;            /* the turn, of however many parts; monotonic */
    uint64_t answered_spaces;     /* a bit for each namespace of which `answered` counts something */
    uint64_t kept_floor;          /* below it all is written (`always`: synced), for ever: hold.c */
    uint64_t kept_floor_us;       /* when it was last looked for, in the versions' time */
    bool hold_wanted;             /* an answer of this turn is held; what it has shown: */
    uint64_t shown, shown_always; /* as in struct hold */
    uint64_t hold_number, released;
    unsigned first_hold, hold_count; /* in holds, a ring */
    struct hold holds[TURN_HOLDS_MAX];
    struct unsynced unsynced[2];
    unsigned first_late, late_count; /* in late, a ring */
    struct late late[TURN_LATE_MAX];
    /* shared */
    _Alignas(64) _Atomic(struct tier_ticket *) ready; /* tickets that came back, newest first */
    atomic_uint_fast64_t floor;   /* low_water.c: 0 entering a turn, turn_floor in one, else UINT64_MAX */
    atomic_uint_fast64_t durable; /* position up to which its journal is on disk */
    atomic_bool journal_stuck;    /* a journal_write failed: the worker has to be woken to try again */
    /* shared, stored by its thread alone: hold.c */
    _Alignas(64) atomic_uint_fast64_t turn; /* odd: it has records that are not in the file; grows */
    atomic_uint_fast64_t unwritten_floor;   /* no version of those is below */
    atomic_uint_fast64_t undurable_floor;   /* nor of those of mode `always` that may not be synced */
    atomic_uint_fast64_t always_position;   /* the last position of records of mode `always` */
    atomic_uint awaited;                    /* what its first hold waits for; 0: it is not to be woken */
    _Alignas(64) atomic_uint_fast64_t changed[TURN_CHANGED_WORDS]; /* a bit for each key of the turn */
};

#endif
