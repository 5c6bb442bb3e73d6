/* SPDX-License-Identifier: MIT */
/*
 * Reading what earlier processes left. docs/journal.md explains which bytes are a torn tail and which are
 * damage, and why the two can be told apart; in short:
 *
 *     no record, and no whole one behind it     the end of the file, or a torn tail, which is cut
 *     no record, and whole ones behind it       damage, with one exception (*)
 *     a header that fails its check             damage: a file gets its name when its header is on disk
 *     shorter than its header, or all zeros     a file that nothing was written to
 *
 * (*) The system was rebooted since, and the place had not been synced: the disk has kept later pages but
 * not this one. That is as good as torn, and the records behind it are taken.
 */
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/internal.h"
#include "policies/journal/recycle.h"
#include "policies/journal/walk.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PROGRESS_US = 2000000, PROGRESS_RECORDS = 1024 };

struct recovering {
    struct journal *journal;
    const struct journal_options *options;
    uint64_t *given_up; /* the highest version that is given up, for each of options->discarded */
    bool skip_damaged;
    struct journal_replayer *replayer;
    struct journal_recovery *recovery;
    struct journal_error *error;
    struct low_waters low_waters; /* as found */
    struct journal_name *names;
    size_t name_count, name_index;
    struct walk walk;         /* over the file at hand */
    bool from_earlier_boot;   /* that file */
    struct space_fate *fates; /* of the namespaces in its header */
    struct journal_record to_show[JOURNAL_SHOWN_MOST];
    size_t to_show_count;
    struct unknown *unknown;
    size_t unknown_count;
    uint64_t progress_us;
};

/* What becomes of the records of a namespace. */
struct space_fate {
    bool known;
    uint64_t *given_up; /* not NULL: its records are, and this is the highest version of them */
    uint64_t low_water;
    size_t index; /* of journal.spaces, or else of recovering.unknown */
};

/* A namespace that is not configured. */
struct unknown {
    char *name;
    size_t size;
    uint64_t records, files;
    const char *last_file; /* counted for */
};

/* ---- Errors and progress ---- */

__attribute__((format(printf, 3, 4))) static enum journal_status
fail(struct recovering *self, enum journal_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(self->error->message, sizeof self->error->message, format, arguments);
    va_end(arguments);
    return status;
}

static const char *file_name(const struct recovering *self) {
    return self->names[self->name_index].name;
}

static enum journal_status fail_file(struct recovering *self, const char *what) {
    return fail(self, JOURNAL_FAILED, "journal: cannot %s %s/%s: %s", what, self->journal->folder,
                file_name(self), own_file_reason(errno));
}

static void progress(struct recovering *self) {
    uint64_t now = monotonic_us();
    if (now - self->progress_us < PROGRESS_US)
        return;
    self->progress_us = now;
    journal_log(self->journal, LOG_LEVEL_NOTICE,
                "journal: recovering, file %zu of %zu, %" PRIu64 " records, %" PRIu64 " MiB",
                self->name_index + 1, self->name_count, self->recovery->records, self->recovery->bytes >> 20);
}

/* A gap with records behind it, or a bad header. JOURNAL_OK: go on behind it. */
static enum journal_status damaged(struct recovering *self, const char *what, size_t offset, size_t extent) {
    if (!self->skip_damaged)
        return fail(self, JOURNAL_DAMAGED,
                    "journal: %s/%s is damaged: %s at offset %zu (%zu bytes). "
                    "What it held is lost; to start without it, use --recover=skip-damaged",
                    self->journal->folder, file_name(self), what, offset, extent);
    self->recovery->skipped_damaged++;
    journal_log_limited(self->journal, JOURNAL_LINE_DAMAGE, LOG_LEVEL_WARNING,
                        "journal: %s/%s is damaged: %s at offset %zu, %zu bytes skipped",
                        self->journal->folder, file_name(self), what, offset, extent);
    return JOURNAL_OK;
}

static void torn(struct recovering *self, size_t offset, size_t extent) {
    self->recovery->torn_files++;
    self->recovery->torn_bytes += extent;
    journal_log(self->journal, LOG_LEVEL_WARNING,
                "journal: %s/%s: a write at offset %zu was not completed; %zu bytes cut",
                self->journal->folder, file_name(self), offset, extent);
}

