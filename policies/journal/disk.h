/* SPDX-License-Identifier: MIT */
/*
 * The calls by which the journal reaches the disk, as a table, so that tests can put a disk below it that
 * fills up, fails, or forgets what was not synced. journal_disk_system is the real one.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_DISK_H
#define FOREBAY_POLICIES_JOURNAL_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { JOURNAL_BOOT_SIZE = 16 };

/* All MUST be there. They return as the system calls they are named after: -1 and errno on failure. */
struct journal_disk {
    int (*open)(const struct journal_disk *self, const char *path, int flags);
    void (*close)(const struct journal_disk *self, int file);
    ssize_t (*read_at)(const struct journal_disk *self, int file, void *to, size_t size, uint64_t offset);
    ssize_t (*write_at)(const struct journal_disk *self, int file, const void *from, size_t size,
                        uint64_t offset);
    /* Durable when it returns: this range at least, and what is needed to find it. */
    ssize_t (*write_synced_at)(const struct journal_disk *self, int file, const void *from, size_t size,
                               uint64_t offset);
    int (*allocate)(const struct journal_disk *self, int file,
                    uint64_t size); /* makes it at least so long, with
                                       blocks below all of it */
    int (*truncate)(const struct journal_disk *self, int file, uint64_t size);
    int (*sync)(const struct journal_disk *self, int file);
    int (*sync_folder)(const struct journal_disk *self, const char *path); /* names are durable afterwards */
    int (*rename)(const struct journal_disk *self, const char *from, const char *to);
    int (*remove)(const struct journal_disk *self, const char *path);
    /* What is the same exactly as long as the system has not been started anew: two equal ones mean that
     * everything written in between is there, synced or not. All zero if unknown. */
    void (*boot)(const struct journal_disk *self, uint8_t ret_boot[JOURNAL_BOOT_SIZE]);
};

extern const struct journal_disk journal_disk_system;

/* All of it or -1; a write that ends early is continued. */
int journal_disk_write(const struct journal_disk *disk, int file, const void *from, size_t size,
                       uint64_t offset);

int journal_disk_write_synced(const struct journal_disk *disk, int file, const void *from, size_t size,
                              uint64_t offset);

/* As much as there is up to size, or -1. */
ssize_t journal_disk_read(const struct journal_disk *disk, int file, void *to, size_t size, uint64_t offset);

#endif
