/* SPDX-License-Identifier: MIT */
/*
 * A flock of the file `lock`. It belongs to the open file: it excludes a second user in the same process as well, and
 * ends with the process, however that ends. The pid inside is for people only.
 */
#include "policies/journal/folder_lock.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOLDER_SIZE = 32 };

static void read_pid(int file, char ret_holder[HOLDER_SIZE]) {
    ssize_t n = pread(file, ret_holder, HOLDER_SIZE - 1, 0);
    ret_holder[n < 0 ? 0 : n] = '\0';
    ret_holder[strcspn(ret_holder, "\n")] = '\0';
}

static enum journal_status refuse(const char *folder, int file, struct journal_error *error) {
    char holder[HOLDER_SIZE];
    read_pid(file, holder);
    fit_print(
        error->message, sizeof error->message,
        "the data folder %s is in use by another process (pid %s); two servers must not share one: stop that one, or give this one a data folder of its own",
        folder, holder[0] == '\0' ? "unknown" : holder);
    return JOURNAL_LOCKED;
}

static enum journal_status fail(const char *folder, const char *what, struct journal_error *error) {
    fit_print(error->message, sizeof error->message, "cannot %s in %s: %s", what, folder,
              own_file_reason(errno).text);
    return JOURNAL_FAILED;
}

/* The user of earlier runs was another: the other files are his, too. */
static enum journal_status fail_open(const char *folder, const char *path, struct journal_error *error) {
    struct stat status;
    if (errno != EACCES || lstat(path, &status) != 0)
        return fail(folder, "open the file lock", error);
    fit_print(
        error->message, sizeof error->message,
        "cannot open %s/lock, which belongs to user %u, as user %u: give the whole folder to this user (chown -R), or run as the other one",
        folder, (unsigned)status.st_uid, (unsigned)geteuid());
    return JOURNAL_FAILED;
}

static void note_pid(int file) {
    char holder[HOLDER_SIZE];
    int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, holder, (size_t)length, 0) != length)
        return; /* a full disk: the pid is unknown then */
}

enum journal_status folder_lock_take(const char *folder, int *ret_lock, struct journal_error *ret_error) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/lock", folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return fail(folder, "make a file", ret_error);
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fail(folder, "make the data folder", ret_error);
    int file = own_file_open(path, O_RDWR | O_CREAT);
    if (file < 0)
        return fail_open(folder, path, ret_error);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        enum journal_status status = errno == EWOULDBLOCK ? refuse(folder, file, ret_error)
                                                          : fail(folder, "lock the file lock", ret_error);
        close(file);
        return status;
    }
    note_pid(file);
    *ret_lock = file;
    return JOURNAL_OK;
}

static bool look(const char *folder, char ret_holder[HOLDER_SIZE]) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/lock", folder) >= (int)sizeof path)
        return false;
    int file = own_file_open(path, O_RDONLY);
    if (file < 0)
        return false;
    bool held = flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    read_pid(file, ret_holder);
    close(file);
    return held;
}

bool folder_lock_is_held(const char *folder) {
    char holder[HOLDER_SIZE];
    return look(folder, holder);
}

long folder_lock_holder(const char *folder) {
    char holder[HOLDER_SIZE];
    return look(folder, holder) ? strtol(holder, NULL, 10) : 0;
}

void folder_lock_release(int lock) {
    if (lock >= 0)
        close(lock);
}
