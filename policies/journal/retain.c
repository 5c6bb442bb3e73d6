/* SPDX-License-Identifier: MIT */
/*
 * A store that acknowledges a batch can lose it: a replica is promoted that had not received it. What memory holds is
 * written again then (policies/write/rewrite.h); deletes and what memory has evicted are in the journal alone, if it
 * has not been recycled.
 *
 *     sealed --passed--> retained --keep_ms over, too many bytes, or no room on the disk--> blank
 *
 * Retained files keep their names. To a recovery they are files like all others: their records are below the low-water
 * version that is on disk, and are ignored; then they are passed, and retained anew.
 *
 * Time goes by a clock of its own, which stands still while a store is away or owes something (journal_halt_keeping):
 * while nothing is acknowledged, nothing more can be lost, and what was acknowledged last may be what is missing when
 * it is back.
 *
 * They never take more of the disk than is left free on it, nor more than keep_bytes; and where no file can be made,
 * they go before a change is refused.
 */
#include "policies/journal/retain.h"
#include <assert.h>

/* ---- What is forgotten ---- */

static void forget(struct journal *journal, const struct journal_file *file) {
    for (size_t i = 0; i < journal->space_count; i++) {
        atomic_uint_fast64_t *forgotten = &journal->passing[i].forgotten;
        uint64_t version = atomic_load_explicit(&file->max_versions[i], memory_order_relaxed);
        uint64_t before = atomic_load_explicit(forgotten, memory_order_relaxed);
        while (before < version && !atomic_compare_exchange_weak(forgotten, &before, version))
            continue;
    }
}

/* Once that is noted on disk; if it cannot be, the file stays, and all that is in it. */
static void be_about_to_forget(struct journal *journal, const struct journal_file *file) {
    for (size_t i = 0; i < journal->space_count; i++) {
        uint64_t version = atomic_load_explicit(&file->max_versions[i], memory_order_relaxed);
        if (journal->passing[i].to_forget < version)
            journal->passing[i].to_forget = version;
    }
}

static void forget_nothing_yet(struct journal *journal) {
    for (size_t i = 0; i < journal->space_count; i++)
        journal->passing[i].to_forget = 0;
}

uint64_t journal_forgotten(const struct journal *journal, unsigned space) {
    return atomic_load(&journal->passing[space].forgotten);
}

/* ---- What has to go ---- */

static void move_clock(struct journal *journal) {
    uint64_t now_us = monotonic_us();
    if (atomic_load(&journal->keep_halts) == 0)
        journal->keep_clock_us += now_us - journal->keep_seen_us;
    journal->keep_seen_us = now_us;
}

void journal_halt_keeping(struct journal *journal, bool halted) {
    if (halted)
        atomic_fetch_add(&journal->keep_halts, 1);
    else
        atomic_fetch_sub(&journal->keep_halts, 1);
}

static uint64_t bytes_allowed(const struct journal *journal) {
    uint64_t room = journal->disk->room(journal->disk, journal->folder);
    return room < journal->keep_bytes ? room : journal->keep_bytes;
}

void retain_look(struct journal *journal) {
    move_clock(journal);
    forget_nothing_yet(journal);
    pthread_mutex_lock(&journal->lock);
    journal->due_count = 0;
    uint64_t bytes = journal->retained_bytes;
    pthread_mutex_unlock(&journal->lock);
    if (bytes == 0)
        return;
    uint64_t allowed = bytes_allowed(journal);
    pthread_mutex_lock(&journal->lock);
    bytes = journal->retained_bytes;
    journal->due_count = 0;
    for (const struct journal_file *file = journal->retained.first; file; file = file->next) {
        if (bytes <= allowed && journal->keep_clock_us - file->passed_at < journal->keep_us)
            break;
        bytes -= file->size;
        journal->due_count++;
        be_about_to_forget(journal, file);
    }
    pthread_mutex_unlock(&journal->lock);
}

