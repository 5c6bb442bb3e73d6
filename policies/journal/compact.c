/* SPDX-License-Identifier: MIT */
/*
 * A file is recycled when all in it is passed. So a namespace whose backend is away would hold back every file
 * in which it has a record, with all that the other namespaces wrote there, and what it overwrites itself,
 * until the disk is full for all. Therefore files that have been held back for a while are compacted: a thread
 * copies the records that are still needed into new files, and the old ones go.
 *
 *     needed: above the low-water version of its namespace that is on disk, and not dominated by a later
 *             record of the same files (kept.h). That is at most what the namespace has in memory as dirty,
 *             once each, because a namespace whose changes cannot be written writes none of them.
 *
 * It is worth it when half of the bytes can go. It is tried when there are some more files than twice what
 * the last try has left, so every byte is copied once on average, however long the outage; and at once when
 * the keeper can make no file. So the files that are held back never take more than about four times what
 * the dirty entries need, and a few files.
 *
 * The syncer chooses the files and marks them (compact_when_due); what the modes ask of them is synced. From
 * then on they are the compactor's to read, and stay in the list. New files get their names when all of them
 * is on disk, and only then are the old ones given to the syncer as replaced, so a crash in between leaves
 * records twice rather than not at all. Whatever fails, the old files stay as they are, and it is tried again.
 *
 * The order of records is that of the files read; recovery does not mind (journal.h). Files from before the
 * system was started anew are left alone: their boot id says something of their records. Where none can be told, the
 * records are of an earlier boot to whoever recovers them, before and after.
 */
#include "policies/journal/compact.h"
#include "cache/base/count_text.h"
#include "cache/base/file_reason.h"
#include "policies/journal/kept.h"
#include "policies/journal/reader.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_LEAST = 4,    /* more than these are held back before it is tried */
    PAUSE_US = 1000000, /* after a try that freed nothing */
    OUTPUT_BUFFER = 256 << 10,
};

/* ---- The syncer's part ---- */

static bool is_synced(const struct journal_file *file) {
    return file->handle < 0 ||
           (atomic_load_explicit(&file->always_end, memory_order_acquire) <= file->synced &&
            atomic_load_explicit(&file->interval_end, memory_order_acquire) <= file->synced);
}

static bool is_held_back(const struct journal_file *file, uint64_t until_us) {
    return atomic_load_explicit(&file->sealed, memory_order_acquire) && file->sealed_us <= until_us &&
           !file->pinned && !file->is_unreadable && !file->is_replaced && is_synced(file) &&
           !atomic_load_explicit(&file->suspect, memory_order_relaxed);
}

/* Marks the files that are held back, and returns their bytes. */
static uint64_t mark(struct journal *journal, uint64_t until_us) {
    uint64_t bytes = 0;
    for (struct journal_file *file = journal->files.first; file; file = file->next) {
        file->is_compacted =
            is_held_back(file, until_us) && memcmp(file->boot, journal->boot, JOURNAL_BOOT_SIZE) == 0;
        bytes += file->is_compacted ? file->size : 0;
    }
    return bytes;
}

static void unmark(struct journal *journal) {
    for (struct journal_file *file = journal->files.first; file; file = file->next)
        file->is_compacted = false;
}

/* With the lock. */
static void begin(struct journal *journal, uint64_t now_us) {
    bool starved = journal_is_starved(journal);
    uint64_t age_us = starved ? 0 : (uint64_t)journal->compact_after_ms * US_PER_MS;
    uint64_t bytes = mark(journal, now_us > age_us ? now_us - age_us : 0);
    if (bytes < journal->compacted_bytes)
        journal->compacted_bytes = bytes; /* some of it has gone meanwhile */
    uint64_t enough = 2 * journal->compacted_bytes + FILES_LEAST * journal->file_size;
    if (bytes == 0 || (bytes < enough && !starved)) {
        unmark(journal);
        return;
    }
    for (size_t i = 0; i < journal->space_count; i++)
        journal->compact_low_waters[i] = journal->low_waters.list[i].version;
    journal->compacting = true;
    journal->compact_us = now_us + PAUSE_US;
    pthread_cond_signal(&journal->compactor_wanted);
}

void compact_when_due(struct journal *journal) {
    uint64_t now_us = monotonic_us();
    if (journal->low_water_failing || journal->compact_after_ms == JOURNAL_COMPACT_NEVER)
        return;
    pthread_mutex_lock(&journal->lock);
    if (!journal->compacting && !journal->stopping && now_us >= journal->compact_us)
        begin(journal, now_us);
    pthread_mutex_unlock(&journal->lock);
}