/* ---- One file ---- */

static bool find_unknown(struct recovering *self, struct slice space, size_t *ret_index) {
    for (size_t i = 0; i < self->unknown_count; i++)
        if (slice_equal(space, slice_of(self->unknown[i].name, self->unknown[i].size))) {
            *ret_index = i;
            return true;
        }
    struct unknown *longer = realloc(self->unknown, (self->unknown_count + 1) * sizeof *longer);
    if (!longer)
        return false;
    self->unknown = longer;
    char *name = malloc(space.size + 1);
    if (!name)
        return false;
    memcpy(name, space.data, space.size);
    name[space.size] = '\0';
    *ret_index = self->unknown_count;
    self->unknown[self->unknown_count++] = (struct unknown){.name = name, .size = space.size};
    return true;
}

static uint64_t *find_given_up(const struct recovering *self, struct slice space) {
    for (size_t i = 0; i < self->options->discarded_count; i++)
        if (slice_equal(self->options->discarded[i], space))
            return &self->given_up[i];
    return NULL;
}

/* Nobody can say of a system that names no boot whether it was started anew. */
static bool is_same_boot(const struct recovering *self) {
    static const uint8_t unknown[JOURNAL_BOOT_SIZE];
    const uint8_t *boot = self->walk.header.boot;
    return memcmp(boot, self->journal->boot, JOURNAL_BOOT_SIZE) == 0 &&
           memcmp(boot, unknown, JOURNAL_BOOT_SIZE) != 0;
}

static bool decide_fates(struct recovering *self) {
    const struct journal *journal = self->journal;
    free(self->fates);
    self->fates = calloc(self->walk.header.space_count + 1, sizeof *self->fates);
    self->from_earlier_boot = !is_same_boot(self);
    for (size_t i = 0; self->fates && i < self->walk.header.space_count; i++) {
        struct space_fate *fate = &self->fates[i];
        const struct low_water *low_water = low_waters_find(&self->low_waters, self->walk.header.spaces[i]);
        fate->low_water = low_water ? low_water->version : 0;
        fate->given_up = find_given_up(self, self->walk.header.spaces[i]);
        for (size_t k = 0; k < journal->space_count && !fate->known; k++) {
            fate->known = slice_equal(journal->spaces[k], self->walk.header.spaces[i]);
            fate->index = k;
        }
        if (!fate->known && !find_unknown(self, self->walk.header.spaces[i], &fate->index))
            return false;
    }
    return self->fates != NULL;
}

static bool keep_unknown(struct recovering *self, struct journal_file *file, size_t index) {
    struct journal_replayer *replayer = self->replayer;
    struct unknown *unknown = &self->unknown[index];
    if (unknown->records == 0 && replayer->keeps &&
        !replayer->keeps(replayer, slice_of(unknown->name, unknown->size)))
        return false;
    unknown->records++;
    unknown->files += unknown->last_file != file_name(self);
    unknown->last_file = file_name(self);
    file->pinned = true;
    return true;
}

static enum journal_status fail_stopped(struct recovering *self) {
    return fail(self, JOURNAL_FAILED, "journal: recovery was stopped at a record of %s/%s",
                self->journal->folder, file_name(self));
}

static enum journal_status show_collected(struct recovering *self) {
    size_t count = self->to_show_count;
    self->to_show_count = 0;
    return count == 0 || self->replayer->records(self->replayer, self->to_show, count) ? JOURNAL_OK
                                                                                       : fail_stopped(self);
}

/* Together with others, before their bytes go. */
static enum journal_status show(struct recovering *self, const struct format_record *found) {
    self->to_show[self->to_show_count++] =
        (struct journal_record){.kind = (enum journal_kind)found->kind,
                                .space = self->fates[found->space].index,
                                .entry = found->entry,
                                .from_earlier_boot = self->from_earlier_boot};
    return self->to_show_count == JOURNAL_SHOWN_MOST ? show_collected(self) : JOURNAL_OK;
}

