/* SPDX-License-Identifier: MIT */
#include "tests/support/faulty_disk.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = DISK_PAGE, PATH_SIZE = 512 };

static const struct journal_disk *real(void) {
    return &journal_disk_system;
}
static struct faulty_disk *disk_of(const struct journal_disk *self) {
    return (struct faulty_disk *)(uintptr_t)self;
}

static void must(bool good, const char *what) {
    if (!good) {
        perror(what);
        abort();
    }
}

static uint64_t inode_of(int file) {
    struct stat status;
    must(fstat(file, &status) == 0, "fstat");
    return status.st_ino;
}

static struct disk_file *find_file(struct faulty_disk *disk, uint64_t inode) {
    for (size_t i = 0; i < disk->count; i++)
        if (disk->list[i].inode == inode)
            return &disk->list[i];
    return NULL;
}

static char *contents(int file, size_t *ret_size) {
    struct stat status;
    must(fstat(file, &status) == 0, "fstat");
    char *data = malloc((size_t)status.st_size + 1);
    must(data != NULL, "malloc");
    ssize_t n = journal_disk_read(real(), file, data, (size_t)status.st_size, 0);
    must(n >= 0, "read");
    *ret_size = (size_t)n;
    return data;
}

/* ---- The table ---- */

static int disk_open(const struct journal_disk *self, const char *path, int flags) {
    struct faulty_disk *disk = disk_of(self);
    int file = real()->open(real(), path, flags);
    if (file < 0 || !disk->remembers)
        return file;
    pthread_mutex_lock(&disk->lock);
    if (!find_file(disk, inode_of(file))) {
        must(disk->count < DISK_FILES_MAX, "files");
        struct disk_file *kept = &disk->list[disk->count++];
        *kept = (struct disk_file){.inode = inode_of(file), .handle = open(path, O_RDONLY | O_CLOEXEC)};
        must(kept->handle >= 0, "open");
        if (!(flags & O_CREAT)) /* it was there before: all of it is on the disk */
            kept->synced = contents(file, &kept->synced_size);
    }
    pthread_mutex_unlock(&disk->lock);
    return file;
}

static void disk_close(const struct journal_disk *self, int file) {
    (void)self;
    real()->close(real(), file);
}

static ssize_t disk_read_at(const struct journal_disk *self, int file, void *to, size_t size,
                            uint64_t offset) {
    (void)self;
    return real()->read_at(real(), file, to, size, offset);
}

static void mark_dirty(struct faulty_disk *disk, int file, size_t size, uint64_t offset) {
    pthread_mutex_lock(&disk->lock);
    struct disk_file *kept = find_file(disk, inode_of(file));
    must(kept && size > 0 && (offset + size - 1) / PAGE < DISK_PAGES_MAX, "a write to a known page");
    for (uint64_t page = offset / PAGE; page <= (offset + size - 1) / PAGE; page++)
        kept->dirty[page] = true;
    pthread_mutex_unlock(&disk->lock);
}

static uint64_t size_of(int file) {
    struct stat status;
    must(fstat(file, &status) == 0, "fstat");
    return (uint64_t)status.st_size;
}

static ssize_t disk_write_at(const struct journal_disk *self, int file, const void *from, size_t size,
                             uint64_t offset) {
    struct faulty_disk *disk = disk_of(self);
    atomic_fetch_add(&disk->writes, 1);
    int failure = atomic_load(&disk->write_failure);
    if (atomic_load(&disk->bad_to_write) == inode_of(file)) {
        errno = EIO;
        return -1;
    }
    if (atomic_load(&disk->full) && offset + size > size_of(file)) {
        errno = ENOSPC;
        return -1;
    }
    if (failure != 0) {
        long left = atomic_fetch_sub(&disk->fail_write_after, (long)size);
        if (left <= 0) {
            errno = failure;
            return -1;
        }
        if ((size_t)left < size)
            size = (size_t)left;
    }
    ssize_t n = real()->write_at(real(), file, from, size, offset);
    if (n > 0 && disk->remembers)
        mark_dirty(disk, file, (size_t)n, offset); /* behind it: a sync in between covers less, never more */
    return n;
}

/* The range, in what counts as synced. */
static void remember_range(struct faulty_disk *disk, int file, const void *from, size_t size,
                           uint64_t offset) {
    pthread_mutex_lock(&disk->lock);
    struct disk_file *kept = find_file(disk, inode_of(file));
    must(kept, "a write to an unknown file");
    if (kept->synced_size < offset + size) {
        char *longer = realloc(kept->synced, offset + size);
        must(longer, "realloc");
        memset(longer + kept->synced_size, 0, offset + size - kept->synced_size);
        kept->synced = longer;
        kept->synced_size = offset + size;
    }
    memcpy(kept->synced + offset, from, size);
    pthread_mutex_unlock(&disk->lock);
}

