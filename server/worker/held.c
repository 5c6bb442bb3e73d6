/* SPDX-License-Identifier: MIT */
#include "server/worker/held.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"

void held_add(struct worker *worker, struct connection *connection) {
    if (connection->held)
        return;
    connection->held = true;
    connection->next_held = worker->undated;
    worker->undated = connection;
}

void held_collect(struct worker *worker) {
    struct connection *connection;
    while ((connection = worker->held) && connection->held_number <= tier_released(worker->tier)) {
        worker->held = connection->next_held;
        if (!worker->held)
            worker->held_tail = &worker->held;
        connection->held = false;
        connection->held_number = 0;
        connection_set_ready(connection);
    }
}

void held_date(struct worker *worker, uint64_t number) {
    struct connection *next;
    for (struct connection *connection = worker->undated; connection; connection = next) {
        next = connection->next_held;
        connection->held_number = number ? number : UINT64_MAX;
        if (!number)
            continue;
        connection->next_held = NULL;
        *worker->held_tail = connection;
        worker->held_tail = &connection->next_held;
    }
    if (number)
        worker->undated = NULL;
    if (worker->held)
        held_collect(worker); /* it may be over already */
}
