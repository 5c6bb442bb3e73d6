/* SPDX-License-Identifier: MIT */
#include "server/worker/untold.h"
#include "server/worker/answer.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"

bool untold_keep(const struct slot *slot, enum binary_status status) {
    struct connection *connection = slot->connection;
    if (!connection_is_binary(connection) || !slot->head.quiet ||
        !command_comes_in_runs(slot->request.command))
        return false;
    connection->untold = (uint8_t)status;
    connection->run_failed = true;
    return true;
}

bool untold_may_tell(const struct slot *parked, const struct slot *change) {
    const struct connection *connection = parked->connection;
    bool may_fail = parked->head.quiet && command_comes_in_runs(parked->request.command);
    return connection_is_binary(connection) && !change->head.quiet &&
           !command_comes_in_runs(change->request.command) && (connection->run_failed || may_fail);
}

/* Whether nothing more may be answered behind a request, whatever its answer is. */
static bool ends_connection(const struct slot *slot) {
    enum command command = slot->request.command;
    return command == COMMAND_QUIT || (command == COMMAND_BAD && slot->head.closes);
}

bool untold_tell(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    if (!connection->run_failed || slot->head.quiet)
        return false;
    connection->run_failed = false;
    answer_error(worker, slot, connection->untold, "a quiet lookup before this one failed");
    if (ends_connection(slot))
        connection_set_state(connection, CONNECTION_CLOSING);
    return true;
}
