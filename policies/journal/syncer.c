/* SPDX-License-Identifier: MIT */
/*
 * The syncer: a thread that makes records durable, and recycles files when the low-water version has passed
 * them (recycle.c).
 *
 * Group commit: while a sync runs, workers go on, and what they write meanwhile is the next group. One pass
 * syncs each file at most once, and the files of a series in their order, so that a position reported as
 * durable covers all before it.
 *
 * After a failed sync the kernel counts the pages as clean though they are not on disk, and the next sync
 * would succeed without having written them. So what the failed sync should have covered is read back (from
 * the page cache) and written again before the next attempt; until one succeeds, the series refuses changes
 * and nothing is reported.
 *
 * A file that somebody has removed or renamed can be synced and is lost all the same. It counts as one that cannot be
 * synced; its name is looked at before each sync and with every tick.
 */
#include "policies/journal/compact.h"
#include "policies/journal/internal.h"
#include "policies/journal/recycle.h"
#include "policies/journal/retain.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Syncing ---- */

struct sync_wish {
    bool interval, everything;
};

static uint64_t wish(const struct journal_file *file, struct sync_wish what) {
    uint64_t always = atomic_load_explicit(&file->always_end, memory_order_acquire);
    uint64_t interval = atomic_load_explicit(&file->interval_end, memory_order_acquire);
    if (what.everything)
        return atomic_load_explicit(&file->written, memory_order_acquire);
    return what.interval && interval > always ? interval : always;
}

/* Later files of a series have to wait when this one holds records of mode `always` that are not synced,
 * because its sync failed in this pass or they were written after it: a position reported in a later file
 * would cover them as well. (The turn that wrote them wakes the syncer again at its end.) */
static bool blocks_series(const struct journal *journal, const struct journal_file *file) {
    return file->pass == journal->pass &&
           atomic_load_explicit(&file->always_end, memory_order_acquire) > file->synced;
}

/* The next file of this pass, oldest first. */
static struct journal_file *next_file(struct journal *journal, struct sync_wish what) {
    struct journal_file *found = NULL;
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *file = journal->files.first; file && !found; file = file->next) {
        if (file->handle < 0) /* of an earlier process */
            continue;
        if (blocks_series(journal, file))
            journal->series[file->series].blocked_pass = journal->pass;
        else if (file->pass != journal->pass && (file->unsynced || wish(file, what) > file->synced) &&
                 journal->series[file->series].blocked_pass != journal->pass)
            found = file;
    }
    pthread_mutex_unlock(&journal->lock);
    if (found)
        found->pass = journal->pass;
    return found;
}

static void count_sync(struct journal *journal, uint64_t took_us) {
    histogram_add_shared(&journal->fsync_times, took_us);
    if (took_us > atomic_load_explicit(&journal->fsync_max_us, memory_order_relaxed))
        atomic_store_explicit(&journal->fsync_max_us, took_us, memory_order_relaxed);
}

static bool write_again(struct journal *journal, const struct journal_file *file, uint64_t end) {
    char *piece = malloc(JOURNAL_PIECE);
    bool good = piece != NULL;
    for (uint64_t at = file->synced; good && at < end;) {
        size_t size = end - at < JOURNAL_PIECE ? (size_t)(end - at) : JOURNAL_PIECE;
        good = journal_disk_read(journal->disk, file->handle, piece, size, at) == (ssize_t)size &&
               journal_disk_write(journal->disk, file->handle, piece, size, at) == 0;
        at += size;
    }
    int failure = errno;
    free(piece);
    errno = failure;
    return good;
}

/* The worker leaves the file, and its series refuses changes. */
static void distrust(struct journal *journal, struct journal_file *file, const char *problem,
                     const char *remedy) {
    struct journal_series *series = &journal->series[file->series];
    atomic_fetch_add_explicit(&journal->failures, 1, memory_order_relaxed);
    if (!atomic_exchange_explicit(&series->refusing, true, memory_order_relaxed))
        journal_log_limited(journal, JOURNAL_LINE_SYNC, LOG_LEVEL_ERROR,
                            "journal: %s/%s %s. Changes are refused until %s", journal->folder, file->name,
                            problem, remedy);
    file->unsynced = true;
    atomic_store_explicit(&file->suspect, true, memory_order_relaxed);
    series->blocked_pass = journal->pass;
    journal->sync_failing = true;
}

static void sync_failed(struct journal *journal, struct journal_file *file) {
    char problem[128];
    snprintf(problem, sizeof problem, "cannot be synced: %s", strerror(errno));
    distrust(journal, file, problem, "that succeeds; look after the disk");
}

