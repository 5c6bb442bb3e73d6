/* SPDX-License-Identifier: MIT */
/* Opening and closing a journal, and what concerns all of it. The tour of its parts is in internal.h. */
#include "policies/journal/journal.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/compact.h"
#include "policies/journal/folder_lock.h"
#include "policies/journal/internal.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { JOURNAL_THREADS = 3 };

const char *const journal_mode_names[] = {"off", "os", "interval", "always", NULL};

/* ---- What the parts share ---- */

/* limit: of whose lines it is also told how many were left out; NULL: none. */
static void write_line(const struct journal *journal, struct log_limit *limit, enum log_level level,
                       const char *format, va_list arguments) {
    char message[1024];
    size_t length = fit_vprint(message, log_limit_room(limit, sizeof message), format, arguments);
    if (limit)
        log_limit_tell_left_out(limit, message, length, sizeof message);
    journal->log(journal->context, level, message);
}

void journal_log(const struct journal *journal, enum log_level level, const char *format, ...) {
    va_list arguments;
    if (!journal->log)
        return;
    va_start(arguments, format);
    write_line(journal, NULL, level, format, arguments);
    va_end(arguments);
}

void journal_log_limited(struct journal *journal, enum journal_line kind, enum log_level level,
                         const char *format, ...) {
    struct log_limit *limit = &journal->line_limits[kind];
    va_list arguments;
    if (!journal->log)
        return;
    if (!log_limit_admits(limit, LOG_LIMIT_BURST, monotonic_us())) {
        log_limit_leave_out(limit);
        return;
    }
    va_start(arguments, format);
    write_line(journal, limit, level, format, arguments);
    va_end(arguments);
}

void journal_list_init(struct journal_list *list) {
    list->first = NULL;
    list->last = &list->first;
}

void journal_list_append(struct journal_list *list, struct journal_file *file) {
    file->next = NULL;
    *list->last = file;
    list->last = &file->next;
}

struct journal_file *journal_file_new(const struct journal *journal) {
    struct journal_file *file = calloc(1, sizeof *file + journal->space_limit * sizeof *file->max_versions);
    if (file)
        file->handle = -1;
    return file;
}

void journal_file_free(const struct journal *journal, struct journal_file *file) {
    if (file->handle >= 0)
        journal->disk->close(journal->disk, file->handle);
    free(file);
}

/* ---- What is passed ---- */

static uint64_t max_version(const struct journal_file *file, size_t space) {
    return atomic_load_explicit(&file->max_versions[space], memory_order_relaxed);
}

bool journal_file_is_passed(const struct journal *journal, const struct journal_file *file) {
    for (size_t i = 0; i < journal->space_count; i++)
        if (max_version(file, i) > atomic_load_explicit(&journal->passing[i].low_water, memory_order_acquire))
            return false;
    return true;
}

void journal_expect_passing(struct journal *journal, const struct journal_file *file) {
    for (size_t i = 0; i < journal->space_count; i++) {
        atomic_uint_fast64_t *next = &journal->passing[i].next;
        uint64_t version = max_version(file, i);
        if (version != 0 && version < atomic_load_explicit(next, memory_order_relaxed))
            atomic_store_explicit(next, version, memory_order_relaxed);
    }
}

bool journal_is_starved(const struct journal *journal) {
    for (unsigned i = 0; i < journal->series_count; i++)
        if (journal->series[i].starved)
            return true;
    return false;
}

/* ---- Opening ---- */

static void note_kept_spaces(struct journal *journal, const struct journal_options *options) {
    for (unsigned i = 0; options->keeps && i < options->space_count; i++)
        if (options->keeps[i])
            journal_keep_space(journal, i);
}

static bool make_series(struct journal *journal) {
    size_t size = journal->series_count * sizeof *journal->series;
    journal->series = aligned_alloc(_Alignof(struct journal_series), size);
    if (!journal->series)
        return false;
    memset(journal->series, 0, size);
    for (unsigned i = 0; i < journal->series_count; i++) {
        journal->series[i].journal = journal;
        journal->series[i].number = i;
        journal->series[i].capacity = JOURNAL_BUFFER;
        journal->series[i].buffer = malloc(JOURNAL_BUFFER);
        journal->series[i].buffered_versions = calloc(journal->space_limit, sizeof(uint64_t));
        if (!journal->series[i].buffer || !journal->series[i].buffered_versions)
            return false;
    }
    /* Two more: what the keeper gives back. */
    journal->blanks = calloc(JOURNAL_BLANKS_MAX + 2, sizeof *journal->blanks);
    journal->compact_low_waters = calloc(journal->space_limit, sizeof *journal->compact_low_waters);
    return journal->blanks && journal->compact_low_waters;
}

