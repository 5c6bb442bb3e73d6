/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of the journal. Nothing here takes a lock or makes a system call in the common case but
 * journal_write, which makes one.
 *
 * The buffer holds what comes next in the current file. When a record does not fit any more, journal_reserve
 * writes the buffer out, seals the file with an END record and goes on in the next one, which the keeper has
 * made meanwhile. Invariants (writer_is_sane):
 *
 *     done <= placed <= buffered <= capacity
 *     offset + buffered + room + the END record <= size of the file
 *     buffered + room <= capacity
 *     no room while the state is WRITER_FAILING
 */
#include "policies/journal/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

__attribute__((unused)) static bool writer_is_sane(const struct journal_writer *writer) {
    if (writer->done > writer->placed || writer->placed > writer->buffered ||
        writer->buffered + writer->room > writer->capacity)
        return false;
    if (writer->always_size > writer->buffered || writer->interval_size > writer->buffered)
        return false;
    if (writer->file == NULL)
        return writer->buffered == 0 && writer->room == 0;
    uint64_t end = writer->offset + writer->buffered + writer->room;
    return (writer->room == 0 || end + FORMAT_END_SIZE <= writer->file->size) &&
           (writer->room == 0 || writer->state == WRITER_GOOD);
}

static void set_room(struct journal_writer *writer) {
    writer->room = 0;
    if (writer->file != NULL && writer->state == WRITER_GOOD) {
        uint64_t end = writer->offset + writer->buffered, limit = writer->file->size - FORMAT_END_SIZE;
        uint64_t in_file = limit > end ? limit - end : 0;
        size_t in_buffer = writer->capacity - writer->buffered;
        writer->room = in_file < in_buffer ? (size_t)in_file : in_buffer;
    }
    assert(writer_is_sane(writer));
}

