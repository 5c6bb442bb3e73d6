/* SPDX-License-Identifier: MIT */
/*
 * write-through: a change goes to the backend first, then to memory, and is answered after the commit.
 *
 * The worker only answers what memory alone can answer (a failed cas, an add of a key that is there), unless other
 * servers may have changed the row. Every
 * change that the backend has to learn is parked with a copy of the request and evaluated by the backend's
 * writer thread, which is the only one that changes these namespaces: there incr and cas are free of races,
 * and all changes that wait at the same time share a commit (group.c). Meanwhile readers see the last
 * committed value.
 */
#include "policies/execute.h"
#include "policies/write/concern.h"

static enum tier_status to_writer(struct execution *e) {
    if (!space_has_key(e->space, e->request->key)) {
        outcome_fail(e->outcome, ERROR_KEY_UNFIT, REPLY_KEY_UNFIT);
        return TIER_DONE;
    }
    if (!ticket_keep_request(e->ticket, e->request)) {
        outcome_fail(e->outcome, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
        return TIER_DONE;
    }
    e->ticket->deadline_us = 0;
    e->ticket->park = PARK_WRITE;
    return TIER_PARKED;
}

/* True when memory knows the key and the shard is locked; a get that changes something loads it first. A remembered
 * absence is no ground for a change: the writer looks at the row. */
static bool known(struct execution *e, enum tier_status *ret_status) {
    struct cache_cursor *cursor = &e->outcome->cursor;
    if (command_kind(e->request->command) == KIND_READ) {
        enum look look = execution_look(e);
        *ret_status = look_status(look);
        return look == LOOK_READY;
    }
    enum cache_presence presence = cache_seek(e->worker->tier->cache, e->space->number, e->request->key,
                                              e->request->hash, &e->worker->now, cursor);
    if (presence == CACHE_PRESENT)
        e->base = &cursor->view;
    if (presence != CACHE_UNKNOWN && !cache_is_absence(cursor))
        return true;
    cache_release(cursor);
    *ret_status = to_writer(e);
    return false;
}

static enum tier_status change(struct tier_worker *worker, struct tier_ticket *ticket,
                               struct request *request, struct outcome *ret_outcome) {
    struct execution e;
    enum tier_status status;
    execution_init(&e, worker, ticket, request, ret_outcome);
    if (evaluate_need(request) == NEED_NOTHING)
        return to_writer(&e);
    if (!known(&e, &status))
        return status;
    execution_evaluate(&e);
    if (change_concerns_backend(e.space, e.base, &e.change) ||
        change_was_denied(e.space, request, &e.change)) {
        cache_release(&ret_outcome->cursor);
        return to_writer(&e);
    }
    change_stay_in_memory(&e.change, e.base);
    if (e.change.kind != CHANGE_NONE)
        execution_change(&e, false);
    return execution_done(&e);
}

const struct policy policy_write_through = {
    .name = "write-through",
    .needs_backend = true,
    .holds_back = false,
    .change = change,
};