static uint64_t whole_pages(const struct journal *journal, uint64_t wanted) {
    uint64_t least = format_header_size(journal->spaces, journal->space_count) + FORMAT_HEADER_UNIT;
    uint64_t size = wanted ? wanted : JOURNAL_FILE_SIZE_DEFAULT;
    return format_whole_units(size < least ? least : size);
}

static void init_sync(struct journal *journal) {
    pthread_mutex_init(&journal->lock, NULL);
    condition_init(&journal->keeper_wanted);
    condition_init(&journal->keeper_answered);
    condition_init(&journal->syncer_wanted);
    condition_init(&journal->syncer_answered);
    condition_init(&journal->compactor_wanted);
}

static struct journal *create(const struct journal_options *options) {
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return NULL;
    journal->disk = options->disk ? options->disk : &journal_disk_system;
    journal->folder_lock = -1;
    journal->series_count = options->series_count;
    journal->fsync_interval_ms =
        options->fsync_interval_ms ? options->fsync_interval_ms : JOURNAL_FSYNC_INTERVAL_DEFAULT_MS;
    journal->compact_after_ms =
        options->compact_after_ms ? options->compact_after_ms : JOURNAL_COMPACT_AFTER_DEFAULT_MS;
    journal->keep_us = (uint64_t)options->keep_ms * US_PER_MS;
    journal->keep_bytes = options->keep_bytes;
    journal->durable = options->durable;
    journal->log = options->log;
    journal->context = options->context;
    journal->next_sequence = journal->next_blank = 1;
    journal->low_water_noted_us = journal->peak_us = journal->keep_seen_us = monotonic_us();
    journal->disk->boot(journal->disk, journal->boot);
    journal_list_init(&journal->files);
    journal_list_init(&journal->retained);
    init_sync(journal);
    journal->folder = strdup(options->folder);
    return journal;
}

static void free_files(const struct journal *journal, struct journal_file *file) {
    while (file) {
        struct journal_file *next = file->next;
        journal_file_free(journal, file);
        file = next;
    }
}

static void destroy(struct journal *journal) {
    free_files(journal, journal->files.first);
    free_files(journal, journal->retained.first);
    for (unsigned i = 0; journal->series && i < journal->series_count; i++) {
        free(journal->series[i].buffer);
        free(journal->series[i].buffered_versions);
    }
    free(journal->series);
    free(journal->blanks);
    free(journal->compact_low_waters);
    for (size_t i = 0; i < journal->space_count; i++)
        free((void *)(uintptr_t)journal->spaces[i].data);
    free(journal->spaces);
    free(journal->passing);
    low_waters_free(&journal->low_waters);
    pthread_mutex_destroy(&journal->lock);
    pthread_cond_destroy(&journal->keeper_wanted);
    pthread_cond_destroy(&journal->keeper_answered);
    pthread_cond_destroy(&journal->syncer_wanted);
    pthread_cond_destroy(&journal->syncer_answered);
    pthread_cond_destroy(&journal->compactor_wanted);
    folder_lock_release(journal->folder_lock);
    free(journal->folder);
    free(journal);
}

/* A full disk is no reason not to start: reads go on, and writes as soon as there is room. */
static enum journal_status start_series(struct journal *journal, struct journal_error *error) {
    for (unsigned i = 0; i < journal->series_count; i++) {
        struct journal_series *series = &journal->series[i];
        if (journal_series_start(series))
            continue;
        bool full = journal_disk_is_full(errno);
        journal_log(journal, LOG_LEVEL_ERROR, "journal: cannot make a file of %" PRIu64 " bytes in %s: %s%s",
                    series->next_size, journal->folder, file_reason(errno).text,
                    full ? ". Changes are refused until there is room" : "");
        if (!full) {
            fit_print(error->message, sizeof error->message, "journal: cannot make a file in %s: %s",
                      journal->folder, own_file_reason(errno).text);
            return JOURNAL_FAILED;
        }
        journal->keeper_failing = true;
        series->wanted = true;
        series->starved = true;
    }
    return JOURNAL_OK;
}

