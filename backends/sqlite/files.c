/* SPDX-License-Identifier: MIT */
/*
 * Whether the files of a database are still those that were opened.
 *
 * A process that has a file open goes on reading and writing it after it was removed, renamed or replaced, and SQLite
 * does not say so. So device and inode of the database, of its log and of the index of the log are compared with what
 * lies at the path: before each load, before and after each batch, and when the writer looks. That is a stat() for
 * each, no system call that waits.
 *
 * A copy that is written over the file in place keeps the inode. It shows by a change of the file that no checkpoint of
 * ours made. A checkpoint by another program changes the file as well, but never takes its high version back; so the
 * file is asked for that, alone and without the log (immutable). What cannot be asked says nothing; what is no
 * database of ours is looked at again after a second, as a checkpoint may have been under way. Only the connection that
 * was open before can tell (backend_connection.witness): to a new one such a file is a database that does not open, and
 * the log beside it would get into whatever is copied there next.
 *
 * A checkpoint that is under way for longer, or was left half done by a process that was killed or whose disk was full,
 * leaves a file that is damaged without its log, and whole with it. The log's index says so. Such a file says nothing
 * until a checkpoint has been finished, which the next one does, ours or another's.
 *
 * What the writer does when the files are others:
 *
 *     database gone or another   the log is copied into the database that is open, which may have been renamed, and is
 *                                then removed from the path: SQLite would mix it with whatever database is put there
 *     written over               the log is renamed to ...-wal.old, for the same reason
 *     log or its index gone      the log is copied into the database, where nothing of it is then missing
 *
 * A start that finds a log and no database waits for that: for one that is made anew, SQLite would empty the log.
 *
 * Where transactions of other programs, or a full disk, do not let the log be copied, it is renamed to ...-wal.kept,
 * and taken back if the same database is put back before anybody has written to it. Without it that is not whole.
 *
 * What is put there is opened when nothing has written to it for a second. A copy on its way must not be opened, but a
 * database that other programs go on using must not be waited for: these respect SQLite's lock, and a copy does not, so
 * that second may be one in which the lock is held.
 */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include "cache/base/clock.h"
#include "cache/base/own_file.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DATABASE, LOG, INDEX, FILES };
enum {
    SETTLE_MS = 1000, /* a file that changed less than this ago may still be being copied */
    LOGS_KEPT = 9,
    PATH_SIZE = 4096 + 8,
    KEPT_PATH_SIZE = PATH_SIZE + 8,
    NOTE_SIZE = KEPT_PATH_SIZE + 64,
};

static const char *const suffixes[FILES] = {"", "-wal", "-shm"};

/* ---- Identities ---- */

/* The log lies beside the file that a link leads to. */
static void path_of(const struct sqlite_connection *connection, int file, char *ret_path, size_t size) {
    const char *open = connection->db ? sqlite3_db_filename(connection->db, "main") : NULL;
    char *target = open ? NULL : realpath(connection->path, NULL);
    const char *beside = open && *open ? open : target ? target : connection->path;
    snprintf(ret_path, size, "%s%s", file == DATABASE ? connection->path : beside, suffixes[file]);
    free(target);
}

/* False: there is none. */
static bool look_at(const struct sqlite_connection *connection, int file, struct stat *ret_status) {
    char path[PATH_SIZE];
    if (file == DATABASE)
        return stat(connection->path, ret_status) == 0;
    path_of(connection, file, path, sizeof path);
    return stat(path, ret_status) == 0;
}

static bool is_file(const struct backend_identity *identity, int file, const struct stat *status) {
    return identity->parts[2 * file] == (uint64_t)status->st_dev &&
           identity->parts[2 * file + 1] == (uint64_t)status->st_ino;
}

/* The first file that is not the one that was opened; FILES: none. */
static int first_other(const struct sqlite_connection *connection) {
    struct stat status;
    for (int file = DATABASE; file < FILES; file++)
        if (!look_at(connection, file, &status) || !is_file(&connection->base.identity, file, &status))
            return file;
    return FILES;
}

static bool is_moved(const struct sqlite_connection *connection) {
    int moved = 0;
    sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved;
}

enum backend_status sqlite_files_note(struct sqlite_connection *connection, struct backend_error *ret_error) {
    struct stat status;
    for (int file = DATABASE; file < FILES; file++) {
        if (!look_at(connection, file, &status) || is_moved(connection))
            return backend_fail(ret_error, BACKEND_TRANSIENT,
                                "backend \"%s\", %s%s: was removed or replaced while it was opened",
                                connection->name, connection->path, suffixes[file]);
        connection->base.identity.parts[2 * file] = status.st_dev;
        connection->base.identity.parts[2 * file + 1] = status.st_ino;
    }
    if (connection->role == BACKEND_WRITER)
        sqlite_files_note_checkpoint(connection, false);
    return BACKEND_OK;
}

