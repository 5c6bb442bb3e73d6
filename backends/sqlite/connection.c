/* SPDX-License-Identifier: MIT */
/* Connections: the file opened and set up, and closed. */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include "cache/base/clock.h"
#include "cache/base/own_file.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    WRITER_CACHE = 8 << 10, /* KiB of pages the writer may keep: the upper levels of some large tables */
    PATH_SHOWN = 4096 + 9,
};

/* SQLite would make the file readable for all, and gives its log and index the mode of the file. It is made without
 * being opened: to close a descriptor of a database takes SQLite's locks on it away. Where a link leads to nothing,
 * SQLite makes what it leads to, and the process's umask decides. Returns errno, or 0. */
static int make_private(const char *path) {
    return mknod(path, S_IFREG | OWN_FILE_MODE, 0) == 0 ? 0 : errno;
}

/* SQLite says of a file that it may not make that it is not there. */
static bool is_forbidden(int failure) {
    return failure == EROFS || failure == EACCES || failure == EPERM;
}

bool sqlite_distrust(sqlite3 *db, bool trusted_schema) {
    return sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) == SQLITE_OK &&
           sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, trusted_schema, NULL) == SQLITE_OK;
}

/* A database that was there before and is missing is not made anew: that would be an empty one. */
static int open_flags(const struct sqlite_connection *connection, const struct backend_options *options) {
    if (connection->role == BACKEND_READER)
        return SQLITE_OPEN_READONLY;
    bool was_there = options->expected || (options->sighting && options->sighting->seen);
    return was_there ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
}

static enum backend_status open_file(struct sqlite_connection *connection, const struct sqlite_options *own,
                                     const struct backend_options *options, struct backend_error *ret_error) {
    int flags = open_flags(connection, options);
    int failure = 0;
    enum backend_status status = sqlite_check_folder(connection, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_check_kind(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (flags & SQLITE_OPEN_CREATE)
        failure = make_private(connection->path);
    if (sqlite3_open_v2(connection->path, &connection->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        if (!connection->db)
            return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory",
                                connection->name);
        if ((status = sqlite_check_length(connection, ret_error)) != BACKEND_OK)
            return status;
        if (is_forbidden(failure) && access(connection->path, F_OK) != 0)
            return backend_fail(ret_error, BACKEND_REFUSED,
                                "backend \"%s\", %s: cannot be made by user %u: %s; see to its folder",
                                connection->name, connection->path, (unsigned)geteuid(), strerror(failure));
        return sqlite_refuse_to_open(connection, ret_error);
    }
    return sqlite_distrust(connection->db, own->trusted_schema)
               ? BACKEND_OK
               : sqlite_refuse(connection, "cannot set it up", ret_error);
}

static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
enum { SUFFIXES = sizeof suffixes / sizeof *suffixes, OPENED = 3 /* of these, in any case */ };

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode)    ? "directory"
           : S_ISFIFO(mode) ? "pipe"
           : S_ISLNK(mode)  ? "symbolic link"
           : S_ISSOCK(mode) ? "socket"
                            : "device";
}

/* The database itself may be a link: what is beside it is then beside what that leads to. */
enum backend_status sqlite_check_kind(const struct sqlite_connection *connection,
                                      struct backend_error *ret_error) {
    char *target = realpath(connection->path, NULL), path[PATH_SHOWN];
    enum backend_status result = BACKEND_OK;
    struct stat status;
    for (size_t i = 0; i < SUFFIXES && result == BACKEND_OK; i++) {
        snprintf(path, sizeof path, "%s%s", target ? target : connection->path, suffixes[i]);
        bool found = (i == 0 ? stat(path, &status) : lstat(path, &status)) == 0;
        if (found && !S_ISREG(status.st_mode))
            result = backend_fail(
                ret_error, BACKEND_REFUSED,
                "backend \"%s\", %s: is a %s, not a database file; remove it, or correct the path",
                connection->name, path, kind_of(status.st_mode));
    }
    free(target);
    return result;
}

