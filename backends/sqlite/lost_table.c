/* SPDX-License-Identifier: MIT */
/*
 * A table of ours that was there and is not: somebody has dropped or renamed it. Its rows are gone from where they are
 * looked for, so to whoever writes here the store is no longer the one that it was (BACKEND_REPLACED), as with a Redis
 * that was emptied: it is opened anew, which makes the table, and what memory and journal have is written to it again.
 *
 * The writer looks before it makes a table anew whose statements failed, and once a second if the schema has changed.
 *
 * That a table was there is also known to whoever opens the file, as forebay_meta has a row "table NAME" (in lower
 * case, as SQLite's names tell no cases apart), written in the transaction of the first batch that puts rows into it:
 *
 *     FILLED    it has had rows
 *     LOST      and was found missing by an opening, which has made it anew. It stays so until the writer goes on, which has told
 *               it by then: a kill in between loses no word of it
 *
 * A table that never had a row is not missed, nor is one that no namespace of the configuration writes: its row goes,
 * so the namespace begins anew when it is back. Files of earlier versions have no such rows; tables that are not empty
 * get theirs from the first upkeep.
 */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include "cache/base/fit.h"
#include <stdio.h>
#include <strings.h>

enum table_note { NOTE_NONE, NOTE_FILLED, NOTE_LOST };

/* ---- What is there ---- */

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

static bool has_rows(struct sqlite_connection *connection, const char *name) {
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\"", name);
    bool has = sql && sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL) == SQLITE_OK &&
               sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    sqlite3_free(sql);
    return has;
}

/* What somebody drops that no namespace has for now was not lost, and is made anew for the next that has it. */
static bool is_missed(struct sqlite_table *table) {
    bool missed = (table->was_ready || table->filled) && !table->table->retired;
    table->was_ready &= missed;
    table->filled &= missed;
    return missed;
}

enum backend_status sqlite_look_for_table(struct sqlite_connection *connection, struct sqlite_table *table,
                                          struct backend_error *ret_error) {
    if (table->own_sql || !is_missing(connection, table->table->name) || !is_missed(table))
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

/* ---- What is noted ---- */

/* Prepares a statement whose first parameter is the table's name, and whose second the note. NULL: it cannot be. */
static sqlite3_stmt *prepare_note(struct sqlite_connection *connection, const char *sql,
                                  const struct sqlite_table *table, enum table_note note) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_bind_text(statement, 1, table->table->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, (int)note);
    return statement;
}

/* One that cannot be read is not taken for none: what was lost would not be told. */
static enum backend_status read_note(struct sqlite_connection *connection, const struct sqlite_table *table,
                                     enum table_note *ret_note, struct backend_error *ret_error) {
    sqlite3_stmt *statement = prepare_note(
        connection, "SELECT value FROM forebay_meta WHERE name = 'table ' || lower(?1)", table, NOTE_NONE);
    int result = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    *ret_note = NOTE_NONE;
    if (result == SQLITE_ROW)
        *ret_note = sqlite3_column_int64(statement, 0) == NOTE_LOST ? NOTE_LOST : NOTE_FILLED;
    bool read = result == SQLITE_ROW || result == SQLITE_DONE;
    enum backend_status status =
        read ? BACKEND_OK : sqlite_refuse(connection, "reading forebay_meta", ret_error);
    sqlite3_finalize(statement);
    return status;
}

static enum backend_status write_note(struct sqlite_connection *connection, const struct sqlite_table *table,
                                      enum table_note note, struct backend_error *ret_error) {
    sqlite3_stmt *statement = prepare_note(
        connection,
        note == NOTE_NONE
            ? "DELETE FROM forebay_meta WHERE name = 'table ' || lower(?1)"
            : "INSERT OR REPLACE INTO forebay_meta(name, value) VALUES ('table ' || lower(?1), ?2)",
        table, note);
    int result = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    enum backend_status status =
        result == SQLITE_DONE ? BACKEND_OK : sqlite_fail(connection, "noting a table", ret_error);
    sqlite3_finalize(statement);
    return status == BACKEND_PERMANENT ? BACKEND_TRANSIENT : status; /* no row is to blame for it */
}

static bool is_noted(const struct sqlite_table *table) {
    return !table->own_sql && table->table->written && !table->table->retired;
}

/* ---- Opening ---- */

enum backend_status sqlite_read_table_notes(struct sqlite_connection *connection,
                                            struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++) {
        struct sqlite_table *table = &connection->tables[i];
        enum table_note note = NOTE_NONE;
        if (is_noted(table))
            status = read_note(connection, table, &note, ret_error);
        table->filled = note != NOTE_NONE;
        table->lost = note == NOTE_LOST || (table->filled && is_missing(connection, table->table->name));
    }
    return status;
}

