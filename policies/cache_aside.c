/* SPDX-License-Identifier: MIT */
/* cache-aside: memory is all there is. A miss is a miss; the application asks its own database. What
 * memcached does. */
#include "policies/execute.h"

static enum tier_status change(struct tier_worker *worker, struct tier_ticket *ticket,
                               struct request *request, struct outcome *ret_outcome) {
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
