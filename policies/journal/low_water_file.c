/* SPDX-License-Identifier: MIT */
/*
 * The low-water versions, per namespace, in a file of their own ("low-water").
 *
 * They must be durable before any file is recycled on their account. Otherwise this could happen: a put of a
 * key lies in one file, the later delete in another; both have reached the backend, the file with the delete
 * is recycled, and after a crash the put alone is found and brings the key back.
 *
 * The file holds two copies, written and synced one after the other in place. So an update needs no room on a
 * full disk; a crash in the middle leaves the other copy, and as nothing is recycled before both are written,
 * either one will do; and a copy that decays later is covered by its twin.
 *
 *     copy:  magic 8, CRC32C of what follows 4, count of entries 4, serial 8, entries
 *     entry: version 8, length of the name 2, name
 */
#include "policies/journal/crc32c.h"
#include "policies/journal/internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static const char magic[8] = {'F', 'O', 'R', 'E', 'B', 'A', 'Y', 'L'};

enum {
    COPY_UNIT = 16384,
    COPY_HEADER = 24,
    COPY_CRC = 8,
    COPY_COUNT = 12,
    COPY_SERIAL = 16,
    COPIES_MAX = 64 << 20
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

struct journal_mark *journal_marks_find(struct journal_marks *marks, struct slice space) {
    for (size_t i = 0; i < marks->count; i++)
        if (slice_equal(marks->list[i].space, space))
            return &marks->list[i];
    return NULL;
}

bool journal_marks_add(struct journal_marks *marks, struct slice space, uint64_t version, bool configured) {
    char *name = malloc(space.size + 1);
    struct journal_mark *list = realloc(marks->list, (marks->count + 1) * sizeof *list);
    if (list != NULL)
        marks->list = list;
    if (name == NULL || list == NULL) {
        free(name);
        return false;
    }
    memcpy(name, space.data, space.size);
    list[marks->count++] = (struct journal_mark){slice_of(name, space.size), version, configured};
    return true;
}

void journal_marks_free(struct journal_marks *marks) {
    for (size_t i = 0; i < marks->count; i++)
        free((void *)(uintptr_t)marks->list[i].space.data);
    free(marks->list);
    *marks = (struct journal_marks){0};
}

static size_t copy_size(const struct journal_marks *marks) {
    size_t size = COPY_HEADER;
    for (size_t i = 0; i < marks->count; i++)
        size += 10 + marks->list[i].space.size;
    return (size + COPY_UNIT - 1) / COPY_UNIT * COPY_UNIT;
}

static void encode(const struct journal_marks *marks, char *copy, size_t size) {
    memset(copy, 0, size);
    memcpy(copy, magic, sizeof magic);
    put(copy + COPY_COUNT, marks->count, 4);
    put(copy + COPY_SERIAL, marks->serial, 8);
    char *at = copy + COPY_HEADER;
    for (size_t i = 0; i < marks->count; i++) {
        const struct journal_mark *mark = &marks->list[i];
        put(at, mark->version, 8);
        put(at + 8, mark->space.size, 2);
        memcpy(at + 10, mark->space.data, mark->space.size);
        at += 10 + mark->space.size;
    }
    put(copy + COPY_CRC, crc32c(0, copy + COPY_COUNT, size - COPY_COUNT), 4);
}

static enum marks_status decode(const char *copy, size_t size, struct journal_marks *ret_marks) {
    struct journal_marks marks = {.serial = get(copy + COPY_SERIAL, 8)};
    if (memcmp(copy, magic, sizeof magic) != 0 || get(copy + COPY_CRC, 4) != crc32c(0, copy + 12, size - 12))
        return MARKS_DAMAGED;
    size_t count = get(copy + COPY_COUNT, 4), at = COPY_HEADER;
    for (size_t i = 0; i < count; i++) {
        size_t length = at + 10 <= size ? get(copy + at + 8, 2) : size;
        if (at + 10 + length > size ||
            !journal_marks_add(&marks, slice_of(copy + at + 10, length), get(copy + at, 8), false)) {
            journal_marks_free(&marks);
            return MARKS_DAMAGED;
        }
        at += 10 + length;
    }
    *ret_marks = marks;
    return MARKS_OK;
}

/* The one of two copies that can be read and was written last. */
static enum marks_status decode_copies(const char *data, size_t size, struct journal_marks *ret_marks) {
    struct journal_marks first = {0}, second = {0};
    if (data == NULL || size == 0 || size % (2 * COPY_UNIT) != 0)
        return MARKS_DAMAGED;
    enum marks_status one = decode(data, size / 2, &first);
    enum marks_status two = decode(data + size / 2, size / 2, &second);
    bool take_second = two == MARKS_OK && (one != MARKS_OK || second.serial > first.serial);
    *ret_marks = take_second ? second : first;
    journal_marks_free(take_second ? &first : &second);
    return take_second ? two : one;
}

static char *read_all(const struct journal_disk *disk, int file, size_t *ret_size) {
    char *data = NULL;
    size_t size = 0, capacity = 2 * COPY_UNIT + 1;
    for (ssize_t n = 1; n > 0 && capacity < COPIES_MAX; capacity *= 2) {
        char *longer = realloc(data, capacity);
        n = longer == NULL ? -1 : journal_disk_read(disk, file, longer + size, capacity - size, size);
        if (n < 0) {
            free(longer == NULL ? data : longer);
            return NULL;
        }
        data = longer;
        size += (size_t)n;
    }
    *ret_size = size;
    return data;
}

enum marks_status journal_marks_read(const struct journal_disk *disk, const char *folder,
                                     struct journal_marks *ret_marks) {
    char path[JOURNAL_PATH_MAX];
    journal_path(folder, "low-water", path);
    int file = disk->open(disk, path, O_RDONLY);
    if (file < 0)
        return errno == ENOENT ? MARKS_ABSENT : MARKS_FAILED;
    size_t size = 0;
    char *data = read_all(disk, file, &size);
    enum marks_status status = data == NULL ? MARKS_FAILED : decode_copies(data, size, ret_marks);
    if (status == MARKS_OK)
        ret_marks->on_disk = size / 2;
    free(data);
    disk->close(disk, file);
    return status;
}

static bool write_copies(const struct journal_disk *disk, int file, struct journal_marks *marks) {
    size_t size = copy_size(marks);
    char *copy = malloc(size);
    if (copy == NULL)
        return false;
    marks->serial++;
    encode(marks, copy, size);
    bool good = journal_disk_write_synced(disk, file, copy, size, 0) == 0 &&
                journal_disk_write_synced(disk, file, copy, size, size) == 0;
    int failure = errno;
    free(copy);
    errno = failure;
    return good;
}

static bool write_file(const struct journal_disk *disk, const char *path, int flags,
                       struct journal_marks *marks) {
    int file = disk->open(disk, path, flags);
    if (file < 0)
        return false;
    bool good = write_copies(disk, file, marks);
    int failure = errno;
    disk->close(disk, file);
    errno = failure;
    return good;
}

bool journal_marks_create(const struct journal_disk *disk, const char *folder, struct journal_marks *marks) {
    char path[JOURNAL_PATH_MAX], fresh[JOURNAL_PATH_MAX];
    journal_path(folder, "low-water", path);
    journal_path(folder, "low-water.new", fresh);
    return write_file(disk, fresh, O_RDWR | O_CREAT | O_TRUNC, marks) &&
           disk->rename(disk, fresh, path) == 0 && disk->sync_folder(disk, folder) == 0;
}

bool journal_marks_fit(const struct journal_marks *marks) {
    return marks->on_disk == copy_size(marks);
}

bool journal_marks_update(const struct journal_disk *disk, const char *folder, struct journal_marks *marks) {
    char path[JOURNAL_PATH_MAX];
    journal_path(folder, "low-water", path);
    return write_file(disk, path, O_RDWR, marks);
}
