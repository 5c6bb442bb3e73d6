/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a thread that has the next file of each series ready before it is needed, so that no worker
 * waits for a file to be made, and a full disk is noticed while there is still room in the current file.
 *
 * A new file is allocated and then filled with zeros by writes of 64 KiB. That costs about as much as it
 * saves when the file is first written (fresh blocks need not be converted, and the page cache holds it in
 * larger pieces), but it is done here and not on a worker; and a sync of filled blocks is quicker, because no
 * metadata changes with it.
 */
#include "cache/base/file_reason.h"
#include "policies/journal/retain.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

/* ---- Making a file ---- */

/* A blank that is being made into a file of a series. */
struct making {
    struct journal *journal;
    uint64_t blank;
    bool reused;
    char path[JOURNAL_PATH_MAX];
};

/* True: one that waits for its next use, which is as long as files get. */
static bool take_blank(struct journal *journal, bool may_reuse, uint64_t *ret_blank, uint64_t *ret_sequence) {
    pthread_mutex_lock(&journal->lock);
    bool reused = may_reuse && journal->blank_count > 0;
    *ret_blank = reused ? journal->blanks[--journal->blank_count] : journal->next_blank++;
    *ret_sequence = journal->next_sequence++;
    pthread_mutex_unlock(&journal->lock);
    return reused;
}

static void return_blank(struct journal *journal, uint64_t blank) {
    pthread_mutex_lock(&journal->lock);
    journal->blanks[journal->blank_count++] = blank; /* there is room: it was taken from here */
    pthread_mutex_unlock(&journal->lock);
}

uint64_t journal_random_epoch(void) {
    uint64_t epoch = 0;
    while (epoch == 0)
        if (getrandom(&epoch, sizeof epoch, 0) != sizeof epoch)
            epoch = monotonic_us() * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)&epoch;
    return epoch;
}

static bool write_header(const struct making *making, struct journal_file *file, uint64_t sequence) {
    struct journal *journal = making->journal;
    struct format_header header = {.series = file->series,
                                   .sequence = sequence,
                                   .epoch = journal_random_epoch(),
                                   .created_us = wall_us(),
                                   .file_size = file->size,
                                   .fresh = !making->reused,
                                   .spaces = journal->spaces,
                                   .space_count = file->space_count,
                                   .size = file->header_size};
    memcpy(header.boot, journal->boot, sizeof header.boot);
    memcpy(file->boot, journal->boot, sizeof file->boot);
    file->key = format_key(header.epoch);
    char *bytes = malloc(header.size);
    if (!bytes)
        return false;
    format_encode_header(bytes, &header);
    bool good = journal_disk_write_synced(journal->disk, file->handle, bytes, header.size, 0) == 0;
    int failure = errno;
    free(bytes);
    errno = failure;
    return good;
}

static bool fill(const struct making *making, const struct journal_file *file) {
    if (making->reused || file->size > making->journal->file_size)
        return true;
    char *zeros = calloc(1, JOURNAL_PIECE);
    if (!zeros)
        return false;
    bool good = true;
    for (uint64_t at = file->header_size; good && at < file->size;) {
        /* Whole pieces, aligned: the page cache follows the size of the writes. */
        uint64_t end = (at / JOURNAL_PIECE + 1) * JOURNAL_PIECE;
        uint64_t size = (end < file->size ? end : file->size) - at;
        good = journal_disk_write(making->journal->disk, file->handle, zeros, size, at) == 0;
        at += size;
    }
    int failure = errno;
    free(zeros);
    errno = failure;
    return good;
}

