/* SPDX-License-Identifier: MIT */
/*
 * Low-water files out of any bytes: two copies, each with what an enemy or a disk makes of it, mostly under a CRC that
 * is right; read from a disk in memory. What is taken must be what a new file of it says, too.
 */
#ifndef FOREBAY_TESTS_FUZZ_LOW_WATER_H
#define FOREBAY_TESTS_FUZZ_LOW_WATER_H

#include "policies/journal/crc32c.h"
#include "policies/journal/disk.h"
#include "policies/journal/low_water_file.h"
#include "tests/fuzz/choices.h"
#include <endian.h>
#include <errno.h>

enum { LOW_WATER_COPY = 16384, LOW_WATER_BYTES = 4 * LOW_WATER_COPY };

/* A disk with one file, which every name means. */
struct memory_disk {
    struct journal_disk base; /* first */
    char bytes[LOW_WATER_BYTES];
    size_t size;
};

static inline struct memory_disk *memory_disk_of(const struct journal_disk *disk) {
    return (struct memory_disk *)(uintptr_t)disk;
}

static inline int memory_open(const struct journal_disk *self, const char *path, int flags) {
    (void)self;
    (void)path;
    (void)flags;
    return 3;
}

static inline void memory_close(const struct journal_disk *self, int file) {
    (void)self;
    (void)file;
}

static inline ssize_t memory_read(const struct journal_disk *self, int file, void *to, size_t size,
                                  uint64_t offset) {
    const struct memory_disk *disk = memory_disk_of(self);
    (void)file;
    size_t left = offset < disk->size ? disk->size - (size_t)offset : 0, n = size < left ? size : left;
    if (n)
        memcpy(to, disk->bytes + offset, n);
    return (ssize_t)n;
}

static inline ssize_t memory_write(const struct journal_disk *self, int file, const void *from, size_t size,
                                   uint64_t offset) {
    struct memory_disk *disk = memory_disk_of(self);
    (void)file;
    if (offset + size > sizeof disk->bytes) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(disk->bytes + offset, from, size);
    disk->size = offset + size > disk->size ? (size_t)offset + size : disk->size;
    return (ssize_t)size;
}

static inline int memory_rename(const struct journal_disk *self, const char *from, const char *to) {
    (void)self;
    (void)from;
    (void)to;
    return 0;
}

static inline int memory_sync_folder(const struct journal_disk *self, const char *path) {
    (void)self;
    (void)path;
    return 0;
}

/* The rest is the system's, and is not used. */
static inline void memory_disk_begin(struct memory_disk *disk) {
    disk->base = journal_disk_system;
    disk->base.open = memory_open;
    disk->base.close = memory_close;
    disk->base.read_at = memory_read;
    disk->base.write_at = disk->base.write_synced_at = memory_write;
    disk->base.rename = memory_rename;
    disk->base.sync_folder = memory_sync_folder;
}

static inline char *low_water_put(char *to, uint64_t number, size_t size) {
    number = htole64(number);
    memcpy(to, &number, size);
    return to + size;
}

/* One copy: magic 8, CRC 4, count 4, serial 8, entries (version 8, length 2, name), supplements. */
static inline void low_water_make_copy(char *copy, struct choices *choices) {
    memset(copy, 0, LOW_WATER_COPY);
    memcpy(copy, "FOREBAYL", 8);
    unsigned count = choose(choices, 6), wrong = choose(choices, 8);
    low_water_put(copy + 12, wrong == 0 ? choose_bits(choices, 4) : count, 4);
    low_water_put(copy + 16, choose(choices, 4), 8);
    char *at = copy + 24;
    for (unsigned i = 0; i < count; i++) {
        size_t length = 1 + choose(choices, 40);
        at = low_water_put(at, choose_bits(choices, 8), 8);
        at = low_water_put(at, wrong == 1 ? choose_bits(choices, 2) : length, 2);
        memset(at, 'a' + (int)i, length);
        at += length;
    }
    for (unsigned i = 0; i < count; i++)
        at = low_water_put(low_water_put(at, choose(choices, 3), 8), choose(choices, 3), 8);
    if (wrong == 2)
        copy[choose_place(choices, LOW_WATER_COPY)] = (char)choose(choices, 256);
    low_water_put(copy + 8, crc32c(0, copy + 12, LOW_WATER_COPY - 12), 4);
    if (wrong == 3)
        copy[choose_place(choices, LOW_WATER_COPY)] ^= (char)(1 + choose(choices, 255));
}

static inline bool low_waters_equal(struct low_waters *a, struct low_waters *b) {
    bool equal = a->count == b->count && a->file_count == b->file_count;
    for (size_t i = 0; equal && i < a->file_count; i++)
        equal = a->files[i].series == b->files[i].series && a->files[i].sequence == b->files[i].sequence;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = slice_equal(a->list[i].space, b->list[i].space) && a->list[i].version == b->list[i].version &&
                a->list[i].mark == b->list[i].mark && a->list[i].forgotten == b->list[i].forgotten;
    return equal;
}

/* What was taken, written anew and read again, is the same, if there is room for it on this disk. */
static inline void low_water_check_again(struct memory_disk *disk, struct low_waters *taken) {
    struct low_waters again = {0};
    uint64_t serial = taken->serial;
    disk->size = 0;
    if (!low_water_file_create(&disk->base, "folder", taken))
        return;
    FUZZ_CHECK(low_water_file_read(&disk->base, "folder", &again) == LOW_WATER_OK);
    FUZZ_CHECK(low_waters_equal(taken, &again) && again.serial == serial + 1);
    low_waters_free(&again);
}

static inline void check_low_water(const uint8_t *data, size_t size) {
    static struct memory_disk disk;
    struct choices choices = choices_of(data, size);
    struct low_waters taken = {0};
    memory_disk_begin(&disk);
    unsigned cut = choose(&choices, 8);
    low_water_make_copy(disk.bytes, &choices);
    low_water_make_copy(disk.bytes + LOW_WATER_COPY, &choices);
    disk.size = 2 * LOW_WATER_COPY;
    if (cut == 0)
        disk.size = choose_place(&choices, disk.size);
    enum low_water_status status = low_water_file_read(&disk.base, "folder", &taken);
    FUZZ_CHECK(status == LOW_WATER_OK || status == LOW_WATER_DAMAGED);
    if (status == LOW_WATER_OK)
        low_water_check_again(&disk, &taken);
    low_waters_free(&taken);
}

#endif
