/* SPDX-License-Identifier: MIT */
/*
 * A series: the worker's side of the journal. In the common case nothing here takes a lock, and only
 * journal_write makes a system call, one.
 *
 * The buffer holds what comes next in the current file. When a record no longer fits, journal_reserve writes
 * the buffer out, seals the file with an END record and goes on in the next one, which the keeper has made
 * meanwhile. Invariants (series_is_sane):
 *
 *     done <= placed <= buffered <= capacity
 *     offset + buffered + room + the END record <= size of the file
 *     buffered + room <= capacity
 *     no room while the state is SERIES_FAILING
 */
#include "cache/base/file_reason.h"
#include "policies/journal/internal.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { BUFFER_KEPT = 1 << 20 }; /* a buffer that one large value made longer than this is given back */

__attribute__((unused)) static bool series_is_sane(const struct journal_series *series) {
    if (series->done > series->placed || series->placed > series->buffered ||
        series->buffered + series->room > series->capacity)
        return false;
    if (series->always_size > series->buffered || series->interval_size > series->buffered)
        return false;
    if (!series->file)
        return series->buffered == 0 && series->room == 0;
    uint64_t end = series->offset + series->buffered + series->room;
    return (series->room == 0 || end + FORMAT_END_SIZE <= series->file->size) &&
           (series->room == 0 || series->state == SERIES_GOOD);
}

static void set_room(struct journal_series *series) {
    series->room = 0;
    if (series->file && series->state == SERIES_GOOD &&
        !journal_file_is_outdated(series->journal, series->file)) {
        uint64_t end = series->offset + series->buffered, limit = series->file->size - FORMAT_END_SIZE;
        uint64_t in_file = limit > end ? limit - end : 0;
        size_t in_buffer = series->capacity - series->buffered;
        series->room = in_file < in_buffer ? (size_t)in_file : in_buffer;
    }
    assert(series_is_sane(series));
}

/* ---- Writing ---- */

static bool failed(struct journal_series *series) {
    int failure = errno;
    count(&series->failures);
    if (series->state == SERIES_GOOD)
        journal_log_limited(
            series->journal, JOURNAL_LINE_WRITE, LOG_LEVEL_ERROR,
            "journal: cannot write to %s/%s: %s. "
            "Changes are refused until it can be written; make room on the disk, or repair it",
            series->journal->folder, series->file->name, file_reason(errno).text);
    if (series->state == SERIES_GOOD) {
        series->failing_us = monotonic_us();
        series->moves = 0;
    }
    series->state = SERIES_FAILING;
    set_room(series);
    errno = failure;
    return false;
}

static void note_versions(struct journal_series *series) {
    for (unsigned i = series->first_space; i < series->end_space; i++) {
        atomic_uint_fast64_t *highest = &series->file->max_versions[i];
        if (series->buffered_versions[i] > atomic_load_explicit(highest, memory_order_relaxed))
            atomic_store_explicit(highest, series->buffered_versions[i], memory_order_relaxed);
        series->buffered_versions[i] = 0;
    }
    series->first_space = UINT_MAX;
    series->end_space = 0;
}

/* The buffer is in the file: tells the syncer, and begins anew behind it. */
static void written(struct journal_series *series) {
    struct journal_file *file = series->file;
    note_versions(series);
    if (series->always_size > 0)
        atomic_store_explicit(&file->always_end, series->offset + series->always_size, memory_order_release);
    if (series->interval_size > 0)
        atomic_store_explicit(&file->interval_end, series->offset + series->interval_size,
                              memory_order_release);
    /* Last: whoever sees how much is written also sees of which mode it is. */
    atomic_store_explicit(&file->written, series->offset + series->buffered, memory_order_release);
    count_add(&series->bytes, series->buffered);
    count_add(&series->records, series->buffered_records);
    series->offset += series->buffered;
    series->buffered = series->placed = series->done = 0;
    series->buffered_records = 0;
    series->always_size = series->interval_size = 0;
    if (series->state != SERIES_GOOD)
        journal_log_limited(series->journal, JOURNAL_LINE_WRITE, LOG_LEVEL_NOTICE,
                            "journal: %s/%s can be written again", series->journal->folder, file->name);
    series->state = SERIES_GOOD;
}

/* The records get their CRCs here and not one by one: read at once, a record's bytes would still be in the
 * processor's store buffer, behind those of the change itself, and each CRC would wait for all of them
 * (docs/benchmarks-write-behind.md). */
static void place(struct journal_series *series) {
    format_place_records(series->buffer + series->placed, series->buffered - series->placed,
                         &series->file->key, series->offset + series->placed);
    series->placed = series->buffered;
}

/* False: errno. */
static bool write_buffer(struct journal_series *series) {
    const struct journal_disk *disk = series->journal->disk;
    while (series->done < series->buffered) {
        ssize_t n = disk->write_at(disk, series->file->handle, series->buffer + series->done,
                                   series->buffered - series->done, series->offset + series->done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return false;
        }
        series->done += (size_t)n;
    }
    return true;
}