static void note_version(atomic_uint_fast64_t *highest, uint64_t version) {
    if (version > atomic_load_explicit(highest, memory_order_relaxed))
        atomic_store_explicit(highest, version, memory_order_relaxed);
}

static enum journal_status take_record(struct recovering *self, const struct format_record *found,
                                       struct journal_file *file) {
    struct journal_recovery *recovery = self->recovery;
    const struct space_fate *fate = &self->fates[found->space];
    recovery->records++;
    recovery->bytes += found->size;
    if (found->entry.version > recovery->highest_version)
        recovery->highest_version = found->entry.version;
    if (recovery->records % PROGRESS_RECORDS == 0)
        progress(self);
    file->holds_discarded |= fate->given_up != NULL;
    if (fate->known && !fate->given_up)
        note_version(&file->max_versions[fate->index], found->entry.version);
    if (found->entry.version <= fate->low_water) {
        recovery->ignored++;
        return JOURNAL_OK;
    }
    if (fate->given_up) {
        recovery->discarded++;
        if (found->entry.version > *fate->given_up)
            *fate->given_up = found->entry.version;
        return JOURNAL_OK;
    }
    if (!fate->known)
        return keep_unknown(self, file, fate->index) ? JOURNAL_OK : fail_stopped(self);
    recovery->shown++;
    return show(self, found);
}

/* There are records behind it: damage, unless the disk can have lost just this. */
static enum journal_status take_hole(struct recovering *self, struct journal_file *file) {
    const struct walk *walk = &self->walk;
    file->is_unreadable = true; /* in one piece */
    if (walk_hole_is_damage(walk, self->journal->boot))
        return damaged(self, "no record that passes its check", walk->at, walk->extent);
    torn(self, walk->at, walk->extent);
    return JOURNAL_OK;
}

static void take_end(struct recovering *self, struct journal_file *file) {
    atomic_store_explicit(&file->written, self->walk.at, memory_order_relaxed);
}

static void take_torn(struct recovering *self, struct journal_file *file) {
    const struct walk *walk = &self->walk;
    torn(self, walk->at, walk->extent);
    self->journal->disk->truncate(self->journal->disk, walk->handle, (uint64_t)walk->at);
    take_end(self, file);
}

static enum journal_status take_records(struct recovering *self, struct journal_file *file) {
    enum journal_status status = JOURNAL_OK;
    struct walk *walk = &self->walk;
    while (status == JOURNAL_OK) {
        switch (walk_next(walk)) {
        case WALK_RECORD:
            status = take_record(self, &walk->record, file);
            break;
        case WALK_PAUSE:
            status = show_collected(self);
            break;
        case WALK_HOLE:
            status = show_collected(self);
            status = status == JOURNAL_OK ? take_hole(self, file) : status;
            break;
        case WALK_TORN:
            take_torn(self, file);
            return show_collected(self);
        case WALK_END:
            take_end(self, file);
            return show_collected(self);
        case WALK_FAILED:
            return fail_file(self, "read");
        }
    }
    return status;
}

/* ---- Damaged files ---- */

/* Out of the way, but kept for people to look at. */
static bool move_aside(struct recovering *self) {
    char name[2 * JOURNAL_NAME_MAX], from[JOURNAL_PATH_MAX], to[JOURNAL_PATH_MAX];
    struct stat status;
    journal_path(self->journal->folder, file_name(self), from);
    snprintf(name, sizeof name, "damaged-%s", file_name(self));
    journal_path(self->journal->folder, name, to);
    for (unsigned i = 2; i < 1000 && lstat(to, &status) == 0; i++) {
        snprintf(name, sizeof name, "damaged-%u-%s", i, file_name(self));
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
    char *image = data ? malloc(walk->size + FORMAT_END_SIZE) : NULL;
    if (!image)
        return NULL;
    header.sequence = sequence;
    header.epoch = journal_random_epoch();
    header.fresh = true;
    memcpy(header.boot, self->journal->boot, sizeof header.boot);
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
    header.file_size = size;
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

/* A file with damaged places is read once: its whole records go into a new one, then it is set aside. In this
 * order, so that a crash in between leaves the records twice rather than not at all. */
static void replace_damaged(struct recovering *self, struct journal_file *file) {
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
                    self->journal->folder, file_name(self), strerror(errno));
    }
    free(image);
}

