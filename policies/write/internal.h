/* SPDX-License-Identifier: MIT */
/*
 * The inside of a writer, for the files that are parts of it: writer.c (the thread and its schedule), call.c
 * (calls to the backend), group.c (write-through), flusher.c (write-behind), touches.c (rows that memory does
 * not hold), barrier.c (sync), confirm.c (rows that may be newer than what was recovered), errand.c (what other writers
 * ask for). The header of each says what the schedule may ask of it.
 */
#ifndef FOREBAY_POLICIES_WRITE_INTERNAL_H
#define FOREBAY_POLICIES_WRITE_INTERNAL_H

#include "cache/base/progress.h"
#include "policies/breaker.h"
#include "policies/session.h"
#include "policies/write/at_risk.h"
#include "policies/write/barrier.h"
#include "policies/write/call.h"
#include "policies/write/company.h"
#include "policies/write/confirm.h"
#include "policies/write/errand.h"
#include "policies/write/flusher.h"
#include "policies/write/gather.h"
#include "policies/write/group.h"
#include "policies/write/rewrite.h"
#include "policies/write/store_note.h"
#include "policies/write/touches.h"
#include "policies/write/writer.h"

struct writer_counters { /* by its thread, except barriers, which workers count; read by anyone */
#define WRITER_COUNTER(name) counter name;
    WRITER_COUNTERS(WRITER_COUNTER)
#undef WRITER_COUNTER
};

/* The first connection, made by a thread of its own; until that is joined, the session is its. */
struct opening {
    pthread_t thread;
    bool runs;                  /* not joined yet */
    bool done;                  /* under writer->mutex: the session has been given back */
    enum backend_status status; /* when done */
    struct backend_error met;   /* under writer->mutex: what the attempt under way has met; "": nothing yet */
};

struct writer {
    /* constant once it has started, except that flushers are added at the end */
    struct tier_backend *backend;
    struct tier *tier;
    pthread_t thread;
    bool started;
    struct flusher *flushers; /* of the write-behind namespaces of this backend; room for CACHE_SPACES_MAX */
    _Atomic size_t flusher_count;

    /* its thread's; the state of the breaker may be read by anyone */
    struct session session;
    struct opening opening;
    /* The store has said which versions it holds, since the start or since it was lost; anyone may read it, */
    atomic_bool reached;
    uint64_t high_version; /* and this was the highest when the connection was opened */
    struct breaker breaker;
    struct breaker part_breaker; /* of the backend's parts: what it tells, it keeps nobody off */
    bool takes_parts;            /* the call in hand */
    bool lacked_part; /* the last one failed by a part of the store, or of one that is copied to, alone */
    uint64_t call_until_us; /* see call_limit */
    uint64_t upkeep_at;
    uint64_t store_version;  /* the highest that the store is known to have */
    uint64_t store_applied;  /* the last batch that it has acknowledged (backend_connection.applied) */
    uint64_t tried_version;  /* the highest that was handed to it */
    struct store_note noted; /* as the data folder knows it, */
    uint64_t noted_at_us;    /* and when that was written */
    atomic_bool looked;      /* at the store since draining began */
    struct rewrite rewrite;
    struct at_risk at_risk;
    bool owes; /* the store lacks what it had, until the rewrite is done */
    /* As the first connection was opened: it lacked something, by its high version; and the last batch that it had, 0:
     * none (backend_connection.found). Over the next connection, that is what recovery has written. */
    bool began_older;
    uint64_t began_found;
    bool seen, seen_in_part; /* the last look was answered; or by parts of the store while others are away: */
    uint64_t look_again_us;  /* monotonic: the others are not looked for earlier */
    size_t next_flusher;
    struct log_limit outage_lines; /* of the log: failures and recoveries */
    /* A store that is lost over and over has the same number of each. */
    struct log_limit lost_lines, back_lines, older_lines, ahead_lines, rewritten_lines, failover_lines,
        past_lines;
    struct company_told company;
    uint64_t superseded_told, superseded_told_us; /* of counters.superseded_unexplained; when, monotonic */
    struct group group;
    struct tier_ticket *jobs, **jobs_end; /* taken, not yet in a group */
    struct barrier *barriers;             /* taken, not yet reached */
    struct tier_ticket *confirms;         /* taken, in order */

    /* written by its thread, read by anyone */
    _Atomic size_t tables_known; /* of the backend, by the connection that was opened last */
    atomic_uint_fast64_t unseen_since_us;
    atomic_uint_fast64_t passes;    /* twice those that have ended, and one more while one is under way */
    atomic_uint looks_wanted;       /* by whoever wants to know what became of the store; */
    atomic_uint looks_done;         /* as many of them have been answered; */
    atomic_uint looks_done_in_part; /* or by what there is of the store */
    struct writer_counters counters;
    struct progress progress;

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t work;
    bool poked, stop;
    struct tier_ticket *new_jobs, **new_jobs_end;
    size_t new_job_count;
    struct gather gather;
    struct barrier *new_barriers;
    struct tier_ticket *new_confirms; /* newest first */
    struct touches touches;           /* in part: see there */
    struct errand *errands;           /* that wait, in order */
    pthread_cond_t errand_done;
};

/* With the mutex: the thread has something to do. */
static inline void writer_rouse(struct writer *writer) {
    writer->poked = true;
    pthread_cond_signal(&writer->work);
}

#endif
