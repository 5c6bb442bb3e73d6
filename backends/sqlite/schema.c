/* SPDX-License-Identifier: MIT */
/*
 * The tables of an SQLite store and the statements on them.
 *
 * A namespace is a table of its name:
 *
 *     key         BLOB PRIMARY KEY NOT NULL, and nothing else than a BLOB
 *     value       BLOB NOT NULL
 *     flags       INTEGER NOT NULL DEFAULT 0
 *     expires_at  INTEGER NOT NULL DEFAULT 0
 *     version     INTEGER NOT NULL DEFAULT 0
 *     client_cas  INTEGER, NULL: the version
 *     marks       INTEGER, NULL: none
 *
 * and forebay_meta(name, value) keeps "schema", the version of this layout, "high_version", and for each table that has
 * had rows "table NAME" (lost_table.c). A table that exists is used if it has exactly these columns in this order, and
 * refused otherwise: it is somebody else's.
 */
#include "backends/sqlite/internal.h"
#include <stdio.h>
#include <strings.h>

/* ---- SQL ---- */

/* ENTRY_VERSION_HIGHEST in SQL. What somebody else put into the column and is no number is above it, too. */
#define HIGHEST "9079256848778919936"
_Static_assert(ENTRY_VERSION_HIGHEST == 9079256848778919936u, "HIGHEST is another number");

/* The table's name as SQL writes it, quoted by SQLite itself, is "%w" between double quotes. */

enum { PUT, TOUCH };

/* Of a row that somebody else put there, into a table of his own making: its version is none, so any change is newer. A
 * NULL would compare as neither. */
#define IS_NO_VERSION "version > " HIGHEST " OR version IS NULL"

/* Of a row that a touch meets: has it a version that counts, and which CAS? That of the value that was touched: */
#define IS_VERSIONED "ifnull(version, 0) BETWEEN 1 AND " HIGHEST
#define CAS_OF_ROW   "ifnull(client_cas, version)"
#define CAS_TOUCHED  "ifnull(excluded.client_cas, 0)"
/* A CAS has 64 bits, and the upper half of them are negative here: each is above all that are not. */
#define ORDERED(cas) "(" cas " < 0, " cas ")"
#define IS_OLDER     IS_VERSIONED " AND " ORDERED(CAS_OF_ROW) " < " ORDERED(CAS_TOUCHED)

static void append_upsert_tail(sqlite3_str *sql, int kind) {
    sqlite3_str_appendall(sql, " ON CONFLICT(key) DO UPDATE SET ");
    sqlite3_str_appendall(sql, kind == PUT
                                   ? "value = excluded.value, flags = excluded.flags, "
                                   : "value = CASE WHEN " IS_OLDER " THEN excluded.value ELSE value END, "
                                     "flags = CASE WHEN " IS_OLDER " THEN excluded.flags ELSE flags END, ");
    sqlite3_str_appendall(sql, "expires_at = excluded.expires_at, version = excluded.version, "
                               "client_cas = excluded.client_cas, marks = excluded.marks "
                               "WHERE (excluded.version > version OR " IS_NO_VERSION ")");
    if (kind == TOUCH)
        sqlite3_str_appendall(sql, " AND NOT (" IS_VERSIONED
                                   " AND " ORDERED(CAS_OF_ROW) " > " ORDERED(CAS_TOUCHED) ")");
}

/* A touch is an upsert too: when the row is gone the whole entry is inserted. NULL: out of memory. */
static char *upsert_sql(const char *table, int kind, int rows) {
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "INSERT INTO \"%w\"(%s) VALUES ", table, SQLITE_ROW_COLUMNS);
    for (int row = 0; row < rows; row++)
        sqlite3_str_appendall(sql, row ? ",(?,?,?,?,?,?,?)" : "(?,?,?,?,?,?,?)");
    append_upsert_tail(sql, kind);
    return sqlite3_str_finish(sql);
}