enum backend_status sqlite_check_access(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    char path[PATH_SHOWN];
    for (size_t i = 0; i < OPENED; i++) {
        snprintf(path, sizeof path, "%s%s", connection->path, suffixes[i]);
        if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0 && errno != ENOENT)
            return backend_fail(ret_error, BACKEND_REFUSED,
                                "backend \"%s\", %s: cannot be read and written by user %u: %s; %s",
                                connection->name, path, (unsigned)geteuid(), file_reason(errno).text,
                                errno == EACCES         ? "chown or chmod it"
                                : errno == ENAMETOOLONG ? "correct the uri"
                                                        : "see to its disk");
    }
    return BACKEND_OK;
}

/* SQLite does not say which of its files is closed to this user. */
enum backend_status sqlite_refuse_to_open(const struct sqlite_connection *connection,
                                          struct backend_error *ret_error) {
    enum backend_status status = sqlite_check_access(connection, ret_error);
    return status == BACKEND_OK ? sqlite_refuse(connection, "cannot open", ret_error) : status;
}

/* WAL mode, or why not. Also the first read of the file: here "not a database" is found. */
static enum backend_status enter_wal(struct sqlite_connection *connection, struct backend_error *ret_error) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) != SQLITE_OK)
        return sqlite_refuse_to_open(connection, ret_error);
    bool stepped = sqlite3_step(statement) == SQLITE_ROW;
    bool wal = stepped && strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    sqlite3_finalize(statement);
    if (wal)
        return BACKEND_OK;
    if (!stepped)
        return sqlite_refuse_to_open(connection, ret_error);
    return backend_fail(
        ret_error, BACKEND_REFUSED,
        "backend \"%s\", %s: SQLite cannot use a write-ahead log here (is this a network file system?)",
        connection->name, connection->path);
}

static enum backend_status refuse_unwritable(const struct sqlite_connection *connection,
                                             struct backend_error *ret_error) {
    enum backend_status status = sqlite_check_access(connection, ret_error);
    return status == BACKEND_OK ? backend_fail(ret_error, BACKEND_REFUSED,
                                               "backend \"%s\", %s: it cannot be written to; see to its disk",
                                               connection->name, connection->path)
                                : status;
}