bool journal_file_has_its_name(const struct journal *journal, const struct journal_file *file) {
    char path[JOURNAL_PATH_MAX];
    journal_path(journal->folder, file->name, path);
    return journal->disk->is_at(journal->disk, file->handle, path);
}

/* All that is in it is as good as not synced. */
static void name_lost(struct journal *journal, struct journal_file *file) {
    file->synced = file->header_size;
    distrust(journal, file, "was removed or renamed while it was open",
             "it is back, or all that was in it has reached the backends");
}

static void report_durable(struct journal *journal, struct journal_file *file) {
    if (file->reported < file->synced &&
        atomic_load_explicit(&file->always_end, memory_order_relaxed) > file->reported) {
        file->reported = file->synced;
        if (journal->durable)
            journal->durable(journal->context, file->series, file->base + file->synced);
    }
}

/* Takes changes again, if this was the last file of the series that could not be synced. */
static bool accept_again(struct journal *journal, struct journal_file *file) {
    bool refusing = false;
    if (!file->unsynced)
        return false;
    file->unsynced = false;
    pthread_mutex_lock(&journal->lock);
    for (const struct journal_file *other = journal->files.first; other; other = other->next)
        refusing |= other->series == file->series && other->handle >= 0 && other->unsynced;
    pthread_mutex_unlock(&journal->lock);
    atomic_store_explicit(&journal->series[file->series].refusing, refusing, memory_order_relaxed);
    return !refusing;
}

static void sync_succeeded(struct journal *journal, struct journal_file *file) {
    if (accept_again(journal, file))
        journal_log_limited(journal, JOURNAL_LINE_SYNC, LOG_LEVEL_NOTICE, "journal: %s/%s is synced again",
                            journal->folder, file->name);
    report_durable(journal, file);
}

static void sync_file(struct journal *journal, struct journal_file *file) {
    uint64_t end = atomic_load_explicit(&file->written, memory_order_acquire);
    uint64_t start = monotonic_us();
    if (!journal_file_has_its_name(journal, file)) {
        name_lost(journal, file);
        return;
    }
    progress_note(&journal->syncing, PROGRESS_CALLS);
    bool good = (!file->unsynced || write_again(journal, file, end)) &&
                journal->disk->sync(journal->disk, file->handle) == 0;
    int failure = errno;
    count_sync(journal, monotonic_us() - start);
    errno = failure;
    if (!good) {
        sync_failed(journal, file);
        return;
    }
    file->synced = end;
    sync_succeeded(journal, file);
}

/* Notes in the header how far the file is synced; the note reaches the disk with the next sync. After a power
 * loss bad bytes below that are damage, and bad bytes behind it are what had not been synced yet; and whatever
 * happened, what is missing below it is. */
static void note_synced(struct journal *journal, struct journal_file *file) {
    char note[FORMAT_NOTE_SIZE];
    file->noted = file->synced;
    format_encode_note(note, &file->key, file->synced);
    journal_disk_write(journal->disk, file->handle, note, sizeof note, file->header_size - FORMAT_NOTE_SIZE);
}

/* Whatever has been synced since the last note: most passes leave it to the next tick. */
static struct journal_file *next_to_note(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    struct journal_file *file = journal->files.first;
    while (file && (file->handle < 0 || file->unsynced || file->noted == file->synced))
        file = file->next;
    pthread_mutex_unlock(&journal->lock);
    return file;
}

static void note_all(struct journal *journal) {
    for (struct journal_file *file; (file = next_to_note(journal));)
        note_synced(journal, file);
}

/* One whose name was not looked at in this pass; those that are distrusted are looked at by sync_file. */
static struct journal_file *next_to_look_at(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    struct journal_file *file = journal->files.first;
    while (file && (file->handle < 0 || file->unsynced || file->look_pass == journal->pass))
        file = file->next;
    pthread_mutex_unlock(&journal->lock);
    if (file)
        file->look_pass = journal->pass;
    return file;
}

static void look_at_names(struct journal *journal) {
    for (struct journal_file *file; (file = next_to_look_at(journal));)
        if (!journal_file_has_its_name(journal, file))
            name_lost(journal, file);
}

void journal_sync_pass(struct journal *journal, bool interval, bool everything) {
    struct sync_wish what = {interval, everything};
    journal->sync_failing = false;
    journal->pass++;
    if (interval || everything)
        look_at_names(journal);
    for (struct journal_file *file; (file = next_file(journal, what));)
        sync_file(journal, file);
    if (interval || everything)
        note_all(journal);
}

