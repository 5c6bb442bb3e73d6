/* SPDX-License-Identifier: MIT */
#include "server/worker/parked.h"
#include "server/worker/answer.h"
#include "server/worker/auth/guard.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/turn_execute.h"
#include "server/worker/untold.h"
#include <assert.h>

/* ---- Its ticket ---- */

/* False: no memory. */
static bool take_ticket(struct worker *worker, struct connection *connection) {
    if (connection->ticket != worker->ticket)
        return true;
    struct tier_ticket *own = tier_ticket_take(worker->ticket, connection);
    if (own)
        connection->ticket = own;
    return own != NULL;
}

/* Between two requests nothing is waited for, and nothing of what came with the ticket is asked for any more. */
void parked_settle(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection_is_parked(connection) || !connection_is_between_requests(connection))
        return;
    tier_ticket_give_back(worker->ticket, connection->ticket);
    connection->ticket = worker->ticket;
}

/* ---- There and back ---- */

/* Nothing was done for it yet. */
static void refuse(struct worker *worker, size_t i) {
    if (command_has_key(worker->slots[i].request.command))
        turn_fail(worker, i, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
    else
        answer_no_room(worker, &worker->slots[i], REPLY_NO_MEMORY);
}

/* Adds to what the ticket waits for what those behind slot i will want. */
static void anticipate(struct worker *worker, size_t i) {
    const struct slot *parked = &worker->slots[i];
    struct connection *connection = parked->connection;
    for (size_t j = i + 1; j < worker->slot_count; j++) {
        const struct slot *next = &worker->slots[j];
        if (next->connection != connection || !command_has_key(next->request.command) ||
            (connection->guarded && !guard_allows(connection, &next->request)) ||
            untold_may_tell(parked, next) ||
            !tier_anticipate(worker->tier, connection->ticket, &parked->request, &next->request))
            break;
    }
}

void parked_add(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    if (!take_ticket(worker, connection)) {
        refuse(worker, i);
        return;
    }
    anticipate(worker, i);
    if (!turn_hold_from(worker, i)) {
        tier_abandon(connection->ticket);
        return;
    }
    connection_set_parked(connection, true);
    worker->parked++;
    tier_submit(worker->tier, connection->ticket);
}

void parked_collect(struct worker *worker) {
    struct tier_ticket *ticket;
    while ((ticket = tier_next_ready(worker->tier))) {
        struct connection *connection = tier_ticket_owner(ticket);
        assert(connection_is_parked(connection));
        worker->parked--;
        connection->resumed = true;
        connection_set_parked(connection, false);
        if (connection_state(connection) != CONNECTION_OPEN)
            tier_abandon(ticket);
        connection_set_ready(connection);
    }
}
