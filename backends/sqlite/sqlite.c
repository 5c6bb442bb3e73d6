/* SPDX-License-Identifier: MIT */
/*
 * SQLite as a store: one database file per backend, one plain table per namespace, readable in the sqlite3
 * shell.
 *
 * One writer connection and any number of read-only readers, each used by one thread at a time. The file is
 * in WAL mode: readers never wait for the writer nor the writer for readers.
 *
 * Batches. A batch is one transaction over all its tables. Rows are written in key order (batch_order.h),
 * several per statement, as INSERT ... ON CONFLICT(key) DO UPDATE ... WHERE excluded.version > version:
 * REPLACE would delete and insert again. SQLite counts the rows it changed; only when the count falls short
 * are the rows asked which of them the version guard kept.
 *
 * Layout. Tables have a rowid beside the unique key: new rows are appended and only the small key index is
 * written at random, which measured two to three times the inserts of a WITHOUT ROWID table, at equal
 * overwrites and 0.75 of its loads (docs/benchmarks-backends.md). There is no index on expires_at: it cost 25
 * to 40 % of the overwrites of expiring rows. The purge walks the table in bounded steps instead, and only
 * when a row can have expired.
 *
 * The log. SQLite's own automatic checkpoint is off: it would run inside a batch. maintain() checkpoints
 * between batches; a bound on the log holds even when maintain() is not called.
 *
 * Durability. synchronous = FULL syncs the log at each commit: a committed batch survives power loss. NORMAL
 * survives the death of the process, and after a power loss the store is whole, but the last batches may be
 * missing.
 *
 * Deletes leave nothing behind: the version of a deleted row is gone. This store is written by one Forebay,
 * whose journal replays the newest version of a key only.
 *
 * forebay_meta holds the layout's version and the highest version ever applied.
 */
#include "backends/failure.h"
#include "backends/kinds.h"
#include "backends/sqlite/internal.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    WRITER_CACHE = 8 << 10, /* KiB of pages the writer may keep: the upper levels of some large tables */
    TIMEOUT_DEFAULT = 2000  /* ms, when the options say 0 */
};

static struct sqlite_connection *of(struct backend_connection *base) {
    return (struct sqlite_connection *)base;
}

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

/* ---- Small things ---- */

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

struct sqlite_table *sqlite_table_of(struct sqlite_connection *connection,
                                     const struct backend_table *table) {
    assert(table->index < connection->table_count);
    assert(connection->tables[table->index].table == table);
    return &connection->tables[table->index];
}

void sqlite_bind_bytes(sqlite3_stmt *statement, int at, struct slice bytes) {
    sqlite3_bind_blob64(statement, at, bytes.size ? bytes.data : "", bytes.size, SQLITE_STATIC);
}

/* ---- Opening ---- */

/* The path of a URI, relative ones below the data folder. NULL: out of memory. */
static char *path_of(const struct backend_options *options) {
    const char *path = options->uri + strlen("sqlite:");
    char *whole = NULL;
    const char *folder = options->data && *options->data ? options->data : ".";
    if (*path == '/')
        return strdup(path);
    return asprintf(&whole, "%s/%s", folder, path) < 0 ? NULL : whole;
}

/* A missing folder is the likeliest reason why a database cannot be made; SQLite does not say it. */
static bool folder_is_missing(const char *path, int *ret_length) {
    const char *slash = strrchr(path, '/');
    char folder[4096];
    struct stat status;
    *ret_length = slash && slash > path ? (int)(slash - path) : 1;
    if (!slash || (size_t)*ret_length >= sizeof folder)
        return false;
    memcpy(folder, path, (size_t)*ret_length);
    folder[*ret_length] = '\0';
    return stat(folder, &status) != 0 && errno == ENOENT;
}

static enum backend_status open_file(struct sqlite_connection *connection, struct backend_error *ret_error) {
    int flags = connection->role == BACKEND_WRITER ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                                   : SQLITE_OPEN_READONLY;
    struct stat status;
    int length;
    if (stat(connection->path, &status) == 0 && S_ISDIR(status.st_mode))
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\", %s: is a directory, not a database file", connection->name,
                            connection->path);
    if (sqlite3_open_v2(connection->path, &connection->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        if (!connection->db)
            return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory",
                                connection->name);
        if (folder_is_missing(connection->path, &length))
            return backend_fail(ret_error, BACKEND_REFUSED,
                                "backend \"%s\", %s: the folder %.*s does not exist; make it",
                                connection->name, connection->path, length, connection->path);
        return sqlite_refuse(connection, "cannot open", ret_error);
    }
    return BACKEND_OK;
}

