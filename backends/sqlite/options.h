/* SPDX-License-Identifier: MIT */
/* The settings that only SQLite has. Strings outlive the connections. */
#ifndef FOREBAY_BACKENDS_SQLITE_OPTIONS_H
#define FOREBAY_BACKENDS_SQLITE_OPTIONS_H

#include "backends/backend.h"

/* Of a backend. */
struct sqlite_options {
    struct backend_specific base;
    const char *synchronous; /* "full": a commit survives power loss; or "normal" */
    bool trusted_schema; /* triggers and views of the file may use what has effects outside of its tables */
};

/* Of a namespace: all SQL NULL: a table of ours; else for the application's own table. */
struct sqlite_table_options {
    struct backend_specific base;
    const char *load_sql, *store_sql, *delete_sql;
    enum backend_keys key_type; /* what :key is bound as: a text, or an integer */
};

#endif
