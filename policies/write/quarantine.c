/* SPDX-License-Identifier: MIT */
/*
 * The entries are a list in memory, oldest first, with a tree over it by key: nothing but a listing walks the list, and
 * no choice of keys makes the tree slow. The file is its log (quarantine_log.h). Opening reads the log and then writes
 * the file anew, with an ADD for each entry that is left; so does an addition or a removal that finds the file twice as
 * long as it was then.
 *
 * An ADD is synced before the journal may forget the refused change. A GONE is synced before the journal may forget the
 * newer change of the key: otherwise a restart would show the older value again. So the list changes only after its
 * record is synced.
 *
 * A change has file_mutex from its first look at the list to its end, and mutex for the moment in which the list
 * changes. So whoever only looks waits for no disk, and sees the list as it was until the record is synced.
 *
 * An ADD also reserves the room for the GONE of its entry, so that entries can be removed on a full disk.
 */
#include "policies/write/quarantine.h"
#include "cache/base/fit.h"
#include "policies/journal/disk.h"
#include "policies/write/quarantine_list.h"
#include <errno.h>

/* ---- What is told of it ---- */

size_t quarantine_count(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->count, memory_order_relaxed) : 0;
}

size_t quarantine_bytes(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->bytes, memory_order_relaxed) : 0;
}

const char *quarantine_path(const struct quarantine *quarantine) {
    return quarantine ? quarantine->path : NULL;
}

uint64_t quarantine_at_disk_us(const struct quarantine *quarantine, uint64_t now_us) {
    return quarantine ? progress_at_us(&quarantine->at_disk, PROGRESS_CALLS, now_us) : 0;
}

uint64_t quarantine_high_version(struct quarantine *quarantine) {
    uint64_t high = 0;
    if (!quarantine)
        return 0;
    for (struct refused *kept = quarantine->first; kept; kept = kept->next)
        if (kept->copy->entry.version > high)
            high = kept->copy->entry.version;
    return high;
}

/* ---- Its name ---- */

static bool is_in_place(const struct quarantine *quarantine) {
    const struct quarantine_log *log = &quarantine->log;
    return log->handle < 0 || log->disk->is_at(log->disk, log->handle, log->path);
}

/* What is written to a file that has lost its name is lost with the process: it is written anew, or nothing counts.
 * False: errno. */
static bool put_in_place(struct quarantine *quarantine) {
    if (is_in_place(quarantine))
        return true;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    quarantine_rewrite(quarantine);
    progress_rest(&quarantine->at_disk);
    errno = ENOENT;
    return is_in_place(quarantine);
}

bool quarantine_look_after(struct quarantine *quarantine) {
    if (quarantine_count(quarantine) == 0)
        return false;
    pthread_mutex_lock(&quarantine->file_mutex);
    bool put_back =
        !is_in_place(quarantine) && put_in_place(quarantine) && quarantine_log_sync_name(&quarantine->log);
    pthread_mutex_unlock(&quarantine->file_mutex);
    return put_back;
}

/* ---- Adding ---- */

/* A file that has become long is written anew; its name is synced before the next record counts. */
static void keep_short(struct quarantine *quarantine) {
    if (quarantine->log.handle < 0 || quarantine->log.end < quarantine->log.rewrite_at)
        return;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    quarantine_rewrite(quarantine);
    progress_rest(&quarantine->at_disk);
}

/* Writes the records of entries that are added, with one sync. */
static bool log_add(struct quarantine *quarantine, const struct refused *added) {
    if (!put_in_place(quarantine))
        return false;
    struct quarantine_log longer = quarantine->log;
    uint64_t room = quarantine->room_to_go;
    bool written = true;
    if (longer.handle < 0)
        return true;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    for (const struct refused *kept = added; kept && written; kept = kept->next) {
        written = quarantine_write_add(&longer, kept);
        room += quarantine_log_gone_size(kept->key);
    }
    written = written && quarantine_log_reserve(&longer, room);
    written = quarantine_log_commit(&quarantine->log, written, &longer);
    progress_rest(&quarantine->at_disk);
    return written;
}

