/* SPDX-License-Identifier: MIT */
/* Statements: prepared, run, their parameters bound, and what a failure of one means. */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include "cache/base/file_reason.h"

/* ---- Failures ---- */

/* How much of a message may be told: some functions repeat what they were given, which with the application's own SQL
 * may be a key or a value (json_extract its path, a search in an FTS table its words). */
static int tellable(const char *message) {
    static const char *const repeats[] = {" near '", " near \"", " path: ", " expression: ["};
    size_t size = strlen(message);
    for (size_t i = 0; i < sizeof repeats / sizeof *repeats; i++) {
        const char *found = strstr(message, repeats[i]);
        if (found && (size_t)(found - message) < size)
            size = (size_t)(found - message);
    }
    return (int)size;
}

/* The message of the database handle, with the operating system's reason where SQLite has none of its own. */
static void describe(const struct sqlite_connection *connection, const char *doing,
                     struct backend_error *ret_error) {
    int code = sqlite3_extended_errcode(connection->db);
    int reason = sqlite3_system_errno(connection->db);
    const char *message = sqlite3_errmsg(connection->db);
    bool from_system = (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_IOERR;
    backend_fail(ret_error, BACKEND_OK, "backend \"%s\", %s: %s: %.*s%s%s", connection->name,
                 connection->path, doing, tellable(message), message, from_system && reason ? ": " : "",
                 from_system && reason ? file_reason(reason).text : "");
}

/* Can an error with this code, whatever the statement, be the fault of a row alone? */
static bool is_of_a_row(int code) {
    return code == SQLITE_CONSTRAINT || code == SQLITE_TOOBIG || code == SQLITE_MISMATCH ||
           code == SQLITE_RANGE;
}

enum backend_status sqlite_fail(const struct sqlite_connection *connection, const char *doing,
                                struct backend_error *ret_error) {
    int code = sqlite3_errcode(connection->db) & 0xff;
    describe(connection, doing, ret_error);
    return is_of_a_row(code) ? BACKEND_PERMANENT : BACKEND_TRANSIENT;
}

/* Can the statement still be prepared? The error of the last call is lost. */
static bool is_sound(const struct sqlite_connection *connection, sqlite3_stmt *statement) {
    sqlite3_stmt *again = NULL;
    int result = sqlite3_prepare_v2(connection->db, sqlite3_sql(statement), -1, &again, NULL);
    sqlite3_finalize(again);
    return result == SQLITE_OK;
}

/* What the last failure of a statement on a table means when it writes. */
static enum backend_status meaning(const struct sqlite_connection *connection, sqlite3_stmt *statement) {
    int code = sqlite3_errcode(connection->db) & 0xff;
    switch (code) {
    case SQLITE_ERROR: /* a function refuses the row, or the table has changed: then it cannot be prepared again */
        return is_sound(connection, statement) ? BACKEND_PERMANENT : BACKEND_TABLE_FAILED;
    case SQLITE_CORRUPT: /* not a row's: every row that falls into the damage would be quarantined for it */
    case SQLITE_SCHEMA:
    case SQLITE_AUTH:
        return BACKEND_TABLE_FAILED;
    default:
        return is_of_a_row(code) ? BACKEND_PERMANENT : BACKEND_TRANSIENT;
    }
}

enum backend_status sqlite_fail_writing(const struct sqlite_connection *connection,
                                        struct sqlite_table *table, sqlite3_stmt *statement,
                                        const char *doing, struct backend_error *ret_error) {
    describe(connection, doing, ret_error);
    enum backend_status status = meaning(connection, statement);
    table->unready |= status == BACKEND_TABLE_FAILED;
    return status;
}

/* Damage that one row falls into says nothing of another: so says a page that the disk cannot read. */
static bool is_damage(const struct sqlite_connection *connection) {
    int code = sqlite3_extended_errcode(connection->db);
    return (code & 0xff) == SQLITE_CORRUPT || code == SQLITE_IOERR_READ || code == SQLITE_IOERR_SHORT_READ ||
           code == SQLITE_IOERR_CORRUPTFS || code == SQLITE_IOERR_DATA;
}

enum backend_status sqlite_fail_reading(const struct sqlite_connection *connection,
                                        struct sqlite_table *table, sqlite3_stmt *statement,
                                        const char *doing, struct backend_error *ret_error) {
    bool damaged = is_damage(connection);
    enum backend_status status = sqlite_fail_writing(connection, table, statement, doing, ret_error);
    if (!damaged)
        return status;
    table->unready = false;
    return BACKEND_PERMANENT;
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

/* ---- Preparing ---- */

int sqlite_prepare(struct sqlite_connection *connection, const char *sql, sqlite3_stmt **ret_statement) {
    return sql ? sqlite3_prepare_v3(connection->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL)
               : SQLITE_NOMEM;
}

int sqlite_prepare_for(struct sqlite_connection *connection, const char *format, const char *table,
                       sqlite3_stmt **ret_statement) {
    char *sql = sqlite3_mprintf(format, table);
    int result = sqlite_prepare(connection, sql, ret_statement);
    sqlite3_free(sql);
    return result;
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
