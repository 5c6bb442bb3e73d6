/* SPDX-License-Identifier: MIT */
#ifndef FOREBAY_TOOLS_BENCH_SESSION_STORE_H
#define FOREBAY_TOOLS_BENCH_SESSION_STORE_H

/*
 * What session middleware asks of a store, over one blocking connection: memcached's text protocol, or Redis'.
 *
 * A connection belongs to one thread. A connection that breaks ends the program: what is measured is a store that is
 * there.
 */
#include "cache/base/slice.h"
#include <stdbool.h>

enum session_outcome {
    SESSION_DONE,
    SESSION_ABSENT, /* no such key; for add: there is one already */
    SESSION_REFUSED /* an error line */
};

struct session_connection;

struct session_store {
    const char *name;
    /* ret_value stays valid until the connection is used again. */
    enum session_outcome (*get)(struct session_connection *connection, struct slice key,
                                struct slice *ret_value);
    /* ttl: seconds, at least 1. */
    enum session_outcome (*set)(struct session_connection *connection, struct slice key, struct slice value,
                                unsigned ttl);
    enum session_outcome (*add)(struct session_connection *connection, struct slice key, struct slice value,
                                unsigned ttl);
    enum session_outcome (*touch)(struct session_connection *connection, struct slice key, unsigned ttl);
    enum session_outcome (*remove)(struct session_connection *connection, struct slice key);
};

extern const struct session_store session_store_memcached, session_store_redis;

/* NULL when there is none of that name. */
const struct session_store *session_store_find(const char *name);

/* To 127.0.0.1. Ends the program where nobody listens. */
struct session_connection *session_connect(unsigned short port);

void session_disconnect(struct session_connection *connection);

#endif
