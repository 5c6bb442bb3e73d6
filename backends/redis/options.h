/* SPDX-License-Identifier: MIT */
/* The settings that only Redis has. Strings outlive the connections. */
#ifndef FOREBAY_BACKENDS_REDIS_OPTIONS_H
#define FOREBAY_BACKENDS_REDIS_OPTIONS_H

#include "backends/backend.h"

/* Of a backend. */
struct redis_options {
    struct backend_specific base;
    uint32_t tombstone_seconds; /* life of a delete's version, above 0 */
    uint32_t replicas;          /* that have to have each batch before it counts as written */
    const char *sentinel_user, *sentinel_password; /* NULL: none */
};

/* Of a namespace. */
struct redis_table_options {
    struct backend_specific base;
    const char *layout;       /* "hash" or "string" */
    const char *store_prefix; /* put before each key in the store; "" for none */
};

#endif