/* WAL mode, or why not. Also the first read of the file: here "not a database" is found. */
static enum backend_status enter_wal(struct sqlite_connection *connection, struct backend_error *ret_error) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) != SQLITE_OK)
        return sqlite_refuse(connection, "cannot open", ret_error);
    bool stepped = sqlite3_step(statement) == SQLITE_ROW;
    bool wal = stepped && strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    sqlite3_finalize(statement);
    if (wal)
        return BACKEND_OK;
    if (!stepped)
        return sqlite_refuse(connection, "cannot open", ret_error);
    return backend_fail(
        ret_error, BACKEND_REFUSED,
        "backend \"%s\", %s: SQLite cannot use a write-ahead log here (is this a network file system?)",
        connection->name, connection->path);
}

static enum backend_status set_up_writer(struct sqlite_connection *connection, const char *synchronous,
                                         struct backend_error *ret_error) {
    char pragmas[160];
    if (synchronous && strcmp(synchronous, "full") != 0 && strcmp(synchronous, "normal") != 0)
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\": synchronous is \"full\" or \"normal\", not \"%s\"",
                            connection->name, synchronous);
    if (sqlite3_db_readonly(connection->db, "main") == 1)
        return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\", %s: no permission to write to it",
                            connection->name, connection->path);
    enum backend_status status = enter_wal(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA synchronous = %s; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -%d; PRAGMA "
             "secure_delete = off",
             synchronous ? synchronous : "full", (int)WRITER_CACHE);
    if (sqlite3_exec(connection->db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_refuse(connection, "cannot set it up", ret_error);
    sqlite_upkeep_open(connection);
    return BACKEND_OK;
}

static enum backend_status open_all(struct sqlite_connection *connection,
                                    const struct backend_options *options, struct backend_error *ret_error) {
    enum backend_status status = open_file(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    sqlite3_extended_result_codes(connection->db, 1);
    sqlite3_busy_timeout(connection->db, (int)(options->timeout_ms ? options->timeout_ms : TIMEOUT_DEFAULT));
    if (connection->role == BACKEND_WRITER)
        status = set_up_writer(connection, options->synchronous, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_schema_open(connection, ret_error);
    return status;
}

static void sqlite_close(struct backend_connection *base) {
    struct sqlite_connection *connection = of(base);
    if (!connection)
        return;
    sqlite_schema_close(connection);
    int result = sqlite3_close(connection->db);
    assert(result == SQLITE_OK); /* every statement is finalized */
    (void)result;
    arena_free(&connection->loaded);
    free(connection->places);
    free(connection->tables);
    free(connection->path);
    free(connection->name);
    free(connection);
}

static struct sqlite_connection *allocate(const struct backend_options *options, enum backend_role role) {
    struct sqlite_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->base.type = &sqlite_backend;
    connection->role = role;
    connection->name = strdup(options->name);
    connection->path = path_of(options);
    connection->tables = calloc(options->table_count + 1, sizeof *connection->tables);
    if (!connection->name || !connection->path || !connection->tables) {
        sqlite_close(&connection->base);
        return NULL;
    }
    connection->table_count = options->table_count;
    for (size_t i = 0; i < options->table_count; i++) {
        assert(options->tables[i]->index == i);
        connection->tables[i].table = options->tables[i];
    }
    return connection;
}

static enum backend_status sqlite_open(const struct backend_options *options, enum backend_role role,
                                       struct backend_connection **ret_connection,
                                       struct backend_error *ret_error) {
    static const char form[] = "sqlite:";
    if (strncmp(options->uri, form, sizeof form - 1) != 0 || options->uri[sizeof form - 1] == '\0')
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\": the URI \"%s\" should be sqlite:PATH", options->name,
                            options->uri);
    struct sqlite_connection *connection = allocate(options, role);
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    enum backend_status status = open_all(connection, options, ret_error);
    if (status != BACKEND_OK)
        sqlite_close(&connection->base);
    else
        *ret_connection = &connection->base;
    return status;
}

/* ---- Reading ---- */

static enum backend_status sqlite_high_version(struct backend_connection *base, uint64_t *ret_version,
                                               struct backend_error *ret_error) {
    struct sqlite_connection *connection = of(base);
    int result = sqlite3_step(connection->high_get);
    uint64_t version = result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(connection->high_get, 0) : 0;
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        enum backend_status status = sqlite_fail(connection, "reading the high version", ret_error);
        sqlite3_reset(connection->high_get);
        return status;
    }
    sqlite3_reset(connection->high_get);
    *ret_version = version;
    return BACKEND_OK;
}

static uint32_t limited_to_32_bits(sqlite3_int64 number) {
    return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* The columns of a row: value[, flags[, expires_at[, version[, client_cas[, marks]]]]]. The application's own
 * statement may end early; missing ones are 0. The value stays SQLite's until the next step. */
static void read_row(sqlite3_stmt *statement, struct entry *entry) {
    const char *value = sqlite3_column_blob(statement, 0);
    entry->value = slice_of(value ? value : "", (size_t)sqlite3_column_bytes(statement, 0));
    entry->flags = (uint32_t)sqlite3_column_int64(statement, 1);
    entry->expires_at = limited_to_32_bits(sqlite3_column_int64(statement, 2));
    sqlite3_int64 version = sqlite3_column_int64(statement, 3);
    entry->version = version > 0 ? (uint64_t)version : 0;
    entry->client_cas = (uint64_t)sqlite3_column_int64(statement, 4);
    entry->marks = (uint8_t)sqlite3_column_int64(statement, 5);
}

static bool row_is_live(sqlite3_stmt *statement, uint32_t now) {
    sqlite3_int64 expires_at = sqlite3_column_int64(statement, 2);
    return expires_at == 0 || expires_at > (sqlite3_int64)now;
}

/* Leaves the statement on its row when found: read it, then reset. */
static int seek_row(struct sqlite_table *table, struct slice key, uint32_t now, bool *ret_found) {
    if (table->own_sql) {
        struct entry asked = {.key = key};
        sqlite_bind_own(table->load, &table->load_at, table->table, &asked, now);
    } else {
        sqlite_bind_bytes(table->load, 1, key);
    }
    int result = sqlite3_step(table->load);
    *ret_found = result == SQLITE_ROW && row_is_live(table->load, now) &&
                 !(table->own_sql && sqlite3_column_type(table->load, 0) == SQLITE_NULL);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
}

static enum backend_status load_one(struct sqlite_connection *connection, struct sqlite_table *table,
                                    struct slice key, uint32_t now, struct load_result *result,
                                    struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    result->found = false;
    if (seek_row(table, key, now, &result->found) != SQLITE_OK) {
        status = sqlite_fail(connection, "loading", ret_error);
    } else if (result->found) {
        read_row(table->load, &result->entry);
        result->entry.key = key;
        if (!arena_copy(&connection->loaded, result->entry.value, &result->entry.value))
            status = backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory while loading",
                                  connection->name);
    }
    sqlite3_reset(table->load);
    /* A failed read is no fault of a row. */
    return status == BACKEND_PERMANENT ? BACKEND_TRANSIENT : status;
}

/* One read transaction for all keys: it takes and gives back the file locks once. */
static enum backend_status sqlite_load(struct backend_connection *base, const struct backend_table *table,
                                       const struct slice *keys, size_t count, uint32_t now,
                                       struct load_result *results, struct backend_error *ret_error) {
    struct sqlite_connection *connection = of(base);
    struct sqlite_table *from = sqlite_table_of(connection, table);
    bool together = count > 1;
    arena_reset(&connection->loaded);
    if (together && sqlite_run(connection->begin_read) != SQLITE_OK)
        return sqlite_fail(connection, "beginning to load", ret_error);
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < count && status == BACKEND_OK; i++)
        status = load_one(connection, from, keys[i], now, &results[i], ret_error);
    if (together && sqlite_run(connection->commit) != SQLITE_OK)
        sqlite_roll_back(connection); /* nothing was written: what was read is good */
    return status;
}