/* ---- What a compaction consists of ---- */

struct output {
    struct journal_file *file; /* NULL: none is begun */
    uint64_t blank, sequence, epoch;
    uint64_t offset; /* in the file, where the buffer goes */
    char *buffer;
    size_t capacity, buffered;
};

struct compaction {
    struct journal *journal;
    struct journal_file **files;
    size_t file_count;
    uint64_t bytes; /* of the files */
    struct kept *kept;
    struct output output;
    struct journal_list made;
};

static bool is_stopping(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    bool stopping = journal->stopping;
    pthread_mutex_unlock(&journal->lock);
    return stopping;
}

/* ---- Reading ---- */

static bool is_passed(const struct journal *journal, const struct format_record *record, unsigned number) {
    return number == READER_NOT_CONFIGURED || /* as an earlier process has noted, else it were pinned */
           record->entry.version <= journal->compact_low_waters[number];
}

/* ---- Writing ---- */

static bool output_open(struct compaction *self) {
    struct journal *journal = self->journal;
    struct output *output = &self->output;
    char name[JOURNAL_NAME_MAX], path[JOURNAL_PATH_MAX];
    struct journal_file *file = journal_file_new(journal);
    if (!file)
        return false;
    pthread_mutex_lock(&journal->lock);
    output->blank = journal->next_blank++;
    output->sequence = journal->next_sequence++;
    pthread_mutex_unlock(&journal->lock);
    output->file = file;
    output->epoch = journal_random_epoch();
    file->key = format_key(output->epoch);
    journal_format_name(0, output->sequence, file->name);
    memcpy(file->boot, journal->boot, sizeof file->boot);
    file->space_count = journal->space_count;
    file->header_size = format_header_size(journal->spaces, file->space_count);
    output->offset = file->header_size;
    output->buffered = 0;
    journal_format_blank(output->blank, name);
    journal_path(journal->folder, name, path);
    file->handle = journal->disk->open(journal->disk, path, O_RDWR | O_CREAT | O_TRUNC);
    return file->handle >= 0;
}

static bool output_flush(struct compaction *self) {
    struct output *output = &self->output;
    format_place_records(output->buffer, output->buffered, &output->file->key, output->offset);
    if (journal_disk_write(self->journal->disk, output->file->handle, output->buffer, output->buffered,
                           output->offset) != 0)
        return false;
    output->offset += output->buffered;
    output->buffered = 0;
    return true;
}

/* The header comes last, with the note that all is synced: no other file is like it. */
static bool write_header(struct compaction *self) {
    struct journal *journal = self->journal;
    struct journal_file *file = self->output.file;
    struct format_header header = {.sequence = self->output.sequence,
                                   .epoch = self->output.epoch,
                                   .created_us = wall_us(),
                                   .file_size = self->output.offset,
                                   .fresh = true,
                                   .spaces = journal->spaces,
                                   .space_count = file->space_count,
                                   .size = file->header_size,
                                   .synced = self->output.offset};
    memcpy(header.boot, file->boot, sizeof header.boot);
    char *bytes = malloc(header.size);
    if (!bytes)
        return false;
    format_encode_header(bytes, &header);
    bool good = journal_disk_write(journal->disk, file->handle, bytes, header.size, 0) == 0 &&
                journal->disk->sync(journal->disk, file->handle) == 0;
    free(bytes);
    return good;
}

static bool output_grow(struct output *output, size_t size) {
    if (output->buffered + size <= output->capacity)
        return true;
    size_t capacity = output->buffered + size > OUTPUT_BUFFER ? output->buffered + size : OUTPUT_BUFFER;
    char *buffer = realloc(output->buffer, capacity);
    if (!buffer)
        return false;
    output->buffer = buffer;
    output->capacity = capacity;
    return true;
}

