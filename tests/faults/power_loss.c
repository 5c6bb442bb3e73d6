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
 *
 * Of a sync that fails (injected_faults.c, preloaded before this, says so) nothing is on the disk, and the kernel takes
 * its pages for clean: no later sync puts them there, until they are written again. (What
 * stdio truncates is not followed.)
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, LOST_MAX = 1 << 16 };

struct lost_page {
    dev_t device;
    ino_t file;
    off_t at;
};

void power_loss_sync_failed(int file, off_t at, off_t end);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Pages that the kernel takes for clean and the disk has not; all under the lock. */
static struct lost_page lost[LOST_MAX];
static size_t lost_count;

/* The C library's own function behind one of ours. */
static void *beyond(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

/* ---- The copy: past our own functions, and those that are preloaded before this library ---- */

static int open_file(const char *path, int flags) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static ssize_t read_at(int file, void *data, size_t size, off_t at) {
    return (ssize_t)syscall(SYS_pread64, file, data, size, at);
}

static ssize_t write_at(int file, const void *data, size_t size, off_t at) {
    return (ssize_t)syscall(SYS_pwrite64, file, data, size, at);
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
        syscall(SYS_mkdirat, AT_FDCWD, place, 0700);
        *slash = '/';
    }
}

static struct lost_page *find_lost(const struct stat *info, off_t at) {
    for (size_t i = 0; i < lost_count; i++)
        if (lost[i].file == info->st_ino && lost[i].device == info->st_dev && lost[i].at == at)
            return &lost[i];
    return NULL;
}

static void copy(int from, int to, off_t at, off_t end) {
    static char buffer[1 << 20]; /* under the lock */
    struct stat info;
    if (fstat(from, &info) != 0)
        return;
    while (at < end) {
        off_t page = at - at % PAGE, most = lost_count ? page + PAGE : at + (off_t)sizeof buffer;
        size_t size = (size_t)((most < end ? most : end) - at);
        ssize_t got = read_at(from, buffer, size, at);
        if (got <= 0 ||
            (!(lost_count && find_lost(&info, page)) && write_at(to, buffer, (size_t)got, at) != got))
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
    int from = readable ? file : open_file(link, O_RDONLY);
    int to = open_file(place, O_WRONLY | O_CREAT);
    if (from >= 0 && to >= 0 && fstat(from, &info) == 0 && S_ISREG(info.st_mode)) {
        copy(from, to, at, end < 0 ? info.st_size : end);
        if (end < 0 && syscall(SYS_ftruncate, to, info.st_size) != 0)
            abort();
    }
    if (from >= 0 && from != file)
        close(from);
    if (to >= 0)
        close(to);
    pthread_mutex_unlock(&lock);
}

/* ---- Syncs that fail ---- */

/* Whether the disk has what the file holds there. */
static bool has_page(int file, int disk, off_t at) {
    char here[PAGE], there[PAGE];
    ssize_t size = read_at(file, here, sizeof here, at);
    return size <= 0 || (disk >= 0 && read_at(disk, there, (size_t)size, at) == size &&
                         memcmp(here, there, (size_t)size) == 0);
}

static void lose_pages(int file, int disk, const struct stat *info, off_t at, off_t end) {
    for (at -= at % PAGE; at < end; at += PAGE) {
        if (has_page(file, disk, at) || find_lost(info, at))
            continue;
        if (lost_count == LOST_MAX)
            abort();
        lost[lost_count++] = (struct lost_page){info->st_dev, info->st_ino, at};
    }
}

/* From at to end; end < 0: of the whole file. */
void power_loss_sync_failed(int file, off_t at, off_t end) {
    char place[PATH_MAX], link[64];
    struct stat info;
    if (!place_of_file(file, place) || fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        return;
    pthread_mutex_lock(&lock);
    bool readable = (fcntl(file, F_GETFL) & O_ACCMODE) != O_WRONLY; /* as in keep */
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int from = readable ? file : open_file(link, O_RDONLY);
    int disk = open_file(place, O_RDONLY);
    if (from >= 0)
        lose_pages(from, disk, &info, at, end < 0 ? info.st_size : end);
    if (from >= 0 && from != file)
        close(from);
    if (disk >= 0)
        close(disk);
    pthread_mutex_unlock(&lock);
}

/* These are dirty anew, and written by the next sync. */
static void note_written(int file, off_t at, ssize_t size) {
    struct stat info;
    pthread_mutex_lock(&lock);
    if (lost_count > 0 && size > 0 && fstat(file, &info) == 0)
        for (off_t page = at - at % PAGE; page < at + size; page += PAGE) {
            struct lost_page *found = find_lost(&info, page);
            if (found)
                *found = lost[--lost_count];
        }
    pthread_mutex_unlock(&lock);
}

/* ---- Pages that are gone ---- */

/* A file has no pages from at on any more: it is shorter, or gone, and its number may be another's next. Under the
 * lock. */
static void forget_lost(const struct stat *info, off_t at) {
    for (size_t i = lost_count; i-- > 0;)
        if (lost[i].file == info->st_ino && lost[i].device == info->st_dev && lost[i].at >= at)
            lost[i] = lost[--lost_count];
}

static void note_truncated(int file, off_t size) {
    struct stat info;
    pthread_mutex_lock(&lock);
    if (lost_count > 0 && fstat(file, &info) == 0)
        forget_lost(&info, size);
    pthread_mutex_unlock(&lock);
}

/* Whether what has this name is gone when the name is. Under the lock. */
static bool is_last_name(const char *path, struct stat *ret_info) {
    return lost_count > 0 && lstat(path, ret_info) == 0 && ret_info->st_nlink == 1;
}

int ftruncate(int file, off_t size) {
    int (*real)(int, off_t) = beyond("ftruncate");
    int result = real(file, size);
    if (result == 0)
        note_truncated(file, size);
    return result;
}

int open(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = beyond("open");
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int file = real(path, flags, mode);
    if (file >= 0 && (flags & O_TRUNC))
        note_truncated(file, 0);
    return file;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) = beyond("pwrite");
    ssize_t written = real(file, data, size, at);
    note_written(file, at, written);
    return written;
}

ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = beyond("write");
    ssize_t written = real(file, data, size);
    if (written > 0)
        note_written(file, lseek(file, 0, SEEK_CUR) - written, written);
    return written;
}

/* ---- What reaches the disk ---- */

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
    note_written(file, at, written);
    if (written > 0 && at >= 0 && (flags & (RWF_DSYNC | RWF_SYNC)))
        keep(file, at, at + written);
    return written;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = beyond("rename");
    char place_from[PATH_MAX], place_to[PATH_MAX];
    struct stat info;
    pthread_mutex_lock(&lock);
    bool ends = is_last_name(to, &info);
    int result = real(from, to);
    if (result == 0 && ends)
        forget_lost(&info, 0);
    pthread_mutex_unlock(&lock);
    if (result == 0 && place_of(from, place_from) && place_of(to, place_to))
        real(place_from, place_to);
    return result;
}

int unlink(const char *path) {
    int (*real)(const char *) = beyond("unlink");
    char place[PATH_MAX];
    struct stat info;
    pthread_mutex_lock(&lock);
    bool ends = is_last_name(path, &info);
    int result = real(path);
    if (result == 0 && ends)
        forget_lost(&info, 0);
    pthread_mutex_unlock(&lock);
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
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int ftruncate64(int file, off64_t size) __attribute__((alias("ftruncate")));
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) __attribute__((alias("pwrite")));
ssize_t pwritev64v2(int file, const struct iovec *pieces, int count, off64_t at, int flags)
    __attribute__((alias("pwritev2")));
