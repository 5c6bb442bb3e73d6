/* SPDX-License-Identifier: MIT */
#include "server/worker/answer.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"

void answer_line(struct worker *worker, struct connection *connection, const char *line) {
    output_append(&worker->output, connection, line, strlen(line));
    output_append(&worker->output, connection, "\r\n", 2);
}

/* Room for a packet. NULL: no memory, the connection is broken. */
static char *reserve_packet(struct worker *worker, const struct slot *slot) {
    char *out = output_reserve(&worker->output, 0);
    if (!out)
        connection_set_state(slot->connection, CONNECTION_BROKEN);
    return out;
}

void answer_status(struct worker *worker, const struct slot *slot, enum binary_status status) {
    char *out = reserve_packet(worker, slot);
    if (out)
        output_commit(&worker->output, slot->connection, binary_reply_status(out, &slot->head, status));
}

void answer_error(struct worker *worker, const struct slot *slot, enum binary_status status,
                  const char *line) {
    char *out = reserve_packet(worker, slot);
    if (out)
        output_commit(&worker->output, slot->connection, binary_reply_error(out, &slot->head, status, line));
}

void answer_message(struct worker *worker, const struct slot *slot, struct slice message) {
    char *out = reserve_packet(worker, slot);
    if (out)
        output_commit(&worker->output, slot->connection,
                      binary_reply_message(out, &slot->head, BINARY_SUCCESS, message));
}

void answer_no_room(struct worker *worker, const struct slot *slot, const char *line) {
    if (connection_is_binary(slot->connection))
        answer_error(worker, slot, BINARY_NO_MEMORY, line);
    else
        answer_line(worker, slot->connection, line);
}