static ssize_t disk_write_synced_at(const struct journal_disk *self, int file, const void *from, size_t size,
                                    uint64_t offset) {
    struct faulty_disk *disk = disk_of(self);
    atomic_fetch_add(&disk->syncs, 1);
    if (atomic_load(&disk->sync_failure) != 0) {
        errno = atomic_load(&disk->sync_failure);
        return -1;
    }
    if (!disk->remembers && atomic_load(&disk->write_failure) == 0)
        return real()->write_synced_at(real(), file, from, size, offset);
    ssize_t n = disk_write_at(self, file, from, size, offset);
    if (n > 0 && disk->remembers)
        remember_range(disk, file, from, (size_t)n, offset);
    return n;
}

static int disk_allocate(const struct journal_disk *self, int file, uint64_t size) {
    struct faulty_disk *disk = disk_of(self);
    errno = atomic_load(&disk->full) ? ENOSPC : atomic_load(&disk->allocate_failure);
    if (errno != 0 && size_of(file) < size) /* a full disk has room for what is there already */
        return -1;
    return real()->allocate(real(), file, size);
}

static int disk_truncate(const struct journal_disk *self, int file, uint64_t size) {
    (void)self;
    return real()->truncate(real(), file, size);
}

/* The dirty pages, into what counts as synced. */
static void take_pages(struct disk_file *kept) {
    size_t size = 0;
    char *now = contents(kept->handle, &size);
    char *synced = calloc(1, size + 1);
    must(synced, "calloc");
    memcpy(synced, kept->synced_size > 0 ? kept->synced : "",
           kept->synced_size < size ? kept->synced_size : size);
    for (size_t at = 0; at < size; at += PAGE)
        if (at / PAGE < DISK_PAGES_MAX && kept->dirty[at / PAGE])
            memcpy(synced + at, now + at, size - at < PAGE ? size - at : PAGE);
    free(now);
    free(kept->synced);
    kept->synced = synced;
    kept->synced_size = size;
}

static int disk_sync(const struct journal_disk *self, int file) {
    struct faulty_disk *disk = disk_of(self);
    atomic_fetch_add(&disk->syncs, 1);
    while (atomic_load(&disk->hangs))
        usleep(1000);
    int failure = atomic_load(&disk->bad_to_sync) == inode_of(file) ? EIO : atomic_load(&disk->sync_failure);
    if (!disk->remembers && failure == 0)
        return real()->sync(real(), file);
    if (disk->remembers) {
        pthread_mutex_lock(&disk->lock);
        struct disk_file *kept = find_file(disk, inode_of(file));
        must(kept, "sync of an unknown file");
        if (failure == 0)
            take_pages(kept);
        memset(kept->dirty, 0, sizeof kept->dirty);
        pthread_mutex_unlock(&disk->lock);
    }
    errno = failure;
    return failure == 0 ? 0 : -1;
}

static size_t list_names(const char *folder, struct disk_name *ret_names) {
    char path[PATH_SIZE];
    struct stat status;
    size_t count = 0;
    DIR *stream = opendir(folder);
    must(stream, "opendir");
    for (struct dirent *found; (found = readdir(stream));) {
        snprintf(path, sizeof path, "%s/%.63s", folder, found->d_name);
        if (found->d_name[0] == '.' || stat(path, &status) != 0) /* gone meanwhile */
            continue;
        must(count < DISK_FILES_MAX, "names");
        snprintf(ret_names[count].name, DISK_NAME_MAX, "%.63s", found->d_name);
        ret_names[count++].inode = status.st_ino;
    }
    closedir(stream);
    return count;
}

static int disk_sync_folder(const struct journal_disk *self, const char *path) {
    struct faulty_disk *disk = disk_of(self);
    errno = atomic_load(&disk->folder_failure);
    if (errno != 0)
        return -1;
    if (!disk->remembers)
        return real()->sync_folder(real(), path);
    pthread_mutex_lock(&disk->lock);
    disk->name_count = list_names(path, disk->names);
    pthread_mutex_unlock(&disk->lock);
    return 0;
}

static int disk_rename(const struct journal_disk *self, const char *from, const char *to) {
    struct faulty_disk *disk = disk_of(self);
    errno = atomic_load(&disk->rename_failure);
    if (errno != 0)
        return -1;
    pthread_mutex_lock(&disk->lock); /* not in the middle of a listing */
    int result = real()->rename(real(), from, to);
    pthread_mutex_unlock(&disk->lock);
    return result;
}

static int disk_remove(const struct journal_disk *self, const char *path) {
    struct faulty_disk *disk = disk_of(self);
    pthread_mutex_lock(&disk->lock);
    int result = real()->remove(real(), path);
    pthread_mutex_unlock(&disk->lock);
    return result;
}

