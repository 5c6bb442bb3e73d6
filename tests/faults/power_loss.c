/* SPDX-License-Identifier: MIT */
/*
 * A power cut for whole servers: a library to preload (LD_PRELOAD) that keeps, beside a folder, what its
 * files would hold after the power failed.
 *
 *     POWER_FOLDER  the folder whose files are watched, as an absolute path
 *     POWER_DISK    where the copy is kept: what was synced, file by file
 *     POWER_BOOT    a file that stands for /proc/sys/kernel/random/boot_id: a restart looks like a reboot
 *
 * A file's content enters the copy when it is synced (whole by fsync and fdatasync, a range by pwritev2 with
 * RWF_DSYNC), and not before; names change at once (rename, unlink), which is as unkind as a journaling file
 * system may be to data that was not synced before them. After a kill -9 the test puts the copy in the
 * folder's place: what was written and not synced is gone.
 *
 * A kill in the middle of a sync leaves a part of the new content in the copy, as it would on the disk.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The C library's own function behind one of ours. */
static void *beyond(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

/* The place in the copy of a file in the folder; false for any other file. */
static bool place_of(const char *path, char place[PATH_MAX]) {
    const char *folder = getenv("POWER_FOLDER"), *disk = getenv("POWER_DISK");
    char whole[PATH_MAX];
    if (!folder || !disk)
        return false;
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole) || strlen(whole) + strlen(path) + 2 > sizeof whole)
            return false;
        strcat(strcat(whole, "/"), path);
        path = whole;
    }
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0 || path[length] != '/')
        return false;
    return snprintf(place, PATH_MAX, "%s%s", disk, path + length) < PATH_MAX;
}

static bool place_of_file(int file, char place[PATH_MAX]) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    return path[0] == '/' && !strstr(path, " (deleted)") && place_of(path, place);
}

static void make_folders(char *place) {
    for (char *slash = strchr(place + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(place, 0700);
        *slash = '/';
    }
}

static void copy(int from, int to, off_t at, off_t end) {
    static char buffer[1 << 20]; /* under the lock */
    while (at < end) {
        size_t size = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
        ssize_t got = pread(from, buffer, size, at);
        if (got <= 0 || pwrite(to, buffer, (size_t)got, at) != got)
            break;
        at += got;
    }
}

/* What the file holds from at to end is on the disk from now on; end < 0: the whole of it, and its size. */
static void keep(int file, off_t at, off_t end) {
    char place[PATH_MAX], link[64];
    struct stat info;
    if (!place_of_file(file, place))
        return;
    pthread_mutex_lock(&lock);
    make_folders(place);
    /* Where the file can be read through the descriptor at hand, it is not opened anew: closing any
     * descriptor of a file drops the process's POSIX locks on it, and SQLite's last connection elsewhere
     * would then delete the WAL. */
    bool readable = (fcntl(file, F_GETFL) & O_ACCMODE) != O_WRONLY;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int from = readable ? file : open(link, O_RDONLY | O_CLOEXEC);
    int to = open(place, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (from >= 0 && to >= 0 && fstat(from, &info) == 0 && S_ISREG(info.st_mode)) {
        copy(from, to, at, end < 0 ? info.st_size : end);
        if (end < 0 && ftruncate(to, info.st_size) != 0)
            abort();
    }
    if (from >= 0 && from != file)
        close(from);
    if (to >= 0)
        close(to);
    pthread_mutex_unlock(&lock);
}

int fsync(int file) {
    int (*real)(int) = beyond("fsync");
    keep(file, 0, -1);
    return real(file);
}

int fdatasync(int file) {
    int (*real)(int) = beyond("fdatasync");
    keep(file, 0, -1);
    return real(file);
}

ssize_t pwritev2(int file, const struct iovec *pieces, int count, off_t at, int flags) {
    ssize_t (*real)(int, const struct iovec *, int, off_t, int) = beyond("pwritev2");
    ssize_t written = real(file, pieces, count, at, flags);
    if (written > 0 && at >= 0 && (flags & (RWF_DSYNC | RWF_SYNC)))
        keep(file, at, at + written);
    return written;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = beyond("rename");
    char place_from[PATH_MAX], place_to[PATH_MAX];
    int result = real(from, to);
    if (result == 0 && place_of(from, place_from) && place_of(to, place_to))
        real(place_from, place_to);
    return result;
}

int unlink(const char *path) {
    int (*real)(const char *) = beyond("unlink");
    char place[PATH_MAX];
    int result = real(path);
    if (result == 0 && place_of(path, place))
        real(place);
    return result;
}

FILE *fopen(const char *path, const char *mode) {
    FILE *(*real)(const char *, const char *) = beyond("fopen");
    const char *boot = getenv("POWER_BOOT");
    return real(boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? boot : path, mode);
}

/* Programs built for large files call them by these names. */
FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));
ssize_t pwritev64v2(int file, const struct iovec *pieces, int count, off64_t at, int flags)
    __attribute__((alias("pwritev2")));
