/* SPDX-License-Identifier: MIT */
/*
 * The low-water versions, per namespace, in a file of their own ("low-water").
 *
 * They must be durable before any file is recycled on their account. Otherwise this could happen: a put of a
 * key is in one file, the later delete in another; both have reached the backend, the file with the delete
 * is recycled, and after a crash the put alone is found and brings the key back.
 *
 * The file holds two copies, written and synced in place, one after the other. So an update needs no room on
 * a full disk; a crash in the middle leaves the other copy, and either will do, since nothing is recycled
 * before both are written; and a copy that decays later is covered by its twin.
 *
 *     copy:  magic 8, CRC32C of what follows 4, count of entries 4, serial 8, entries, supplements, count of files 4, files
 *     entry: version 8, length of the name 2, name
 *     supplement, of each entry, in their order: mark 8, forgotten 8
 *     file:  series 4, sequence 8
 *
 * Earlier versions have no supplements, and no files: they pass over them, and leave zeros in their place, which say
 * nothing. The files take what is left of the copy, whose length the entries alone give: 1,300 of them in most.
 */
#include "policies/journal/low_water_file.h"
#include "policies/journal/crc32c.h"
#include "policies/journal/names.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'F', 'O', 'R', 'E', 'B', 'A', 'Y', 'L'};

enum {
    COPY_UNIT = 16384,
    COPY_HEADER = 24,
    COPY_CRC = 8,
    COPY_COUNT = 12,
    COPY_SERIAL = 16,
    COPIES_MAX = 64 << 20,
    ENTRY_HEADER = 10,
    ENTRY_LENGTH = 8,
    SUPPLEMENT = 16,
    SUPPLEMENT_FORGOTTEN = 8,
    FILES_HEADER = 4,
    FILE_SIZE = 12,
    FILE_SEQUENCE = 4,
};

static void put(char *to, uint64_t value, size_t size) {
    value = htole64(value);
    memcpy(to, &value, size);
}

static uint64_t get(const char *from, size_t size) {
    uint64_t value = 0;
    memcpy(&value, from, size);
    return le64toh(value);
}

struct low_water *low_waters_find(struct low_waters *all, struct slice space) {
    for (size_t i = 0; i < all->count; i++)
        if (slice_equal(all->list[i].space, space))
            return &all->list[i];
    return NULL;
}

/* Room for one more: doubled at the powers of two, so that adding many costs in all what they take. */
static bool make_room(struct low_waters *all) {
    if (all->count & (all->count - 1))
        return true;
    struct low_water *list = realloc(all->list, (all->count ? 2 * all->count : 1) * sizeof *list);
    if (!list)
        return false;
    all->list = list;
    return true;
}

bool low_waters_add(struct low_waters *all, struct slice space, uint64_t version) {
    char *name = malloc(space.size + 1);
    if (!name || !make_room(all)) {
        free(name);
        return false;
    }
    memcpy(name, space.data, space.size);
    all->list[all->count++] = (struct low_water){.space = slice_of(name, space.size), .version = version};
    return true;
}

void low_waters_free(struct low_waters *all) {
    for (size_t i = 0; i < all->count; i++)
        free((void *)(uintptr_t)all->list[i].space.data);
    free(all->list);
    free(all->files);
    *all = (struct low_waters){0};
}

/* Up to the files. */
static size_t size_of_entries(const struct low_waters *all) {
    size_t size = COPY_HEADER;
    for (size_t i = 0; i < all->count; i++)
        size += ENTRY_HEADER + all->list[i].space.size + SUPPLEMENT;
    return size;
}

static size_t copy_size(const struct low_waters *all) {
    return (size_of_entries(all) + COPY_UNIT - 1) / COPY_UNIT * COPY_UNIT;
}

/* How many files there is room for behind the entries. */
static size_t room_for_files(size_t copy, size_t entries) {
    return entries + FILES_HEADER <= copy ? (copy - entries - FILES_HEADER) / FILE_SIZE : 0;
}

