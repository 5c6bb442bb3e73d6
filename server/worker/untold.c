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

bool untold_tell(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    enum command command = slot->request.command;
    if (!connection->run_failed || slot->head.quiet)
        return false;
    connection->run_failed = false;
    if (command != COMMAND_META_NOOP && !command_comes_in_runs(command))
        return false;
    answer_error(worker, slot, connection->untold, "a quiet lookup before this one failed");
    return true;
}
