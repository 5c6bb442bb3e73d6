/* SPDX-License-Identifier: MIT */
/*
 * Reading what earlier processes left. docs/journal.md explains which bytes are a torn tail and which are
 * damage, and why the two can be told apart; in short:
 *
 *     no record, and no whole one behind it     the end of the file, or a torn tail, which is cut
 *     the same, where all had been synced up    damage: records are missing
 *         to some place behind it
 *     no record, and whole ones behind it       damage, with one exception (*)
 *     a header that fails its check, or is      damage: a file gets its name when its header is on disk
 *         not there whole
 *     no file, where low-water says that it     damage: it keeps its name as long as that says so (listed.h)
 *         is in use
 *
 * (*) The system was rebooted since, and the place had not been synced: the disk has kept later pages but
 * not this one. That is as good as torn, and the records behind it are taken.
 */
#include "policies/journal/replay.h"
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/recycle.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PROGRESS_US = 2000000, PROGRESS_RECORDS = 1024 };

/* ---- Errors and progress ---- */

enum journal_status replay_fail(struct recovering *self, enum journal_status status, const char *format,
                                ...) {
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(self->error->message, sizeof self->error->message, format, arguments);
    va_end(arguments);
    return status;
}

const char *replay_file_name(const struct recovering *self) {
    return self->names[self->name_index].name;
}

enum journal_status replay_fail_file(struct recovering *self, const char *what) {
    return replay_fail(self, JOURNAL_FAILED, "journal: cannot %s %s/%s: %s", what, self->journal->folder,
                       replay_file_name(self), own_file_reason(errno).text);
}

static void progress(struct recovering *self) {
    uint64_t now = monotonic_us();
    if (now - self->progress_us < PROGRESS_US)
        return;
    self->progress_us = now;
    journal_log(self->journal, LOG_LEVEL_NOTICE, "journal: recovering, file %zu of %zu, %s, %" PRIu64 " MiB",
                self->name_index + 1, self->name_count,
                count_text(self->recovery->records, "record", "records").text, self->recovery->bytes >> 20);
}

/* ---- Records ---- */

static enum journal_status fail_stopped(struct recovering *self) {
    return replay_fail(self, JOURNAL_FAILED, "journal: recovery was stopped at a record of %s/%s",
                       self->journal->folder, replay_file_name(self));
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
        return replay_keep_unknown(self, file, fate->index) ? JOURNAL_OK : fail_stopped(self);
    recovery->shown++;
    return show(self, found);
}

/* There are records behind it: damage, unless the disk can have lost just this. */
static enum journal_status take_hole(struct recovering *self, struct journal_file *file) {
    const struct walk *walk = &self->walk;
    file->is_unreadable = true; /* in one piece */
    if (walk_hole_is_damage(walk, self->journal->boot))
        return replay_damaged(self, DAMAGE_NO_RECORD, walk->at, walk->extent);
    replay_torn(self, walk->at, walk->extent);
    return JOURNAL_OK;
}

/* The end, but not that of what was written. */
static enum journal_status take_missing(struct recovering *self, struct journal_file *file) {
    file->is_unreadable = true; /* stays as it is */
    return replay_damaged(self, DAMAGE_MISSING, self->walk.at, self->walk.missing);
}

static void take_end(struct recovering *self, struct journal_file *file) {
    atomic_store_explicit(&file->written, self->walk.at, memory_order_relaxed);
}

static void take_torn(struct recovering *self, struct journal_file *file) {
    const struct walk *walk = &self->walk;
    replay_torn(self, walk->at, walk->extent);
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
        case WALK_MISSING:
            status = show_collected(self);
            status = status == JOURNAL_OK ? take_missing(self, file) : status;
            break;
        case WALK_TORN:
            take_torn(self, file);
            return show_collected(self);
        case WALK_END:
            take_end(self, file);
            return show_collected(self);
        case WALK_FAILED:
            return replay_fail_file(self, "read");
        }
    }
    return status;
}

/* ---- Files ---- */

