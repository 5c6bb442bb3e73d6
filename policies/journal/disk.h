/* SPDX-License-Identifier: MIT */
/*
 * The calls by which the journal reaches the disk, as a table, so that tests can put a disk below it that
 * fills up, fails, or forgets what was not synced. journal_disk_system is the real one.
 *
 * A file is a descriptor, opened and closed by the table; the caller owns it. Any thread, as far as the
 * system's calls allow.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_DISK_H
#define FOREBAY_POLICIES_JOURNAL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { JOURNAL_BOOT_SIZE = 16 };

/* All MUST be there. They return as the system calls they are named after: -1 and errno on failure. */
struct journal_disk {
    /* As own_file_open: no link is followed, and O_CREAT with O_TRUNC is a new file. */
    int (*open)(const struct journal_disk *self, const char *path, int flags);
    void (*close)(const struct journal_disk *self, int file);
    ssize_t (*read_at)(const struct journal_disk *self, int file, void *to, size_t size, uint64_t offset);
    ssize_t (*write_at)(const struct journal_disk *self, int file, const void *from, size_t size,
                        uint64_t offset);
    /* Durable when it returns: this range at least, and what is needed to find it. */
    ssize_t (*write_synced_at)(const struct journal_disk *self, int file, const void *from, size_t size,
                               uint64_t offset);
    /* Makes it at least so long, with blocks below all of it. */
    int (*allocate)(const struct journal_disk *self, int file, uint64_t size);
    int (*truncate)(const struct journal_disk *self, int file, uint64_t size);
    int (*sync)(const struct journal_disk *self, int file);
    /* The names in it are durable afterwards. */
    int (*sync_folder)(const struct journal_disk *self, const char *path);
    int (*rename)(const struct journal_disk *self, const char *from, const char *to);
    int (*remove)(const struct journal_disk *self, const char *path);
    /* Is this the file that has the path? True if that cannot be found out. */
    bool (*is_at)(const struct journal_disk *self, int file, const char *path);
    /* Bytes that are free for us where the folder is; UINT64_MAX if unknown. */
    uint64_t (*room)(const struct journal_disk *self, const char *path);
    /* A number that changes only when the system is rebooted: where two are equal, nothing that was written
     * in between is lost, synced or not. All zero if unknown. */
    void (*boot)(const struct journal_disk *self, uint8_t ret_boot[JOURNAL_BOOT_SIZE]);
};

extern const struct journal_disk journal_disk_system;

/* Writes all of it, or returns -1 and errno; a write that ends early is continued. */
int journal_disk_write(const struct journal_disk *disk, int file, const void *from, size_t size,
                       uint64_t offset);
int journal_disk_write_synced(const struct journal_disk *disk, int file, const void *from, size_t size,
                              uint64_t offset);

/* Whether a call failed for want of room (errno): it may succeed once there is some, without a repair. */
bool journal_disk_is_full(int failure);

/* Reads up to size bytes and returns how many there were, or -1 and errno. */
ssize_t journal_disk_read(const struct journal_disk *disk, int file, void *to, size_t size, uint64_t offset);

#endif
