/* SPDX-License-Identifier: MIT */
/*
 * What a database has to be like for its tables to be used (schema.c), and the look of whoever would open it: nothing
 * is made here.
 */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include <string.h>
#include <strings.h>

/* ---- Names ---- */

static enum backend_status refuse_name(const struct sqlite_connection *connection, const char *table,
                                       const char *why, struct backend_error *ret_error) {
    return backend_fail(ret_error, BACKEND_REFUSED,
                        "backend \"%s\", %s: a namespace cannot be named \"%s\" here, %s", connection->name,
                        connection->path, table, why);
}

/* Of tables of ours: no two have one name, and none that is taken. SQLite's names do not tell upper from lower case. */
static enum backend_status check_names(const struct sqlite_connection *connection,
                                       struct backend_error *ret_error) {
    for (size_t i = 0; i < connection->table_count; i++) {
        const struct sqlite_table *table = &connection->tables[i];
        if (table->own_sql)
            continue;
        const char *name = table->table->name;
        if (strcasecmp(name, "forebay_meta") == 0 || strncasecmp(name, "sqlite_", 7) == 0)
            return refuse_name(connection, name, "the name is taken", ret_error);
        for (size_t j = 0; j < i; j++)
            if (!connection->tables[j].own_sql && strcasecmp(name, connection->tables[j].table->name) == 0)
                return refuse_name(connection, name, "another differs only in upper and lower case",
                                   ret_error);
    }
    return BACKEND_OK;
}

/* ---- Tables of ours ---- */

/* The columns of the table in the file, as SQLITE_ROW_COLUMNS writes them. NULL: an error. "": there is no such
 * table. */
static char *columns_of(struct sqlite_connection *connection, const char *table) {
    sqlite3_stmt *statement = NULL;
    if (sqlite_prepare(
            connection,
            "SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_table_xinfo(?) ORDER BY cid)",
            &statement) != SQLITE_OK)
        return NULL;
    sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
    char *columns = NULL;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement, 0);
        columns = sqlite3_mprintf("%s", text ? (const char *)text : "");
    }
    sqlite3_finalize(statement);
    return columns;
}

static enum backend_status check_columns(struct sqlite_connection *connection, const char *table,
                                         struct backend_error *ret_error) {
    char *columns = columns_of(connection, table);
    enum backend_status status = BACKEND_OK;
    if (!columns)
        status = sqlite_refuse(connection, "reading the schema", ret_error);
    else if (!*columns)
        status = backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\", %s: there is no table \"%s\"",
                              connection->name, connection->path, table);
    else if (strcmp(columns, SQLITE_ROW_COLUMNS) != 0)
        status =
            backend_fail(ret_error, BACKEND_REFUSED,
                         "backend \"%s\", %s: the table \"%s\" is not Forebay's, its columns are: %.100s",
                         connection->name, connection->path, table, columns);
    sqlite3_free(columns);
    return status;
}

/* What a table with the right columns may lack, and what SQLite says of a statement then; of a view also where it is a
 * trigger of the table that writes to it. What else it says, of triggers for instance, is left to the statements that
 * are used. */
#define UPSERT_NOTHING "INSERT INTO \"%w\"(key, value) VALUES (x'', x'') ON CONFLICT(key) DO NOTHING"

static const struct lack {
    const char *sql, *said, *what;
} lacks[] = {
    {"SELECT rowid FROM \"%w\"", "no such column: rowid",
     "was made WITHOUT ROWID: make it anew without that"},
    {UPSERT_NOTHING, "a view",
     "cannot be written to: name the namespace after a table, and let its triggers write to tables"},
    {UPSERT_NOTHING, "ON CONFLICT clause does not",
     "has no unique key: CREATE UNIQUE INDEX on its column key, or make it anew with key as its PRIMARY KEY"},
};

static enum backend_status check_lack(struct sqlite_connection *connection, const char *table,
                                      const struct lack *lack, struct backend_error *ret_error) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite_prepare_for(connection, lack->sql, table, &statement);
    const char *said = sqlite3_errmsg(connection->db);
    enum backend_status status = BACKEND_OK;
    if (result == SQLITE_ERROR && strstr(said, lack->said))
        status =
            backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\", %s: the table \"%s\" %s (SQLite: %s)",
                         connection->name, connection->path, table, lack->what, said);
    sqlite3_finalize(statement);
    return status;
}

