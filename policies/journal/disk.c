/* SPDX-License-Identifier: MIT */
#include "policies/journal/disk.h"
#include "cache/base/own_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

static int system_open(const struct journal_disk *self, const char *path, int flags) {
    (void)self;
    return own_file_open(path, flags);
}

static void system_close(const struct journal_disk *self, int file) {
    (void)self;
    close(file);
}

static ssize_t system_read_at(const struct journal_disk *self, int file, void *to, size_t size,
                              uint64_t offset) {
    (void)self;
    return pread(file, to, size, (off_t)offset);
}

static ssize_t system_write_at(const struct journal_disk *self, int file, const void *from, size_t size,
                               uint64_t offset) {
    (void)self;
    return pwrite(file, from, size, (off_t)offset);
}

/* Of this range alone where the system can: the rest of the file may hold much that nobody needs any more. */
static ssize_t system_write_synced_at(const struct journal_disk *self, int file, const void *from,
                                      size_t size, uint64_t offset) {
    (void)self;
    struct iovec piece = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};
    ssize_t n = pwritev2(file, &piece, 1, (off_t)offset, RWF_DSYNC);
    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return n;
    n = pwrite(file, from, size, (off_t)offset);
    return n >= 0 && fdatasync(file) != 0 ? -1 : n;
}

static int system_allocate(const struct journal_disk *self, int file, uint64_t size) {
    (void)self;
    int failure = posix_fallocate(file, 0, (off_t)size);
    errno = failure;
    return failure == 0 ? 0 : -1;
}

static int system_truncate(const struct journal_disk *self, int file, uint64_t size) {
    (void)self;
    return ftruncate(file, (off_t)size);
}

static int system_sync(const struct journal_disk *self, int file) {
    (void)self;
    return fdatasync(file);
}

static int system_sync_folder(const struct journal_disk *self, const char *path) {
    (void)self;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    int result = fsync(folder);
    int failure = errno;
    close(folder);
    errno = failure;
    return result;
}

static int system_rename(const struct journal_disk *self, const char *from, const char *to) {
    (void)self;
    return rename(from, to);
}

static int system_remove(const struct journal_disk *self, const char *path) {
    (void)self;
    return unlink(path);
}

static bool system_is_at(const struct journal_disk *self, int file, const char *path) {
    struct stat named, open;
    (void)self;
    if (stat(path, &named) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return fstat(file, &open) != 0 || (open.st_dev == named.st_dev && open.st_ino == named.st_ino);
}

/* "7f3c...-....": 32 hexadecimal digits and dashes. */
static uint64_t system_room(const struct journal_disk *self, const char *path) {
    struct statvfs status;
    (void)self;
    return statvfs(path, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : UINT64_MAX;
}

static void system_boot(const struct journal_disk *self, uint8_t ret_boot[JOURNAL_BOOT_SIZE]) {
    (void)self;
    memset(ret_boot, 0, JOURNAL_BOOT_SIZE);
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file)
        return;
    size_t digits = 0;
    for (int c; digits < 2 * JOURNAL_BOOT_SIZE && (c = getc(file)) != EOF;) {
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0)
            continue;
        ret_boot[digits / 2] = (uint8_t)(ret_boot[digits / 2] << 4 | value);
        digits++;
    }
    fclose(file);
}

const struct journal_disk journal_disk_system = {
    .open = system_open,
    .close = system_close,
    .read_at = system_read_at,
    .write_at = system_write_at,
    .write_synced_at = system_write_synced_at,
    .allocate = system_allocate,
    .truncate = system_truncate,
    .sync = system_sync,
    .sync_folder = system_sync_folder,
    .rename = system_rename,
    .remove = system_remove,
    .is_at = system_is_at,
    .room = system_room,
    .boot = system_boot,
};

typedef ssize_t write_call(const struct journal_disk *self, int file, const void *from, size_t size,
                           uint64_t offset);

static int write_all(const struct journal_disk *disk, write_call *call, int file, const void *from,
                     size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        ssize_t n = call(disk, file, (const char *)from + done, size - done, offset + done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

int journal_disk_write(const struct journal_disk *disk, int file, const void *from, size_t size,
                       uint64_t offset) {
    return write_all(disk, disk->write_at, file, from, size, offset);
}

int journal_disk_write_synced(const struct journal_disk *disk, int file, const void *from, size_t size,
                              uint64_t offset) {
    return write_all(disk, disk->write_synced_at, file, from, size, offset);
}

bool journal_disk_is_full(int failure) {
    return failure == ENOSPC || failure == EDQUOT || failure == EFBIG;
}

ssize_t journal_disk_read(const struct journal_disk *disk, int file, void *to, size_t size, uint64_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = disk->read_at(disk, file, (char *)to + done, size - done, offset + done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}