bool low_waters_add_file(struct low_waters *all, unsigned series, uint64_t sequence) {
    if (all->file_count >= room_for_files(copy_size(all), size_of_entries(all)))
        return false;
    if ((all->file_count & (all->file_count - 1)) == 0) { /* a power of 2, or 0: it is full */
        struct listed_file *files =
            realloc(all->files, (all->file_count ? 2 * all->file_count : 1) * sizeof *files);
        if (!files)
            return false;
        all->files = files;
    }
    all->files[all->file_count++] = (struct listed_file){series, sequence};
    return true;
}

bool low_waters_has_file(const struct low_waters *all, unsigned series, uint64_t sequence) {
    for (size_t i = 0; i < all->file_count; i++)
        if (all->files[i].series == series && all->files[i].sequence == sequence)
            return true;
    return false;
}

/* A namespace that was added may have left room for fewer. */
static void encode_files(const struct low_waters *all, char *at, size_t room) {
    size_t count = all->file_count < room ? all->file_count : room;
    if (count == 0)
        return;
    put(at, count, FILES_HEADER);
    at += FILES_HEADER;
    for (size_t i = 0; i < count; i++, at += FILE_SIZE) {
        put(at, all->files[i].series, FILE_SEQUENCE);
        put(at + FILE_SEQUENCE, all->files[i].sequence, 8);
    }
}

/* False: no memory. More than there is room for was not written by us, and says nothing. */
static bool decode_files(const char *at, size_t room, struct low_waters *all) {
    size_t count = room ? get(at, FILES_HEADER) : 0;
    bool good = true;
    if (count > room)
        return true;
    at += FILES_HEADER;
    for (size_t i = 0; i < count && good; i++, at += FILE_SIZE)
        good = low_waters_add_file(all, (unsigned)get(at, FILE_SEQUENCE), get(at + FILE_SEQUENCE, 8));
    return good;
}

static void encode(const struct low_waters *all, char *copy, size_t size) {
    memset(copy, 0, size);
    memcpy(copy, magic, sizeof magic);
    put(copy + COPY_COUNT, all->count, 4);
    put(copy + COPY_SERIAL, all->serial, 8);
    char *at = copy + COPY_HEADER;
    for (size_t i = 0; i < all->count; i++) {
        const struct low_water *one = &all->list[i];
        put(at, one->version, 8);
        put(at + ENTRY_LENGTH, one->space.size, 2);
        memcpy(at + ENTRY_HEADER, one->space.data, one->space.size);
        at += ENTRY_HEADER + one->space.size;
    }
    for (size_t i = 0; i < all->count; i++, at += SUPPLEMENT) {
        put(at, all->list[i].mark, 8);
        put(at + SUPPLEMENT_FORGOTTEN, all->list[i].forgotten, 8);
    }
    encode_files(all, at, room_for_files(size, (size_t)(at - copy)));
    put(copy + COPY_CRC, crc32c(0, copy + COPY_COUNT, size - COPY_COUNT), 4);
}

static enum low_water_status decode(const char *copy, size_t size, struct low_waters *ret_all) {
    struct low_waters all = {.serial = get(copy + COPY_SERIAL, 8)};
    if (memcmp(copy, magic, sizeof magic) != 0 ||
        get(copy + COPY_CRC, 4) != crc32c(0, copy + COPY_COUNT, size - COPY_COUNT))
        return LOW_WATER_DAMAGED;
    size_t count = get(copy + COPY_COUNT, 4), at = COPY_HEADER;
    for (size_t i = 0; i < count; i++) {
        size_t length = at + ENTRY_HEADER <= size ? get(copy + at + ENTRY_LENGTH, 2) : size;
        if (at + ENTRY_HEADER + length > size ||
            !low_waters_add(&all, slice_of(copy + at + ENTRY_HEADER, length), get(copy + at, 8))) {
            low_waters_free(&all);
            return LOW_WATER_DAMAGED;
        }
        at += ENTRY_HEADER + length;
    }
    for (size_t i = 0; i < count && at + SUPPLEMENT <= size; i++, at += SUPPLEMENT) {
        all.list[i].mark = get(copy + at, 8);
        all.list[i].forgotten = get(copy + at + SUPPLEMENT_FORGOTTEN, 8);
    }
    if (at == size_of_entries(&all) && size == copy_size(&all) &&
        !decode_files(copy + at, room_for_files(size, at), &all)) {
        low_waters_free(&all);
        return LOW_WATER_DAMAGED;
    }
    *ret_all = all;
    return LOW_WATER_OK;
}

