/* SPDX-License-Identifier: MIT */
/*
 * Recycling: the low-water versions are noted on disk, then the files that hold nothing above them leave the
 * list and are made blank, so that the keeper need not make and fill new ones.
 */
#include "policies/journal/recycle.h"
#include "cache/base/file_reason.h"
#include "policies/journal/listed.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOW_WATER_INTERVAL_MS = 5000, /* they are noted at least this often */
    PEAK_MS = 60000, /* files that were in use at once in this time are kept for their next use */
    BLANKS_PER_SERIES = 2,
    BLANKS_BESIDE = 4,
};

/* ---- What is passed ---- */

static bool is_sealed(const struct journal_file *file) {
    return atomic_load_explicit(&file->sealed, memory_order_acquire);
}

static bool is_passed(const struct journal *journal, const struct journal_file *file) {
    return is_sealed(file) && !file->pinned && !file->is_compacted &&
           (file->is_replaced || journal_file_is_passed(journal, file));
}

/* Where there is no room it is noted at once what a compaction may leave out. */
static bool wants_recycling(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    bool found = journal_is_starved(journal) || journal->due_count > 0;
    for (struct journal_file *file = journal->files.first; file && !found; file = file->next)
        found = is_passed(journal, file);
    pthread_mutex_unlock(&journal->lock);
    return found;
}

/* Those of the configuration come first, in the order of their numbers (replay_low_water.c). */
static bool raise_noted(struct journal *journal) {
    bool raised = false;
    for (size_t i = 0; i < journal->space_count; i++) {
        struct low_water *one = &journal->low_waters.list[i];
        struct journal_passing *passing = &journal->passing[i];
        uint64_t low_water = atomic_load_explicit(&passing->low_water, memory_order_acquire);
        uint64_t mark = atomic_load(&passing->mark), forgotten = atomic_load(&passing->forgotten);
        forgotten = passing->to_forget > forgotten ? passing->to_forget : forgotten;
        /* A mark is set before what it is about is passed. One that grows by itself can wait until something is. */
        raised |= one->version < low_water || one->forgotten < forgotten ||
                  (mark == JOURNAL_MARK_OWED) != (one->mark == JOURNAL_MARK_OWED);
        one->version = low_water > one->version ? low_water : one->version;
        one->mark = mark;
        one->forgotten = forgotten;
    }
    return raised;
}

/* Durable before anything is recycled on their account: see low_water_file.c. */
static bool note_low_waters(struct journal *journal) {
    bool raised = raise_noted(journal), others = listed_renew(journal);
    if (!raised && !others && !journal->low_water_failing)
        return true;
    bool good = low_water_file_update(journal->disk, journal->folder, &journal->low_waters);
    if (good)
        listed_note_written(journal);
    else if (!journal->low_water_failing)
        journal_log_limited(journal, JOURNAL_LINE_LOW_WATER, LOG_LEVEL_ERROR,
                            "journal: cannot write %s/low-water: %s. No file is recycled until it succeeds",
                            journal->folder, file_reason(errno).text);
    if (good && journal->low_water_failing)
        journal_log_limited(journal, JOURNAL_LINE_LOW_WATER, LOG_LEVEL_NOTICE,
                            "journal: %s/low-water is written again", journal->folder);
    journal->low_water_failing = !good;
    journal->low_water_noted_us = monotonic_us();
    return good;
}

bool recycle_note_now(struct journal *journal) {
    return note_low_waters(journal);
}

/* The last one of the list, which is a copy of ours. */
static void forget_last(struct low_waters *all) {
    all->count--;
    free((void *)(uintptr_t)all->list[all->count].space.data);
}

/* The file is made anew, as it gets longer. What an earlier process has noted of the namespace stays. */
bool recycle_add_space(struct journal *journal, struct slice space) {
    struct low_waters *all = &journal->low_waters;
    size_t count = all->count;
    raise_noted(journal);
    if (!low_waters_find(all, space) && !low_waters_add(all, space, 0)) {
        errno = ENOMEM;
        return false;
    }
    if (!low_water_file_create(journal->disk, journal->folder, all)) {
        int failure = errno;
        if (all->count > count)
            forget_last(all);
        errno = failure;
        return false;
    }
    struct low_water *one = low_waters_find(all, space), *place = &all->list[journal->space_count],
                     taken = *one;
    *one = *place;
    *place = taken;
    return true;
}

/* By what is noted: the low-water versions may have moved on since. */
static bool is_noted(const struct journal *journal, const struct journal_file *file, size_t space) {
    return atomic_load_explicit(&file->max_versions[space], memory_order_relaxed) <=
           journal->low_waters.list[space].version;
}