static enum journal_status add_file(struct recovering *self) {
    struct journal_file *file = journal_file_new(self->journal);
    if (!file || !replay_decide_fates(self)) {
        free(file);
        return replay_fail_file(self, "hold in memory");
    }
    memcpy(file->name, replay_file_name(self), sizeof file->name);
    file->series = self->walk.header.series;
    memcpy(file->boot, self->walk.header.boot, sizeof file->boot);
    file->size = self->walk.size;
    file->header_size = self->walk.header.size;
    atomic_init(&file->sealed, true);
    uint64_t damaged_before = self->recovery->skipped_damaged;
    enum journal_status status = take_records(self, file);
    if (status == JOURNAL_OK && self->recovery->skipped_damaged != damaged_before)
        replay_replace_damaged(self, file);
    journal_list_append(&self->journal->files, file); /* freed with the list, whatever the status */
    return status;
}

static enum journal_status take_file(struct recovering *self, int handle) {
    enum format_status header;
    if (!walk_begin(&self->walk, self->journal->disk, handle, &header))
        return replay_fail_file(self, "read");
    switch (header) {
    case FORMAT_GOOD:
        return add_file(self);
    case FORMAT_FOREIGN:
        return replay_fail(self, JOURNAL_FAILED,
                           "journal: %s/%s has a format that this version does not read",
                           self->journal->folder, replay_file_name(self));
    case FORMAT_SHORT:
        return replay_set_aside(self, DAMAGE_SHORT_HEADER);
    case FORMAT_BAD:
        break;
    }
    return replay_set_aside(self, DAMAGE_BAD_HEADER);
}

static enum journal_status open_file(struct recovering *self, int *ret_handle) {
    char path[JOURNAL_PATH_MAX];
    struct journal *journal = self->journal;
    progress(self);
    journal_path(journal->folder, replay_file_name(self), path);
    *ret_handle = journal->disk->open(journal->disk, path, O_RDWR);
    return *ret_handle < 0 ? replay_fail_file(self, "open") : JOURNAL_OK;
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
        return replay_fail(self, JOURNAL_FAILED, "journal: cannot list %s: %s", journal->folder,
                           strerror(errno));
    for (size_t i = 0; i < self->name_count; i++)
        if (self->names[i].sequence >= journal->next_sequence)
            self->journal->next_sequence = self->names[i].sequence + 1;
    status = replay_miss_files(self);
    if (status != JOURNAL_OK)
        return status;
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
        case WALK_MISSING:
            break;
        case WALK_TORN:
        case WALK_END:
            return show_collected(self);
        case WALK_FAILED:
            return replay_fail_file(self, "read");
        }
    }
    return status;
}

static enum journal_status show_opened(struct recovering *self, int handle) {
    enum format_status header;
    if (!walk_begin(&self->walk, self->journal->disk, handle, &header))
        return replay_fail_file(self, "read");
    if (header != FORMAT_GOOD)
        return replay_fail(self, JOURNAL_DAMAGED, "journal: %s/%s has changed since it was read a moment ago",
                           self->journal->folder, replay_file_name(self));
    return replay_decide_fates(self) ? show_records(self) : replay_fail_file(self, "hold in memory");
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
        return replay_fail(self, JOURNAL_FAILED, "journal: cannot list %s: %s", journal->folder,
                           strerror(errno));
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
            return replay_fail(self, JOURNAL_FAILED, "journal: recovery was stopped behind the records of %s",
                               self->journal->folder);
        if (again)
            status = show_files(self);
    }
    return status;
}

static void free_all(struct recovering *self) {
    replay_free_fates(self);
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
    enum journal_status status = self.given_up ? replay_read_low_waters(&self)
                                               : replay_fail(&self, JOURNAL_FAILED, "journal: out of memory");
    if (status == JOURNAL_OK)
        status = recover_files(&self);
    if (status == JOURNAL_OK)
        status = show_again(&self);
    if (status == JOURNAL_OK)
        status = replay_start_low_waters(&self);
    if (status == JOURNAL_OK)
        replay_name_unknown(&self);
    free_all(&self);
    return status;
}