static enum journal_status add_file(struct recovering *self) {
    struct journal_file *file = journal_file_new(self->journal);
    if (!file || !decide_fates(self)) {
        free(file);
        return fail_file(self, "hold in memory");
    }
    memcpy(file->name, file_name(self), sizeof file->name);
    file->series = self->walk.header.series;
    memcpy(file->boot, self->walk.header.boot, sizeof file->boot);
    file->size = self->walk.size;
    file->header_size = self->walk.header.size;
    atomic_init(&file->sealed, true);
    uint64_t damaged_before = self->recovery->skipped_damaged;
    enum journal_status status = take_records(self, file);
    if (status == JOURNAL_OK && self->recovery->skipped_damaged != damaged_before)
        replace_damaged(self, file);
    journal_list_append(&self->journal->files, file); /* freed with the list, whatever the status */
    return status;
}

static enum journal_status remove_unwritten(struct recovering *self) {
    char path[JOURNAL_PATH_MAX];
    if (self->walk.size > 0)
        torn(self, 0, self->walk.size);
    journal_path(self->journal->folder, file_name(self), path);
    self->journal->disk->remove(self->journal->disk, path);
    return JOURNAL_OK;
}

static enum journal_status set_aside(struct recovering *self) {
    enum journal_status status = damaged(self, "its header fails its check", 0, self->walk.size);
    if (status != JOURNAL_OK)
        return status;
    return move_aside(self) ? JOURNAL_OK : fail_file(self, "rename");
}

static enum journal_status take_file(struct recovering *self, int handle) {
    enum format_status header;
    if (!walk_begin(&self->walk, self->journal->disk, handle, &header))
        return fail_file(self, "read");
    switch (header) {
    case FORMAT_GOOD:
        return add_file(self);
    case FORMAT_UNWRITTEN:
        return remove_unwritten(self);
    case FORMAT_FOREIGN:
        return fail(self, JOURNAL_FAILED, "journal: %s/%s has a format that this version does not read",
                    self->journal->folder, file_name(self));
    case FORMAT_BAD:
        break;
    }
    return set_aside(self);
}

static enum journal_status open_file(struct recovering *self, int *ret_handle) {
    char path[JOURNAL_PATH_MAX];
    struct journal *journal = self->journal;
    progress(self);
    journal_path(journal->folder, file_name(self), path);
    *ret_handle = journal->disk->open(journal->disk, path, O_RDWR);
    return *ret_handle < 0 ? fail_file(self, "open") : JOURNAL_OK;
}

static enum journal_status recover_file(struct recovering *self) {
    int handle;
    enum journal_status status = open_file(self, &handle);
    if (status != JOURNAL_OK)
        return status;
    status = take_file(self, handle);
    self->journal->disk->close(self->journal->disk, handle);
    self->recovery->files++;
    return status;
}

/* A file that cannot be looked at fails when it is opened. */
static uint64_t bytes_of_files(const struct recovering *self) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < self->name_count; i++) {
        char path[JOURNAL_PATH_MAX];
        struct stat status;
        journal_path(self->journal->folder, self->names[i].name, path);
        bytes += stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
    }
    return bytes;
}

static enum journal_status recover_files(struct recovering *self) {
    const struct journal *journal = self->journal;
    enum journal_status status = JOURNAL_OK;
    if (!journal_list_folder(journal->folder, &self->names, &self->name_count))
        return fail(self, JOURNAL_FAILED, "journal: cannot list %s: %s", journal->folder, strerror(errno));
    for (size_t i = 0; i < self->name_count; i++)
        if (self->names[i].sequence >= journal->next_sequence)
            self->journal->next_sequence = self->names[i].sequence + 1;
    if (self->replayer->begins)
        self->replayer->begins(self->replayer, bytes_of_files(self));
    for (; status == JOURNAL_OK && self->name_index < self->name_count; self->name_index++)
        status = recover_file(self);
    return status;
}

/* ---- Once more ---- */

