/* SPDX-License-Identifier: MIT */
/* See session.h. */
#include "policies/session.h"
#include "cache/base/fit.h"
#include "policies/policy.h"
#include "policies/row.h"
#include "policies/slow_log.h"

void session_init(struct session *session, struct tier_backend *backend, enum backend_role role,
                  unsigned patience) {
    *session = (struct session){.backend = backend, .role = role, .patience = patience};
}

/* Does any namespace over the backend write rows? */
static bool reads_only(const struct tier_backend *backend) {
    const struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend && policy_writes_rows(tier->spaces[i].policy))
            return false;
    return true;
}

/* Those of watchers are counted by whoever watches. */
static void count_reconnect(const struct session *session) {
    if (session->role != BACKEND_WATCHER)
        count_shared(&session->backend->calls.reconnects[session->role]);
}

static enum backend_status open_connection(struct session *session, uint64_t until_us) {
    struct tier_backend *backend = session->backend;
    struct backend_options options = backend->options.store;
    struct backend_identity expected;
    options.table_count = session->table_count = backend->table_count;
    session->moves = store_moves(backend->store);
    options.running = !session->starting;
    options.reads_only = reads_only(backend);
    options.node = backend->tier->options.cache.node;
    options.former_node = session->role == BACKEND_WRITER ? backend->former_node : options.node;
    options.nodes = backend->nodes;
    options.acknowledged = &backend->store->acknowledged;
    options.renews = session->renews;
    session->renews = false;
    options.open_until_us = until_us;
    options.expected = store_expected(backend->store, &expected) ? &expected : NULL;
    options.sighting = session->role == BACKEND_WRITER ? &backend->store->sighting : NULL;
    uint64_t began_us = monotonic_us();
    enum backend_status status =
        backend->type->open(&options, session->role, &session->connection, &session->error);
    if (status == BACKEND_OK && session->has_opened)
        count_reconnect(session);
    session->reconnects = 0;
    session->has_opened |= status == BACKEND_OK;
    return slow_log_end(backend, NULL, CALL_OPEN, 0, began_us, status);
}

static enum backend_status put_off(struct session *session) {
    fit_print(session->error.message, sizeof session->error.message,
              "backend \"%s\": what is at its address is not the store that was open; it is opened anew",
              session->backend->options.store.name);
    return BACKEND_TRANSIENT;
}

/* Of a reader: the writer's store, or none. */
static enum backend_status open_the_same(struct session *session, uint64_t until_us) {
    struct store *store = session->backend->store;
    if (!store_admit(store))
        return put_off(session);
    enum backend_status status = open_connection(session, until_us);
    if (status != BACKEND_OK) {
        store_leave(store);
        return status;
    }
    if (store_fits(store, &session->connection->identity))
        return BACKEND_OK;
    session_close(session);
    return put_off(session);
}

/* Not one that is a witness: it says soon what it has seen, and calls fail until then. */
static bool let_go_outdated(struct session *session) {
    if (session->connection->witness)
        return false;
    session_close(session);
    session->renews = true;
    return true;
}

enum backend_status session_open(struct session *session, uint64_t until_us) {
    if (session_is_outdated(session) && !let_go_outdated(session))
        return put_off(session);
    if (session->connection)
        return BACKEND_OK;
    if (session->role == BACKEND_READER)
        return open_the_same(session, until_us);
    if (session->role == BACKEND_WATCHER)
        return open_connection(session, until_us);
    return store_is_free(session->backend->store) ? open_connection(session, until_us) : put_off(session);
}

/* Those that the connection has made by itself. */
static void count_reconnects(struct session *session) {
    if (!session->connection)
        return;
    for (; session->reconnects < session->connection->reconnects; session->reconnects++)
        count_reconnect(session);
}

void session_worked(struct session *session) {
    count_reconnects(session);
    session->failures = 0;
}

bool session_failed(struct session *session) {
    count_reconnects(session);
    if (++session->failures < session->patience || (session->connection && session->connection->witness))
        return false;
    session_close(session);
    session->failures = 0;
    return true;
}

enum backend_status session_load(struct session *session, struct space *space, const struct slice *keys,
                                 size_t count, uint32_t now, struct load_result *results) {
    struct tier_backend *backend = session->backend;
    uint64_t began_us = monotonic_us();
    enum backend_status status = backend->type->load(session->connection, &space->options.table, keys, count,
                                                     now, results, &session->error);
    slow_log_end(backend, space, CALL_LOAD, count, began_us, status);
    bool partial = status == BACKEND_TRANSIENT && session->connection->partial;
    for (size_t i = 0; (status == BACKEND_OK || partial) && i < count; i++)
        if (!partial || !results[i].failed)
            row_check(space, &results[i]);
    return status;
}

/* Counts what another visitor is shown. */
struct counting_visitor {
    struct backend_visitor base, *visitor;
    size_t rows;
};

static bool count_row(struct backend_visitor *self, const struct entry *entry) {
    struct counting_visitor *counting = (struct counting_visitor *)self;
    counting->rows++;
    return counting->visitor->entry(counting->visitor, entry);
}

enum backend_status session_scan(struct session *session, struct space *space, size_t limit, uint32_t now,
                                 struct backend_visitor *visitor) {
    struct tier_backend *backend = session->backend;
    struct counting_visitor counting = {.base = *visitor, .visitor = visitor};
    counting.base.entry = count_row;
    uint64_t began_us = monotonic_us();
    enum backend_status status = backend->type->scan(session->connection, &space->options.table, limit, now,
                                                     &counting.base, &session->error);
    return slow_log_end(backend, space, CALL_SCAN, counting.rows, began_us, status);
}

enum backend_status session_extent(struct session *session, struct space *space, size_t most, uint64_t room,
                                   struct backend_extent *ret_extent) {
    struct tier_backend *backend = session->backend;
    uint64_t began_us = monotonic_us();
    enum backend_status status = backend->type->extent(session->connection, &space->options.table, most, room,
                                                       ret_extent, &session->error);
    return slow_log_end(backend, space, CALL_SCAN, 0, began_us, status);
}

void session_close(struct session *session) {
    if (!session->connection)
        return;
    session->backend->type->close(session->connection);
    session->connection = NULL;
    if (session->role == BACKEND_READER)
        store_leave(session->backend->store);
}