/* Those of the mutations that are not held yet, chained in their order. False: no memory. */
static bool make_chain(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                       const char *reason, struct refused **ret_chain) {
    struct refused *chain = NULL, **end = &chain;
    uint32_t since = (uint32_t)(wall_us() / US_PER_SECOND); /* for people */
    for (size_t i = 0; i < count; i++) {
        char short_reason[QUARANTINE_REASON_MAX];
        const struct entry *entry = &mutations[i].entry;
        const struct refused *old = quarantine_list_find(quarantine, entry->key);
        if (old && old->copy->entry.version >= entry->version)
            continue;
        fit_text(mutations[i].refusal ? mutations[i].refusal : reason, short_reason, sizeof short_reason);
        struct quarantine_record record = {QUARANTINE_ADD, mutations[i].kind, entry, since, short_reason};
        if (!(*end = refused_make(&record))) {
            refused_free_chain(chain);
            return false;
        }
        end = &(*end)->next;
    }
    *ret_chain = chain;
    return true;
}

/* What is on the disk and finds no memory here is in the file all the same, and is added again by the next attempt. */
static bool put_chain(struct quarantine *quarantine, struct refused *chain) {
    while (chain) {
        struct refused *next = chain->next;
        chain->next = NULL;
        if (!quarantine_list_put(quarantine, chain)) {
            chain->next = next;
            refused_free_chain(chain);
            errno = ENOMEM;
            return false;
        }
        chain = next;
    }
    return true;
}

/* The chain is the quarantine's from here on, or freed. */
static bool add_chain(struct quarantine *quarantine, struct refused *chain) {
    if (!log_add(quarantine, chain)) {
        int failure = errno;
        refused_free_chain(chain);
        errno = failure;
        return false;
    }
    pthread_mutex_lock(&quarantine->mutex);
    bool added = put_chain(quarantine, chain);
    pthread_mutex_unlock(&quarantine->mutex);
    quarantine_note(quarantine);
    if (added)
        keep_short(quarantine);
    return added;
}

bool quarantine_add(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                    const char *reason) {
    struct refused *chain;
    pthread_mutex_lock(&quarantine->file_mutex);
    bool added =
        make_chain(quarantine, mutations, count, reason, &chain) && (!chain || add_chain(quarantine, chain));
    pthread_mutex_unlock(&quarantine->file_mutex);
    return added;
}

/* ---- Removing ---- */

static void mark_going(struct refused **going, struct refused *kept) {
    if (kept->going)
        return;
    kept->going = true;
    kept->next_going = *going;
    *going = kept;
}

/* Writes a GONE for each of those that are going, with one sync. */
static bool log_gone(struct quarantine *quarantine, const struct refused *going) {
    if (!put_in_place(quarantine))
        return false;
    struct quarantine_log longer = quarantine->log;
    bool written = true;
    if (longer.handle < 0)
        return true;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    for (const struct refused *kept = going; kept && written; kept = kept->next_going) {
        struct quarantine_record record = {QUARANTINE_GONE, kept->kind, &kept->copy->entry, 0, ""};
        written = quarantine_log_write(&longer, &record);
    }
    written = quarantine_log_commit(&quarantine->log, written, &longer);
    progress_rest(&quarantine->at_disk);
    return written;
}

/* Removes those that are going: all of them, or (false) none. */
static bool let_go(struct quarantine *quarantine, struct refused *going) {
    bool gone = log_gone(quarantine, going);
    pthread_mutex_lock(&quarantine->mutex);
    while (going) {
        struct refused *kept = going;
        going = kept->next_going;
        kept->going = false;
        if (gone)
            quarantine_list_remove(quarantine, kept);
    }
    pthread_mutex_unlock(&quarantine->mutex);
    if (gone) {
        quarantine_note(quarantine);
        keep_short(quarantine);
    }
    return gone;
}

