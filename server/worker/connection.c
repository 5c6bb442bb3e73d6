/* SPDX-License-Identifier: MIT */
/*
 * A connection from its first to its last, and what it may do meanwhile.
 *
 * States:
 *
 *     OPEN --quit, shutdown, endless line, client's end--> CLOSING    closed after the last reply
 *     OPEN --begin_feed (watch, dumps)--> FED                         the feeds' thread has the socket
 *     FED  --talk_end_feed--> OPEN, or BROKEN when the client has left
 *     any  --the socket failed, no memory, connection_end--> BROKEN   closed at the end of the turn
 *
 * Two flags stop a connection for a while, whatever its state. It is not closed before both are down, unless
 * the worker stops:
 *
 *     parked    from tier_submit until tier_next_ready returns its ticket
 *     held      its replies wait for the disk, its requests for the replies
 *
 * A third stops it while it is OPEN and its client is there: `awaits_check`, until its credential is checked.
 */
#include "server/worker/connection.h"
#include "policies/tier.h"
#include "server/admin/feed.h"
#include "server/admin/observe.h"
#include "server/config/settings.h"
#include "server/worker/auth/login.h"
#include "server/worker/connection_read.h"
#include "server/worker/connection_send.h"
#include "server/worker/internal.h"
#include "server/worker/tls.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- States ---- */

bool connection_is_due(const struct connection *connection) {
    if (connection->sends)
        return connection->writable || connection_reads_ahead(connection);
    return connection->readable && connection_state(connection) == CONNECTION_OPEN;
}

enum connection_state connection_state(const struct connection *connection) {
    return atomic_load_explicit(&connection->state, memory_order_relaxed);
}

void connection_set_state(struct connection *connection, enum connection_state state) {
    atomic_store_explicit(&connection->state, state, memory_order_relaxed);
    connection->stops =
        (uint8_t)((connection->stops & ~STOP_STATE) | (state == CONNECTION_OPEN ? 0 : STOP_STATE));
}

bool connection_is_parked(const struct connection *connection) {
    return atomic_load_explicit(&connection->parked, memory_order_relaxed);
}

void connection_set_parked(struct connection *connection, bool parked) {
    atomic_store_explicit(&connection->parked, parked, memory_order_relaxed);
    connection->stops = (uint8_t)((connection->stops & ~STOP_PARKED) | (parked ? STOP_PARKED : 0));
}

void connection_set_awaits_check(struct connection *connection, bool awaits_check) {
    if (connection->awaits_check == awaits_check)
        return;
    connection->awaits_check = awaits_check;
    if (awaits_check)
        connection->worker->awaiting_check++;
    else
        connection->worker->awaiting_check--;
    connection->stops =
        (uint8_t)((connection->stops & ~STOP_AWAITS_CHECK) | (awaits_check ? STOP_AWAITS_CHECK : 0));
}

void connection_set_ready(struct connection *connection) {
    connection_queue_append(&connection->worker->ready, connection);
}

void connection_set_ready_first(struct connection *connection) {
    connection_queue_append_to_front(&connection->worker->ready, connection);
}

/* ---- From its first to its last ---- */

/* Beside each other: what is encrypted has no other way in. */
static bool enter_io(struct connection *connection, enum address_tls tls) {
    if (tls != ADDRESS_TLS_OFF && !tls_enter(connection, tls))
        return false;
    if (connection->worker->io_type->enter(connection))
        return true;
    if (connection->tls)
        tls_leave(connection);
    return false;
}

static void enter_list(struct connection *connection) {
    struct worker *worker = connection->worker;
    pthread_mutex_lock(&worker->list_lock);
    connection->next = worker->connections;
    if (connection->next)
        connection->next->previous = connection;
    worker->connections = connection;
    pthread_mutex_unlock(&worker->list_lock);
}

static void leave_list(struct connection *connection) {
    struct worker *worker = connection->worker;
    pthread_mutex_lock(&worker->list_lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        worker->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&worker->list_lock);
}

struct connection *connection_open(struct worker *worker, const struct accepted *accepted) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->worker = worker;
    connection->fresh = true;
    connection->pending_tail = &connection->pending;
    atomic_store_explicit(&connection->last_active, worker->second, memory_order_relaxed);
    bool auth = login_is_asked_for(worker->server);
    connection->authenticated = !auth;
    connection->guarded = auth;
    connection->opened = worker->second;
    parser_init(&connection->parser, auth ? AUTH_ITEM_MAX : worker->server->settings->item_max);
    connection->parser.short_lines = auth;
    connection->ticket = worker->ticket;
    connection->fd = accepted->fd;
    connection->peer = accepted->peer;
    if (!enter_io(connection, accepted->tls)) {
        free(connection);
        return NULL;
    }
    enter_list(connection);
    worker->strangers += auth;
    observe_connection(worker->server, connection->fd, &connection->peer, NULL);
    return connection;
}

/* What is queued of it may still be waiting to be sent. It is not served again, whatever is told of it now. */
static void flush_before_end(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (!worker->io_type->flush)
        return;
    connection->is_queued = true;
    worker->io_type->flush(worker->io);
    connection->is_queued = false;
}

void connection_close(struct connection *connection) {
    struct worker *worker = connection->worker;
    assert(!connection_is_parked(connection) && !connection->is_queued);
    static const char *const reasons[] = {"error", "normal", "idle_timeout", "shutdown"};
    flush_before_end(connection);
    if (connection->feed)
        feeds_abandon(worker->server->feeds, connection->feed);
    observe_connection(worker->server, connection->fd, &connection->peer, reasons[connection->closed_by]);
    leave_list(connection);
    connection_set_awaits_check(connection, false);
    worker->strangers -= !connection->authenticated;
    login_drop_proof(connection);
    atomic_fetch_sub_explicit(&worker->server->connections, 1, memory_order_relaxed);
    connection_drop_pending(connection);
    if (connection->ticket != worker->ticket)
        tier_ticket_destroy(connection->ticket);
    own_buffer_free(connection);
    if (connection->tls)
        tls_leave(connection);
    worker->io_type->leave(connection);
}

void connection_end(struct connection *connection, enum close_reason reason) {
    connection->closed_by = reason;
    if (connection->is_queued || connection->held)
        connection_set_state(connection, CONNECTION_BROKEN);
    else
        connection_close(connection);
}

void connection_tell_end(const struct connection *connection, enum log_kind kind, enum log_level level,
                         const char *format, ...) {
    char address[PEER_TEXT], why[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    peer_name(&connection->peer, address);
    server_log_about(connection->worker->server, kind, level, LOG_FIELDS(log_text("address", address)),
                     "connection of %s closed: %s", address, why);
}

/* ---- Signs of life ---- */

void connection_note_active(struct connection *connection) {
    connection->moved = 0;
    connection->fresh = false;
    atomic_store_explicit(&connection->last_active, connection->worker->second, memory_order_relaxed);
}

bool connection_is_between_requests(const struct connection *connection) {
    return !connection->own.bytes && !connection->parser.swallow && !connection->parser.in_run;
}

bool connection_moves(const struct connection *connection) {
    unsigned timeout = connection->worker->server->settings->idle_timeout;
    return connection->moved >= (size_t)CONNECTION_RATE * (timeout ? timeout : CONNECTION_PATIENCE);
}
