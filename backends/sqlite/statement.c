/* SPDX-License-Identifier: MIT */
/* Statements: run, their parameters bound, and what a failure of one means. */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"

/* ---- Failures ---- */

/* The message of the database handle, with the operating system's reason where SQLite has none of its own. */
static void describe(const struct sqlite_connection *connection, const char *doing,
                     struct backend_error *ret_error) {
    int code = sqlite3_extended_errcode(connection->db);
    int reason = sqlite3_system_errno(connection->db);
    bool from_system = (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_IOERR;
    backend_fail(ret_error, BACKEND_OK, "backend \"%s\", %s: %s: %s%s%s", connection->name, connection->path,
                 doing, sqlite3_errmsg(connection->db), from_system && reason ? ": " : "",
                 from_system && reason ? strerror(reason) : "");
}

enum backend_status sqlite_fail(const struct sqlite_connection *connection, const char *doing,
                                struct backend_error *ret_error) {
    int code = sqlite3_errcode(connection->db) & 0xff;
    describe(connection, doing, ret_error);
    /* Only these can be the fault of a row. A damaged file is not: every row would be quarantined for it. */
    if (code == SQLITE_CONSTRAINT || code == SQLITE_TOOBIG || code == SQLITE_MISMATCH || code == SQLITE_RANGE)
        return BACKEND_PERMANENT;
    return BACKEND_TRANSIENT;
}

enum backend_status sqlite_refuse(const struct sqlite_connection *connection, const char *doing,
                                  struct backend_error *ret_error) {
    describe(connection, doing, ret_error);
    switch (sqlite3_errcode(connection->db) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
        return BACKEND_TRANSIENT;
    default:
        return BACKEND_REFUSED;
    }
}

/* ---- Running ---- */

int sqlite_run(sqlite3_stmt *statement) {
    int result = sqlite3_step(statement);
    int code = sqlite3_reset(statement);
    return result == SQLITE_DONE || result == SQLITE_ROW ? SQLITE_OK : code;
}

void sqlite_roll_back(struct sqlite_connection *connection) {
    /* Some failures (disk full) have rolled back already. */
    if (!sqlite3_get_autocommit(connection->db))
        sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL);
}

void sqlite_bind_bytes(sqlite3_stmt *statement, int at, struct slice bytes) {
    sqlite3_bind_blob64(statement, at, bytes.size ? bytes.data : "", bytes.size, SQLITE_STATIC);
}
