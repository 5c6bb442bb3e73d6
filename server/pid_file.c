/* SPDX-License-Identifier: MIT */
#include "server/pid_file.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "cache/base/writable_folder.h"
#include "server/public_file.h"
#include <signal.h>
#include <stdlib.h>

enum { HELD = EBUSY }; /* an errno that no open has */

/* ---- The lock ---- */

static int ask_lock(int file, int command, short type, struct flock *ret_lock) {
    *ret_lock = (struct flock){.l_type = type, .l_whence = SEEK_SET};
    return fcntl(file, command, ret_lock);
}

/* By somebody who may write it. */
static bool is_held(int file) {
    struct flock lock;
    return ask_lock(file, F_OFD_GETLK, F_RDLCK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* A reader's lock, or a file system that has no locks, is no reason to refuse: then it is not held. */
static bool take_lock(int file) {
    struct flock lock;
    return ask_lock(file, F_OFD_SETLK, F_WRLCK, &lock) == 0 || !is_held(file);
}

static bool is_held_at(const char *path) {
    int file = own_file_open_as(path, O_RDONLY, 0);
    bool held = file >= 0 && is_held(file);
    if (file >= 0)
        close(file);
    return held;
}

/* ---- What it says ---- */

/* 0: none that could be. */
static long read_pid(const char *path) {
    char line[32] = "";
    FILE *file = own_file_read(path);
    long pid = file && fgets(line, sizeof line, file) ? strtol(line, NULL, 10) : 0;
    if (file)
        fclose(file);
    return pid > 0 && pid == (pid_t)pid ? pid : 0;
}

static void read_name(long pid, char *ret_name, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(ret_name, (int)size, file))
        snprintf(ret_name, size, "of an unknown name");
    ret_name[strcspn(ret_name, "\n")] = '\0';
    if (file)
        fclose(file);
}

bool pid_file_warns(const char *path, char *ret_warning, size_t warning_size) {
    char name[32];
    long pid = read_pid(path);
    if (pid == 0 || pid == getpid() || is_held_at(path) || (kill((pid_t)pid, 0) != 0 && errno == ESRCH))
        return false;
    read_name(pid, name, sizeof name);
    fit_print(
        ret_warning, warning_size,
        "the pid file %s names process %ld (%s), which runs, and is replaced: if it is that process's own, give this one another file (-P)",
        path, pid, name);
    return true;
}

/* ---- Judging, writing, removing ---- */

static struct file_reason reason_of(int failure) {
    switch (failure) {
    case EPERM:
        return (struct file_reason){"it belongs to another user; remove it"};
    case HELD:
        return (struct file_reason){
            "it is that of a server that runs; stop that one, or give this one a file of its own"};
    default:
        return own_file_reason(failure);
    }
}

static bool complain(const char *path, int failure, char *error, size_t error_size) {
    char holder[32] = "";
    long pid = failure == HELD ? read_pid(path) : 0;
    if (pid > 0)
        snprintf(holder, sizeof holder, " (pid %ld)", pid);
    fit_print(error, error_size, "cannot write the pid file %s%s: %s; mend that, or correct -P", path, holder,
              reason_of(failure).text);
    return false;
}

/* An errno; 0: it may be written. */
static int judge(const char *path, long own) {
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT && parent_is_writable(path) ? 0 : errno;
    if (!S_ISREG(status.st_mode))
        return S_ISLNK(status.st_mode) ? ELOOP : ENXIO;
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return EPERM;
    if (access(path, W_OK) != 0)
        return errno;
    return is_held_at(path) && (own == 0 || read_pid(path) != own) ? HELD : 0;
}

bool pid_file_judge(const char *path, long own, char *ret_error, size_t error_size) {
    int failure = judge(path, own);
    return failure == 0 || complain(path, failure, ret_error, error_size);
}

/* One that is there may be all that this user can write to in its folder. Whose it is decides who can change it
 * later. */
static int open_file(const char *path) {
    struct stat status;
    int file = public_file_make(path, O_WRONLY);
    if (file >= 0 || errno != EEXIST)
        return file;
    file = own_file_open_as(path, O_WRONLY, PUBLIC_MODE);
    if (file < 0 || fstat(file, &status) != 0)
        return own_file_fail(file, errno);
    return status.st_uid == geteuid() || status.st_uid == 0 ? file : own_file_fail(file, EPERM);
}

static bool is_at(int file, const char *path) {
    struct stat own, there;
    return fstat(file, &own) == 0 && lstat(path, &there) == 0 && own.st_ino == there.st_ino &&
           own.st_dev == there.st_dev;
}

/* Whoever ends may have removed it before it was held. */
static int open_and_hold(const char *path) {
    for (;;) {
        int file = open_file(path);
        if (file < 0)
            return file;
        if (!take_lock(file))
            return own_file_fail(file, HELD);
        if (is_at(file, path))
            return file;
        close(file);
    }
}

bool pid_file_write(const char *path, int *ret_file, char *ret_error, size_t error_size) {
    int file = open_and_hold(path);
    if (file < 0 || ftruncate(file, 0) != 0 || dprintf(file, "%ld\n", (long)getpid()) <= 0) {
        complain(path, errno, ret_error, error_size);
        if (file >= 0)
            close(file);
        return false;
    }
    *ret_file = file;
    return true;
}

void pid_file_remove(const char *path, int file) {
    if (file < 0)
        return;
    if (is_at(file, path))
        unlink(path);
    close(file);
}
