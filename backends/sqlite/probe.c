/* SPDX-License-Identifier: MIT */
/*
 * What the writer would find when it opens the file, without leaving a trace.
 *
 * SQLite itself leaves traces: whoever opens a database in WAL mode makes its log and the index of that where they are
 * missing, and writes to the index. So:
 *
 *     no log beside the file, or an empty one   it is opened as a file that nobody changes (immutable)
 *     a log, and its index                      a server runs, or has died: opened for reading, the index too (readonly_shm)
 *     a log without its index                   a copy, or a system that was started anew: without the log, as above. Tables
 *                                               and versions that only the log has are then not seen
 *
 * Beside a server that runs, the first way could read a page that a checkpoint is just writing. What does not look like
 * a database is therefore looked at again.
 */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include "cache/base/writable_folder.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3, PAUSE_US = 50000 };

/* ---- Permissions ---- */

static enum backend_status refuse(const struct sqlite_connection *connection, const char *why,
                                  struct backend_error *ret_error) {
    return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\", %s: %s", connection->name,
                        connection->path, why);
}

/* The start makes the data folder, and no other. Whatever a path says behind it that leads out of it again is seen
 * then. */
static bool will_be_made(const struct backend_options *options, const char *path) {
    size_t length;
    if (!options->data || !sqlite_folder_is_missing(path, &length) || errno != ENOENT)
        return false;
    char *missing = sqlite_place_of(path, length),
         *made = sqlite_place_of(options->data, strlen(options->data));
    bool same = missing && made && strcmp(missing, made) == 0;
    free(missing);
    free(made);
    return same;
}

static enum backend_status probe_folder(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    enum backend_status status = sqlite_check_folder(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    const char *slash = strrchr(connection->path, '/');
    char *folder = slash == connection->path ? strdup("/")
                   : slash                   ? strndup(connection->path, (size_t)(slash - connection->path))
                                             : strdup(".");
    bool writable = folder && folder_is_writable(folder), is_kernels = !writable && errno == EOPNOTSUPP;
    free(folder);
    if (writable)
        return BACKEND_OK;
    return refuse(
        connection,
        is_kernels ? "its folder is in a file system of the kernel, where no files can be made; correct uri"
                   : "nothing can be made in its folder, where also its log has to be; chown or chmod it",
        ret_error);
}

static enum backend_status probe_file(const struct sqlite_connection *connection,
                                      struct backend_error *ret_error) {
    struct stat status;
    enum backend_status kind = sqlite_check_kind(connection, ret_error);
    if (kind != BACKEND_OK)
        return kind;
    if (stat(connection->path, &status) != 0)
        return errno == ENOENT ? BACKEND_OK : refuse(connection, strerror(errno), ret_error);
    return sqlite_check_access(connection, ret_error);
}

/* ---- The database ---- */

/* Whether there is a file beside the database, with something in it. */
static bool has_beside(const struct sqlite_connection *connection, const char *suffix) {
    char *target = realpath(connection->path, NULL), path[4096 + 8];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", target ? target : connection->path, suffix);
    free(target);
    return stat(path, &status) == 0 && status.st_size > 0;
}

/* NULL: out of memory. is_there false: what a start would make, a database without tables, in memory. */
static char *uri_of(const struct sqlite_connection *connection, bool is_there) {
    bool has_log = has_beside(connection, "-wal") && has_beside(connection, "-shm");
    if (!is_there)
        return sqlite3_mprintf("file::memory:");
    sqlite3_str *uri = sqlite3_str_new(NULL);
    sqlite3_str_appendall(uri, "file:");
    for (const char *at = connection->path; *at; at++)
        sqlite3_str_appendf(uri, strchr("?#%", *at) ? "%%%02X" : "%c", (unsigned char)*at);
    sqlite3_str_appendall(uri, has_log ? "?readonly_shm=1" : "?immutable=1");
    return sqlite3_str_finish(uri);
}

static enum backend_status open_to_look(struct sqlite_connection *connection, bool is_there,
                                        const struct sqlite_options *own, struct backend_error *ret_error) {
    char *uri = uri_of(connection, is_there);
    int result = uri ? sqlite3_open_v2(uri, &connection->db,
                                       SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL)
                     : SQLITE_NOMEM;
    sqlite3_free(uri);
    if (!connection->db)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", connection->name);
    if (result != SQLITE_OK || !sqlite_distrust(connection->db, own->trusted_schema))
        return sqlite_refuse_to_open(connection, ret_error);
    sqlite3_extended_result_codes(connection->db, 1);
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite_limit_waiting(connection);
    return BACKEND_OK;
}

/* ---- The whole ---- */

/* Once the schema was looked at. */
static uint64_t version_of(const struct sqlite_connection *connection) {
    bool hidden = has_beside(connection, "-wal") && !has_beside(connection, "-shm");
    return hidden ? BACKEND_VERSION_HIDDEN : connection->high_version;
}

static enum backend_status probe_once(const struct backend_options *options, const struct sqlite_options *own,
                                      uint64_t *ret_version, struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_allocate(options, BACKEND_WRITER);
    struct stat there;
    if (!connection)
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory", options->name);
    enum backend_status status = sqlite_take_tables(connection, options, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_check_length(connection, ret_error);
    if (status == BACKEND_OK && !will_be_made(options, connection->path))
        status = probe_folder(connection, ret_error);
    if (status == BACKEND_OK)
        status = probe_file(connection, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_files_check_log(connection, ret_error);
    if (status == BACKEND_OK)
        status = open_to_look(connection, stat(connection->path, &there) == 0, own, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_schema_probe(connection, ret_error);
    if (status == BACKEND_OK)
        *ret_version = version_of(connection);
    sqlite_close(&connection->base);
    return status;
}

enum backend_status sqlite_probe(const struct backend_options *options, uint64_t *ret_version,
                                 struct backend_error *ret_error) {
    struct sqlite_options own;
    if (!backend_take_specific(&sqlite_backend, &sqlite_backend.options, options->specific, &own))
        return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\" has settings of %s, not of SQLite",
                            options->name, options->specific->type->title);
    enum backend_status status = probe_once(options, &own, ret_version, ret_error);
    for (int tries = 1; tries < TRIES && status == BACKEND_REFUSED; tries++) {
        usleep(PAUSE_US);
        status = probe_once(options, &own, ret_version, ret_error);
    }
    return status;
}