bool journal_series_write_out(struct journal_series *series) {
    if (series->buffered > 0) {
        if (series->placed < series->buffered)
            place(series);
        progress_note(&series->at_disk, PROGRESS_CALLS);
        bool good = write_buffer(series);
        progress_rest(&series->at_disk);
        if (!good)
            return failed(series);
        written(series);
    }
    set_room(series);
    return true;
}

/* ---- Files ---- */

/* Lets go of the current file, if there is one, and goes on in this one. */
static void begin_file(struct journal_series *series, struct journal_file *file) {
    struct journal *journal = series->journal;
    struct journal_file *before = series->file;
    file->base = before ? before->base + series->offset : series->end_position;
    series->file = file;
    series->offset = file->header_size;
    series->asked = false;
    pthread_mutex_lock(&journal->lock);
    series->next_size = journal_size_after(journal, file);
    journal_list_append(&journal->files, file);
    if (before) {
        journal_expect_passing(journal, before);
        before->sealed_us = monotonic_us();
        /* Last, and under the lock: once it is sealed the syncer may recycle and free it. */
        atomic_store_explicit(&before->sealed, true, memory_order_release);
    }
    journal->list_wanted = journal->recycle_wanted = true;
    pthread_cond_signal(&journal->syncer_wanted);
    pthread_mutex_unlock(&journal->lock);
}

bool journal_series_start(struct journal_series *series) {
    struct journal_file *file = journal_file_create(series->journal, series->number, series->next_size, 0);
    if (!file)
        return false;
    begin_file(series, file);
    set_room(series);
    return true;
}

/* Writes the END record. */
static bool write_end(struct journal_series *series) {
    struct entry none = {.key = slice_of(NULL, 0)};
    assert(series->buffered == 0 && series->capacity >= FORMAT_END_SIZE);
    series->buffered = format_encode_record(series->buffer, FORMAT_KIND_END, 0, &none);
    series->room = 0;
    if (!journal_series_write_out(series)) {
        /* Nobody misses an END record, but the part that was written must not pass for the end of another. */
        series->buffered = series->placed = 0;
        return false;
    }
    return true;
}

/* There is no room for another file. If all that is in the current one has reached the backends, it is given
 * back and can become the next. */
static void give_back(struct journal_series *series, size_t bytes) {
    struct journal *journal = series->journal;
    struct journal_file *file = series->file;
    if (!file || series->offset == file->header_size ||
        file->header_size + bytes + FORMAT_END_SIZE > file->size || !journal_file_is_passed(journal, file))
        return; /* none, empty, too short anyway, or needed */
    series->end_position = file->base + series->offset;
    series->file = NULL;
    set_room(series);
    pthread_mutex_lock(&journal->lock);
    series->next_size = journal_size_after(journal, NULL);
    atomic_store_explicit(&file->sealed, true, memory_order_release);
    journal->recycle_wanted = true;
    pthread_cond_signal(&journal->syncer_wanted);
    pthread_mutex_unlock(&journal->lock);
}

static bool next_file(struct journal_series *series, size_t bytes) {
    if (series->file && !journal_series_write_out(series))
        return false;
    struct journal_file *file = journal_take_file(series, bytes);
    if (!file) {
        give_back(series, bytes);
        return false;
    }
    if (series->file && !write_end(series)) {
        /* The current file fails, the new one need not: the old stays without its END. */
        series->done = 0;
        series->state = SERIES_GOOD;
    }
    begin_file(series, file);
    return true;
}

/* ---- A file that fails ---- */

/* Is it time to leave the current file, since it may be bad and the disk may not? */
static bool gives_up(const struct journal_series *series, int failure) {
    unsigned doubled = series->moves < 8 ? series->moves : 8;
    uint64_t patience_us = (uint64_t)(JOURNAL_RETRY_MS << doubled) * 1000;
    return !journal_disk_is_full(failure) && series->buffered <= journal_usual_room(series->journal) &&
           monotonic_us() - series->failing_us >= patience_us;
}

static void leave(struct journal_series *series, struct journal_file *next) {
    struct journal_file *bad = series->file;
    atomic_store_explicit(&bad->suspect, true, memory_order_relaxed);
    journal_log_limited(series->journal, JOURNAL_LINE_WRITE, LOG_LEVEL_WARNING,
                        "journal: %s/%s is left as it is, %s is used instead", series->journal->folder,
                        bad->name, next->name);
    begin_file(series, next);
}

/* The buffer goes to another file. What part of it has reached the bad one is there twice, which does no
 * harm. */
static bool move_buffer(struct journal_series *series) {
    struct journal_file *next = journal_take_ready(series, series->buffered);
    if (!next)
        return false;
    leave(series, next);
    series->moves++;
    series->failing_us = monotonic_us();
    series->done = series->placed = 0;
    if (series->turn_position != 0)
        series->turn_position = next->base + series->offset + series->always_size;
    return journal_series_write_out(series);
}

