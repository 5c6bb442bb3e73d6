/* SPDX-License-Identifier: MIT */
/*
 * What is no record: telling it, and what becomes of its file. What was damaged is kept for people to look at.
 */
#include "policies/journal/listed.h"
#include "policies/journal/replay.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum journal_status replay_damaged(struct recovering *self, const char *what, uint64_t offset,
                                   uint64_t bytes) {
    struct damage damage = {what, offset, bytes};
    if (!self->skip_damaged) {
        damage_refuses(self->journal->folder, replay_file_name(self), &damage, self->error->message,
                       sizeof self->error->message);
        return JOURNAL_DAMAGED;
    }
    self->recovery->skipped_damaged++;
    journal_log_limited(self->journal, JOURNAL_LINE_DAMAGE, LOG_LEVEL_WARNING,
                        "journal: %s/%s is damaged: %s at offset %" PRIu64 ", %" PRIu64 " bytes skipped",
                        self->journal->folder, replay_file_name(self), what, offset, bytes);
    return JOURNAL_OK;
}

/* Numbers are not given twice: the file may be put back. */
static void leave_number(struct journal *journal, uint64_t sequence) {
    if (sequence >= journal->next_sequence && sequence <= INT64_MAX)
        journal->next_sequence = sequence + 1;
}

enum journal_status replay_miss_files(struct recovering *self) {
    struct journal *journal = self->journal;
    char name[JOURNAL_NAME_MAX];
    for (size_t i = 0; i < self->low_waters.file_count; i++) {
        const struct listed_file *listed = &self->low_waters.files[i];
        leave_number(journal, listed->sequence);
        if (!listed_is_missing(journal->folder, listed, name))
            continue;
        if (!self->skip_damaged) {
            damage_of_missing_refuses(journal->folder, name, self->error->message,
                                      sizeof self->error->message);
            return JOURNAL_DAMAGED;
        }
        self->recovery->skipped_damaged++;
        journal_log_limited(journal, JOURNAL_LINE_DAMAGE, LOG_LEVEL_WARNING,
                            "journal: %s/%s is missing: what it held is lost", journal->folder, name);
    }
    return JOURNAL_OK;
}

void replay_torn(struct recovering *self, size_t offset, size_t extent) {
    self->recovery->torn_files++;
    self->recovery->torn_bytes += extent;
    journal_log(self->journal, LOG_LEVEL_WARNING,
                "journal: %s/%s: a write at offset %zu was not completed; %zu bytes cut",
                self->journal->folder, replay_file_name(self), offset, extent);
}

/* Out of the way, but kept for people to look at. */
static bool move_aside(struct recovering *self) {
    char name[2 * JOURNAL_NAME_MAX], from[JOURNAL_PATH_MAX], to[JOURNAL_PATH_MAX];
    struct stat status;
    journal_path(self->journal->folder, replay_file_name(self), from);
    snprintf(name, sizeof name, "damaged-%s", replay_file_name(self));
    journal_path(self->journal->folder, name, to);
    for (unsigned i = 2; i < 1000 && lstat(to, &status) == 0; i++) {
        snprintf(name, sizeof name, "damaged-%u-%s", i, replay_file_name(self));
        journal_path(self->journal->folder, name, to);
    }
    if (self->journal->disk->rename(self->journal->disk, from, to) != 0)
        return false;
    journal_log(self->journal, LOG_LEVEL_WARNING, "journal: the damaged file is kept as %s", to);
    return true;
}

/* The whole records of the file at hand as a file of their own, in memory. NULL: errno. */
static char *whole_records(struct recovering *self, uint64_t sequence, size_t *ret_size) {
    struct walk *walk = &self->walk;
    struct format_header header = walk->header;
    struct entry none = {.key = slice_of(NULL, 0)};
    struct scan scan;
    const char *data = walk_all(walk);
    size_t most = walk->size > header.size ? walk->size : header.size; /* it may have become shorter */
    char *image = data ? malloc(most + FORMAT_END_SIZE) : NULL;
    if (!image)
        return NULL;
    header.sequence = sequence;
    header.epoch = journal_random_epoch();
    header.fresh = true;
    struct format_key key = format_key(header.epoch);
    size_t size = header.size;
    scan_begin(&scan, data, walk->size, &walk->header);
    for (enum scan_status found; (found = scan_next(&scan)) == SCAN_RECORD || found == SCAN_HOLE;) {
        if (found == SCAN_HOLE)
            continue;
        memcpy(image + size, data + scan.at, scan.extent);
        size += scan.extent;
    }
    size += format_encode_record(image + size, FORMAT_KIND_END, 0, &none);
    format_place_records(image + header.size, size - header.size, &key, header.size);
    header.file_size = header.synced = size; /* it gets its name when all of it is synced */
    format_encode_header(image, &header);
    *ret_size = size;
    return image;
}

/* It gets its name only when all of it is on disk. */
static bool write_image(struct recovering *self, const char *image, size_t size, const char *name) {
    struct journal *journal = self->journal;
    const struct journal_disk *disk = journal->disk;
    char blank[JOURNAL_NAME_MAX], from[JOURNAL_PATH_MAX], to[JOURNAL_PATH_MAX];
    journal_format_blank(journal->next_blank++, blank);
    journal_path(journal->folder, blank, from);
    journal_path(journal->folder, name, to);
    int handle = disk->open(disk, from, O_RDWR | O_CREAT);
    bool good = handle >= 0 && journal_disk_write_synced(disk, handle, image, size, 0) == 0;
    int failure = errno;
    if (handle >= 0)
        disk->close(disk, handle);
    good = good && disk->rename(disk, from, to) == 0 && disk->sync_folder(disk, journal->folder) == 0;
    if (!good && handle >= 0)
        disk->remove(disk, from);
    if (!good && failure != 0)
        errno = failure;
    return good;
}

void replay_replace_damaged(struct recovering *self, struct journal_file *file) {
    char name[JOURNAL_NAME_MAX];
    size_t size = 0;
    uint64_t sequence = self->journal->next_sequence++;
    journal_format_name(file->series, sequence, name);
    char *image = whole_records(self, sequence, &size);
    errno = image ? 0 : errno;
    if (image && write_image(self, image, size, name) && move_aside(self)) {
        memcpy(file->name, name, sizeof file->name);
        file->size = size;
    } else {
        journal_log(self->journal, LOG_LEVEL_WARNING,
                    "journal: %s/%s cannot be set aside: %s. "
                    "If it is still there at the next start it has to be skipped again",
                    self->journal->folder, replay_file_name(self), strerror(errno));
    }
    free(image);
}

enum journal_status replay_set_aside(struct recovering *self, const char *what) {
    enum journal_status status = replay_damaged(self, what, 0, self->walk.size);
    if (status != JOURNAL_OK)
        return status;
    return move_aside(self) ? JOURNAL_OK : replay_fail_file(self, "rename");
}
