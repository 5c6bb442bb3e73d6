/* SPDX-License-Identifier: MIT */
/*
 * As it lies in the file: magic 4, CRC-32C of what follows 4, end 8, count 8, inode 8, time of birth 8, in the byte
 * order of the host, as the quarantine's own.
 */
#include "policies/write/quarantine_note.h"
#include "policies/journal/crc32c.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { NOTE_MAGIC = 0x4e524151 };

struct note_image {
    uint32_t magic, crc;
    uint64_t end, count, inode, born_us;
};
_Static_assert(sizeof(struct note_image) == 40, "it is written as it lies in memory");

static uint32_t crc_of(const struct note_image *image) {
    size_t skipped = offsetof(struct note_image, end);
    return crc32c(0, (const char *)image + skipped, sizeof *image - skipped);
}

char *quarantine_note_path(const char *log_path) {
    size_t size = strlen(log_path);
    char *path = NULL;
    int stem = size > 4 && strcmp(log_path + size - 4, ".log") == 0 ? (int)size - 4 : (int)size;
    return asprintf(&path, "%.*s.note", stem, log_path) < 0 ? NULL : path;
}

struct quarantine_note quarantine_note_read(const struct journal_disk *disk, const char *path) {
    struct note_image image;
    int file = disk->open(disk, path, O_RDONLY);
    ssize_t n = file < 0 ? -1 : journal_disk_read(disk, file, &image, sizeof image, 0);
    if (file >= 0)
        disk->close(disk, file);
    if (n != sizeof image || image.magic != NOTE_MAGIC || image.crc != crc_of(&image))
        return (struct quarantine_note){0};
    return (struct quarantine_note){image.end, image.count, image.inode, image.born_us};
}

bool quarantine_note_write(const struct journal_disk *disk, const char *path,
                           const struct quarantine_note *note, bool synced) {
    struct note_image image = {.magic = NOTE_MAGIC,
                               .end = note->end,
                               .count = note->count,
                               .inode = note->inode,
                               .born_us = note->born_us};
    int file = disk->open(disk, path, note->end ? O_RDWR | O_CREAT : O_RDWR);
    if (file < 0)
        return note->end == 0 && errno == ENOENT;
    image.crc = crc_of(&image);
    bool good = (synced ? journal_disk_write_synced(disk, file, &image, sizeof image, 0)
                        : journal_disk_write(disk, file, &image, sizeof image, 0)) == 0;
    int failure = errno;
    disk->close(disk, file);
    errno = failure;
    return good;
}