/* ---- Who else ---- */

static bool exposed_folder(const char *folder, char *ret_text, size_t size) {
    struct stat status;
    if (stat(folder, &status) != 0 || !(status.st_mode & S_IWOTH))
        return false;
    snprintf(ret_text, size, "every user can write into the folder %s (mode %04o)", folder,
             (unsigned)status.st_mode & 07777);
    return true;
}

static bool exposed_file(const char *folder, const char *path, char *ret_text, size_t size) {
    for (int file = DATABASE; file < FILES; file++) {
        char whole[4096 + 8];
        mode_t mode;
        snprintf(whole, sizeof whole, "%s%s", path, suffixes[file]);
        if (!own_file_is_exposed(folder, whole, &mode))
            continue;
        snprintf(ret_text, size, "every user can %s %s (mode %04o)", mode & S_IWOTH ? "write to" : "read",
                 whole, (unsigned)mode);
        return true;
    }
    return false;
}

bool sqlite_exposed(const struct backend_options *options, char *ret_text, size_t size) {
    char *path = sqlite_path_of(options), *target = path ? realpath(path, NULL) : NULL;
    char *folder = target ? strdup(target) : NULL;
    bool exposed = false;
    if (folder) {
        *strrchr(folder, '/') = '\0';
        const char *around = *folder ? folder : "/";
        exposed = exposed_folder(around, ret_text, size) || exposed_file(around, target, ret_text, size);
    }
    free(folder);
    free(target);
    free(path);
    return exposed;
}

/* ---- Where they are ---- */

/* Takes the path. NULL: there is none. */
static char *folder_of(char *path) {
    char *slash = path ? strrchr(path, '/') : NULL;
    char *folder = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : NULL;
    free(path);
    return folder;
}

/* What a path leads to; of a link to a file that is to be made yet, what the link says. NULL: nothing. */
static char *target_of(const char *path) {
    char said[PATH_MAX], *target = realpath(path, NULL);
    ssize_t size = target ? -1 : readlink(path, said, sizeof said);
    if (size <= 0)
        return target;
    int folder = *said == '/' ? 0 : (int)(strrchr(path, '/') + 1 - path);
    return asprintf(&target, "%.*s%.*s", folder, path, (int)size, said) < 0 ? NULL : target;
}

/* Of a link, the log and its index are beside what it leads to. */
void sqlite_needs(const struct backend_options *options, struct backend_needs *ret_needs) {
    char *path = sqlite_path_of(options), *target = path ? target_of(path) : NULL;
    *ret_needs = (struct backend_needs){.folders = {folder_of(path), folder_of(target)}};
}

/* ---- Written over in place ---- */

/* The file alone, without its log and without locks, which a program that copies does not have. The database is to be
 * closed in any case. */
static int open_alone(const char *path, sqlite3 **ret_db) {
    sqlite3_str *uri = sqlite3_str_new(NULL);
    sqlite3_str_appendall(uri, *path == '/' ? "file://"
                                            : "file:"); /* no authority: a path may begin with // itself */
    for (; *path; path++)
        sqlite3_str_appendf(uri, strchr("?#%", *path) ? "%%%02x" : "%c", *path);
    sqlite3_str_appendall(uri, "?immutable=1");
    char *whole = sqlite3_str_finish(uri);
    int result =
        whole ? sqlite3_open_v2(whole, ret_db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) : SQLITE_NOMEM;
    sqlite3_free(whole);
    return result;
}

/* The high version in the file. SQLITE_OK, or why it is not to be had. */
static int read_file_version(const struct sqlite_connection *connection, sqlite3_int64 *ret_version) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int result = open_alone(connection->path, &db);
    if (result == SQLITE_OK)
        result = sqlite3_prepare_v2(db, "SELECT value FROM forebay_meta WHERE name = 'high_version'", -1,
                                    &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        *ret_version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return result == SQLITE_ROW ? SQLITE_OK : result & 0xff;
}

/* Of the log's index, as the document "WAL-mode File Format" of SQLite has it: how many frames of the log checkpoints
 * have copied into the database, and how many the last one has set out to copy. Nobody but SQLite may open that file:
 * to close it would give up its locks. */