static bool is_wanted(const struct recovering *self, const struct format_record *found) {
    const struct space_fate *fate = &self->fates[found->space];
    return fate->known && !fate->given_up && found->entry.version > fate->low_water;
}

/* What is torn or damaged in the file has been dealt with; a damaged file has been replaced. */
static enum journal_status show_records(struct recovering *self) {
    enum journal_status status = JOURNAL_OK;
    struct walk *walk = &self->walk;
    while (status == JOURNAL_OK) {
        switch (walk_next(walk)) {
        case WALK_RECORD:
            status = is_wanted(self, &walk->record) ? show(self, &walk->record) : JOURNAL_OK;
            break;
        case WALK_PAUSE:
            status = show_collected(self);
            break;
        case WALK_HOLE:
            break;
        case WALK_TORN:
        case WALK_END:
            return show_collected(self);
        case WALK_FAILED:
            return fail_file(self, "read");
        }
    }
    return status;
}

static enum journal_status show_opened(struct recovering *self, int handle) {
    enum format_status header;
    if (!walk_begin(&self->walk, self->journal->disk, handle, &header))
        return fail_file(self, "read");
    if (header != FORMAT_GOOD)
        return fail(self, JOURNAL_DAMAGED, "journal: %s/%s has changed since it was read a moment ago",
                    self->journal->folder, file_name(self));
    return decide_fates(self) ? show_records(self) : fail_file(self, "hold in memory");
}

static enum journal_status show_file(struct recovering *self) {
    int handle;
    enum journal_status status = open_file(self, &handle);
    if (status != JOURNAL_OK)
        return status;
    status = show_opened(self, handle);
    self->journal->disk->close(self->journal->disk, handle);
    return status;
}

static enum journal_status show_files(struct recovering *self) {
    const struct journal *journal = self->journal;
    enum journal_status status = JOURNAL_OK;
    free(self->names);
    self->names = NULL;
    if (!journal_list_folder(journal->folder, &self->names, &self->name_count))
        return fail(self, JOURNAL_FAILED, "journal: cannot list %s: %s", journal->folder, strerror(errno));
    for (self->name_index = 0; status == JOURNAL_OK && self->name_index < self->name_count;
         self->name_index++)
        status = show_file(self);
    return status;
}

/* As often as the replayer asks for it. */
static enum journal_status show_again(struct recovering *self) {
    enum journal_status status = JOURNAL_OK;
    bool again = self->replayer->end != NULL;
    while (status == JOURNAL_OK && again) {
        if (!self->replayer->end(self->replayer, &again))
            return fail(self, JOURNAL_FAILED, "journal: recovery was stopped behind the records of %s",
                        self->journal->folder);
        if (again)
            status = show_files(self);
    }
    return status;
}

/* ---- Low-water versions ---- */

static enum journal_status read_low_waters(struct recovering *self) {
    const struct journal *journal = self->journal;
    enum low_water_status status = low_water_file_read(journal->disk, journal->folder, &self->low_waters);
    if (status == LOW_WATER_FAILED)
        return fail(self, JOURNAL_FAILED, "journal: cannot read %s/low-water: %s", journal->folder,
                    own_file_reason(errno));
    if (status == LOW_WATER_DAMAGED) {
        if (!self->skip_damaged)
            return fail(self, JOURNAL_DAMAGED,
                        "journal: %s/low-water is damaged: both copies fail their check, at offset 0. "
                        "To apply all records again, also those that were flushed before, "
                        "use --recover=skip-damaged",
                        journal->folder);
        self->recovery->skipped_damaged++;
        journal_log(journal, LOG_LEVEL_WARNING,
                    "journal: %s/low-water is damaged: all records are applied again", journal->folder);
    }
    for (size_t i = 0; i < self->low_waters.count; i++)
        if (self->low_waters.list[i].version > self->recovery->highest_version)
            self->recovery->highest_version = self->low_waters.list[i].version;
    return JOURNAL_OK;
}

/* From which version on a namespace's records count. 0: all. */
static uint64_t low_water_of(struct recovering *self, struct slice space) {
    const struct low_water *old = low_waters_find(&self->low_waters, space);
    const uint64_t *given_up = find_given_up(self, space);
    uint64_t version = old ? old->version : 0;
    return given_up && *given_up > version ? *given_up : version;
}

