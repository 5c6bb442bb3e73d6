/* SPDX-License-Identifier: MIT */
/* See session.h. */
#include "policies/session.h"
#include "policies/row.h"

void session_init(struct session *session, const struct tier_backend *backend, enum backend_role role,
                  unsigned patience) {
    *session = (struct session){.backend = backend, .role = role, .patience = patience};
}

enum backend_status session_open(struct session *session, uint64_t until_us) {
    const struct tier_backend *backend = session->backend;
    if (session->connection)
        return BACKEND_OK;
    struct backend_options options = backend->options.store;
    options.running = !session->starting;
    options.open_until_us = until_us;
    return backend->type->open(&options, session->role, &session->connection, &session->error);
}

void session_worked(struct session *session) {
    session->failures = 0;
}

bool session_failed(struct session *session) {
    if (++session->failures < session->patience)
        return false;
    session_close(session);
    session->failures = 0;
    return true;
}

enum backend_status session_load(struct session *session, struct space *space, const struct slice *keys,
                                 size_t count, uint32_t now, struct load_result *results) {
    enum backend_status status = session->backend->type->load(session->connection, &space->options.table,
                                                              keys, count, now, results, &session->error);
    for (size_t i = 0; status == BACKEND_OK && i < count; i++)
        row_check(space, &results[i]);
    return status;
}

void session_close(struct session *session) {
    if (session->connection)
        session->backend->type->close(session->connection);
    session->connection = NULL;
}