bool quarantine_supersede(struct quarantine *quarantine, const struct mutation *mutations, size_t count) {
    struct refused *going = NULL;
    if (quarantine_count(quarantine) == 0)
        return true;
    pthread_mutex_lock(&quarantine->file_mutex);
    for (size_t i = 0; i < count; i++) {
        struct refused *kept = quarantine_list_find(quarantine, mutations[i].entry.key);
        if (kept && kept->copy->entry.version <= mutations[i].entry.version)
            mark_going(&going, kept);
    }
    bool gone = !going || let_go(quarantine, going);
    pthread_mutex_unlock(&quarantine->file_mutex);
    return gone;
}

/* ---- Looking ---- */

bool quarantine_has(struct quarantine *quarantine, struct slice key) {
    if (quarantine_count(quarantine) == 0)
        return false;
    pthread_mutex_lock(&quarantine->mutex);
    bool has = quarantine_list_find(quarantine, key) != NULL;
    pthread_mutex_unlock(&quarantine->mutex);
    return has;
}

struct entry_copy *quarantine_find(struct quarantine *quarantine, struct slice key, bool *ret_deleted) {
    struct entry_copy *copy = NULL;
    if (quarantine_count(quarantine) == 0)
        return NULL;
    pthread_mutex_lock(&quarantine->mutex);
    struct refused *kept = quarantine_list_find(quarantine, key);
    if (kept) {
        copy = entry_copy_share(kept->copy);
        *ret_deleted = kept->kind == MUTATION_DELETE;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return copy;
}

void quarantine_visit(struct quarantine *quarantine, struct quarantine_visitor *visitor) {
    if (!quarantine)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct refused *kept = quarantine->first; kept; kept = kept->next)
        visitor->entry(visitor, kept->kind, &kept->copy->entry, kept->since, kept->reason);
    pthread_mutex_unlock(&quarantine->mutex);
}

/* ---- Dropping ---- */

enum quarantine_drop quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version) {
    enum quarantine_drop dropped = QUARANTINE_NONE;
    if (quarantine_count(quarantine) == 0)
        return dropped;
    pthread_mutex_lock(&quarantine->file_mutex);
    struct refused *kept = quarantine_list_find(quarantine, key);
    if (kept) {
        uint64_t version = kept->copy->entry.version;
        struct refused *going = NULL;
        mark_going(&going, kept);
        dropped = let_go(quarantine, going) ? QUARANTINE_DROPPED : QUARANTINE_FAILED;
        if (dropped == QUARANTINE_DROPPED)
            *ret_version = version;
    }
    pthread_mutex_unlock(&quarantine->file_mutex);
    return dropped;
}

/* Makes it empty; what it held is the caller's. */
static struct refused *take_all(struct quarantine *quarantine) {
    pthread_mutex_lock(&quarantine->mutex);
    struct refused *all = quarantine->first;
    key_tree_clear(&quarantine->tree);
    quarantine->first = quarantine->last = quarantine->retry_from = NULL;
    quarantine->room_to_go = 0;
    atomic_store(&quarantine->count, 0);
    atomic_store(&quarantine->bytes, 0);
    atomic_store(&quarantine->retries, 0);
    atomic_store(&quarantine->put_off, 0);
    pthread_mutex_unlock(&quarantine->mutex);
    return all;
}

enum quarantine_drop quarantine_drop_all(struct quarantine *quarantine, struct quarantine_visitor *visitor) {
    struct refused *going = NULL, *dropped = NULL;
    if (quarantine_count(quarantine) == 0)
        return QUARANTINE_NONE;
    pthread_mutex_lock(&quarantine->file_mutex);
    for (struct refused *kept = quarantine->last; kept; kept = kept->previous)
        mark_going(&going, kept);
    bool gone = log_gone(quarantine, going);
    if (gone) {
        dropped = take_all(quarantine);
        quarantine_note(quarantine);
        keep_short(quarantine);
    }
    for (struct refused *kept = quarantine->first; kept; kept = kept->next)
        kept->going = false;
    pthread_mutex_unlock(&quarantine->file_mutex);
    for (const struct refused *kept = dropped; kept; kept = kept->next)
        visitor->entry(visitor, kept->kind, &kept->copy->entry, kept->since, kept->reason);
    refused_free_chain(dropped);
    return gone ? QUARANTINE_DROPPED : QUARANTINE_FAILED;
}
