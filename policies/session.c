/* SPDX-License-Identifier: MIT */
/* See session.h. */
#include "policies/session.h"

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

void session_close(struct session *session) {
    if (session->connection)
        session->backend->type->close(session->connection);
    session->connection = NULL;
}