/* The END record, the header, and the name. */
static bool output_finish(struct compaction *self) {
    struct journal *journal = self->journal;
    struct output *output = &self->output;
    struct journal_file *file = output->file;
    struct entry none = {.key = slice_of(NULL, 0)};
    char blank[JOURNAL_NAME_MAX], from[JOURNAL_PATH_MAX], to[JOURNAL_PATH_MAX];
    if (!output_grow(output, FORMAT_END_SIZE))
        return false;
    output->buffered += format_encode_record(output->buffer + output->buffered, FORMAT_KIND_END, 0, &none);
    journal_format_blank(output->blank, blank);
    journal_path(journal->folder, blank, from);
    journal_path(journal->folder, file->name, to);
    if (!output_flush(self) || !write_header(self) || journal->disk->rename(journal->disk, from, to) != 0)
        return false;
    journal->disk->close(journal->disk, file->handle);
    file->handle = -1;
    file->size = output->offset;
    atomic_store_explicit(&file->written, output->offset, memory_order_relaxed);
    atomic_store_explicit(&file->sealed, true, memory_order_release);
    journal_list_append(&self->made, file);
    output->file = NULL;
    return true;
}

/* Readies the output for a record of this size. */
static bool output_make_room(struct compaction *self, size_t size) {
    struct output *output = &self->output;
    if (output->file &&
        output->offset + output->buffered + size + FORMAT_END_SIZE > self->journal->file_size &&
        output->offset + output->buffered > output->file->header_size && !output_finish(self))
        return false;
    if (!output->file && !output_open(self))
        return false;
    if (output->buffered > 0 && output->buffered + size > OUTPUT_BUFFER && !output_flush(self))
        return false;
    return output_grow(output, size);
}

static bool output_append(struct compaction *self, const struct format_record *record, unsigned number) {
    struct output *output = &self->output;
    if (!output_make_room(self, record->size))
        return false;
    output->buffered +=
        format_encode_record(output->buffer + output->buffered, record->kind, number, &record->entry);
    atomic_uint_fast64_t *highest = &output->file->max_versions[number];
    if (record->entry.version > atomic_load_explicit(highest, memory_order_relaxed))
        atomic_store_explicit(highest, record->entry.version, memory_order_relaxed);
    return true;
}

/* ---- A compaction ---- */

enum result { COMPACT_DONE, COMPACT_STOPPED, COMPACT_FAILED };

typedef bool take_record(struct compaction *self, const struct format_record *record, unsigned number);

static bool note(struct compaction *self, const struct format_record *record, unsigned number) {
    return kept_note(self->kept, record, number);
}

static bool copy(struct compaction *self, const struct format_record *record, unsigned number) {
    return !kept_needs(self->kept, record, number) || output_append(self, record, number);
}

/* It stays as it is, and the others can be compacted without it. */
static void leave_out(struct journal *journal, struct journal_file *file) {
    assert(file);
    pthread_mutex_lock(&journal->lock);
    file->is_unreadable = true;
    pthread_mutex_unlock(&journal->lock);
}

static bool walk_file(struct compaction *self, struct journal_file *file, take_record *take) {
    struct format_record record;
    struct reader reader;
    if (!reader_open(&reader, self->journal, file))
        return false;
    enum reading reading;
    bool good = true;
    while (good && (reading = reader_next(&reader, &record)) == READ_RECORD) {
        unsigned number = reader.numbers[record.space];
        good = is_passed(self->journal, &record, number) || take(self, &record, number);
    }
    if (good && reading == READ_FAILED)
        leave_out(self->journal, file);
    reader_close(&reader);
    return good && reading == READ_END;
}

static enum result walk(struct compaction *self, take_record *take) {
    for (size_t i = 0; i < self->file_count; i++) {
        if (is_stopping(self->journal))
            return COMPACT_STOPPED;
        if (!walk_file(self, self->files[i], take))
            return COMPACT_FAILED;
    }
    return COMPACT_DONE;
}

/* Half of the bytes at least. */
static bool is_worth_it(const struct compaction *self) {
    return kept_bytes(self->kept) <= self->bytes / 2;
}

static enum result copy_all(struct compaction *self) {
    enum result result = walk(self, copy);
    if (result == COMPACT_DONE && self->output.file && !output_finish(self))
        result = COMPACT_FAILED;
    if (result == COMPACT_DONE &&
        self->journal->disk->sync_folder(self->journal->disk, self->journal->folder) != 0)
        result = COMPACT_FAILED;
    return result;
}

static bool gather_files(struct compaction *self) {
    struct journal *journal = self->journal;
    size_t count = 0;
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *file = journal->files.first; file; file = file->next)
        count += file->is_compacted;
    self->files = calloc(count + 1, sizeof *self->files);
    for (struct journal_file *file = journal->files.first; self->files && file; file = file->next)
        if (file->is_compacted) {
            self->files[self->file_count++] = file;
            self->bytes += file->size;
        }
    pthread_mutex_unlock(&journal->lock);
    return self->files != NULL;
}

