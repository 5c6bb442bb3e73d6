/* SPDX-License-Identifier: MIT */
#include "server/worker/reply_limit.h"
#include "server/config/settings.h"
#include "server/worker/answer.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/untold.h"

enum { REPLY_COST = 1024 }; /* bytes that a reply counts beside its own */

/* Where a line begins, or what was said of it before has gone. */
static void note_line(struct worker *worker, const struct slot *slot) {
    if (slot->line_key != 0 && worker->line_owner == slot->connection)
        return;
    worker->line_owner = slot->connection;
    worker->line_output = output_here(&worker->output);
    worker->line_replies = worker->replies;
}

static void refuse(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    count(&worker->replies_refused);
    if (!command_comes_in_runs(slot->request.command) || tier_closes_on_error(&slot->request) ||
        !output_cut(&worker->output, &worker->line_output)) {
        connection_set_state(connection, CONNECTION_BROKEN);
        return;
    }
    worker->replies = worker->line_replies;
    if (untold_keep(slot, BINARY_NO_MEMORY))
        return;
    answer_no_room(worker, slot, "SERVER_ERROR out of memory writing get response");
    connection->run_failed = !slot->request.ends_run;
}

bool reply_limit_lets(struct worker *worker, const struct slot *slot) {
    size_t share = worker->server->settings->reply_limit /
                   atomic_load_explicit(&worker->server->workers_used, memory_order_relaxed);
    if (share == 0)
        return true;
    note_line(worker, slot);
    bool fits = ++worker->replies * REPLY_COST + worker->output.size <= share;
    if (fits || tier_has_answer(slot->connection->ticket)) /* what was done is told */
        return true;
    refuse(worker, slot);
    return false;
}

void reply_limit_reset(struct worker *worker) {
    worker->replies = 0;
    worker->line_owner = NULL;
}