/* ---- Recycling ---- */

/* What was not synced, or could not be, is in the backends now, which is as good. Replies that wait for it
 * may go, and the series takes changes again in the file that it has moved to. */
static void excuse(struct journal *journal, struct journal_file *file) {
    if (file->handle < 0)
        return;
    file->synced = atomic_load_explicit(&file->written, memory_order_acquire);
    report_durable(journal, file);
    if (accept_again(journal, file))
        journal_log_limited(
            journal, JOURNAL_LINE_SYNC, LOG_LEVEL_NOTICE,
            "journal: all that was in %s/%s has reached the backends; changes are taken again",
            journal->folder, file->name);
}

void journal_recycle_pass(struct journal *journal) {
    retain_look(journal);
    struct journal_file *passed = recycle_take_passed(journal);
    for (struct journal_file *file = passed; file; file = file->next)
        excuse(journal, file);
    recycle_files(journal, retain_files(journal, passed));
    recycle_files(journal, retain_take_due(journal));
    compact_when_due(journal);
}

/* ---- The thread ---- */

static void wait_until(struct journal *journal, uint64_t until_us) {
    condition_wait_until(&journal->syncer_wanted, &journal->lock, until_us);
}

/* Called with the lock, which it gives up meanwhile. */
static void run_passes(struct journal *journal, bool tick, bool sync, bool recycle) {
    pthread_mutex_unlock(&journal->lock);
    progress_note(&journal->syncing, PROGRESS_CALLS);
    if (tick || sync)
        journal_sync_pass(journal, tick || journal->sync_failing, false);
    progress_note(&journal->syncing, PROGRESS_CALLS);
    if (tick || recycle)
        journal_recycle_pass(journal);
    progress_rest(&journal->syncing);
    pthread_mutex_lock(&journal->lock);
}

/* Called with the lock, which it gives up meanwhile. */
static void fulfil(struct journal *journal) {
    struct journal_wish *wish = journal->wish;
    pthread_mutex_unlock(&journal->lock);
    bool good = wish->past         ? journal_past_look(journal, wish->past)
                : wish->space.data ? recycle_add_space(journal, wish->space)
                                   : recycle_note_now(journal);
    int failure = errno;
    pthread_mutex_lock(&journal->lock);
    journal->wish = NULL;
    wish->good = good;
    wish->failure = failure;
    wish->done = true;
    pthread_cond_broadcast(&journal->syncer_answered);
}

void *journal_syncer_run(void *argument) {
    struct journal *journal = argument;
    uint64_t interval_us = (uint64_t)journal->fsync_interval_ms * 1000,
             tick_us = monotonic_us() + interval_us;
    uint64_t not_before_us = 0; /* after a failure */
    pthread_mutex_lock(&journal->lock);
    while (!journal->stopping) {
        uint64_t now = monotonic_us();
        if (journal->wish)
            fulfil(journal);
        bool tick = now >= tick_us, sync = journal->sync_wanted && now >= not_before_us,
             recycle = journal->recycle_wanted;
        if (!tick && !sync && !recycle) {
            wait_until(journal, journal->sync_wanted && not_before_us < tick_us ? not_before_us : tick_us);
            continue;
        }
        if (tick || sync)
            journal->sync_wanted = false;
        journal->recycle_wanted = false;
        run_passes(journal, tick, sync, recycle);
        if (tick)
            tick_us = monotonic_us() + interval_us;
        if (journal->sync_failing) {
            journal->sync_wanted = true;
            not_before_us = monotonic_us() + JOURNAL_RETRY_MS * 1000;
        }
    }
    pthread_mutex_unlock(&journal->lock);
    return NULL;
}

/* ---- What others ask of it ---- */

bool journal_ask(struct journal *journal, struct journal_wish *wish) {
    pthread_mutex_lock(&journal->lock);
    while (journal->wish) /* another thread's */
        pthread_cond_wait(&journal->syncer_answered, &journal->lock);
    journal->wish = wish;
    pthread_cond_signal(&journal->syncer_wanted);
    while (!wish->done)
        pthread_cond_wait(&journal->syncer_answered, &journal->lock);
    pthread_mutex_unlock(&journal->lock);
    return wish->good;
}

bool journal_note_passed(struct journal *journal) {
    struct journal_wish note = {.good = false};
    return journal_ask(journal, &note);
}