static enum backend_status set_up_writer(struct sqlite_connection *connection, const char *synchronous,
                                         struct backend_error *ret_error) {
    char pragmas[160];
    if (strcmp(synchronous, "full") != 0 && strcmp(synchronous, "normal") != 0)
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\": synchronous is \"full\" or \"normal\", not \"%s\"",
                            connection->name, synchronous);
    if (sqlite3_db_readonly(connection->db, "main") == 1)
        return refuse_unwritable(connection, ret_error);
    enum backend_status status = enter_wal(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA synchronous = %s; PRAGMA wal_autocheckpoint = 0; "
             "PRAGMA cache_size = -%d; PRAGMA secure_delete = off",
             synchronous, (int)WRITER_CACHE);
    if (sqlite3_exec(connection->db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_refuse(connection, "cannot set it up", ret_error);
    sqlite_upkeep_open(connection);
    return BACKEND_OK;
}

void sqlite_limit_waiting(struct sqlite_connection *connection) {
    uint64_t until_us = connection->base.call_until_us, now_us = until_us ? monotonic_us() : 0;
    uint64_t left_ms = until_us > now_us ? (until_us - now_us) / US_PER_MS : 0;
    unsigned busy_ms =
        until_us && left_ms < connection->timeout_ms ? (unsigned)left_ms : connection->timeout_ms;
    if (busy_ms != connection->busy_ms)
        sqlite3_busy_timeout(connection->db, (int)busy_ms);
    connection->busy_ms = busy_ms;
}

static enum backend_status open_all(struct sqlite_connection *connection, const struct sqlite_options *own,
                                    const struct backend_options *options, struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    if (connection->role == BACKEND_WRITER && options->expected)
        status = sqlite_files_prepare(connection, options->expected, options->renews, ret_error);
    else if (connection->role == BACKEND_WRITER && options->sighting)
        status = sqlite_files_sight(connection, options->sighting, ret_error);
    if (status == BACKEND_OK)
        status = open_file(connection, own, options, ret_error);
    if (status != BACKEND_OK)
        return status;
    sqlite3_extended_result_codes(connection->db, 1);
    sqlite_limit_waiting(connection);
    if (connection->role == BACKEND_WRITER)
        status = set_up_writer(connection, own->synchronous, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_schema_open(connection, ret_error);
    return status == BACKEND_OK ? sqlite_files_note(connection, ret_error) : status;
}

void sqlite_close(struct backend_connection *base) {
    if (!base)
        return;
    struct sqlite_connection *connection = sqlite_connection_of(base);
    sqlite_schema_close(connection);
    int result = sqlite3_close(connection->db);
    assert(result == SQLITE_OK); /* every statement is finalized */
    (void)result;
    arena_free(&connection->loaded);
    arena_free(&connection->refusals);
    free(connection->places);
    free(connection->tables);
    free(connection->path);
    free(connection->name);
    free(connection);
}

struct sqlite_connection *sqlite_allocate(const struct backend_options *options, enum backend_role role) {
    struct sqlite_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->base.type = &sqlite_backend;
    connection->role = role;
    connection->file_version = -1;
    connection->base.call_until_us = options->open_until_us;
    connection->timeout_ms = options->timeout_ms;
    connection->running = options->running;
    connection->reads_only = options->reads_only;
    connection->name = strdup(options->name);
    connection->path = sqlite_path_of(options);
    connection->tables = calloc(options->table_count + 1, sizeof *connection->tables);
    if (!connection->name || !connection->path || !connection->tables) {
        sqlite_close(&connection->base);
        return NULL;
    }
    connection->table_count = options->table_count;
    return connection;
}

enum backend_status sqlite_take_tables(struct sqlite_connection *connection,
                                       const struct backend_options *options,
                                       struct backend_error *ret_error) {
    for (size_t i = 0; i < options->table_count; i++) {
        struct sqlite_table *table = &connection->tables[i];
        table->table = options->tables[i];
        assert(table->table->index == i);
        if (!backend_take_specific(&sqlite_backend, &sqlite_backend.table_options, table->table->specific,
                                   &table->options))
            return backend_fail(ret_error, BACKEND_REFUSED,
                                "backend \"%s\": namespace \"%s\" has settings of %s, not of SQLite",
                                options->name, table->table->name, table->table->specific->type->title);
    }
    return BACKEND_OK;
}

enum backend_status sqlite_open(const struct backend_options *options, enum backend_role role,
                                struct backend_connection **ret_connection, struct backend_error *ret_error) {
    static const char form[] = "sqlite:";
    struct sqlite_options own;
    if (strncmp(options->uri, form, sizeof form - 1) != 0 || options->uri[sizeof form - 1] == '\0')
        return backend_fail(ret_error, BACKEND_REFUSED,
                            "backend \"%s\": the URI \"%s\" should be sqlite:PATH", options->name,
                            options->uri);
    if (!backend_take_specific(&sqlite_backend, &sqlite_backend.options, options->specific, &own))
        return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\" has settings of %s, not of SQLite",
                            options->name, options->specific->type->title);
    assert(options->timeout_ms > 0);
    struct sqlite_connection *connection = sqlite_allocate(options, role);
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    enum backend_status status = sqlite_take_tables(connection, options, ret_error);
    if (status == BACKEND_OK)
        status = open_all(connection, &own, options, ret_error);
    connection->base.call_until_us = 0;
    if (status != BACKEND_OK)
        sqlite_close(&connection->base);
    else
        *ret_connection = &connection->base;
    return status;
}