static bool is_half_copied(const struct sqlite_connection *connection) {
    enum { REGION = 32768, COPIED = 96, SET_OUT = 128 };
    sqlite3_file *file = NULL;
    volatile void *index = NULL;
    if (sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        !file || !file->pMethods || file->pMethods->iVersion < 2 || !file->pMethods->xShmMap ||
        file->pMethods->xShmMap(file, 0, REGION, 0, &index) != SQLITE_OK || !index)
        return false;
    const volatile uint32_t *words = index;
    return words[SET_OUT / sizeof *words] > words[COPIED / sizeof *words];
}

static void note_file(struct sqlite_connection *connection, const struct stat *status) {
    connection->changed_at = status->st_mtim;
    connection->size = status->st_size;
    connection->unlike_since_us = 0;
}

void sqlite_files_note_checkpoint(struct sqlite_connection *connection, bool complete) {
    struct stat status;
    sqlite3_int64 version = -1; /* before the first checkpoint the file holds no table of ours yet */
    if (connection->unlike_since_us || !look_at(connection, DATABASE, &status))
        return;
    if (status.st_mtim.tv_sec == connection->changed_at.tv_sec &&
        status.st_mtim.tv_nsec == connection->changed_at.tv_nsec)
        return;
    (void)read_file_version(connection, &version);
    if (complete)
        connection->file_version = (sqlite3_int64)connection->high_version;
    if (version < connection->file_version)
        return; /* written over since: what follows sees the change, and asks again */
    connection->file_version = version;
    note_file(connection, &status);
}

static bool is_changed(const struct sqlite_connection *connection, const struct stat *status) {
    return status->st_mtim.tv_sec != connection->changed_at.tv_sec ||
           status->st_mtim.tv_nsec != connection->changed_at.tv_nsec || status->st_size != connection->size;
}

static bool is_written_over(struct sqlite_connection *connection) {
    struct stat status;
    sqlite3_int64 version = -1;
    if (connection->file_version < 0 || !look_at(connection, DATABASE, &status) ||
        !is_changed(connection, &status))
        return false;
    int result = read_file_version(connection, &version);
    if (result == SQLITE_OK && version < connection->file_version)
        return true;
    if (result == SQLITE_OK) { /* another program's checkpoint */
        connection->file_version = version;
        note_file(connection, &status);
        return false;
    }
    bool unlike = result == SQLITE_NOTADB || result == SQLITE_CORRUPT || result == SQLITE_ERROR ||
                  result == SQLITE_DONE;
    if (unlike && is_half_copied(connection)) {
        connection->unlike_since_us = 0;
        return false;
    }
    uint64_t now_us = monotonic_us();
    if (unlike && !connection->unlike_since_us)
        connection->unlike_since_us = now_us;
    return unlike && now_us - connection->unlike_since_us >= SETTLE_MS * US_PER_MS;
}

/* ---- The writer's farewell ---- */

static bool is_ours(const struct sqlite_connection *connection, int file) {
    struct stat status;
    return look_at(connection, file, &status) && is_file(&connection->base.identity, file, &status);
}

static void remove_if_ours(const struct sqlite_connection *connection, int file) {
    char path[PATH_SIZE];
    path_of(connection, file, path, sizeof path);
    if (is_ours(connection, file))
        unlink(path);
}

/* Under which name a log is kept that has more than its database: the nth. */
static void kept_path_of(const struct sqlite_connection *connection, int n, char *ret_path) {
    char path[PATH_SIZE];
    path_of(connection, LOG, path, sizeof path);
    if (n == 1)
        snprintf(ret_path, KEPT_PATH_SIZE, "%s.kept", path);
    else
        snprintf(ret_path, KEPT_PATH_SIZE, "%s.kept%d", path, n);
}

/* Renames the log, which must not get into what is put there. False: it is not there, or cannot be renamed. */
static bool rename_log(const struct sqlite_connection *connection, const char *name) {
    char path[PATH_SIZE];
    path_of(connection, LOG, path, sizeof path);
    return is_ours(connection, LOG) && rename(path, name) == 0;
}

/* Those that were kept before stay, but for the last. */
static bool keep_log(const struct sqlite_connection *connection, char *ret_kept) {
    int n = 1;
    for (; n <= LOGS_KEPT; n++) {
        kept_path_of(connection, n, ret_kept);
        if (access(ret_kept, F_OK) != 0)
            break;
    }
    return rename_log(connection, ret_kept);
}