bool recycle_is_done_with(const struct journal *journal, const struct journal_file *file) {
    bool passed = is_sealed(file) && !file->pinned;
    for (size_t i = 0; passed && !file->is_replaced && i < journal->space_count; i++)
        passed = is_noted(journal, file, i);
    return passed;
}

static bool can_go(const struct journal *journal, const struct journal_file *file) {
    return recycle_is_done_with(journal, file) && !file->is_compacted && !file->is_listed;
}

/* What the file still waits for. */
static void wait_for(struct journal *journal, const struct journal_file *file) {
    if (!is_sealed(file) || file->pinned)
        return;
    for (size_t i = 0; i < journal->space_count; i++) {
        atomic_uint_fast64_t *next = &journal->passing[i].next;
        uint64_t version = atomic_load_explicit(&file->max_versions[i], memory_order_relaxed);
        if (!is_noted(journal, file, i) && version < atomic_load_explicit(next, memory_order_relaxed))
            atomic_store_explicit(next, version, memory_order_relaxed);
    }
}

/* Replies to records of mode `always` still wait for a sync of the file. */
static bool is_awaited(const struct journal_file *file) {
    return file->handle >= 0 && atomic_load_explicit(&file->always_end, memory_order_acquire) > file->synced;
}

/* A position that is reported when the file goes covers those before it, so it stays while an earlier file of
 * its series is awaited. */
static bool must_wait(const struct journal *journal, const struct journal_file *file) {
    return file->handle >= 0 && journal->series[file->series].awaited;
}

/* Before the list is walked, first file first. With the lock. */
static void begin_walk(struct journal *journal) {
    for (size_t i = 0; i < journal->space_count; i++)
        atomic_store_explicit(&journal->passing[i].next, UINT64_MAX, memory_order_relaxed);
    for (unsigned i = 0; i < journal->series_count; i++)
        journal->series[i].awaited = false;
}

static void leave_in_list(struct journal *journal, const struct journal_file *file) {
    wait_for(journal, file);
    if (is_awaited(file))
        journal->series[file->series].awaited = true;
}

/* Unlinks from the list what is passed, and finds when there will be more. */
static struct journal_file *take_passed(struct journal *journal) {
    struct journal_file *passed = NULL, **passed_end = &passed, **place = &journal->files.first;
    pthread_mutex_lock(&journal->lock);
    begin_walk(journal);
    while (*place) {
        struct journal_file *file = *place;
        if (can_go(journal, file) && !must_wait(journal, file)) {
            *place = file->next;
            file->next = NULL;
            *passed_end = file;
            passed_end = &file->next;
            continue;
        }
        leave_in_list(journal, file);
        place = &file->next;
    }
    journal->files.last = place;
    pthread_mutex_unlock(&journal->lock);
    return passed;
}

/* ---- The pool ---- */

/* As many files are kept, in use or blank, as were in use at once in the last minutes: a burst between two
 * flushes finds the files of the one before it, and none is made and filled anew. */
static void size_pool(struct journal *journal, size_t in_use) {
    uint64_t now = monotonic_us();
    size_t least = BLANKS_BESIDE + BLANKS_PER_SERIES * journal->series_count;
    if (now - journal->peak_us >= PEAK_MS * UINT64_C(1000)) {
        journal->peak_us = now;
        journal->peaks[1] = journal->peaks[0];
        journal->peaks[0] = 0;
    }
    if (in_use > journal->peaks[0])
        journal->peaks[0] = in_use;
    size_t peak = journal->peaks[0] > journal->peaks[1] ? journal->peaks[0] : journal->peaks[1];
    size_t limit = peak > in_use + least ? peak - in_use : least;
    pthread_mutex_lock(&journal->lock);
    journal->blank_limit = limit < JOURNAL_BLANKS_MAX ? limit : JOURNAL_BLANKS_MAX;
    pthread_mutex_unlock(&journal->lock);
}

static size_t count_in_use(struct journal *journal) {
    size_t in_use = 0;
    pthread_mutex_lock(&journal->lock);
    for (const struct journal_file *file = journal->files.first; file; file = file->next)
        in_use += file->size == journal->file_size;
    pthread_mutex_unlock(&journal->lock);
    return in_use;
}

/* One file a pass. */
static void trim_pool(struct journal *journal) {
    uint64_t blank = 0;
    pthread_mutex_lock(&journal->lock);
    if (journal->blank_count > journal->blank_limit)
        blank = journal->blanks[--journal->blank_count];
    pthread_mutex_unlock(&journal->lock);
    if (blank != 0)
        journal_remove_blank(journal->disk, journal->folder, blank);
}

