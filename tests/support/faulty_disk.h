/* SPDX-License-Identifier: MIT */
/*
 * A disk below the journal that fails on demand and can lose its power.
 *
 * A sync that fails leaves the pages clean and not on disk, as Linux does: only what is written again is
 * synced later.
 *
 * It passes everything on to the real files. If it remembers, it keeps what was in each file, and which names
 * the folder had, when they were last synced. A power loss (faulty_disk_lose_power) makes another folder with
 * what a real disk may hold then: the names that were synced, or those that were there; and of each file what
 * was synced and, page by page at random, what was written since.
 */
#ifndef FOREBAY_TESTS_SUPPORT_FAULTY_DISK_H
#define FOREBAY_TESTS_SUPPORT_FAULTY_DISK_H

#include "policies/journal/disk.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { DISK_FILES_MAX = 512, DISK_NAME_MAX = 64, DISK_PAGE = 4096, DISK_PAGES_MAX = 1024 };

struct disk_file {
    uint64_t inode;
    int handle; /* its own, so that it can be read when it has no name any more */
    char *synced;
    size_t synced_size;
    bool dirty[DISK_PAGES_MAX]; /* written since the last sync, be it a failed one: as Linux has it */
};

struct disk_name {
    char name[DISK_NAME_MAX];
    uint64_t inode;
};

struct faulty_disk {
    struct journal_disk calls; /* first */
    uint8_t boot[JOURNAL_BOOT_SIZE];

    /* Faults: an errno, 0: none. */
    atomic_int write_failure, sync_failure, allocate_failure, rename_failure, folder_failure;
    /* ENOSPC for whatever would make a file longer; what lies within files has its room. What the disk says is free
     * is room's matter alone. */
    atomic_bool full;
    atomic_uint_fast64_t room; /* that it says is free; UINT64_MAX: it cannot tell */
    /* Bytes that can still be written before write_failure counts; a write may end early. */
    atomic_long fail_write_after;
    atomic_ulong writes, syncs;
    atomic_bool hangs; /* syncs do not end before it is healed */
    /* One file (inode, 0: none) that alone fails, with EIO. */
    atomic_uint_fast64_t bad_to_write, bad_to_sync;

    bool remembers;
    pthread_mutex_t lock;
    struct disk_file list[DISK_FILES_MAX];
    size_t count;
    struct disk_name names[DISK_FILES_MAX]; /* as synced */
    size_t name_count;
};

void faulty_disk_init(struct faulty_disk *disk, bool remembers);
void faulty_disk_heal(struct faulty_disk *disk); /* no fault from here on */
void faulty_disk_free(struct faulty_disk *disk);

/* What a power loss right now leaves of folder, in the (empty) folder target. Any thread, at any time. */
void faulty_disk_lose_power(struct faulty_disk *disk, const char *folder, const char *target, unsigned *seed);

/* The same, where no name that was given or taken since the folder was synced has reached the disk. */
void faulty_disk_lose_names(struct faulty_disk *disk, const char *target, unsigned *seed);

#endif