/* Allocation, header (synced), filling, and only then the name. */
static bool make(struct making *making, struct journal_file *file, uint64_t sequence) {
    struct journal *journal = making->journal;
    const struct journal_disk *disk = journal->disk;
    char named[JOURNAL_PATH_MAX];
    journal_format_name(file->series, sequence, file->name);
    journal_path(journal->folder, file->name, named);
    file->handle = disk->open(disk, making->path, O_RDWR | O_CREAT);
    return file->handle >= 0 && disk->allocate(disk, file->handle, file->size) == 0 && fill(making, file) &&
           write_header(making, file, sequence) && disk->rename(disk, making->path, named) == 0 &&
           disk->sync_folder(disk, journal->folder) == 0;
}

/* Retained files go before it is said that there is no room. */
static bool make_room(struct making *making, struct journal_file *file) {
    struct journal *journal = making->journal;
    int failure = errno;
    bool blank = false, usual = file->size <= journal->file_size;
    if (!journal_disk_is_full(failure) || making->reused)
        return false;
    if (file->handle >= 0)
        journal->disk->close(journal->disk, file->handle);
    file->handle = -1;
    bool given = retain_give_up(journal, usual ? making->path : NULL, &blank);
    if (blank)
        file->size = journal->file_size;
    making->reused = blank;
    errno = failure;
    return given;
}

static bool make_somehow(struct making *making, struct journal_file *file, uint64_t sequence) {
    bool made;
    while (!(made = make(making, file, sequence)) && make_room(making, file))
        continue;
    return made;
}

static void unmake(struct making *making, struct journal_file *file) {
    struct journal *journal = making->journal;
    int failure = errno;
    char named[JOURNAL_PATH_MAX];
    journal_path(journal->folder, file->name, named);
    if (file->handle >= 0)
        journal->disk->close(journal->disk, file->handle);
    journal->disk->rename(journal->disk, named, making->path); /* if it got that far */
    if (making->reused)
        return_blank(journal, making->blank);
    else
        journal->disk->remove(journal->disk, making->path);
    free(file);
    errno = failure;
}

void journal_file_drop(const struct journal *journal, struct journal_file *file) {
    char path[JOURNAL_PATH_MAX];
    if (!file)
        return;
    journal_path(journal->folder, file->name, path);
    journal->disk->remove(journal->disk, path);
    journal_file_free(journal, file);
}

/* ---- Sizes ---- */

static uint64_t longer(const struct journal *journal, uint64_t size) {
    return size < journal->file_size / JOURNAL_GROWTH ? size * JOURNAL_GROWTH : journal->file_size;
}

uint64_t journal_size_after(const struct journal *journal, const struct journal_file *file) {
    if (file)
        return longer(journal, file->size);
    return journal->file_size < JOURNAL_FIRST_SIZE ? journal->file_size : JOURNAL_FIRST_SIZE;
}

/* The shortest file with room for a record. */
static uint64_t least_size(const struct journal *journal, size_t record_size) {
    uint64_t records = record_size + FORMAT_END_SIZE;
    return format_header_size(journal->spaces, journal->space_count) +
           (records < FORMAT_HEADER_UNIT ? FORMAT_HEADER_UNIT : records);
}

static uint64_t choose_size(const struct journal *journal, uint64_t size, size_t record_size) {
    uint64_t least = least_size(journal, record_size);
    while (size < least && size < journal->file_size)
        size = longer(journal, size);
    return size >= least ? size : format_whole_units(least);
}

struct journal_file *journal_file_create(struct journal *journal, unsigned series, uint64_t size,
                                         size_t record_size) {
    struct journal_file *file = journal_file_new(journal);
    if (!file)
        return NULL;
    file->series = series;
    file->space_count = journal->space_count;
    file->header_size = format_header_size(journal->spaces, file->space_count);
    file->size = choose_size(journal, size, record_size);
    atomic_init(&file->written, file->header_size);
    struct making making = {.journal = journal};
    uint64_t sequence = 0;
    making.reused = take_blank(journal, file->size <= journal->file_size, &making.blank, &sequence);
    if (making.reused)
        file->size = journal->file_size;
    char name[JOURNAL_NAME_MAX];
    journal_format_blank(making.blank, name);
    journal_path(journal->folder, name, making.path);
    if (!make_somehow(&making, file, sequence)) {
        unmake(&making, file);
        return NULL;
    }
    return file;
}