/* The keys come first, sorted by version; their rows are then fetched one by one. So the sorter holds keys
 * only. */
static enum backend_status show_picked(struct sqlite_connection *connection, struct sqlite_table *table,
                                       uint32_t now, struct backend_visitor *visitor,
                                       struct backend_error *ret_error) {
    int result;
    bool wanted = true;
    while (wanted && (result = sqlite3_step(table->pick)) == SQLITE_ROW) {
        struct slice key = {sqlite3_column_blob(table->pick, 0),
                            (size_t)sqlite3_column_bytes(table->pick, 0)};
        struct entry entry = {.key = key};
        bool found = true;
        if (!visitor->keys_only && seek_row(table, key, now, &found) != SQLITE_OK)
            return sqlite_fail(connection, "scanning", ret_error);
        if (found && !visitor->keys_only)
            read_row(table->load, &entry);
        if (found)
            wanted = visitor->entry(visitor, &entry);
        sqlite3_reset(table->load);
    }
    if (wanted && result != SQLITE_DONE)
        return sqlite_fail(connection, "scanning", ret_error);
    return BACKEND_OK;
}

static enum backend_status sqlite_scan(struct backend_connection *base, const struct backend_table *table,
                                       size_t limit, uint32_t now, struct backend_visitor *visitor,
                                       struct backend_error *ret_error) {
    struct sqlite_connection *connection = of(base);
    struct sqlite_table *from = sqlite_table_of(connection, table);
    if (from->own_sql)
        return BACKEND_OK; /* there is no statement that lists the application's rows */
    sqlite3_bind_int64(from->pick, 1, now);
    sqlite3_bind_int64(from->pick, 2, limit > INT64_MAX ? INT64_MAX : (sqlite3_int64)limit);
    enum backend_status status = show_picked(connection, from, now, visitor, ret_error);
    sqlite3_reset(from->load);
    sqlite3_reset(from->pick);
    return status;
}

const struct backend_type sqlite_backend = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .high_version = sqlite_high_version,
    .load = sqlite_load,
    .apply = sqlite_apply,
    .scan = sqlite_scan,
    .maintain = sqlite_maintain,
    .close = sqlite_close,
};
