/* SPDX-License-Identifier: MIT */
/*
 * A thread's connection to a backend: opened when it is needed, closed after some failures in a row, as it
 * may be the connection alone that fails, and then opened anew.
 *
 *     session_open     before each call; a call that opens nothing costs nothing
 *     session_worked   after a call that the backend answered, be it with a refusal of what was asked
 *     session_failed   after one that it did not
 *
 * A table that fails (BACKEND_TABLE_FAILED) is such an answer: another connection would meet the same table.
 *
 * A connection that was opened before the backend had all the tables that it has now does not know the later ones, and
 * one of a reader or a watcher may lead to where the store was before the writer found it elsewhere: session_open opens
 * it anew.
 *
 * A connection whose store is no longer at its address (BACKEND_REPLACED) is closed by whoever is told so. Readers open
 * the store that the writer has open, or none (store.h). Watchers open what is there: they bring nothing into memory.
 *
 * Whether a backend is worth asking at all is the breaker's business (breaker.h): the readers of a backend
 * have a connection each and one breaker together. Not thread-safe: its thread's alone.
 */
#ifndef FOREBAY_POLICIES_SESSION_H
#define FOREBAY_POLICIES_SESSION_H

#include "policies/store.h"
#include "policies/tier_parts.h"

struct session {
    struct tier_backend *backend;
    enum backend_role role;
    unsigned patience;   /* failures in a row after which the connection is closed */
    unsigned failures;   /* in a row, so far */
    size_t table_count;  /* of the backend, when the connection was opened, */
    unsigned moves;      /* and of its store (store.h) */
    bool has_opened;     /* a connection, before */
    uint64_t reconnects; /* of the connection, as far as they are counted */
    bool renews;         /* the next one takes the place of one that was outdated */
    bool starting;       /* a table that does not fit refuses the connection (backend_options.running) */
    struct backend_connection *connection; /* NULL: to be opened */
    struct backend_error error;            /* of the last call that failed */
};

/* Makes one in place, not connected. */
void session_init(struct session *session, struct tier_backend *backend, enum backend_role role,
                  unsigned patience);

/* Opens the connection unless it is open, waiting no longer than until then (monotonic; 0: the backend's timeout);
 * what the backend said is in error. */
enum backend_status session_open(struct session *session, uint64_t until_us);

static inline bool session_is_outdated(const struct session *session) {
    return session->connection &&
           (session->table_count < session->backend->table_count ||
            (session->role != BACKEND_WRITER && session->moves != store_moves(session->backend->store)));
}

static inline bool session_is_open(const struct session *session) {
    return session->connection != NULL;
}

void session_worked(struct session *session);

/* True: patience is over and the connection is closed. Never while it is a witness (backend_connection). */
bool session_failed(struct session *session);

/* Asks the store for keys of a namespace, over the open connection, and looks at what it gives (row.h). The bytes of
 * the results are valid until the next call on it. */
enum backend_status session_load(struct session *session, struct space *space, const struct slice *keys,
                                 size_t count, uint32_t now, struct load_result *results);

/* Shows entries of a namespace, over the open connection (backend_type.scan). */
enum backend_status session_scan(struct session *session, struct space *space, size_t limit, uint32_t now,
                                 struct backend_visitor *visitor);

/* How much the namespace's table has, over the open connection (backend_type.extent). */
enum backend_status session_extent(struct session *session, struct space *space, size_t most, uint64_t room,
                                   struct backend_extent *ret_extent);

/* Closes the connection if it is open. */
void session_close(struct session *session);

#endif
