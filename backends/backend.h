/* SPDX-License-Identifier: MIT */
/*
 * Where entries live durably: one blocking batch interface, one file per kind of store.
 *
 * A backend_type is a const struct of functions, none optional. A connection belongs to one thread at a time;
 * each thread that talks to a store opens its own. A store has at most one connection with the role
 * BACKEND_WRITER, and it is opened first: it makes tables and scripts where they are missing.
 *
 * The version guard: a put or a touch takes effect only if the stored version is lower, a delete only if the
 * stored version is lower or equal. So per key a store only moves forward, whatever is retried or replayed.
 *
 * Adding a kind: one file with a `const struct backend_type`, one line in registry.c, one in CMakeLists.txt,
 * one in tests/backends/test_conformance.c.
 */
#ifndef FOREBAY_BACKENDS_BACKEND_H
#define FOREBAY_BACKENDS_BACKEND_H

#include "cache/base/entry.h"

enum backend_status {
    BACKEND_OK,
    BACKEND_TRANSIENT, /* busy, disk full, disconnected, loading, out of memory: the same call may succeed
                          later */
    BACKEND_PERMANENT, /* this batch will never be accepted as it is: some row is refused. Bisect to find it
                        */
    BACKEND_REFUSED,   /* open only: bad path or address, no permission, not a database, newer schema, bad SQL
                        */
};

/* Filled on every status but BACKEND_OK: names the thing, the place and where possible the remedy. */
struct backend_error {
    char message[320];
};

/* How one namespace is kept in a store. All strings outlive the connections. */
struct backend_table {
    const char *name;         /* of the namespace; SQLite: the table's name */
    const char *key_prefix;   /* the namespace's prefix, for own SQL: its parameters take keys without it */
    const char *layout;       /* Redis: "hash" or "string" */
    const char *store_prefix; /* Redis: put before each key in the store; "" for none */
    const char *load_sql, *store_sql,
        *delete_sql; /* SQLite, the application's own table; NULL: a table of ours */
    unsigned index;  /* position in backend_options.tables */
};

struct backend_options {
    const char *name;           /* of the backend, for messages */
    const char *uri;            /* sqlite:PATH, redis://[user:password@]host:port/db, redis+unix:///path */
    const char *data;           /* folder where relative paths start */
    unsigned timeout_ms;        /* a call that waits longer for a lock or an answer is BACKEND_TRANSIENT */
    unsigned tombstone_seconds; /* Redis: life of a delete's version; 0: the default of a day */
    const char
        *synchronous; /* SQLite: "full" or "normal"; NULL: full, so that a commit survives power loss */
    const struct backend_table *const *tables;
    size_t table_count;
    const struct backend_type
        *type; /* the kind; NULL: what backend_find(uri) gives. Tests put a wrapper here */
};

enum backend_role { BACKEND_WRITER, BACKEND_READER };

enum mutation_kind {
    MUTATION_PUT,   /* all of entry */
    MUTATION_TOUCH, /* expires_at, version and client_cas changed; the whole entry is given in case the row is
                       gone */
    MUTATION_DELETE /* entry.key and entry.version */
};

struct mutation {
    const struct backend_table *table;
    enum mutation_kind kind;
    bool superseded; /* out: the store held a newer version, this one was not applied */
    struct entry entry;
};

struct load_result {
    bool found;         /* false: no row, or its life is over */
    struct entry entry; /* bytes valid until the next call on the same connection */
};

/* Shows one entry of a scan; its bytes are valid during the call. False stops the scan. */
struct backend_visitor {
    bool (*entry)(struct backend_visitor *self, const struct entry *entry);
    bool keys_only; /* of the entries only the keys are wanted; the rest may be zero */
};

/* Each kind embeds this as the first member of its own connection struct. */
struct backend_connection {
    const struct backend_type *type;
};

struct backend_type {
    const char *scheme; /* of the URI: "sqlite", "redis" */

    /* Opens a connection. BACKEND_REFUSED: it cannot ever work; BACKEND_TRANSIENT: the store does not answer
     * now (the caller may retry). A store that reconnects by itself may also answer BACKEND_OK and fail in
     * the calls. */
    enum backend_status (*open)(const struct backend_options *options, enum backend_role role,
                                struct backend_connection **ret_connection, struct backend_error *ret_error);

    /* The highest version ever applied through this store (0: none), so that new versions can start above it.
     */
    enum backend_status (*high_version)(struct backend_connection *connection, uint64_t *ret_version,
                                        struct backend_error *ret_error);

    /* Looks up count keys; results[i] belongs to keys[i]. A row whose expiry is <= now is not found. */
    enum backend_status (*load)(struct backend_connection *connection, const struct backend_table *table,
                                const struct slice *keys, size_t count, uint32_t now,
                                struct load_result *results, struct backend_error *ret_error);

    /* Applies count mutations in one atomic batch (Redis: one pipeline, each mutation atomic) and sets
     * superseded of each. A key may occur more than once: applied in the order given. On failure nothing may
     * be assumed, neither applied nor not; all may be repeated. The array keeps its order. */
    enum backend_status (*apply)(struct backend_connection *connection, struct mutation *mutations,
                                 size_t count, uint32_t now, struct backend_error *ret_error);

    /* Shows up to limit live entries of a table, newest version first. */
    enum backend_status (*scan)(struct backend_connection *connection, const struct backend_table *table,
                                size_t limit, uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error);

    /* A bounded step of upkeep by the writer between batches: purge rows past their expiry, checkpoint.
     * *ret_more: call again soon. */
    enum backend_status (*maintain)(struct backend_connection *connection, uint32_t now, bool *ret_more,
                                    struct backend_error *ret_error);

    /* Ends the connection and frees it; NULL is allowed. */
    void (*close)(struct backend_connection *connection);
};

/* The kind that serves a URI, or NULL when no kind has its scheme. */
const struct backend_type *backend_find(const char *uri);

/* Writes a URI as it may be shown to anyone: of user and password only "***" is left, also where the scheme
 * is none that is known. Cut at size. */
void backend_show_uri(const char *uri, char *ret_text, size_t size);

/* The schemes known, separated by ", ": for error messages. */
const char *backend_schemes(void);

#endif
