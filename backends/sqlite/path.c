/* SPDX-License-Identifier: MIT */
/* Where a database is: its path, whether that leads anywhere, and how long it may be. */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *sqlite_path_of(const struct backend_options *options) {
    const char *path = options->uri + strlen("sqlite:");
    char *whole = NULL;
    const char *folder = options->data && *options->data ? options->data : ".";
    if (*path == '/')
        return strdup(path);
    return asprintf(&whole, "%s/%s", folder, path) < 0 ? NULL : whole;
}

/* Whether there is nothing, or no folder, in the place that the first bytes of a path name; errno says which. */
static bool is_no_folder(const char *path, size_t length) {
    char folder[PATH_MAX];
    struct stat status;
    if (length >= sizeof folder)
        return false;
    memcpy(folder, path, length);
    folder[length] = '\0';
    if (stat(folder, &status) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    errno = ENOTDIR;
    return !S_ISDIR(status.st_mode);
}

/* The system follows "z/.." only where z is a folder. SQLite takes both out of the path without a look, so that it
 * would have a database where nobody else finds it: what is named is z. Of a folder without such a step, all of it. */
bool sqlite_folder_is_missing(const char *path, size_t *ret_length) {
    static const char back[] = "/..";
    const char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    for (const char *at = path; (at = strstr(at + 1, back)) && at < slash;) {
        *ret_length = (size_t)(at - path);
        if (at[sizeof back - 1] == '/' && is_no_folder(path, *ret_length))
            return true;
    }
    *ret_length = slash > path ? (size_t)(slash - path) : 1;
    return is_no_folder(path, *ret_length);
}

enum backend_status sqlite_check_folder(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    size_t length;
    if (!sqlite_folder_is_missing(connection->path, &length))
        return BACKEND_OK;
    return backend_fail(ret_error, BACKEND_REFUSED, "backend \"%s\", %s: %s%.*s %s", connection->name,
                        connection->path, errno == ENOENT ? "the folder " : "", (int)length, connection->path,
                        errno == ENOENT ? "does not exist; make it" : "is not a folder; correct the uri");
}

/* Up to where a path is more than slashes and "." at its end. */
static size_t trimmed(const char *path, size_t length) {
    for (;;) {
        while (length > 1 && path[length - 1] == '/')
            length--;
        if (length < 2 || path[length - 1] != '.' || path[length - 2] != '/')
            return length;
        length--;
    }
}

char *sqlite_place_of(const char *path, size_t length) {
    char *whole = strndup(path, trimmed(path, length)), *slash = whole ? strrchr(whole, '/') : NULL,
         *place = NULL;
    if (!whole)
        return NULL;
    const char *name = slash ? slash + 1 : whole;
    if (slash)
        *slash = '\0';
    char *folder = realpath(!slash ? "." : *whole ? whole : "/", NULL);
    if (folder && asprintf(&place, "%s/%s", folder, name) < 0)
        place = NULL;
    free(folder);
    free(whole);
    return place;
}

/* ---- Its length ---- */

/* Without what SQLite leaves out: slashes in a row, and "." for a folder. */
static size_t plain_length(const char *path) {
    size_t length = 0;
    for (const char *at = path; *at; at++) {
        if (*at == '/' && at[1] == '/')
            continue;
        if (*at == '/' && at[1] == '.' && at[2] == '/')
            at++;
        else
            length++;
    }
    return length;
}

/* The length of a path as SQLite has it: whole, and links followed. */
static size_t length_of(const char *path) {
    char working[PATH_MAX] = "", *target = realpath(path, NULL),
         *place = target ? target : sqlite_place_of(path, strlen(path));
    size_t length = place ? strlen(place) : plain_length(path);
    if (!place && *path != '/' && getcwd(working, sizeof working))
        length += strlen(working) + 1;
    free(place);
    return length;
}

/* SQLite says of a path that is too long that there is no such file. It counts the name of a journal beside the
 * database. */
enum backend_status sqlite_check_length(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error) {
    const sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const char *slash = strrchr(connection->path, '/'), *name = slash ? slash + 1 : connection->path;
    size_t length = length_of(connection->path),
           most = vfs ? (size_t)vfs->mxPathname - strlen("-journal") : SIZE_MAX;
    if (length > most)
        return backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", %s: this path has %zu bytes, and SQLite opens none of more than %zu, links followed: give it a shorter one",
            connection->name, connection->path, length, most);
    if (strlen(name) + strlen("-wal") > NAME_MAX)
        return backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", %s: its name is too long for those of the files beside it: give it a shorter one",
            connection->name, connection->path);
    return BACKEND_OK;
}