static void add(_Atomic uint64_t *counter, uint64_t value) { /* of one writing thread */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

/* ---- Writing ---- */

static bool failed(struct journal_writer *writer) {
    int failure = errno;
    add(&writer->failures, 1);
    if (writer->state == WRITER_GOOD)
        journal_log(writer->journal, LOG_LEVEL_ERROR,
                    "journal: cannot write to %s/%s: %s. Changes are refused until it can be written; make "
                    "room on the "
                    "disk, or repair it",
                    writer->journal->folder, writer->file->name, strerror(errno));
    if (writer->state == WRITER_GOOD) {
        writer->failing_us = monotonic_us();
        writer->moves = 0;
    }
    writer->state = WRITER_FAILING;
    set_room(writer);
    errno = failure;
    return false;
}

/* The buffer is in the file: lets the syncer know, and begins anew behind it. */
static void written(struct journal_writer *writer) {
    struct journal_file *file = writer->file;
    if (writer->buffered_version > atomic_load_explicit(&file->max_version, memory_order_relaxed))
        atomic_store_explicit(&file->max_version, writer->buffered_version, memory_order_relaxed);
    if (writer->always_size > 0)
        atomic_store_explicit(&file->always_end, writer->offset + writer->always_size, memory_order_release);
    if (writer->interval_size > 0)
        atomic_store_explicit(&file->interval_end, writer->offset + writer->interval_size,
                              memory_order_release);
    /* Last: whoever sees that so much is written sees whose mode it is, too. */
    atomic_store_explicit(&file->written, writer->offset + writer->buffered, memory_order_release);
    add(&writer->bytes, writer->buffered);
    add(&writer->records, writer->buffered_records);
    writer->offset += writer->buffered;
    writer->buffered = writer->placed = writer->done = 0;
    writer->buffered_records = writer->buffered_version = 0;
    writer->always_size = writer->interval_size = 0;
    if (writer->state != WRITER_GOOD)
        journal_log(writer->journal, LOG_LEVEL_NOTICE, "journal: %s/%s can be written again",
                    writer->journal->folder, file->name);
    writer->state = WRITER_GOOD;
}

/* The records get their CRCs here and not one by one: read at once, a record's bytes would still be on their
 * way through the processor's store buffer, behind those of the change itself, and each CRC would wait for
 * all of them (docs/benchmarks-write-behind.md). */
static void place(struct journal_writer *writer) {
    format_place_records(writer->buffer + writer->placed, writer->buffered - writer->placed,
                         &writer->file->key, writer->offset + writer->placed);
    writer->placed = writer->buffered;
}

bool journal_writer_flush(struct journal_writer *writer) {
    const struct journal_disk *disk = writer->journal->disk;
    if (writer->placed < writer->buffered)
        place(writer);
    while (writer->done < writer->buffered) {
        ssize_t n = disk->write_at(disk, writer->file->handle, writer->buffer + writer->done,
                                   writer->buffered - writer->done, writer->offset + writer->done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return failed(writer);
        }
        writer->done += (size_t)n;
    }
    if (writer->buffered > 0)
        written(writer);
    set_room(writer);
    return true;
}

/* ---- Files ---- */

/* Lets go of the current file, if there is one, and goes on in this one. */
static void begin_file(struct journal_writer *writer, struct journal_file *file) {
    struct journal *journal = writer->journal;
    struct journal_file *before = writer->file;
    file->base = before == NULL ? writer->end_position : before->base + writer->offset;
    writer->file = file;
    writer->offset = file->header_size;
    writer->asked = false;
    pthread_mutex_lock(&journal->lock);
    journal_list_append(&journal->files, file);
    if (before != NULL) {
        uint64_t version = atomic_load_explicit(&before->max_version, memory_order_relaxed);
        if (version < atomic_load_explicit(&journal->recyclable_from, memory_order_relaxed))
            atomic_store_explicit(&journal->recyclable_from, version, memory_order_relaxed);
        /* Last, and under the lock: once it is sealed the syncer may recycle and free it. */
        atomic_store_explicit(&before->sealed, true, memory_order_release);
    }
    pthread_mutex_unlock(&journal->lock);
}

bool journal_writer_start(struct journal_writer *writer) {
    struct journal_file *file = journal_file_create(writer->journal, writer->index, 0);
    if (file == NULL)
        return false;
    begin_file(writer, file);
    set_room(writer);
    return true;
}

/* Writes the END record. */
static bool write_end(struct journal_writer *writer) {
    struct entry none = {.key = slice_of(NULL, 0)};
    assert(writer->buffered == 0 && writer->capacity >= FORMAT_END_SIZE);
    writer->buffered = format_encode_record(writer->buffer, FORMAT_KIND_END, 0, &none);
    writer->room = 0;
    if (!journal_writer_flush(writer)) {
        /* Nobody misses an END record; but what was written of it may not be taken for the rest of a record.
         */
        writer->buffered = writer->placed = 0;
        return false;
    }
    return true;
}

/* There is no room for another file. If all that is in the current one has reached the backends, it is given
 * back, and can be the next. */
static void give_back(struct journal_writer *writer, size_t bytes) {
    struct journal *journal = writer->journal;
    struct journal_file *file = writer->file;
    uint64_t low_water = atomic_load_explicit(&journal->low_water, memory_order_acquire);
    if (file == NULL || writer->offset == file->header_size ||
        file->header_size + bytes + FORMAT_END_SIZE > file->size ||
        atomic_load_explicit(&file->max_version, memory_order_relaxed) > low_water)
        return; /* not at hand, empty, too short anyway, or needed */
    writer->end_position = file->base + writer->offset;
    writer->file = NULL;
    set_room(writer);
    pthread_mutex_lock(&journal->lock);
    atomic_store_explicit(&file->sealed, true, memory_order_release);
    journal->recycle_wanted = true;
    pthread_cond_signal(&journal->syncer_wanted);
    pthread_mutex_unlock(&journal->lock);
}

static bool next_file(struct journal_writer *writer, size_t bytes) {
    if (writer->file != NULL && !journal_writer_flush(writer))
        return false;
    struct journal_file *file = journal_take_file(writer, bytes);
    if (file == NULL) {
        give_back(writer, bytes);
        return false;
    }
    if (writer->file != NULL && !write_end(writer)) {
        /* The file at hand fails, the new one need not: leave the old without its END. */
        writer->done = 0;
        writer->state = WRITER_GOOD;
    }
    begin_file(writer, file);
    return true;
}

/* ---- A file that fails ---- */

static bool is_full(int failure) {
    return failure == ENOSPC || failure == EDQUOT || failure == EFBIG;
}

/* Is it time to leave the file at hand, because it, and perhaps not the disk, is bad? */
static bool gives_up(const struct journal_writer *writer, int failure) {
    unsigned doubled = writer->moves < 8 ? writer->moves : 8;
    uint64_t patience_us = (uint64_t)(JOURNAL_RETRY_MS << doubled) * 1000;
    size_t usual = writer->journal->file_size - FORMAT_END_SIZE -
                   format_header_size(writer->journal->spaces, writer->journal->space_count);
    return !is_full(failure) && writer->buffered <= usual &&
           monotonic_us() - writer->failing_us >= patience_us;
}

static void leave(struct journal_writer *writer, struct journal_file *next) {
    struct journal_file *bad = writer->file;
    atomic_store_explicit(&bad->suspect, true, memory_order_relaxed);
    journal_log(writer->journal, LOG_LEVEL_WARNING, "journal: %s/%s is left as it is, %s is used instead",
                writer->journal->folder, bad->name, next->name);
    begin_file(writer, next);
}

/* What is in the buffer goes on in another file. What of it has reached the bad one is there twice, which
 * does no harm. */
static bool move_buffer(struct journal_writer *writer) {
    struct journal_file *next = journal_take_ready(writer);
    if (next == NULL)
        return false;
    leave(writer, next);
    writer->moves++;
    writer->failing_us = monotonic_us();
    writer->done = writer->placed = 0;
    if (writer->turn_position != 0)
        writer->turn_position = next->base + writer->offset + writer->always_size;
    return journal_writer_flush(writer);
}

/* Writes the buffer, in another file if need be. */
static bool flush_anywhere(struct journal_writer *writer) {
    bool failing = writer->state != WRITER_GOOD;
    if (journal_writer_flush(writer))
        return true;
    return failing && gives_up(writer, errno) && move_buffer(writer);
}

/* The current file cannot be synced. When all that is in it has reached the backends it can go, but only if
 * it is not the current one any more. */
static void leave_unsynced(struct journal_writer *writer) {
    struct journal_file *next = journal_take_ready(writer);
    if (next == NULL)
        return;
    leave(writer, next);
    set_room(writer);
}

static bool grow(struct journal_writer *writer, size_t bytes) {
    size_t capacity = writer->buffered + bytes + FORMAT_END_SIZE;
    if (capacity < JOURNAL_BUFFER)
        capacity = JOURNAL_BUFFER;
    if (capacity <= writer->capacity)
        return true;
    char *buffer = realloc(writer->buffer, capacity);
    if (buffer == NULL)
        return false;
    writer->buffer = buffer;
    writer->capacity = capacity;
    return true;
}

static void shrink(struct journal_writer *writer) {
    assert(writer->buffered == 0);
    char *buffer = realloc(writer->buffer, JOURNAL_BUFFER);
    if (buffer == NULL)
        return;
    writer->buffer = buffer;
    writer->capacity = JOURNAL_BUFFER;
    set_room(writer);
}

static bool make_room(struct journal_writer *writer, size_t bytes) {
    if (writer->state != WRITER_GOOD)
        return false;
    if (writer->buffered > 0 && writer->buffered + bytes > JOURNAL_BUFFER && !journal_writer_flush(writer))
        return false;
    if (!grow(writer, bytes))
        return false;
    set_room(writer);
    uint64_t end = writer->offset + writer->buffered + FORMAT_END_SIZE;
    if ((writer->file == NULL || end + bytes > writer->file->size) && !next_file(writer, bytes))
        return false;
    set_room(writer);
    return bytes <= writer->room;
}

/* ---- What the tier calls ---- */

bool journal_reserve(struct journal_writer *writer, size_t bytes) {
    if (atomic_load_explicit(&writer->refusing, memory_order_relaxed))
        return false;
    return bytes <= writer->room || make_room(writer, bytes);
}

void journal_append(struct journal_writer *writer, enum journal_mode mode, unsigned space,
                    enum journal_kind kind, const struct entry *entry) {
    assert(mode != JOURNAL_OFF && space < writer->journal->space_count);
    assert(entry->key.size > 0 && entry->version != 0);
    size_t size = format_record_size(entry, kind == JOURNAL_PUT ? entry->value.size : 0);
    if (size > writer->room)
        abort(); /* not reserved: to go on would lose an acknowledged change */
    format_encode_record(writer->buffer + writer->buffered, kind, space, entry);
    writer->buffered += size;
    writer->room -= size;
    writer->buffered_records++;
    if (entry->version > writer->buffered_version)
        writer->buffered_version = entry->version;
    if (mode >= JOURNAL_INTERVAL)
        writer->interval_size = writer->buffered;
    if (mode == JOURNAL_ALWAYS) {
        writer->always_size = writer->buffered;
        writer->turn_position = writer->file->base + writer->offset + writer->buffered;
    }
}

/* From the middle of a file on, the next one is wanted. */
static void ask_ahead(struct journal_writer *writer) {
    struct journal *journal = writer->journal;
    writer->asked = true;
    pthread_mutex_lock(&journal->lock);
    if (writer->ready == NULL) { /* else a long record with a file of its own came between */
        writer->wanted = true;
        pthread_cond_signal(&journal->keeper_wanted);
    }
    pthread_mutex_unlock(&journal->lock);
}

static void wake_syncer(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    if (!journal->sync_wanted) {
        journal->sync_wanted = true;
        pthread_cond_signal(&journal->syncer_wanted);
    }
    pthread_mutex_unlock(&journal->lock);
}

enum journal_status journal_write(struct journal_writer *writer, uint64_t *ret_position) {
    *ret_position = 0;
    if (!flush_anywhere(writer))
        return JOURNAL_FAILED;
    if (writer->turn_position != 0) {
        *ret_position = writer->turn_position;
        writer->turn_position = 0;
        wake_syncer(writer->journal);
    }
    if (atomic_load_explicit(&writer->refusing, memory_order_relaxed) && writer->file != NULL &&
        atomic_load_explicit(&writer->file->suspect, memory_order_relaxed))
        leave_unsynced(writer);
    if (writer->capacity > JOURNAL_BUFFER_KEPT)
        shrink(writer);
    if (!writer->asked && (writer->file == NULL || writer->offset > writer->file->size / 2))
        ask_ahead(writer);
    return JOURNAL_OK;
}