static int prepare_upsert(struct sqlite_connection *connection, const char *table, int kind, int rows,
                          sqlite3_stmt **ret_statement) {
    char *sql = upsert_sql(table, kind, rows);
    int result = sqlite_prepare(connection, sql, ret_statement);
    sqlite3_free(sql);
    return result;
}

/* ---- Tables of ours ---- */

/* 'k' is another key than x'6b': a row inserted with it would never be found. The name is what SQLite says. Tables of
 * earlier versions have no such check, and are used as they are. */
#define KEY_CHECK "CONSTRAINT \"a key is a BLOB: CAST('...' AS BLOB)\" CHECK (typeof(key) = 'blob')"

static enum backend_status make_table(struct sqlite_connection *connection, const char *table,
                                      struct backend_error *ret_error) {
    char *sql = sqlite3_mprintf("CREATE TABLE IF NOT EXISTS \"%w\" ("
                                "key BLOB PRIMARY KEY NOT NULL " KEY_CHECK ", value BLOB NOT NULL, "
                                "flags INTEGER NOT NULL DEFAULT 0, expires_at INTEGER NOT NULL DEFAULT 0, "
                                "version INTEGER NOT NULL DEFAULT 0, client_cas INTEGER, marks INTEGER)",
                                table);
    int result = sql ? sqlite3_exec(connection->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return result == SQLITE_OK ? BACKEND_OK : sqlite_refuse(connection, "cannot make a table", ret_error);
}

static int prepare_reading(struct sqlite_connection *connection, struct sqlite_table *table) {
    const char *name = table->table->name;
    int result = sqlite_prepare_for(
        connection, "SELECT value, flags, expires_at, version, client_cas, marks FROM \"%w\" WHERE key = ?",
        name, &table->load);
    if (result == SQLITE_OK)
        result = sqlite_prepare_for(connection,
                                    "SELECT key FROM \"%w\" WHERE (expires_at = 0 OR expires_at > ?1) "
                                    "AND typeof(key) = 'blob' AND length(key) BETWEEN 1 AND ?3 "
                                    "ORDER BY version DESC LIMIT ?2",
                                    name, &table->pick);
    if (result == SQLITE_OK)
        result = sqlite_prepare_for(
            connection, "SELECT key FROM \"%w\" WHERE key > ?1 AND length(key) <= ?3 ORDER BY key LIMIT ?2",
            name, &table->page);
    if (result == SQLITE_OK)
        result = sqlite_prepare_for(connection,
                                    "SELECT value, flags, expires_at, version, client_cas, marks, key, rowid "
                                    "FROM \"%w\" WHERE rowid > ?1 ORDER BY rowid",
                                    name, &table->walk);
    return result;
}

static int prepare_writing(struct sqlite_connection *connection, struct sqlite_table *table) {
    const char *name = table->table->name;
    int result = SQLITE_OK;
    const struct {
        int kind, rows;
        sqlite3_stmt **statement;
    } upserts[] = {{PUT, SQLITE_BLOCK_ROWS, &table->put_block},
                   {PUT, 1, &table->put_row},
                   {TOUCH, SQLITE_BLOCK_ROWS, &table->touch_block},
                   {TOUCH, 1, &table->touch_row}};
    const struct {
        const char *format;
        sqlite3_stmt **statement;
    } others[] = {
        {"DELETE FROM \"%w\" WHERE key = ?1 AND (version <= ?2 OR " IS_NO_VERSION ")", &table->delete_row},
        {"SELECT version, expires_at, client_cas FROM \"%w\" WHERE key = ?", &table->stored_version},
        {"SELECT count(*), total(expires_at <> 0 AND expires_at <= ?3), max(at), "
         "min(CASE WHEN expires_at > ?3 THEN expires_at END) "
         "FROM (SELECT rowid AS at, expires_at FROM \"%w\" WHERE rowid > ?1 ORDER BY rowid LIMIT ?2)",
         &table->sweep_look},
        {"DELETE FROM \"%w\" WHERE rowid > ?1 AND rowid <= ?2 AND expires_at <> 0 AND expires_at <= ?3",
         &table->sweep_purge},
    };
    for (size_t i = 0; i < sizeof upserts / sizeof upserts[0] && result == SQLITE_OK; i++)
        result = prepare_upsert(connection, name, upserts[i].kind, upserts[i].rows, upserts[i].statement);
    for (size_t i = 0; i < sizeof others / sizeof others[0] && result == SQLITE_OK; i++)
        result = sqlite_prepare_for(connection, others[i].format, name, others[i].statement);
    return result;
}

static enum backend_status prepare_ours(struct sqlite_connection *connection, struct sqlite_table *table,
                                        struct backend_error *ret_error) {
    int result = prepare_reading(connection, table);
    if (result == SQLITE_OK && connection->role == BACKEND_WRITER)
        result = prepare_writing(connection, table);
    return result == SQLITE_OK ? BACKEND_OK : sqlite_refuse(connection, "cannot prepare", ret_error);
}

/* ---- The file as a whole ---- */

/* At the start a table that does not fit refuses the store; later it fails the calls for it. */
static enum backend_status excuse(const struct sqlite_connection *connection, struct sqlite_table *table,
                                  enum backend_status status) {
    if (status != BACKEND_REFUSED || !connection->running)
        return status;
    table->unready = true;
    return BACKEND_OK;
}

static enum backend_status make_all(struct sqlite_connection *connection, struct backend_error *ret_error) {
    char sql[320];
    snprintf(
        sql, sizeof sql,
        "CREATE TABLE IF NOT EXISTS forebay_meta (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL);"
        "INSERT OR IGNORE INTO forebay_meta(name, value) VALUES ('schema', %d), ('high_version', 0)",
        (int)SQLITE_STORE_SCHEMA);
    enum backend_status status = sqlite_check_layout(connection, ret_error);
    if (status == BACKEND_OK && sqlite3_exec(connection->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        status = sqlite_refuse(connection, "cannot make forebay_meta", ret_error);
    if (status == BACKEND_OK)
        status = sqlite_read_table_notes(connection, ret_error);
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++) {
        struct sqlite_table *table = &connection->tables[i];
        if (!table->own_sql)
            status = excuse(connection, table, make_table(connection, table->table->name, ret_error));
    }
    return status;
}

enum backend_status sqlite_prepare_common(struct sqlite_connection *connection,
                                          struct backend_error *ret_error) {
    const struct {
        const char *sql;
        sqlite3_stmt **statement;
    } all[] = {
        {"BEGIN", &connection->begin_read},
        {"BEGIN IMMEDIATE", &connection->begin_write},
        {"COMMIT", &connection->commit},
        {"SELECT value FROM forebay_meta WHERE name = 'high_version'", &connection->high_get},
        {"PRAGMA data_version", &connection->data_version},
        {"UPDATE forebay_meta SET value = max(value, ?1) WHERE name = 'high_version'", &connection->high_set},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (sqlite_prepare(connection, all[i].sql, all[i].statement) != SQLITE_OK)
            return sqlite_refuse(connection, "cannot prepare", ret_error);
    return BACKEND_OK;
}

static enum backend_status prepare_table(struct sqlite_connection *connection, struct sqlite_table *table,
                                         struct backend_error *ret_error) {
    if (table->own_sql)
        return sqlite_prepare_own(connection, table, ret_error);
    enum backend_status status = sqlite_check_table(connection, table->table->name, ret_error);
    return status == BACKEND_OK ? prepare_ours(connection, table, ret_error) : status;
}

static enum backend_status prepare_tables(struct sqlite_connection *connection,
                                          struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++) {
        struct sqlite_table *table = &connection->tables[i];
        status = prepare_table(connection, table, ret_error);
        table->was_ready = status == BACKEND_OK;
        status = excuse(connection, table, status);
    }
    return status;
}

/* ---- A table that failed ---- */

static void forget_statements(struct sqlite_table *table) {
    sqlite3_stmt **const statements[] = {
        &table->load,       &table->put_block,      &table->put_row, &table->touch_block, &table->touch_row,
        &table->delete_row, &table->stored_version, &table->pick,    &table->page,        &table->walk,
        &table->sweep_look, &table->sweep_purge,    &table->store,   &table->delete_own};
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        sqlite3_finalize(*statements[i]);
        *statements[i] = NULL;
    }
}

enum backend_status sqlite_ready_table(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    if (!table->unready)
        return BACKEND_OK;
    forget_statements(table);
    if (!table->own_sql && connection->role == BACKEND_WRITER) {
        status = sqlite_look_for_table(connection, table, ret_error);
        if (status == BACKEND_OK)
            status = make_table(connection, table->table->name, ret_error);
    }
    if (status == BACKEND_OK)
        status = prepare_table(connection, table, ret_error);
    table->unready = status != BACKEND_OK;
    table->was_ready |= status == BACKEND_OK;
    return status == BACKEND_REFUSED ? BACKEND_TABLE_FAILED : status;
}

/* ---- Triggers ---- */

static bool is_ours(const struct sqlite_connection *connection, const char *name) {
    for (size_t i = 0; i < connection->table_count; i++)
        if (!connection->tables[i].own_sql && strcasecmp(connection->tables[i].table->name, name) == 0)
            return true;
    return false;
}

/* SQLite asks for each thing that a statement will do when it is prepared, and again when the schema has changed. */
static int note_trigger(void *context, int action, const char *table, const char *column,
                        const char *database, const char *trigger) {
    struct sqlite_connection *connection = context;
    (void)database;
    if (trigger && table && is_ours(connection, table) &&
        (action == SQLITE_INSERT || (action == SQLITE_UPDATE && column && strcasecmp(column, "key") == 0)))
        connection->triggers_add_keys = true;
    return SQLITE_OK;
}

/* ---- The whole ---- */

static enum backend_status make_and_prepare(struct sqlite_connection *connection,
                                            struct backend_error *ret_error) {
    enum backend_status status = connection->role == BACKEND_WRITER
                                     ? make_all(connection, ret_error)
                                     : sqlite_check_layout(connection, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_prepare_common(connection, ret_error);
    if (status == BACKEND_OK)
        status = prepare_tables(connection, ret_error);
    if (status == BACKEND_OK && connection->role == BACKEND_WRITER)
        status = sqlite_renew_table_notes(connection, ret_error);
    if (status == BACKEND_OK && connection->role == BACKEND_WRITER)
        status = sqlite_high_version(&connection->base, &connection->high_version, ret_error);
    return status;
}

/* One transaction: a file that is refused stays as it was. */
enum backend_status sqlite_schema_open(struct sqlite_connection *connection,
                                       struct backend_error *ret_error) {
    const char *begin = connection->role == BACKEND_WRITER ? "BEGIN IMMEDIATE" : "BEGIN";
    enum backend_status status = sqlite_begin_schema(connection, begin, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (connection->role == BACKEND_WRITER)
        sqlite3_set_authorizer(connection->db, note_trigger, connection);
    status = make_and_prepare(connection, ret_error);
    if (status == BACKEND_OK && sqlite3_exec(connection->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        status = sqlite_refuse(connection, "cannot make the tables", ret_error);
    if (status != BACKEND_OK)
        sqlite_roll_back(connection);
    return status;
}

/* ---- The end ---- */

/* Ours alone: SQLite's extensions (FTS5) have statements of their own on this connection, and end them with it. */
void sqlite_schema_close(struct sqlite_connection *connection) {
    sqlite3_stmt *const statements[] = {connection->begin_read, connection->begin_write,
                                        connection->commit,     connection->high_get,
                                        connection->high_set,   connection->data_version};
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        sqlite3_finalize(statements[i]);
    for (size_t i = 0; connection->tables && i < connection->table_count; i++)
        forget_statements(&connection->tables[i]);
}