/* ---- The thread ---- */

/* A series that wants a file now, or NULL; *ret_retry_us: when to look again, 0: when woken. */
static struct journal_series *next_wish(struct journal *journal, uint64_t *ret_retry_us) {
    uint64_t now = monotonic_us();
    *ret_retry_us = 0;
    for (unsigned i = 0; i < journal->series_count; i++) {
        struct journal_series *series = &journal->series[i];
        if (series->wanted_large > 0)
            return series;
        if (!series->wanted)
            continue;
        if (!series->starved || series->retry_us <= now)
            return series;
        if (*ret_retry_us == 0 || series->retry_us < *ret_retry_us)
            *ret_retry_us = series->retry_us;
    }
    return NULL;
}

static void report(struct journal *journal, const struct journal_file *file, uint64_t size, int failure) {
    if (!file) {
        atomic_fetch_add_explicit(&journal->failures, 1, memory_order_relaxed);
        if (!journal->keeper_failing)
            journal_log_limited(
                journal, JOURNAL_LINE_ROOM, LOG_LEVEL_ERROR,
                "journal: cannot make another file of %" PRIu64 " bytes in %s: %s. "
                "Changes are refused as soon as the current files are full; make room on the disk",
                size, journal->folder, file_reason(failure).text);
    } else if (journal->keeper_failing) {
        journal_log_limited(journal, JOURNAL_LINE_ROOM, LOG_LEVEL_NOTICE,
                            "journal: there is room in %s again", journal->folder);
    }
    journal->keeper_failing = !file;
}

/* Called with the lock, which it gives up meanwhile. */
static void fulfil(struct journal *journal, struct journal_series *series) {
    size_t large = series->wanted_large;
    uint64_t size = series->next_size;
    pthread_mutex_unlock(&journal->lock);
    struct journal_file *file = journal_file_create(journal, series->number, size, large);
    report(journal, file, choose_size(journal, size, large), errno);
    pthread_mutex_lock(&journal->lock);
    assert(large > 0 ? !series->large : !series->ready);
    if (large > 0) {
        series->large = file;
        series->large_failed = !file;
        series->wanted_large = 0;
    } else {
        series->ready = file;
        series->starved = !file;
        if (file)
            series->blocked = false;
        series->wanted = !file;
        if (!file && !journal->recycle_wanted) { /* perhaps there is room to be made */
            journal->recycle_wanted = true;
            pthread_cond_signal(&journal->syncer_wanted);
        }
        series->retry_us = monotonic_us() + JOURNAL_RETRY_MS * 1000;
    }
    pthread_cond_broadcast(&journal->keeper_answered);
}

void *journal_keeper_run(void *argument) {
    struct journal *journal = argument;
    pthread_mutex_lock(&journal->lock);
    while (!journal->stopping) {
        uint64_t retry_us = 0;
        struct journal_series *series = next_wish(journal, &retry_us);
        if (series) {
            fulfil(journal, series);
        } else if (retry_us == 0) {
            pthread_cond_wait(&journal->keeper_wanted, &journal->lock);
        } else {
            condition_wait_until(&journal->keeper_wanted, &journal->lock, retry_us);
        }
    }
    pthread_mutex_unlock(&journal->lock);
    return NULL;
}

/* ---- New names ---- */

/* With the lock: the ready file of a series, if it has not all names. It is taken away, and another one asked for. */
static struct journal_file *take_outdated(struct journal *journal, struct journal_series *series) {
    struct journal_file *file = series->ready;
    if (file && file->space_count == journal->space_count)
        return NULL;
    series->ready = NULL;
    if (!series->wanted) {
        series->wanted = true;
        series->starved = false;
    }
    pthread_cond_signal(&journal->keeper_wanted);
    return file;
}