static bool start_low_water(struct recovering *self, struct slice space) {
    struct low_waters *low_waters = &self->journal->low_waters;
    const struct low_water *old = low_waters_find(&self->low_waters, space);
    if (!low_waters_add(low_waters, space, low_water_of(self, space)))
        return false;
    if (old) {
        low_waters->list[low_waters->count - 1].mark = old->mark;
        low_waters->list[low_waters->count - 1].forgotten = old->forgotten;
    }
    return true;
}

/* What was noted holds until more is told. */
static void take_noted_over(struct journal *journal) {
    for (size_t i = 0; i < journal->space_count; i++) {
        const struct low_water *noted = &journal->low_waters.list[i];
        atomic_store(&journal->passing[i].low_water, noted->version);
        atomic_store(&journal->passing[i].mark, noted->mark);
        atomic_store(&journal->passing[i].forgotten, noted->forgotten);
    }
}

/* Those of the configuration, and of other namespaces that a file still mentions. */
static enum journal_status start_low_waters(struct recovering *self) {
    struct journal *journal = self->journal;
    struct low_waters *low_waters = &journal->low_waters;
    bool good = true;
    for (size_t i = 0; good && i < journal->space_count; i++)
        good = start_low_water(self, journal->spaces[i]);
    for (size_t i = 0; good && i < self->unknown_count; i++) {
        struct slice space = slice_of(self->unknown[i].name, self->unknown[i].size);
        good = low_water_of(self, space) == 0 || start_low_water(self, space);
    }
    if (good)
        take_noted_over(journal);
    low_waters->serial = self->low_waters.serial;
    low_waters->on_disk = self->low_waters.on_disk;
    if (good)
        good = low_water_file_create(journal->disk, journal->folder, low_waters) ||
               (low_water_file_fits(low_waters) &&
                low_water_file_update(journal->disk, journal->folder, low_waters));
    if (!good)
        return fail(self, JOURNAL_FAILED, "journal: cannot write %s/low-water: %s", journal->folder,
                    own_file_reason(errno));
    return JOURNAL_OK;
}

static void name_unknown(const struct recovering *self) {
    for (size_t i = 0; i < self->unknown_count; i++)
        if (self->unknown[i].records > 0)
            journal_log(self->journal, LOG_LEVEL_WARNING,
                        "journal: %" PRIu64
                        " records belong to namespace '%s', which is not configured: kept, in %" PRIu64
                        " files of %s, until it is configured again or given up with --recover=discard:%s",
                        self->unknown[i].records, self->unknown[i].name, self->unknown[i].files,
                        self->journal->folder, self->unknown[i].name);
}

static void free_all(struct recovering *self) {
    for (size_t i = 0; i < self->unknown_count; i++)
        free(self->unknown[i].name);
    free(self->unknown);
    free(self->given_up);
    free(self->fates);
    walk_free(&self->walk);
    free(self->names);
    low_waters_free(&self->low_waters);
}

enum journal_status journal_recover(struct journal *journal, const struct journal_options *options,
                                    bool skip_damaged, struct journal_replayer *replayer,
                                    struct journal_recovery *recovery, struct journal_error *error) {
    struct recovering self = {.journal = journal,
                              .options = options,
                              .given_up = calloc(options->discarded_count + 1, sizeof(uint64_t)),
                              .skip_damaged = skip_damaged,
                              .replayer = replayer,
                              .recovery = recovery,
                              .error = error,
                              .progress_us = monotonic_us()};
    recycle_adopt_blanks(journal);
    enum journal_status status =
        self.given_up ? read_low_waters(&self) : fail(&self, JOURNAL_FAILED, "journal: out of memory");
    if (status == JOURNAL_OK)
        status = recover_files(&self);
    if (status == JOURNAL_OK)
        status = show_again(&self);
    if (status == JOURNAL_OK)
        status = start_low_waters(&self);
    if (status == JOURNAL_OK)
        name_unknown(&self);
    free_all(&self);
    return status;
}
