/* SPDX-License-Identifier: MIT */
/*
 * Another server over the same database. SQLite is told by nobody who else has a file open, and there is no number of a
 * server in it, as there is in a Redis. But versions are raised in forebay_meta by servers alone, and SQLite says
 * whether another connection has written: where it has, and the high version is above what this one has written or
 * seen, it was a server's.
 *
 * Of two that write each is ahead time and again, so both see it, within a look or two. Whoever changes rows by SQL
 * alone is not taken for one. It counts as gone when it has raised no version for a while.
 */
#include "backends/sqlite/internal.h"
#include "cache/base/clock.h"
#include <stdio.h>

#define GONE_AFTER_US (UINT64_C(60) * US_PER_SECOND)

void sqlite_note_own_version(struct sqlite_connection *connection, uint64_t version) {
    struct sqlite_rival *rival = &connection->rival;
    if (version > connection->high_version)
        connection->high_version = version;
    rival->foreign = connection->base.foreign;
}

static bool has_written(const struct sqlite_connection *connection, uint64_t version) {
    const struct sqlite_rival *rival = &connection->rival;
    return connection->base.foreign != rival->foreign && version > connection->high_version &&
           version > rival->version;
}

void sqlite_look_for_rival(struct sqlite_connection *connection, uint64_t version) {
    struct sqlite_rival *rival = &connection->rival;
    struct backend_company *company = &connection->base.company;
    if (connection->role != BACKEND_WRITER || connection->reads_only)
        return;
    uint64_t now_us = monotonic_us();
    if (!has_written(connection, version)) {
        if (now_us - rival->seen_us >= GONE_AFTER_US)
            *company->complaint = '\0';
        return;
    }
    *rival =
        (struct sqlite_rival){.foreign = connection->base.foreign, .version = version, .seen_us = now_us};
    snprintf(
        company->complaint, sizeof company->complaint,
        "backend \"%.60s\", %.200s: another server writes to this database: a delete by one may be undone by the other, and each serves old copies of what the other has changed. Give each a database of its own, or both one Redis",
        connection->name, connection->path);
}