bool journal_renew_ready(struct journal *journal) {
    bool good = true;
    pthread_mutex_lock(&journal->lock);
    for (unsigned i = 0; i < journal->series_count && good;) {
        struct journal_series *series = &journal->series[i];
        struct journal_file *outdated = take_outdated(journal, series);
        if (outdated) {
            pthread_mutex_unlock(&journal->lock);
            journal_file_drop(journal, outdated);
            pthread_mutex_lock(&journal->lock);
        }
        good = !series->starved;
        if (series->ready)
            i++;
        else if (good)
            pthread_cond_wait(&journal->keeper_answered, &journal->lock);
    }
    pthread_mutex_unlock(&journal->lock);
    return good;
}

/* ---- The worker's question ---- */

static struct journal_file *take_large(struct journal *journal, struct journal_series *series,
                                       size_t record_size) {
    series->wanted_large = record_size;
    series->large_failed = false;
    pthread_cond_signal(&journal->keeper_wanted);
    while (!series->large && !series->large_failed)
        pthread_cond_wait(&journal->keeper_answered, &journal->lock);
    struct journal_file *file = series->large;
    series->large = NULL;
    return file;
}

static bool holds(const struct journal *journal, uint64_t file_size, size_t record_size) {
    return least_size(journal, record_size) <= file_size;
}

static void ask(struct journal *journal, struct journal_series *series) {
    if (series->ready || series->wanted)
        return;
    series->wanted = true;
    pthread_cond_signal(&journal->keeper_wanted);
}

/* The file that the keeper has ready or makes now. False: the record needs a longer one. */
static bool take_usual(struct journal *journal, struct journal_series *series, size_t record_size,
                       struct journal_file **ret_file) {
    if (!holds(journal, series->ready ? series->ready->size : series->next_size, record_size))
        return false;
    ask(journal, series);
    while (!series->ready && !series->starved)
        pthread_cond_wait(&journal->keeper_answered, &journal->lock);
    series->blocked = !series->ready;
    if (series->ready && !holds(journal, series->ready->size, record_size))
        return false; /* it was being made already, when a long record had a file of its own */
    *ret_file = series->ready;
    series->ready = NULL;
    return true;
}

/* Somebody has removed or renamed it while it waited: what is written to it would be lost at a kill. Frees it then. */
static bool is_lost(const struct journal *journal, struct journal_file *file) {
    if (journal_file_has_its_name(journal, file))
        return false;
    journal_file_free(journal, file);
    return true;
}

struct journal_file *journal_take_ready(struct journal_series *series, size_t bytes) {
    struct journal *journal = series->journal;
    pthread_mutex_lock(&journal->lock);
    struct journal_file *file = series->ready, *too_short = NULL;
    series->ready = NULL;
    if (file && !holds(journal, file->size, bytes)) {
        too_short = file;
        file = NULL;
    }
    if (!holds(journal, series->next_size, bytes))
        series->next_size = journal->file_size;
    pthread_mutex_unlock(&journal->lock);
    progress_note(&series->at_disk, PROGRESS_CALLS);
    journal_file_drop(journal, too_short);
    bool lost = file && is_lost(journal, file);
    progress_rest(&series->at_disk);
    if (file && !lost)
        return file;
    pthread_mutex_lock(&journal->lock);
    ask(journal, series);
    pthread_mutex_unlock(&journal->lock);
    return NULL;
}

struct journal_file *journal_take_file(struct journal_series *series, size_t record_size) {
    struct journal *journal = series->journal;
    struct journal_file *file = NULL;
    progress_note(&series->at_disk, PROGRESS_CALLS);
    do {
        pthread_mutex_lock(&journal->lock);
        if (!take_usual(journal, series, record_size, &file))
            file = take_large(journal, series, record_size);
        pthread_mutex_unlock(&journal->lock);
    } while (file && is_lost(journal, file));
    progress_rest(&series->at_disk);
    return file;
}
