/* SPDX-License-Identifier: MIT */
#include "server/worker/talk.h"
#include "server/admin/command.h"
#include "server/config/settings.h"
#include "server/protocol/binary_text.h"
#include "server/protocol/reply.h"
#include "server/worker/answer.h"
#include "server/worker/auth/sasl.h"
#include "server/worker/connection.h"
#include "server/worker/connection_read.h"
#include "server/worker/connection_send.h"
#include "server/worker/internal.h"
#include "server/worker/parked.h"
#include "server/worker/turn_execute.h"
#include "server/worker/untold.h"
#include <stdio.h>

enum { TEXT_KEEP = 4 << 20 }; /* a longer answer's buffer is given back */

/* ---- Feeds ---- */

/* Keeps what the client sent behind slot i, and leaves the connection to the feed's thread. */
static void begin_feed(struct worker *worker, size_t i, struct feed *feed) {
    struct connection *connection = worker->slots[i].connection;
    bool kept = i + 1 < worker->slot_count && worker->slots[i + 1].connection == connection
                    ? turn_hold_from(worker, i + 1)
                    : connection_keep(connection, connection->region + connection->region_at);
    if (!kept || !feeds_begin(worker->server->feeds, feed, &worker->feeds, connection, connection->fd)) {
        feed_free(feed);
        connection_set_state(connection, CONNECTION_BROKEN);
        return;
    }
    connection->feed = feed;
    connection_set_state(connection, CONNECTION_FED);
}

void talk_end_feed(struct connection *connection, enum feed_end end) {
    connection->feed = NULL;
    connection->closed_by = end == FEED_IS_UNREAD ? CLOSED_IDLE : CLOSED_BY_CLIENT;
    if (end == FEED_IS_UNREAD)
        count(&connection->worker->idle_kicks);
    connection_set_state(connection, end == FEED_IS_TOLD ? CONNECTION_OPEN : CONNECTION_BROKEN);
    connection->resumed = connection->own.bytes != NULL;
    connection->readable = true;
    connection->room = 0; /* what the feed has sent was not counted */
    connection_set_ready(connection);
}

/* ---- About the server ---- */

/* Sends worker->text, in the words of the connection's protocol. */
static void answer_text(struct worker *worker, const struct slot *slot) {
    struct buffer *text = &worker->text, *packets = &worker->packets;
    struct buffer *answer = connection_is_binary(slot->connection) ? packets : text;
    packets->size = 0;
    if (answer == packets)
        binary_text(packets, &slot->head, &slot->request, slice_of(text->data, text->size));
    if (text->failed || packets->failed || !connection_count_answer(slot->connection, answer->size))
        answer_no_room(worker, slot, "SERVER_ERROR out of memory writing the answer");
    else
        output_append(&worker->output, slot->connection, answer->data, answer->size);
    text->failed = packets->failed = false;
    if (text->capacity > TEXT_KEEP)
        buffer_free(text);
    if (packets->capacity > TEXT_KEEP)
        buffer_free(packets);
}

static void run_command(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    const struct request *request = &worker->slots[i].request;
    struct command_place place = {.behind_replies = worker->output.owner == connection || connection->held};
    worker->text.size = 0;
    atomic_store_explicit(&worker->commanding, connection, memory_order_relaxed);
    enum command_result result =
        command_run(worker->server, worker->tier, request, &worker->now, &place, &worker->text);
    atomic_store_explicit(&worker->commanding, NULL, memory_order_relaxed);
    if (result == COMMAND_CLOSE) {
        connection->closed_by = CLOSED_BY_SHUTDOWN;
        connection_set_state(connection, CONNECTION_CLOSING);
    }
    if (result == COMMAND_FEED) {
        begin_feed(worker, i, place.feed);
        return;
    }
    answer_text(worker, &worker->slots[i]);
}

/* ---- About the connection ---- */

static void answer_packet(struct worker *worker, const struct slot *slot) {
    if (slot->request.command != COMMAND_BAD)
        answer_status(worker, slot, BINARY_SUCCESS);
    else if (slot->request.error)
        answer_error(worker, slot, slot->head.status, slot->request.error);
    else
        answer_status(worker, slot, slot->head.status);
    if (slot->request.command == COMMAND_BAD && slot->head.closes)
        connection_set_state(slot->connection, CONNECTION_CLOSING);
}

/* noop, and what is no command: the answer is in the request itself. */
static void answer_itself(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    if (connection_is_binary(connection)) {
        answer_packet(worker, slot);
        return;
    }
    char *out = output_reserve(&worker->output, 0);
    if (out)
        output_commit(&worker->output, connection, reply_write_without_key(out, &slot->request));
    else
        connection_set_state(connection, CONNECTION_BROKEN);
}

static void answer_bad(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    if (connection->run_failed &&
        !connection_is_binary(connection)) /* the rest of a line answered by an error */
        connection->run_failed = false;
    else
        answer_itself(worker, slot);
}

static void execute_quit(struct worker *worker, const struct slot *slot) {
    if (connection_is_binary(slot->connection) && !slot->head.quiet)
        answer_status(worker, slot, BINARY_SUCCESS);
    slot->connection->closed_by = CLOSED_BY_CLIENT;
    connection_set_state(slot->connection, CONNECTION_CLOSING);
}

static void execute_sync(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    struct request *request = &worker->slots[i].request;
    struct outcome outcome = {0};
    uint32_t timeout = worker->server->settings->sync_timeout;
    if (!worker->server->settings->allow_sync) {
        answer_line(worker, connection, "CLIENT_ERROR sync not allowed");
        return;
    }
    if (tier_sync(worker->tier, connection->ticket, request->argument, timeout, &outcome) == TIER_PARKED) {
        parked_add(worker, i);
        return;
    }
    if (outcome.status == OUTCOME_ERROR) {
        answer_line(worker, connection, outcome.error);
        return;
    }
    char line[64];
    snprintf(line, sizeof line, "SYNCED %llu", (unsigned long long)outcome.number);
    answer_line(worker, connection, line);
}

void talk_execute(struct worker *worker, size_t i) {
    const struct slot *slot = &worker->slots[i];
    if (connection_is_binary(slot->connection) && untold_tell(worker, slot))
        return;
    switch (slot->request.command) {
    case COMMAND_BAD:
        answer_bad(worker, slot);
        return;
    case COMMAND_META_NOOP:
        answer_itself(worker, slot);
        return;
    case COMMAND_QUIT:
        execute_quit(worker, slot);
        return;
    case COMMAND_SASL:
        sasl_execute(worker, i);
        return;
    case COMMAND_SYNC:
        execute_sync(worker, i);
        return;
    default:
        run_command(worker, i);
    }
}