/* Writes the buffer, into another file if need be. */
static bool write_out_anywhere(struct journal_series *series) {
    bool failing = series->state != SERIES_GOOD;
    if (journal_series_write_out(series))
        return true;
    return failing && gives_up(series, errno) && move_buffer(series);
}

/* The current file cannot be synced. It can go when all that is in it has reached the backends, but not while
 * it is current. */
static void leave_unsynced(struct journal_series *series) {
    struct journal_file *next = journal_take_ready(series, 0);
    if (!next)
        return;
    leave(series, next);
    set_room(series);
}

static bool grow(struct journal_series *series, size_t bytes) {
    size_t capacity = series->buffered + bytes + FORMAT_END_SIZE;
    if (capacity < JOURNAL_BUFFER)
        capacity = JOURNAL_BUFFER;
    if (capacity <= series->capacity)
        return true;
    char *buffer = realloc(series->buffer, capacity);
    if (!buffer)
        return false;
    series->buffer = buffer;
    series->capacity = capacity;
    return true;
}

static void shrink(struct journal_series *series) {
    assert(series->buffered == 0);
    char *buffer = realloc(series->buffer, JOURNAL_BUFFER);
    if (!buffer)
        return;
    series->buffer = buffer;
    series->capacity = JOURNAL_BUFFER;
    set_room(series);
}

static bool make_room(struct journal_series *series, size_t bytes) {
    if (series->state != SERIES_GOOD)
        return false;
    if (series->buffered > 0 && series->buffered + bytes > JOURNAL_BUFFER &&
        !journal_series_write_out(series))
        return false;
    if (!grow(series, bytes))
        return false;
    set_room(series);
    uint64_t end = series->offset + series->buffered + FORMAT_END_SIZE;
    bool goes_on = series->file && end + bytes <= series->file->size &&
                   !journal_file_is_outdated(series->journal, series->file);
    if (!goes_on && !next_file(series, bytes))
        return false;
    set_room(series);
    return bytes <= series->room;
}

/* ---- What the tier calls ---- */

bool journal_reserve(struct journal_series *series, size_t bytes) {
    if (atomic_load_explicit(&series->refusing, memory_order_relaxed))
        return false;
    return bytes <= series->room || make_room(series, bytes);
}

static inline void note_version(struct journal_series *series, unsigned space, uint64_t version) {
    if (version > series->buffered_versions[space])
        series->buffered_versions[space] = version;
    if (space < series->first_space)
        series->first_space = space;
    if (space >= series->end_space)
        series->end_space = space + 1;
}

void journal_append(struct journal_series *series, enum journal_mode mode, unsigned space,
                    enum journal_kind kind, const struct entry *entry) {
    assert(mode != JOURNAL_OFF && space < series->journal->space_count);
    assert(entry->key.size > 0 && entry->version != 0);
    size_t size = format_record_size(entry, journal_kind_is_whole(kind) ? entry->value.size : 0);
    if (size > series->room)
        abort(); /* not reserved: going on would lose an acknowledged change */
    format_encode_record(series->buffer + series->buffered, kind, space, entry);
    series->buffered += size;
    series->room -= size;
    series->buffered_records++;
    note_version(series, space, entry->version);
    if (mode >= JOURNAL_INTERVAL)
        series->interval_size = series->buffered;
    if (mode == JOURNAL_ALWAYS) {
        series->always_size = series->buffered;
        series->turn_position = series->file->base + series->offset + series->buffered;
    }
}

/* From the middle of a file on the next one is wanted; from its first record on, if the file is a short one. */
static bool wants_next(const struct journal_series *series) {
    const struct journal_file *file = series->file;
    return !file ||
           series->offset > (file->size < series->journal->file_size ? file->header_size : file->size / 2);
}

static void ask_ahead(struct journal_series *series) {
    struct journal *journal = series->journal;
    series->asked = true;
    pthread_mutex_lock(&journal->lock);
    if (!series->ready) { /* else a long record with a file of its own came between */
        series->wanted = true;
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

/* There is nothing to write, and the next records go where the last ones did. */
static bool is_at_rest(const struct journal_series *series) {
    return series->buffered == 0 && series->turn_position == 0 && series->room > 0 &&
           series->capacity <= BUFFER_KEPT && !journal_file_is_outdated(series->journal, series->file) &&
           !atomic_load_explicit(&series->refusing, memory_order_relaxed);
}

enum journal_status journal_write(struct journal_series *series, uint64_t *ret_position) {
    *ret_position = 0;
    if (is_at_rest(series))
        return JOURNAL_OK;
    if (!write_out_anywhere(series))
        return JOURNAL_FAILED;
    if (series->turn_position != 0) {
        *ret_position = series->turn_position;
        series->turn_position = 0;
        wake_syncer(series->journal);
    }
    if (atomic_load_explicit(&series->refusing, memory_order_relaxed) && series->file &&
        atomic_load_explicit(&series->file->suspect, memory_order_relaxed))
        leave_unsynced(series);
    if (series->capacity > BUFFER_KEPT)
        shrink(series);
    if (!series->asked && wants_next(series))
        ask_ahead(series);
    return JOURNAL_OK;
}