static bool disk_is_at(const struct journal_disk *self, int file, const char *path) {
    (void)self;
    return real()->is_at(real(), file, path);
}

static uint64_t disk_room(const struct journal_disk *self, const char *path) {
    struct faulty_disk *disk = disk_of(self);
    (void)path;
    return atomic_load(&disk->room);
}

static void disk_boot(const struct journal_disk *self, uint8_t ret_boot[JOURNAL_BOOT_SIZE]) {
    memcpy(ret_boot, disk_of(self)->boot, JOURNAL_BOOT_SIZE);
}

void faulty_disk_init(struct faulty_disk *disk, bool remembers) {
    memset(disk, 0, sizeof *disk);
    disk->calls = (struct journal_disk){.open = disk_open,
                                        .close = disk_close,
                                        .read_at = disk_read_at,
                                        .write_at = disk_write_at,
                                        .write_synced_at = disk_write_synced_at,
                                        .allocate = disk_allocate,
                                        .truncate = disk_truncate,
                                        .sync = disk_sync,
                                        .sync_folder = disk_sync_folder,
                                        .rename = disk_rename,
                                        .remove = disk_remove,
                                        .is_at = disk_is_at,
                                        .room = disk_room,
                                        .boot = disk_boot};
    disk->boot[0] = 1;
    atomic_init(&disk->room, UINT64_MAX);
    disk->remembers = remembers;
    pthread_mutex_init(&disk->lock, NULL);
}

void faulty_disk_heal(struct faulty_disk *disk) {
    atomic_store(&disk->write_failure, 0);
    atomic_store(&disk->sync_failure, 0);
    atomic_store(&disk->allocate_failure, 0);
    atomic_store(&disk->rename_failure, 0);
    atomic_store(&disk->folder_failure, 0);
    atomic_store(&disk->full, false);
    atomic_store(&disk->hangs, false);
    atomic_store(&disk->bad_to_write, 0);
    atomic_store(&disk->bad_to_sync, 0);
}

void faulty_disk_free(struct faulty_disk *disk) {
    for (size_t i = 0; i < disk->count; i++) {
        close(disk->list[i].handle);
        free(disk->list[i].synced);
    }
    pthread_mutex_destroy(&disk->lock);
}

/* ---- Power loss ---- */

/* What was synced, and of the pages that changed since, some. A page that was never synced may read as zeros.
 */
static void leave(const struct disk_file *kept, const char *target, const char *name, unsigned *seed) {
    char path[PATH_SIZE];
    size_t size = 0;
    char *now = contents(kept->handle, &size);
    unsigned mood = (unsigned)rand_r(seed) % 3; /* nothing, anything, everything was written by itself */
    for (size_t at = 0; at < size; at += PAGE) {
        size_t length = size - at < PAGE ? size - at : PAGE;
        bool take_now = mood == 2 || (mood == 1 && rand_r(seed) % 2 == 0);
        if (take_now)
            continue;
        size_t synced = at >= kept->synced_size           ? 0
                        : kept->synced_size - at < length ? kept->synced_size - at
                                                          : length;
        memcpy(now + at, synced > 0 ? kept->synced + at : "", synced);
        memset(now + at + synced, 0, length - synced);
    }
    snprintf(path, sizeof path, "%s/%.63s", target, name);
    FILE *file = fopen(path, "wb");
    must(file, path);
    bool is_cut = size < kept->synced_size; /* since, and not synced */
    const char *bytes = is_cut ? kept->synced : now;
    size_t left = is_cut ? kept->synced_size : size;
    must(fwrite(bytes, 1, left, file) == left && fclose(file) == 0, path);
    free(now);
}

static void leave_all(struct faulty_disk *disk, const struct disk_name *names, size_t count,
                      const char *target, unsigned *seed) {
    for (size_t i = 0; i < count; i++) {
        const struct disk_file *kept = find_file(disk, names[i].inode);
        if (kept) /* the lock file goes past the table */
            leave(kept, target, names[i].name, seed);
    }
}

void faulty_disk_lose_names(struct faulty_disk *disk, const char *target, unsigned *seed) {
    pthread_mutex_lock(&disk->lock);
    leave_all(disk, disk->names, disk->name_count, target, seed);
    pthread_mutex_unlock(&disk->lock);
}

void faulty_disk_lose_power(struct faulty_disk *disk, const char *folder, const char *target,
                            unsigned *seed) {
    struct disk_name *now = calloc(DISK_FILES_MAX, sizeof *now);
    must(now, "calloc");
    if (rand_r(seed) % 2 == 0) {
        faulty_disk_lose_names(disk, target, seed);
    } else {
        pthread_mutex_lock(&disk->lock);
        leave_all(disk, now, list_names(folder, now), target, seed);
        pthread_mutex_unlock(&disk->lock);
    }
    free(now);
}