/* The one of two copies that can be read and was written last. */
static enum low_water_status decode_copies(const char *data, size_t size, struct low_waters *ret_all) {
    struct low_waters first = {0}, second = {0};
    if (!data || size == 0 || size % (2 * COPY_UNIT) != 0)
        return LOW_WATER_DAMAGED;
    enum low_water_status one = decode(data, size / 2, &first);
    enum low_water_status two = decode(data + size / 2, size / 2, &second);
    bool take_second = two == LOW_WATER_OK && (one != LOW_WATER_OK || second.serial > first.serial);
    *ret_all = take_second ? second : first;
    low_waters_free(take_second ? &first : &second);
    return take_second ? two : one;
}

static char *read_all(const struct journal_disk *disk, int file, size_t *ret_size) {
    char *data = NULL;
    size_t size = 0, capacity = 2 * COPY_UNIT + 1;
    for (ssize_t n = 1; n > 0 && capacity < COPIES_MAX; capacity *= 2) {
        char *longer = realloc(data, capacity);
        n = longer ? journal_disk_read(disk, file, longer + size, capacity - size, size) : -1;
        if (n < 0) {
            free(longer ? longer : data);
            return NULL;
        }
        data = longer;
        size += (size_t)n;
    }
    *ret_size = size;
    return data;
}

enum low_water_status low_water_file_read(const struct journal_disk *disk, const char *folder,
                                          struct low_waters *ret_all) {
    char path[JOURNAL_PATH_MAX];
    journal_path(folder, "low-water", path);
    int file = disk->open(disk, path, O_RDONLY);
    if (file < 0)
        return errno == ENOENT ? LOW_WATER_ABSENT : LOW_WATER_FAILED;
    size_t size = 0;
    char *data = read_all(disk, file, &size);
    enum low_water_status status = data ? decode_copies(data, size, ret_all) : LOW_WATER_FAILED;
    if (status == LOW_WATER_OK)
        ret_all->on_disk = size / 2;
    free(data);
    disk->close(disk, file);
    return status;
}

static bool write_copies(const struct journal_disk *disk, int file, struct low_waters *all) {
    size_t size = copy_size(all);
    char *copy = malloc(size);
    if (!copy)
        return false;
    all->serial++;
    encode(all, copy, size);
    bool good = journal_disk_write_synced(disk, file, copy, size, 0) == 0 &&
                journal_disk_write_synced(disk, file, copy, size, size) == 0;
    int failure = errno;
    free(copy);
    errno = failure;
    return good;
}

static bool write_file(const struct journal_disk *disk, const char *path, int flags, struct low_waters *all) {
    int file = disk->open(disk, path, flags);
    if (file < 0)
        return false;
    bool good = write_copies(disk, file, all);
    int failure = errno;
    disk->close(disk, file);
    errno = failure;
    return good;
}

bool low_water_file_create(const struct journal_disk *disk, const char *folder, struct low_waters *all) {
    char path[JOURNAL_PATH_MAX], fresh[JOURNAL_PATH_MAX];
    journal_path(folder, "low-water", path);
    journal_path(folder, "low-water.new", fresh);
    return write_file(disk, fresh, O_RDWR | O_CREAT | O_TRUNC, all) && disk->rename(disk, fresh, path) == 0 &&
           disk->sync_folder(disk, folder) == 0;
}

bool low_water_file_fits(const struct low_waters *all) {
    return all->on_disk == copy_size(all);
}

bool low_water_file_update(const struct journal_disk *disk, const char *folder, struct low_waters *all) {
    char path[JOURNAL_PATH_MAX];
    journal_path(folder, "low-water", path);
    return write_file(disk, path, O_RDWR, all);
}