/* Removes what was made, since nothing came of it. */
static void abandon(struct compaction *self) {
    const struct journal_disk *disk = self->journal->disk;
    char path[JOURNAL_PATH_MAX];
    if (self->output.file) {
        journal_remove_blank(disk, self->journal->folder, self->output.blank);
        journal_file_free(self->journal, self->output.file);
    }
    while (self->made.first) {
        struct journal_file *file = self->made.first;
        self->made.first = file->next;
        journal_path(self->journal->folder, file->name, path);
        disk->remove(disk, path);
        journal_file_free(self->journal, file);
    }
}

/* What is not passed is in the copy: of what goes with this file, only the rest is gone. */
static void leave_to_copy(const struct journal *journal, struct journal_file *file) {
    file->is_replaced = true;
    for (size_t i = 0; i < journal->space_count; i++) {
        uint64_t passed = journal->compact_low_waters[i];
        if (atomic_load_explicit(&file->max_versions[i], memory_order_relaxed) > passed)
            atomic_store_explicit(&file->max_versions[i], passed, memory_order_relaxed);
    }
}

/* The new files take the place of the old, which the syncer gets. */
static void replace_files(struct compaction *self) {
    struct journal *journal = self->journal;
    uint64_t bytes = 0, now_us = monotonic_us();
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *file = self->made.first, *next; file; file = next) {
        next = file->next;
        bytes += file->size;
        file->sealed_us = now_us;
        journal_list_append(&journal->files, file);
        journal_expect_passing(journal, file);
    }
    for (size_t i = 0; i < self->file_count; i++)
        leave_to_copy(journal, self->files[i]);
    unmark(journal);
    journal->compacted_bytes = bytes;
    journal->compact_us = 0;
    journal->compact_failing = false;
    journal->recycle_wanted = true;
    pthread_cond_signal(&journal->syncer_wanted);
    pthread_mutex_unlock(&journal->lock);
    atomic_fetch_add_explicit(&journal->compactions, 1, memory_order_relaxed);
    journal_log_limited(journal, JOURNAL_LINE_COMPACTION, LOG_LEVEL_NOTICE,
                        "journal: %s that unwritten changes hold back %s compacted, from %" PRIu64
                        " KiB to %" PRIu64 " KiB",
                        count_text(self->file_count, "file", "files").text,
                        self->file_count == 1 ? "is" : "are", self->bytes >> 10, bytes >> 10);
}

static void give_up(struct compaction *self, enum result result) {
    struct journal *journal = self->journal;
    int failure = errno;
    abandon(self);
    if (result == COMPACT_FAILED && !journal->compact_failing)
        journal_log_limited(
            journal, JOURNAL_LINE_COMPACTION, LOG_LEVEL_WARNING,
            "journal: files of %s that unwritten changes hold back cannot be compacted now: %s",
            journal->folder, file_reason(failure).text);
    journal->compact_failing = result == COMPACT_FAILED;
    pthread_mutex_lock(&journal->lock);
    unmark(journal);
    journal->compacted_bytes = result == COMPACT_DONE ? kept_bytes(self->kept) : self->bytes;
    pthread_mutex_unlock(&journal->lock);
}

static void compact(struct journal *journal) {
    struct compaction self = {.journal = journal, .kept = kept_create()};
    journal_list_init(&self.made);
    errno = ENOMEM;
    enum result result = gather_files(&self) && self.kept ? walk(&self, note) : COMPACT_FAILED;
    bool worth = result == COMPACT_DONE && is_worth_it(&self);
    if (worth)
        result = copy_all(&self);
    if (worth && result == COMPACT_DONE)
        replace_files(&self);
    else
        give_up(&self, result);
    kept_free(self.kept);
    free(self.output.buffer);
    free(self.files);
}

void *journal_compactor_run(void *argument) {
    struct journal *journal = argument;
    pthread_mutex_lock(&journal->lock);
    while (!journal->stopping) {
        if (!journal->compacting) {
            pthread_cond_wait(&journal->compactor_wanted, &journal->lock);
            continue;
        }
        pthread_mutex_unlock(&journal->lock);
        compact(journal);
        pthread_mutex_lock(&journal->lock);
        journal->compacting = false;
    }
    unmark(journal);
    pthread_mutex_unlock(&journal->lock);
    return NULL;
}
