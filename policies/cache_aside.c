/* SPDX-License-Identifier: MIT */
/* cache-aside: memory is all there is. A miss is a miss; the application asks its own database. What
 * memcached does. */
#include "policies/execute.h"

/* The path of most changes: a plain set, which is answered alike whatever there was. The same as execution_in_memory,
 * without its steps; of the outcome's view, what the answer and the watchers tell. */
static void set(struct tier_worker *worker, const struct request *request, struct outcome *outcome) {
    const struct space *space = request->space;
    struct cache_cursor *cursor = &outcome->cursor;
    uint32_t expires_at = evaluate_expiry(request->exptime, space->options.ttl, worker->now.lives_from);
    cache_seek_place(worker->tier->cache, space->number, request->key, request->hash, &worker->now, cursor);
    enum cache_status status = cache_store(
        cursor,
        &(struct cache_write){.value = request->value, .flags = request->flags, .expires_at = expires_at});
    outcome->status = OUTCOME_STORED;
    outcome->view.value = request->value;
    outcome->view.version = cursor->view.version;
    outcome->view.client_cas = 0;
    outcome->view.flags = request->flags;
    outcome->view.expires_at = expires_at;
    if (__builtin_expect(status != CACHE_OK, false)) {
        cache_forget(cursor);
        outcome_fail_store(outcome, status);
    }
    cache_release(cursor);
}

static enum tier_status change(struct tier_worker *worker, struct tier_ticket *ticket,
                               struct request *request, struct outcome *ret_outcome) {
    if (request->command == COMMAND_SET && !request->too_large) {
        set(worker, request, ret_outcome);
        return TIER_DONE;
    }
    struct execution e;
    execution_init(&e, worker, ticket, request, ret_outcome);
    return execution_in_memory(&e);
}

const struct policy policy_cache_aside = {
    .name = "cache-aside",
    .needs_backend = false,
    .holds_back = false,
    .change = change,
};
