/* SPDX-License-Identifier: MIT */
#include "server/worker/auth/guard.h"
#include "policies/evaluate.h"
#include "policies/space.h"
#include "server/worker/answer.h"
#include "server/worker/auth/login.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/turn_execute.h"
#include "server/worker/untold.h"
#include <stdio.h>

#define MAY_NOT_READ  "CLIENT_ERROR not allowed: this user may not read the namespace of this key"
#define MAY_NOT_WRITE "CLIENT_ERROR not allowed: this user may not write the namespace of this key"

/* Who the client is among the users of today. False: nobody. */
static bool renew(struct worker *worker, struct connection *connection) {
    const struct users *users = atomic_load_explicit(&worker->server->users, memory_order_acquire);
    return connection->identity.users == users || users_follow(users, &connection->identity);
}

/* ---- Keys ---- */

bool guard_allows(const struct connection *connection, const struct request *request) {
    const struct user *user = connection->identity.user;
    uint64_t rights = evaluate_is_read(request) ? user->reads : user->writes;
    return (rights >> request->space->number & 1) != 0;
}

static void refuse_key(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    tier_abandon(
        slot->connection->ticket); /* it may be back with what was asked for while that was allowed */
    turn_fail(worker, i, ERROR_FORBIDDEN, evaluate_is_read(&slot->request) ? MAY_NOT_READ : MAY_NOT_WRITE);
}

/* ---- Commands without a key ---- */

/* What is asked for by programs that only use the cache. The rest tells of others, or of the machine, or changes
 * something. */
static bool is_plain_report(struct slice argument) {
    return argument.size == 0 || slice_equal(argument, SLICE("items")) ||
           slice_equal(argument, SLICE("slabs"));
}

static bool is_for_all(const struct request *request) {
    switch (request->command) {
    case COMMAND_VERSION:
    case COMMAND_META_NOOP:
    case COMMAND_QUIT:
    case COMMAND_SASL:
    case COMMAND_BAD:
        return true;
    case COMMAND_STATS:
        return is_plain_report(request->argument);
    case COMMAND_VERBOSITY:
    case COMMAND_FLUSH_ALL:
    case COMMAND_CACHE_MEMLIMIT:
    case COMMAND_SYNC:
    case COMMAND_QUARANTINE:
    case COMMAND_FORGET:
    case COMMAND_SHUTDOWN:
    case COMMAND_WATCH:
    case COMMAND_LRU_CRAWLER:
    case COMMAND_SLABS:
    case COMMAND_LRU:
    case COMMAND_EXTSTORE:
        COMMANDS_WITH_KEY(COMMAND_CASE)
        break;
    }
    return false;
}

static void refuse_command(struct worker *worker, const struct slot *slot) {
    const struct command_row *row = command_row(slot->request.command);
    bool binary = connection_is_binary(slot->connection);
    char line[80];
    if (binary && untold_tell(worker, slot))
        return;
    count(&worker->forbidden);
    snprintf(line, sizeof line, "CLIENT_ERROR %.*s not allowed", (int)row->word.size, row->word.data);
    if (binary)
        answer_error(worker, slot, BINARY_AUTH_ERROR, line);
    else if (!slot->request.noreply)
        answer_line(worker, slot->connection, line);
}

/* ---- Who is nobody any more ---- */

/* The connection ends: what it has sent for the user that it was is no login. */
static void dismiss(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    count(&worker->auth_commands);
    count(&worker->auth_errors);
    tier_abandon(connection->ticket);
    if (connection_is_binary(connection))
        answer_status(worker, slot, BINARY_AUTH_ERROR);
    else if (!connection->run_failed)
        answer_line(worker, connection, "CLIENT_ERROR unauthenticated");
    connection_set_state(connection, CONNECTION_CLOSING);
}

/* ---- All ---- */

static bool stops_stranger(struct worker *worker, size_t i) {
    if (login_lets(&worker->slots[i]))
        return false;
    login_execute(worker, i);
    return true;
}

static bool stops_user(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    if (tier_has_answer(connection->ticket)) /* it is done, and was allowed then */
        return false;
    if (!renew(worker, connection)) {
        dismiss(worker, slot);
        return true;
    }
    if (command_has_key(slot->request.command)) {
        if (guard_allows(connection, &slot->request))
            return false;
        refuse_key(worker, i);
        return true;
    }
    if (connection->identity.user->is_operator || is_for_all(&slot->request))
        return false;
    refuse_command(worker, slot);
    return true;
}

bool guard_stops(struct worker *worker, size_t i) {
    return worker->slots[i].connection->authenticated ? stops_user(worker, i) : stops_stranger(worker, i);
}

/* ---- Feeds ---- */

void guard_look_after_feeds(struct worker *worker) {
    struct connection *next;
    const struct users *users = atomic_load_explicit(&worker->server->users, memory_order_acquire);
    if (worker->fed_by == users)
        return;
    worker->fed_by = users;
    for (struct connection *connection = worker->connections; connection; connection = next) {
        next = connection->next;
        if (!connection->feed || !connection->guarded ||
            (renew(worker, connection) && connection->identity.user->is_operator))
            continue;
        connection_end(connection, CLOSED_BY_ERROR);
    }
}