enum backend_status sqlite_check_table(struct sqlite_connection *connection, const char *table,
                                       struct backend_error *ret_error) {
    enum backend_status status = check_columns(connection, table, ret_error);
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0] && status == BACKEND_OK; i++)
        status = check_lack(connection, table, &lacks[i], ret_error);
    return status;
}

/* ---- The layout ---- */

/* The value of a row of forebay_meta; missing rows (and a missing table) are -1. */
static enum backend_status read_meta(struct sqlite_connection *connection, const char *name,
                                     sqlite3_int64 *ret_value, struct backend_error *ret_error) {
    sqlite3_stmt *statement = NULL;
    char *columns = columns_of(connection, "forebay_meta");
    bool known = columns != NULL, absent = columns && !*columns;
    sqlite3_free(columns);
    *ret_value = -1;
    if (absent)
        return BACKEND_OK;
    if (!known ||
        sqlite_prepare(connection, "SELECT value FROM forebay_meta WHERE name = ?", &statement) != SQLITE_OK)
        return sqlite_refuse(connection, "reading forebay_meta", ret_error);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE
               ? BACKEND_OK
               : sqlite_refuse(connection, "reading forebay_meta", ret_error);
}

enum backend_status sqlite_check_layout(struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    sqlite3_int64 stored;
    enum backend_status status = read_meta(connection, "schema", &stored, ret_error);
    if (status == BACKEND_OK && stored > SQLITE_STORE_SCHEMA)
        status = backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", %s: its schema has version %lld, this Forebay knows version %d; use a newer Forebay or another file",
            connection->name, connection->path, stored, (int)SQLITE_STORE_SCHEMA);
    return status;
}

/* ---- Only looking ---- */

/* The columns of a table, if it is there; false: they cannot be read. */
static bool find_table(struct sqlite_connection *connection, const char *table, bool *ret_found) {
    char *columns = columns_of(connection, table);
    *ret_found = columns && *columns;
    sqlite3_free(columns);
    return columns != NULL;
}

static enum backend_status probe_table(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error) {
    bool found;
    if (table->own_sql)
        return sqlite_prepare_own(connection, table, ret_error);
    if (!find_table(connection, table->table->name, &found))
        return sqlite_refuse(connection, "reading the schema", ret_error);
    return found ? sqlite_check_table(connection, table->table->name, ret_error) : BACKEND_OK;
}

/* What forebay_meta says. */
static enum backend_status probe_meta(struct sqlite_connection *connection, struct backend_error *ret_error) {
    bool found;
    if (!find_table(connection, "forebay_meta", &found))
        return sqlite_refuse(connection, "reading the schema", ret_error);
    enum backend_status status = found ? sqlite_prepare_common(connection, ret_error) : BACKEND_OK;
    if (found && status == BACKEND_OK)
        status = sqlite_read_table_notes(connection, ret_error);
    return found && status == BACKEND_OK
               ? sqlite_high_version(&connection->base, &connection->high_version, ret_error)
               : status;
}

static enum backend_status probe_all(struct sqlite_connection *connection, struct backend_error *ret_error) {
    enum backend_status status = sqlite_check_layout(connection, ret_error);
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++)
        status = probe_table(connection, &connection->tables[i], ret_error);
    return status == BACKEND_OK ? probe_meta(connection, ret_error) : status;
}

enum backend_status sqlite_begin_schema(struct sqlite_connection *connection, const char *begin,
                                        struct backend_error *ret_error) {
    enum backend_status status = sqlite_find_own_sql(connection, ret_error);
    if (status == BACKEND_OK)
        status = check_names(connection, ret_error);
    if (status == BACKEND_OK && sqlite3_exec(connection->db, begin, NULL, NULL, NULL) != SQLITE_OK)
        status = sqlite_refuse_to_open(connection, ret_error);
    return status;
}

enum backend_status sqlite_schema_probe(struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    enum backend_status status = sqlite_begin_schema(connection, "BEGIN", ret_error);
    if (status != BACKEND_OK)
        return status;
    status = probe_all(connection, ret_error);
    sqlite_roll_back(connection);
    if (status == BACKEND_OK)
        sqlite_say_lost(connection, ret_error->message, sizeof ret_error->message);
    return status;
}