/* With the lock: the oldest leaves the list. */
static struct journal_file *take_oldest(struct journal *journal) {
    struct journal_file *file = journal->retained.first;
    journal->retained.first = file->next;
    if (!file->next)
        journal_list_init(&journal->retained);
    file->next = NULL;
    journal->retained_count--;
    journal->retained_bytes -= file->size;
    return file;
}

/* Others may have taken some of them meanwhile, which were the oldest as well. */
struct journal_file *retain_take_due(struct journal *journal) {
    struct journal_list due;
    journal_list_init(&due);
    if (journal->low_water_failing) /* not before what is forgotten is noted */
        return NULL;
    pthread_mutex_lock(&journal->lock);
    for (; journal->due_count > 0 && journal->retained.first; journal->due_count--) {
        struct journal_file *file = take_oldest(journal);
        forget(journal, file);
        journal_list_append(&due, file);
    }
    pthread_mutex_unlock(&journal->lock);
    return due.first;
}

/* ---- What stays ---- */

/* One that failed may be damaged, and what nobody asks for is not worth its room. What an operator has given up
 * goes. */
static bool is_worth_it(const struct journal *journal, const struct journal_file *file) {
    bool asked = false;
    for (size_t i = 0; i < journal->space_count; i++)
        asked |= atomic_load_explicit(&journal->passing[i].is_kept, memory_order_relaxed) &&
                 atomic_load_explicit(&file->max_versions[i], memory_order_relaxed) > 0;
    return asked && journal->keep_us > 0 && !file->is_unreadable && !file->holds_discarded &&
           !atomic_load_explicit(&file->suspect, memory_order_relaxed);
}

static void retain(struct journal *journal, struct journal_file *file) {
    if (file->handle >= 0)
        journal->disk->close(journal->disk, file->handle);
    file->handle = -1;
    file->passed_at = journal->keep_clock_us;
    pthread_mutex_lock(&journal->lock);
    journal_list_append(&journal->retained, file);
    journal->retained_count++;
    journal->retained_bytes += file->size;
    pthread_mutex_unlock(&journal->lock);
}

struct journal_file *retain_files(struct journal *journal, struct journal_file *passed) {
    struct journal_list others;
    journal_list_init(&others);
    while (passed) {
        struct journal_file *file = passed;
        passed = file->next;
        if (is_worth_it(journal, file)) {
            retain(journal, file);
            continue;
        }
        forget(journal, file);
        journal_list_append(&others, file);
    }
    return others.first;
}

void journal_keep_space(struct journal *journal, unsigned space) {
    atomic_store(&journal->passing[space].is_kept, true);
}

/* ---- Marks ---- */

void journal_set_mark(struct journal *journal, unsigned space, uint64_t mark) {
    assert(space < journal->space_count);
    atomic_store(&journal->passing[space].mark, mark);
}

uint64_t journal_get_mark(const struct journal *journal, unsigned space) {
    return atomic_load(&journal->passing[space].mark);
}

/* ---- No room ---- */

bool retain_give_up(struct journal *journal, const char *blank_path, bool *ret_blank) {
    char path[JOURNAL_PATH_MAX];
    pthread_mutex_lock(&journal->lock);
    struct journal_file *file = journal->retained.first ? take_oldest(journal) : NULL;
    journal->due_count -= journal->due_count > 0; /* it was one of them */
    pthread_mutex_unlock(&journal->lock);
    if (!file)
        return false;
    forget(journal, file);
    journal_path(journal->folder, file->name, path);
    bool renamed = blank_path && file->size == journal->file_size &&
                   journal->disk->rename(journal->disk, path, blank_path) == 0;
    *ret_blank = renamed && journal->disk->sync_folder(journal->disk, journal->folder) == 0;
    if (!*ret_blank)
        journal->disk->remove(journal->disk, renamed ? blank_path : path);
    journal_file_free(journal, file);
    return true;
}
