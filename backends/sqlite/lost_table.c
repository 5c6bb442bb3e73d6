/* SPDX-License-Identifier: MIT */
/*
 * A table of ours that was there and is not: somebody has dropped or renamed it. Its rows are gone from where they are looked for,
 * so to whoever writes here the store is no longer the one that it was (BACKEND_REPLACED), as with a Redis that was emptied: it is
 * opened anew, which makes the table, and what memory and journal have is written to it again.
 *
 * The writer looks before it makes a table anew whose statements failed, and once a second if the schema has changed.
 */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"

/* False also where that cannot be seen now, which is left to whoever needs the table. */
static bool is_missing(struct sqlite_connection *connection, const char *name) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection->db, "SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE", -1,
                           &statement, NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    bool missing = sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_finalize(statement);
    return missing;
}

enum backend_status sqlite_look_for_table(struct sqlite_connection *connection,
                                          const struct sqlite_table *table, struct backend_error *ret_error) {
    if (!table->was_ready || table->own_sql || !is_missing(connection, table->table->name))
        return BACKEND_OK;
    return backend_fail(ret_error, BACKEND_REPLACED,
                        "backend \"%s\", %s: the table \"%s\" was dropped or renamed, with all its rows,",
                        connection->name, connection->path, table->table->name);
}

/* -1: it cannot be seen now. */
static sqlite3_int64 read_schema_version(struct sqlite_connection *connection) {
    sqlite3_stmt *statement = NULL;
    sqlite3_int64 version = -1;
    if (sqlite3_prepare_v2(connection->db, "PRAGMA schema_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

enum backend_status sqlite_look_for_tables(struct sqlite_connection *connection,
                                           struct backend_error *ret_error) {
    sqlite3_int64 version = read_schema_version(connection);
    enum backend_status status = BACKEND_OK;
    if (version < 0 || version == connection->schema_version)
        return status;
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++)
        status = sqlite_look_for_table(connection, &connection->tables[i], ret_error);
    if (status == BACKEND_OK)
        connection->schema_version = version;
    return status;
}