static const char *what_happened(const struct sqlite_connection *connection, int other) {
    struct stat status;
    return other == FILES                        ? "was written over by another program"
           : look_at(connection, other, &status) ? "was replaced by another file"
                                                 : "was removed or renamed";
}

/* Copies the log into the database. False: other programs' transactions, or a full disk, were in the way. */
static bool copy_log(struct sqlite_connection *connection) {
    sqlite_limit_waiting(connection);
    return sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL) == SQLITE_OK;
}

static void leave_written_over(struct sqlite_connection *connection) {
    char path[PATH_SIZE], old[KEPT_PATH_SIZE];
    path_of(connection, LOG, path, sizeof path);
    snprintf(old, sizeof old, "%s.old", path);
    rename_log(connection, old);
    remove_if_ours(connection, INDEX);
}

/* Two long paths leave a line no room for the rest of it. */
static void tell_kept(const struct sqlite_connection *connection, const char *kept, char *ret_note) {
    const char *name = strrchr(kept, '/'), *end = strrchr(connection->path, '/');
    bool beside = name && end && name - kept == end - connection->path &&
                  strncmp(kept, connection->path, (size_t)(name - kept)) == 0;
    snprintf(ret_note, NOTE_SIZE, " (its log, without which it is not whole, is %s%s)",
             beside ? name + 1 : kept, beside ? " beside it" : "");
}

/* The database is elsewhere, or nowhere. What is to be told besides goes into the note. */
static void leave_moved(struct sqlite_connection *connection, char *ret_note) {
    char kept[KEPT_PATH_SIZE];
    if (copy_log(connection))
        remove_if_ours(connection, LOG);
    else if (keep_log(connection, kept))
        tell_kept(connection, kept, ret_note);
    else
        snprintf(ret_note, NOTE_SIZE, " (with its log, without which it is not whole)");
    remove_if_ours(connection, INDEX);
}

static void leave(struct sqlite_connection *connection, int other, bool written_over, char *ret_note) {
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite_roll_back(connection);
    if (written_over)
        leave_written_over(connection);
    else if (other == DATABASE)
        leave_moved(connection, ret_note);
    else if (!copy_log(connection))
        snprintf(ret_note, NOTE_SIZE, " (the database may lack a part of it)");
}

static enum backend_status fail_replaced(const struct sqlite_connection *connection, int other,
                                         const char *what, const char *note,
                                         struct backend_error *ret_error) {
    return backend_fail(ret_error, BACKEND_REPLACED, "backend \"%s\", %s%s: %s%s", connection->name,
                        connection->path, other == FILES ? "" : suffixes[other], what, note);
}

enum backend_status sqlite_files_check(struct sqlite_connection *connection,
                                       struct backend_error *ret_error) {
    int other = first_other(connection);
    bool writer = connection->role == BACKEND_WRITER;
    bool written_over = other == FILES && writer && is_written_over(connection);
    connection->base.witness = connection->unlike_since_us != 0;
    if (other == FILES && !written_over)
        return connection->unlike_since_us
                   ? backend_fail(ret_error, BACKEND_TRANSIENT,
                                  "backend \"%s\", %s: is being written by another program", connection->name,
                                  connection->path)
                   : BACKEND_OK;
    const char *what = what_happened(connection, other);
    char note[NOTE_SIZE] = "";
    if (writer)
        leave(connection, other, written_over, note);
    return fail_replaced(connection, other, what, note, ret_error);
}

/* ---- Opened again ---- */

static bool has_settled(const struct stat *status) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_ms = (int64_t)(now.tv_sec - status->st_ctim.tv_sec) * 1000 +
                     (now.tv_nsec - status->st_ctim.tv_nsec) / 1000000;
    return age_ms < 0 || age_ms >= SETTLE_MS; /* the clock may have been set back */
}

/* A copy on its way is empty, or shorter than its beginning says, unless its length was set first. */
static bool seems_whole(const char *path, const struct stat *status) {
    sqlite3 *db = NULL;
    bool is_database = status->st_size > 0 && open_alone(path, &db) == SQLITE_OK &&
                       sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(db);
    return is_database;
}

static bool is_later(const struct timespec *one, const struct timespec *other) {
    return one->tv_sec != other->tv_sec ? one->tv_sec > other->tv_sec : one->tv_nsec > other->tv_nsec;
}

static bool is_same(const struct stat *before, const struct stat *after) {
    return before->st_dev == after->st_dev && before->st_ino == after->st_ino &&
           before->st_size == after->st_size && before->st_ctim.tv_sec == after->st_ctim.tv_sec &&
           before->st_ctim.tv_nsec == after->st_ctim.tv_nsec;
}