static const struct sqlite_table *noted_table(const struct sqlite_connection *connection, const char *name) {
    for (size_t i = 0; i < connection->table_count; i++)
        if (is_noted(&connection->tables[i]) && strcasecmp(connection->tables[i].table->name, name) == 0)
            return &connection->tables[i];
    return NULL;
}

/* Those of tables that nobody writes any more. */
static enum backend_status drop_notes(struct sqlite_connection *connection, struct backend_error *ret_error) {
    sqlite3_stmt *all = NULL, *drop = NULL;
    int result = sqlite3_prepare_v2(
        connection->db, "SELECT rowid, substr(name, 7) FROM forebay_meta WHERE name GLOB 'table *'", -1, &all,
        NULL);
    if (result == SQLITE_OK)
        result =
            sqlite3_prepare_v2(connection->db, "DELETE FROM forebay_meta WHERE rowid = ?1", -1, &drop, NULL);
    while (result == SQLITE_OK && (result = sqlite3_step(all)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(all, 1);
        result = name ? SQLITE_OK : SQLITE_NOMEM;
        if (!name || noted_table(connection, name))
            continue;
        sqlite3_bind_int64(drop, 1, sqlite3_column_int64(all, 0));
        result = sqlite_run(drop);
    }
    enum backend_status status =
        result == SQLITE_DONE ? BACKEND_OK : sqlite_refuse(connection, "reading forebay_meta", ret_error);
    sqlite3_finalize(all);
    sqlite3_finalize(drop);
    return status;
}

enum backend_status sqlite_renew_table_notes(struct sqlite_connection *connection,
                                             struct backend_error *ret_error) {
    enum backend_status status = drop_notes(connection, ret_error);
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++)
        if (connection->tables[i].lost)
            status = write_note(connection, &connection->tables[i], NOTE_LOST, ret_error);
    sqlite_say_lost(connection, connection->base.lost, sizeof connection->base.lost);
    return status;
}

void sqlite_say_lost(const struct sqlite_connection *connection, char *ret_text, size_t size) {
    char names[200] = "";
    size_t count = 0, used = 0;
    for (size_t i = 0; i < connection->table_count; i++) {
        const char *name = connection->tables[i].table->name;
        if (!connection->tables[i].lost)
            continue;
        count++;
        if (used + strlen(name) + 8 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s\"%s\"", used ? ", " : "", name);
    }
    *ret_text = '\0';
    if (count == 1)
        fit_print(ret_text, size,
                  "backend \"%s\", %s: the table %s was dropped or renamed while nobody had the file open, "
                  "with all its rows",
                  connection->name, connection->path, names);
    else if (count > 1)
        fit_print(ret_text, size,
                  "backend \"%s\", %s: %zu tables were dropped or renamed while nobody had the file open, "
                  "with all their rows: %s",
                  connection->name, connection->path, count, names);
}

/* ---- The writer goes on ---- */

enum backend_status sqlite_note_filled(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error) {
    if (table->fills || !is_noted(table) || (table->filled && !table->lost))
        return BACKEND_OK;
    enum backend_status status = write_note(connection, table, NOTE_FILLED, ret_error);
    table->fills = status == BACKEND_OK;
    return status;
}

void sqlite_end_filling(struct sqlite_connection *connection, bool committed) {
    for (size_t i = 0; i < connection->table_count; i++) {
        struct sqlite_table *table = &connection->tables[i];
        if (table->fills && committed) {
            table->filled = true;
            table->lost = false;
        }
        table->fills = false;
    }
}

/* Of a file of before, or of rows that somebody else has put there. A table that had none is not looked at again:
 * batches say what they put into it. */
static enum table_note note_due(struct sqlite_connection *connection, struct sqlite_table *table) {
    bool looks = !table->filled && !table->seen && is_noted(table) && !table->unready;
    table->seen |= looks;
    return looks && has_rows(connection, table->table->name) ? NOTE_FILLED : NOTE_NONE;
}

enum backend_status sqlite_settle_notes(struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < connection->table_count && status == BACKEND_OK; i++) {
        struct sqlite_table *table = &connection->tables[i];
        enum table_note due = note_due(connection, table);
        if (!table->lost && due == NOTE_NONE)
            continue;
        status = write_note(connection, table, due, ret_error);
        table->seen = status == BACKEND_OK;
        table->lost &= status != BACKEND_OK;
        table->filled = status == BACKEND_OK ? due == NOTE_FILLED : table->filled;
    }
    return status;
}
