/* SPDX-License-Identifier: MIT */
/*
 * What the policies have in common: finding out what there is under a key, evaluating the command, making the
 * change in memory. A policy is these steps in its own order.
 */
#ifndef FOREBAY_POLICIES_EXECUTE_H
#define FOREBAY_POLICIES_EXECUTE_H

#include "policies/evaluate.h"
#include "policies/tier_parts.h"

/* One execution of one request on a worker. */
struct execution {
    struct tier_worker *worker;
    struct tier_ticket *ticket;
    const struct request *request;
    struct outcome *outcome;
    struct space *space;
    struct load *load;             /* what the ticket brought for this key, or NULL */
    const struct cache_view *base; /* the entry as it stands, or NULL: there is none */
    struct cache_view loaded_view; /* base, when it comes from the ticket */
    bool confirmed;                /* what memory holds is believed, though the store may have a newer row */
    bool held;                     /* the answer shows what the journal may not have yet */
    bool unknown; /* base is NULL because memory does not know the key and the backend was not asked */
    struct change change;
};

enum look {
    LOOK_READY,    /* the shard is locked (outcome->cursor), base tells what there is */
    LOOK_PARKED,   /* unlocked; the ticket waits for loads, or for what was recovered to be confirmed */
    LOOK_ANSWERED, /* unlocked; the outcome is an error or, by on_backend_down, a miss */
};

/* How an execution ends whose look was not LOOK_READY. */
static inline enum tier_status look_status(enum look look) {
    return look == LOOK_PARKED ? TIER_PARKED : TIER_DONE;
}

static inline void execution_init(struct execution *e, struct tier_worker *worker, struct tier_ticket *ticket,
                                  const struct request *request, struct outcome *outcome) {
    e->worker = worker;
    e->ticket = ticket;
    e->request = request;
    e->outcome = outcome;
    e->space = request->space;
    e->base = NULL;
    e->unknown = e->held = false;
    e->confirmed = ticket->confirmed;
    ticket->confirmed = false;
    e->load = ticket->loads.arrived ? ticket_take_load(ticket, request) : NULL;
    outcome->holds_lock = false;
    outcome->hit = false;
}

/* Seeks the key; where memory does not know what the command needs, asks the backend. */
enum look execution_look(struct execution *e);

/* Evaluates the command over e->base into e->outcome and e->change. */
void execution_evaluate(struct execution *e);

/* Makes the change in memory, dirty or not; version 0: the next one. On failure the outcome is the error, and
 * the shard is still locked. Needs room in the worker's scratch when the outcome shows the value that is
 * changed. */
enum cache_status execution_change(struct execution *e, bool dirty);

/* Ends an execution: unlocks, or leaves the lock with the outcome while it shows a value in the cache. */
enum tier_status execution_done(struct execution *e);

/* look, evaluate, change (not dirty), done: all that cache-aside and read-through need. */
enum tier_status execution_in_memory(struct execution *e);

/* The plain read: shared by all policies. */
enum tier_status execution_read(struct tier_worker *worker, struct tier_ticket *ticket,
                                struct request *request, struct outcome *ret_outcome);

/* Ends an execution with an error: unlocks. */
void execution_refuse(struct execution *e, enum outcome_error kind, const char *line);

/* The error of a change that the cache did not take. */
void outcome_fail_store(struct outcome *outcome, enum cache_status status);

#endif