/* Who writes by SQLite waits for its lock, so others that go on using a database do not keep it from settling. */
static bool settles_while_locked(const char *path) {
    const struct timespec rest = {SETTLE_MS / 1000, SETTLE_MS % 1000 * 1000000L};
    struct stat before, after;
    sqlite3 *db = NULL;
    bool settles = false;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_busy_timeout(db, SETTLE_MS);
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK && stat(path, &before) == 0) {
            nanosleep(&rest, NULL);
            settles = stat(path, &after) == 0 && is_same(&before, &after);
        }
    }
    sqlite3_close(db);
    return settles;
}

/* A log of the database that was there before would get into this one. */
static void remove_log_of_another(const struct sqlite_connection *connection, const struct stat *database,
                                  const struct backend_identity *expected) {
    struct stat log;
    if (is_file(expected, DATABASE, database) || !look_at(connection, LOG, &log) ||
        !is_file(expected, LOG, &log))
        return;
    for (int file = LOG; file <= INDEX; file++) {
        char path[PATH_SIZE];
        path_of(connection, file, path, sizeof path);
        unlink(path);
    }
}

/* The log that was kept when the database was left goes back beside it, if nothing has written to that since. */
static void take_log_back(const struct sqlite_connection *connection, const struct stat *database,
                          const struct backend_identity *expected) {
    char path[PATH_SIZE], kept[KEPT_PATH_SIZE];
    struct stat log;
    path_of(connection, LOG, path, sizeof path);
    if (!is_file(expected, DATABASE, database) || access(path, F_OK) == 0)
        return;
    for (int n = 1; n <= LOGS_KEPT; n++) {
        kept_path_of(connection, n, kept);
        if (stat(kept, &log) == 0 && is_file(expected, LOG, &log) &&
            !is_later(&database->st_mtim, &log.st_ctim))
            rename(kept, path);
    }
}

static enum backend_status miss_database(const struct sqlite_connection *connection,
                                         struct backend_error *ret_error) {
    return backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", %s: there is no database any more; put it back, or a copy in its place, or an empty file",
        connection->name, connection->path);
}

/* Whoever puts a file there may still be copying it. */
static enum backend_status await_whole(const struct sqlite_connection *connection,
                                       const struct stat *database, struct backend_error *ret_error) {
    if (has_settled(database) ||
        (seems_whole(connection->path, database) && settles_while_locked(connection->path)))
        return BACKEND_OK;
    return backend_fail(ret_error, BACKEND_TRANSIENT,
                        "backend \"%s\", %s: was written to just now, perhaps it is still being copied",
                        connection->name, connection->path);
}

enum backend_status sqlite_files_prepare(const struct sqlite_connection *connection,
                                         const struct backend_identity *expected, bool renews,
                                         struct backend_error *ret_error) {
    struct stat database;
    if (!look_at(connection, DATABASE, &database))
        return miss_database(connection, ret_error);
    enum backend_status status = sqlite_check_kind(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (renews && is_file(expected, DATABASE, &database)) /* it was written to just now: by us */
        return BACKEND_OK;
    remove_log_of_another(connection, &database, expected);
    take_log_back(connection, &database, expected);
    return await_whole(connection, &database, ret_error);
}

enum backend_status sqlite_files_check_log(const struct sqlite_connection *connection,
                                           struct backend_error *ret_error) {
    char log[PATH_SIZE];
    struct stat status;
    if (look_at(connection, DATABASE, &status) || !look_at(connection, LOG, &status) || status.st_size == 0)
        return BACKEND_OK;
    path_of(connection, LOG, log, sizeof log);
    return backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", %s: there is no database any more, and its log, without which it is not whole, still is: put it back beside that, or move %s away, and put a copy or an empty file in its place",
        connection->name, connection->path, log);
}

enum backend_status sqlite_files_sight(const struct sqlite_connection *connection,
                                       struct backend_sighting *sighting, struct backend_error *ret_error) {
    struct stat database;
    enum backend_status status = sqlite_files_check_log(connection, ret_error);
    if (status != BACKEND_OK)
        sighting->seen = true;
    if (look_at(connection, DATABASE, &database)) {
        sighting->seen |= database.st_size > 0;
        return sighting->gone ? await_whole(connection, &database, ret_error) : BACKEND_OK;
    }
    sighting->gone |= sighting->seen;
    return sighting->gone && status == BACKEND_OK ? miss_database(connection, ret_error) : status;
}
