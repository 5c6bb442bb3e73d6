/* SPDX-License-Identifier: MIT */
/*
 * A namespace that is the application's own table, seen through its own statements: docs/backends.md says which
 * parameters they have and what they must do.
 */
#include "backends/failure.h"
#include "backends/key.h"
#include "backends/sqlite/internal.h"
#include <stdio.h>

static enum backend_status refuse_sql(const struct sqlite_connection *connection,
                                      const struct sqlite_table *table, const char *which, const char *why,
                                      struct backend_error *ret_error) {
    return backend_fail(ret_error, BACKEND_REFUSED,
                        "backend \"%s\", %s: namespace \"%s\", its %s statement: %s", connection->name,
                        connection->path, table->table->name, which, why);
}

static int *parameter_named(struct sqlite_parameters *parameters, const char *name) {
    const struct {
        const char *name;
        int *at;
    } known[] = {{":key", &parameters->key},         {":value", &parameters->value},
                 {":flags", &parameters->flags},     {":expires_at", &parameters->expires_at},
                 {":version", &parameters->version}, {":now", &parameters->now}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (name && strcmp(name, known[i].name) == 0)
            return known[i].at;
    return NULL;
}

static enum backend_status find_parameters(const struct sqlite_connection *connection,
                                           const struct sqlite_table *table, const char *which,
                                           sqlite3_stmt *statement, struct sqlite_parameters *parameters,
                                           struct backend_error *ret_error) {
    char why[120];
    int count = sqlite3_bind_parameter_count(statement);
    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        int *position = parameter_named(parameters, name);
        if (!position) {
            snprintf(why, sizeof why,
                     "no parameter %.20s: there are :key :value :flags :expires_at :version :now",
                     name ? name : "?");
            return refuse_sql(connection, table, which, why, ret_error);
        }
        *position = i;
    }
    if (!parameters->key)
        return refuse_sql(connection, table, which, "the parameter :key does not occur in it", ret_error);
    return BACKEND_OK;
}

static enum backend_status prepare_statement(struct sqlite_connection *connection,
                                             const struct sqlite_table *table, const char *which,
                                             const char *sql, sqlite3_stmt **ret_statement,
                                             struct sqlite_parameters *parameters,
                                             struct backend_error *ret_error) {
    const char *tail = NULL;
    if (sqlite3_prepare_v3(connection->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, &tail) !=
        SQLITE_OK) {
        struct backend_error cause;
        enum backend_status status = sqlite_refuse(connection, "preparing", &cause);
        return status == BACKEND_REFUSED
                   ? refuse_sql(connection, table, which, sqlite3_errmsg(connection->db), ret_error)
                   : (*ret_error = cause, status);
    }
    if (!*ret_statement)
        return refuse_sql(connection, table, which, "it is empty", ret_error);
    if (tail && tail[strspn(tail, " \t\r\n;")] != '\0')
        return refuse_sql(connection, table, which, "one statement only", ret_error);
    return find_parameters(connection, table, which, *ret_statement, parameters, ret_error);
}

/* What is acknowledged would be nowhere, and what is deleted would come back. */
static enum backend_status refuse_reading(const struct sqlite_connection *connection,
                                          const struct sqlite_table *table, const char *which,
                                          sqlite3_stmt *statement, struct backend_error *ret_error) {
    if (!table->table->written || !sqlite3_stmt_readonly(statement))
        return BACKEND_OK;
    return refuse_sql(connection, table, which,
                      "it only reads, so that changes would be lost: write one that changes the row",
                      ret_error);
}

static enum backend_status prepare_writing(struct sqlite_connection *connection, struct sqlite_table *table,
                                           struct backend_error *ret_error) {
    const struct sqlite_table_options *given = &table->options;
    enum backend_status status = prepare_statement(connection, table, "store", given->store_sql,
                                                   &table->store, &table->store_at, ret_error);
    if (status == BACKEND_OK)
        status = refuse_reading(connection, table, "store", table->store, ret_error);
    if (status == BACKEND_OK)
        status = prepare_statement(connection, table, "delete", given->delete_sql, &table->delete_own,
                                   &table->delete_at, ret_error);
    if (status == BACKEND_OK)
        status = refuse_reading(connection, table, "delete", table->delete_own, ret_error);
    return status;
}

enum backend_status sqlite_prepare_own(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error) {
    const struct sqlite_table_options *given = &table->options;
    enum backend_status status = prepare_statement(connection, table, "load", given->load_sql, &table->load,
                                                   &table->load_at, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (!sqlite3_stmt_readonly(table->load))
        return refuse_sql(connection, table, "load", "it must only read", ret_error);
    if (sqlite3_column_count(table->load) < 1 || sqlite3_column_count(table->load) > 4)
        return refuse_sql(connection, table, "load",
                          "its columns are value[, flags[, expires_at[, version]]]", ret_error);
    return connection->role == BACKEND_READER ? BACKEND_OK : prepare_writing(connection, table, ret_error);
}

/* A number in another spelling would find the row of another key. */
static bool bind_key(sqlite3_stmt *statement, int at, const struct sqlite_table *table, struct slice key) {
    key = key_without_prefix(key, table->table->key_prefix);
    int64_t number;
    if (table->options.key_type == BACKEND_KEYS_INTEGER) {
        if (!key_is_integer(key, &number))
            return false;
        sqlite3_bind_int64(statement, at, number);
    } else {
        sqlite3_bind_text64(statement, at, key.size ? key.data : "", key.size, SQLITE_STATIC, SQLITE_UTF8);
    }
    return true;
}

bool sqlite_bind_own(sqlite3_stmt *statement, const struct sqlite_parameters *at,
                     const struct sqlite_table *table, const struct entry *entry, uint32_t now) {
    if (!bind_key(statement, at->key, table, entry->key))
        return false;
    if (at->value)
        sqlite_bind_bytes(statement, at->value, entry->value);
    if (at->flags)
        sqlite3_bind_int64(statement, at->flags, entry->flags);
    if (at->expires_at)
        sqlite3_bind_int64(statement, at->expires_at, entry->expires_at);
    if (at->version)
        sqlite3_bind_int64(statement, at->version, (sqlite3_int64)entry->version);
    if (at->now)
        sqlite3_bind_int64(statement, at->now, now);
    return true;
}

/* The application's table is the one with all three statements; some of them only is a mistake. */
enum backend_status sqlite_find_own_sql(struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    for (size_t i = 0; i < connection->table_count; i++) {
        struct sqlite_table *table = &connection->tables[i];
        const struct sqlite_table_options *given = &table->options;
        table->own_sql = given->load_sql || given->store_sql || given->delete_sql;
        if (table->own_sql && !(given->load_sql && given->store_sql && given->delete_sql))
            return backend_fail(
                ret_error, BACKEND_REFUSED,
                "backend \"%s\": namespace \"%s\" has SQL of its own but not all of load, store and delete",
                connection->name, table->table->name);
    }
    return BACKEND_OK;
}