/* The first `started` of its threads. */
static void stop_threads(struct journal *journal, unsigned started) {
    const pthread_t threads[] = {journal->keeper, journal->syncer, journal->compactor};
    pthread_mutex_lock(&journal->lock);
    journal->stopping = true;
    pthread_cond_broadcast(&journal->keeper_wanted);
    pthread_cond_broadcast(&journal->syncer_wanted);
    pthread_cond_broadcast(&journal->compactor_wanted);
    pthread_mutex_unlock(&journal->lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static enum journal_status start_threads(struct journal *journal, struct journal_error *error) {
    const struct {
        pthread_t *thread;
        const char *name;
        void *(*run)(void *journal);
    } threads[JOURNAL_THREADS] = {{&journal->keeper, "journal keeper", journal_keeper_run},
                                  {&journal->syncer, "journal syncer", journal_syncer_run},
                                  {&journal->compactor, "journal compact", journal_compactor_run}};
    int failure = 0;
    unsigned started = 0;
    while (started < JOURNAL_THREADS &&
           (failure = thread_start(threads[started].thread, threads[started].name, threads[started].run,
                                   journal)) == 0)
        started++;
    if (failure == 0)
        return JOURNAL_OK;
    stop_threads(journal, started);
    fit_print(error->message, sizeof error->message,
              "journal: cannot start a thread: %s; raise ulimit -u or -v (TasksMax= in systemd)",
              strerror(failure));
    return JOURNAL_FAILED;
}

static enum journal_status prepare(struct journal *journal, const struct journal_options *options,
                                   struct journal_error *error) {
    if (!journal->folder || !journal_copy_spaces(journal, options->spaces, options->space_count) ||
        !make_series(journal)) {
        fit_print(error->message, sizeof error->message, "journal: out of memory");
        return JOURNAL_FAILED;
    }
    if (!journal_folder_fits(journal->folder)) {
        fit_print(error->message, sizeof error->message, "journal: the name of the folder is too long");
        return JOURNAL_FAILED;
    }
    note_kept_spaces(journal, options);
    journal->file_size = whole_pages(journal, options->file_size);
    for (unsigned i = 0; i < journal->series_count; i++)
        journal->series[i].next_size = journal_size_after(journal, NULL);
    if (options->is_locked)
        return JOURNAL_OK;
    return folder_lock_take(journal->folder, &journal->folder_lock, error);
}

enum journal_status journal_open(const struct journal_options *options, bool skip_damaged,
                                 struct journal_replayer *replayer, struct journal_recovery *ret_recovery,
                                 struct journal **ret_journal, struct journal_error *ret_error) {
    struct journal_recovery recovery = {0};
    assert(options->series_count > 0 && options->space_count <= FORMAT_SPACES_MAX);
    struct journal *journal = create(options);
    if (!journal) {
        fit_print(ret_error->message, sizeof ret_error->message, "journal: out of memory");
        return JOURNAL_FAILED;
    }
    enum journal_status status = prepare(journal, options, ret_error);
    if (status == JOURNAL_OK)
        status = journal_recover(journal, options, skip_damaged, replayer, &recovery, ret_error);
    if (status == JOURNAL_OK) {
        journal_recycle_pass(journal); /* what holds nothing any more is used again at once */
        status = start_series(journal, ret_error);
    }
    if (status == JOURNAL_OK)
        recycle_note_now(journal); /* which files are in use; where it fails, that is told, and tried again */
    if (status == JOURNAL_OK)
        status = start_threads(journal, ret_error);
    if (status != JOURNAL_OK) {
        destroy(journal);
        return status;
    }
    *ret_recovery = recovery;
    *ret_journal = journal;
    return JOURNAL_OK;
}

/* ---- Closing ---- */

/* The last records, and the room behind them given back. */
static void finish_series(struct journal_series *series) {
    struct journal *journal = series->journal;
    size_t left = series->buffered;
    if (!series->file)
        return;
    if (!journal_series_write_out(series))
        journal_log(journal, LOG_LEVEL_ERROR, "journal: %zu bytes of records could not be written to %s/%s",
                    left, journal->folder, series->file->name);
    else
        journal->disk->truncate(journal->disk, series->file->handle, series->offset);
    atomic_store_explicit(&series->file->sealed, true, memory_order_release);
}

void journal_finish(struct journal *journal) {
    if (journal->stopping)
        return;
    stop_threads(journal, JOURNAL_THREADS);
    for (unsigned i = 0; i < journal->series_count; i++) {
        struct journal_series *series = &journal->series[i];
        finish_series(series);
        journal_file_drop(journal, series->ready);
        journal_file_drop(journal, series->large);
        series->ready = series->large = NULL;
    }
    journal_sync_pass(journal, true, true);
    journal->low_water_noted_us = 0; /* due */
    journal_recycle_pass(journal);
    for (size_t i = 0; i < journal->blank_count; i++)
        journal_remove_blank(journal->disk, journal->folder, journal->blanks[i]);
    journal->blank_count = 0;
    journal->disk->sync_folder(journal->disk, journal->folder);
}

void journal_close(struct journal *journal) {
    journal_finish(journal);
    destroy(journal);
}

/* ---- Small things ---- */

struct journal_series *journal_series(struct journal *journal, unsigned number) {
    assert(number < journal->series_count);
    return &journal->series[number];
}

void journal_pass(struct journal *journal, unsigned space, uint64_t version) {
    assert(space < journal->space_count);
    struct journal_passing *passing = &journal->passing[space];
    uint64_t before = atomic_load_explicit(&passing->low_water, memory_order_relaxed);
    while (before < version &&
           !atomic_compare_exchange_weak_explicit(&passing->low_water, &before, version, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    if (version < atomic_load_explicit(&passing->next, memory_order_relaxed))
        return;
    pthread_mutex_lock(&journal->lock);
    if (!journal->recycle_wanted) {
        journal->recycle_wanted = true;
        pthread_cond_signal(&journal->syncer_wanted);
    }
    pthread_mutex_unlock(&journal->lock);
}

void journal_get_state(const struct journal *journal, struct journal_state *ret_state) {
    uint64_t now_us = monotonic_us();
    struct journal_state state = {
        .sync_us = progress_at_us(&journal->syncing, PROGRESS_CALLS, now_us),
        .is_short = journal_is_starved(journal),
    };
    for (unsigned i = 0; i < journal->series_count; i++) {
        const struct journal_series *series = &journal->series[i];
        uint64_t write_us = progress_at_us(&series->at_disk, PROGRESS_CALLS, now_us);
        state.write_us = write_us > state.write_us ? write_us : state.write_us;
        state.cannot_sync |= atomic_load_explicit(&series->refusing, memory_order_relaxed);
        state.has_no_room |= atomic_load_explicit(&series->blocked, memory_order_relaxed);
    }
    *ret_state = state;
}

void journal_get_stats(struct journal *journal, struct journal_stats *ret_stats) {
    struct journal_stats stats = {
        .fsync_max_us = atomic_load_explicit(&journal->fsync_max_us, memory_order_relaxed),
        .recycled = atomic_load_explicit(&journal->recycled, memory_order_relaxed),
        .compactions = atomic_load_explicit(&journal->compactions, memory_order_relaxed),
        .failures = atomic_load_explicit(&journal->failures, memory_order_relaxed),
    };
    for (unsigned i = 0; i < journal->series_count; i++) {
        stats.written_records += atomic_load_explicit(&journal->series[i].records, memory_order_relaxed);
        stats.written_bytes += atomic_load_explicit(&journal->series[i].bytes, memory_order_relaxed);
        stats.failures += atomic_load_explicit(&journal->series[i].failures, memory_order_relaxed);
    }
    histogram_collect(&stats.fsync_times, &journal->fsync_times);
    stats.fsyncs = histogram_count(&stats.fsync_times);
    stats.fsync_us = stats.fsync_times.sum_us;
    pthread_mutex_lock(&journal->lock);
    for (const struct journal_file *file = journal->files.first; file; file = file->next) {
        stats.files++;
        stats.bytes += file->size;
    }
    stats.kept_files = journal->retained_count;
    stats.kept_bytes = journal->retained_bytes;
    pthread_mutex_unlock(&journal->lock);
    *ret_stats = stats;
}
