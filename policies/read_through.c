/* SPDX-License-Identifier: MIT */
/*
 * read-through: a miss is loaded from the backend and kept; changes are made in memory alone, over the
 * logical state, because the rows belong to the application.
 *
 * A delete is how the application says that a row has changed. So before anyone is asked whether the row
 * exists, a delete refuses what is being loaded at the moment, and forgets a remembered absence.
 */
#include "policies/execute.h"

/* From now on, nothing that was read from the backend before enters memory. */
static void invalidate(struct execution *e) {
    struct cache_cursor *cursor = &e->outcome->cursor;
    if (cache_seek(e->worker->tier->cache, e->space->number, e->request->key, e->request->hash,
                   &e->worker->now, cursor) != CACHE_PRESENT)
        cache_forget(cursor);
    cache_release(cursor);
}

static enum tier_status change(struct tier_worker *worker, struct tier_ticket *ticket,
                               struct request *request, struct outcome *ret_outcome) {
    struct execution e;
    execution_init(&e, worker, ticket, request, ret_outcome);
    if (evaluate_is_plain_delete(request) && !e.load)
        invalidate(&e);
    return execution_in_memory(&e);
}

const struct policy policy_read_through = {
    .name = "read-through",
    .needs_backend = true,
    .holds_back = false,
    .change = change,
};