/* Whatever is in a blank, its next header has an epoch of its own. One that was still being made when the process
 * ended counts as well: the keeper allocates again what it takes. One of another user is of no use. */
static bool may_adopt(const struct journal *journal, uint64_t blank) {
    char name[JOURNAL_NAME_MAX], path[JOURNAL_PATH_MAX];
    struct stat status;
    journal_format_blank(blank, name);
    journal_path(journal->folder, name, path);
    return journal->blank_count < journal->blank_limit && lstat(path, &status) == 0 &&
           S_ISREG(status.st_mode) && (uint64_t)status.st_size == journal->file_size &&
           access(path, R_OK | W_OK) == 0;
}

void recycle_adopt_blanks(struct journal *journal) {
    uint64_t *found = NULL;
    size_t count = 0;
    size_pool(journal, 0);
    if (!journal_list_blanks(journal->folder, &found, &count))
        return; /* the folder cannot be listed: the recovery says so */
    for (size_t i = 0; i < count; i++) {
        if (may_adopt(journal, found[i]))
            journal->blanks[journal->blank_count++] = found[i];
        else
            journal_remove_blank(journal->disk, journal->folder, found[i]);
        if (found[i] >= journal->next_blank)
            journal->next_blank = found[i] + 1;
    }
    /* Under its old name on the disk, a file must not get a new header. */
    if (journal->blank_count > 0 && journal->disk->sync_folder(journal->disk, journal->folder) != 0)
        while (journal->blank_count > 0)
            journal_remove_blank(journal->disk, journal->folder, journal->blanks[--journal->blank_count]);
    free(found);
}

/* Renames the file, so that no recovery reads it; the keeper gets it when the folder is synced. held: blanks
 * that the keeper is going to get. False: there are enough, or it failed; the file is removed instead. */
static bool make_blank(struct journal *journal, const struct journal_file *file, size_t held,
                       uint64_t *ret_blank) {
    char name[JOURNAL_NAME_MAX], from[JOURNAL_PATH_MAX], to[JOURNAL_PATH_MAX];
    pthread_mutex_lock(&journal->lock);
    bool room = journal->blank_count + held < journal->blank_limit && !journal->stopping;
    *ret_blank = journal->next_blank++;
    pthread_mutex_unlock(&journal->lock);
    journal_path(journal->folder, file->name, from);
    journal_format_blank(*ret_blank, name);
    journal_path(journal->folder, name, to);
    if (room && file->size == journal->file_size &&
        !atomic_load_explicit(&file->suspect, memory_order_relaxed) &&
        journal->disk->rename(journal->disk, from, to) == 0)
        return true;
    journal->disk->remove(journal->disk, from);
    return false;
}

static void give_blanks(struct journal *journal, const uint64_t *blanks, size_t count) {
    bool good = count == 0 || journal->disk->sync_folder(journal->disk, journal->folder) == 0;
    pthread_mutex_lock(&journal->lock);
    for (size_t i = 0; good && i < count; i++)
        journal->blanks[journal->blank_count++] = blanks[i];
    for (unsigned i = 0; i < journal->series_count; i++)
        journal->series[i].retry_us = 0; /* there is room now: those that have none need not wait */
    pthread_cond_signal(&journal->keeper_wanted);
    pthread_mutex_unlock(&journal->lock);
}

/* ---- The pass ---- */

static bool take_list_wish(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    bool wanted = journal->list_wanted;
    journal->list_wanted = false;
    pthread_mutex_unlock(&journal->lock);
    return wanted;
}

struct journal_file *recycle_take_passed(struct journal *journal) {
    size_pool(journal, count_in_use(journal));
    trim_pool(journal);
    bool wanted = wants_recycling(journal);
    wanted |= take_list_wish(journal);
    bool due = monotonic_us() - journal->low_water_noted_us >= LOW_WATER_INTERVAL_MS * 1000;
    if ((!wanted && !due) || !note_low_waters(journal))
        return NULL;
    return take_passed(journal);
}

void recycle_files(struct journal *journal, struct journal_file *passed) {
    size_t count = 0, recycled = 0;
    if (!passed)
        return;
    size_pool(journal, count_in_use(journal));
    uint64_t *blanks = calloc(journal->blank_limit, sizeof *blanks);
    while (passed) {
        struct journal_file *file = passed;
        uint64_t blank = 0;
        passed = file->next;
        if (make_blank(journal, file, blanks ? count : journal->blank_limit, &blank)) {
            assert(blanks); /* without, there is room for none */
            blanks[count++] = blank;
        }
        journal_file_free(journal, file);
        recycled++;
    }
    atomic_fetch_add_explicit(&journal->recycled, recycled, memory_order_relaxed);
    give_blanks(journal, blanks, count);
    free(blanks);
}
