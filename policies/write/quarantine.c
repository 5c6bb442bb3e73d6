/* SPDX-License-Identifier: MIT */
/*
 * The entries are a list in memory, oldest first, with a tree over it by key: nothing but a listing walks the list, and no
 * choice of keys makes the tree slow. The file is its log (quarantine_log.h). Opening reads the log and then writes the
 * file anew, with an ADD for each entry that is left; so does an addition or a removal that finds the file twice as long
 * as it was then.
 *
 * An ADD is synced before the journal may forget the refused change. A GONE is synced before the journal may forget the
 * newer change of the key: otherwise a restart would show the older value again. So the list changes only after its
 * record is synced.
 *
 * A change has file_mutex from its first look at the list to its end, and mutex for the moment in which the list changes.
 * So whoever only looks waits for no disk, and sees the list as it was until the record is synced.
 *
 * An ADD also reserves the room for the GONE of its entry, so that entries can be removed on a full disk.
 */
#include "policies/write/quarantine.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "cache/base/progress.h"
#include "policies/journal/disk.h"
#include "policies/write/key_tree.h"
#include "policies/write/quarantine_log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NUMBERS_MAX = 1000, /* of damaged files of one name */
    NODE_SIZE =
        80 /* bytes of a node of the tree, and of what three allocations take beside what was asked for */
};

struct kept {
    struct slice key; /* first, as the tree compares it; its bytes are the copy's */
    struct kept *previous, *next;
    struct kept *next_going; /* within a change: the next one to be removed, if its GONE can be written */
    bool going;
    bool retry;      /* an operator asked for it, */
    bool put_off;    /* but nobody takes it now */
    uint64_t number; /* grows along the list */
    struct entry_copy *copy;
    enum mutation_kind kind;
    uint32_t since;
    char reason[];
};

struct quarantine {
    char *folder, *path;

    pthread_mutex_t file_mutex; /* of a change; before mutex */
    struct quarantine_log log;  /* under file_mutex */
    struct progress at_disk;    /* of who has file_mutex: in a call while the file is written */

    /* Changes under both, so that who has one of them may look; what is to be retried, under mutex alone. */
    pthread_mutex_t mutex;
    struct kept *first, *last;
    struct key_tree tree;    /* struct kept by key */
    uint64_t numbered;       /* number of the last entry */
    uint64_t room_to_go;     /* bytes of the GONE records of all entries */
    struct kept *retry_from; /* no entry before it is marked and not put off; NULL: none is */
    atomic_size_t count, bytes, retries, put_off;
};

/* ---- The list ---- */

static struct kept *find(const struct quarantine *quarantine, struct slice key) {
    return key_tree_find(&quarantine->tree, key);
}

/* Memory that it takes. */
static size_t size_of(const struct kept *kept) {
    return NODE_SIZE + sizeof *kept + strlen(kept->reason) + 1 + sizeof *kept->copy + kept->key.size +
           kept->copy->entry.value.size;
}

static void free_kept(struct kept *kept) {
    entry_copy_drop(kept->copy);
    free(kept);
}

/* NULL: no memory. */
static struct kept *make_kept(const struct quarantine_record *record) {
    size_t size = strlen(record->reason) + 1;
    struct kept *kept = calloc(1, sizeof *kept + size);
    if (!kept || !(kept->copy = entry_copy_make(record->entry))) {
        free(kept);
        return NULL;
    }
    kept->key = kept->copy->entry.key;
    kept->kind = record->kind;
    kept->since = record->since;
    memcpy(kept->reason, record->reason, size);
    return kept;
}

static void set_flag(bool *flag, bool on, atomic_size_t *count) {
    if (*flag != on)
        atomic_fetch_add(count, on ? 1 : (size_t)-1);
    *flag = on;
}

static void set_retry(struct quarantine *quarantine, struct kept *kept, bool retry) {
    set_flag(&kept->retry, retry, &quarantine->retries);
    set_flag(&kept->put_off, false, &quarantine->put_off);
    if (retry && (!quarantine->retry_from || kept->number < quarantine->retry_from->number))
        quarantine->retry_from = kept;
}

static void take_off_list(struct quarantine *quarantine, struct kept *kept) {
    set_retry(quarantine, kept, false);
    if (quarantine->retry_from == kept)
        quarantine->retry_from = kept->next;
    *(kept->previous ? &kept->previous->next : &quarantine->first) = kept->next;
    *(kept->next ? &kept->next->previous : &quarantine->last) = kept->previous;
    quarantine->room_to_go -= quarantine_log_gone_size(kept->key);
    atomic_fetch_sub(&quarantine->bytes, size_of(kept));
    atomic_fetch_sub(&quarantine->count, 1);
}

static void append_to_list(struct quarantine *quarantine, struct kept *kept) {
    kept->number = ++quarantine->numbered;
    kept->previous = quarantine->last;
    *(kept->previous ? &kept->previous->next : &quarantine->first) = kept;
    quarantine->last = kept;
    quarantine->room_to_go += quarantine_log_gone_size(kept->key);
    atomic_fetch_add(&quarantine->bytes, size_of(kept));
    atomic_fetch_add(&quarantine->count, 1);
}

static void remove_kept(struct quarantine *quarantine, struct kept *kept) {
    key_tree_remove(&quarantine->tree, kept);
    take_off_list(quarantine, kept);
    free_kept(kept);
}

/* Puts an entry at the end of the list, in place of an older one of its key. False: no memory. */
static bool put(struct quarantine *quarantine, struct kept *kept) {
    void *old;
    if (!key_tree_put(&quarantine->tree, kept, &old))
        return false;
    if (old) {
        take_off_list(quarantine, old);
        free_kept(old);
    }
    append_to_list(quarantine, kept);
    return true;
}

/* ---- The file ---- */

/* What the log says is done to the list. */
struct replayer {
    struct quarantine_log_reader base; /* first: the log finds the replayer by it */
    struct quarantine *quarantine;
};

static bool replay_record(struct quarantine_log_reader *self, const struct quarantine_record *record) {
    struct quarantine *quarantine = ((struct replayer *)(void *)self)->quarantine;
    if (record->op == QUARANTINE_ADD) {
        struct kept *kept = make_kept(record);
        if (kept && put(quarantine, kept))
            return true;
        if (kept)
            free_kept(kept);
        return false;
    }
    struct kept *kept = find(quarantine, record->entry->key);
    if (kept && kept->copy->entry.version <= record->entry->version)
        remove_kept(quarantine, kept);
    return true;
}

/* False: errno. */
static bool replay(struct quarantine *quarantine, struct quarantine_damage *ret_damage) {
    struct replayer replayer = {{replay_record}, quarantine};
    return quarantine_log_replay(&quarantine->log, &replayer.base, ret_damage);
}

static bool write_add(struct quarantine_log *log, const struct kept *kept) {
    struct quarantine_record record = {QUARANTINE_ADD, kept->kind, &kept->copy->entry, kept->since,
                                       kept->reason};
    return quarantine_log_write(log, &record);
}

/* Writes the file anew with the entries held. If that fails, the old file stays in use. */
static void rewrite(struct quarantine *quarantine) {
    struct quarantine_log fresh;
    bool written = true;
    if (!quarantine_log_begin_anew(&quarantine->log, &fresh))
        return;
    for (const struct kept *kept = quarantine->first; kept && written; kept = kept->next)
        written = write_add(&fresh, kept);
    written = written && quarantine_log_reserve(&fresh, quarantine->room_to_go);
    quarantine_log_end_anew(&quarantine->log, written, &fresh);
}

/* The name of a namespace as part of a file's name. */
static void safe_name(const char *name, char *out, size_t size) {
    size_t at = 0;
    for (; *name && at + 4 < size; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= '0' && *name <= '9') || *name == '-' || *name == '_';
        at += (size_t)snprintf(out + at, size - at, plain ? "%c" : "%%%02x", (unsigned char)*name);
    }
    out[at] = 0;
}

/* A second name for the damaged file, which goes on to exist when it is written anew. */
static bool set_aside(const struct quarantine *quarantine, const char *name, char *error, size_t error_size) {
    char aside[4096];
    int status = -1;
    errno = EEXIST;
    for (unsigned number = 0; status != 0 && errno == EEXIST && number < NUMBERS_MAX; number++) {
        snprintf(aside, sizeof aside, "%s/damaged-%u-quarantine-%s.log", quarantine->folder, number, name);
        status = link(quarantine->path, aside);
    }
    if (status != 0)
        fit_print(error, error_size, "The damaged quarantine file %s cannot be kept as %s: %s.",
                  quarantine->path, aside, strerror(errno));
    return status == 0;
}

static bool may_go_on(const struct quarantine *quarantine, const char *name, bool skip_damaged,
                      const struct quarantine_damage *damage, char *error, size_t error_size) {
    if (damage->places == 0)
        return true;
    if (skip_damaged)
        return set_aside(quarantine, name, error, error_size);
    fit_print(
        error, error_size,
        "The quarantine file %s is damaged: no record that passes its check at offset %" PRIu64 " (%" PRIu64
        " bytes in %zu places). What they held is lost; to start without it, use --recover=skip-damaged.",
        quarantine->path, damage->offset, damage->bytes, damage->places);
    return false;
}

static bool open_file(struct quarantine *quarantine, const char *folder, const char *space, bool skip_damaged,
                      struct quarantine_damage *ret_damage, char *error, size_t error_size) {
    struct quarantine_log *log = &quarantine->log;
    char name[400];
    safe_name(space, name, sizeof name);
    if (!(quarantine->folder = strdup(folder)) ||
        asprintf(&quarantine->path, "%s/quarantine-%s.log", folder, name) < 0)
        return false;
    log->folder = quarantine->folder;
    log->path = quarantine->path;
    log->handle = log->disk->open(log->disk, log->path, O_RDWR | O_CREAT);
    if (log->handle < 0 || !replay(quarantine, ret_damage))
        return false;
    if (!may_go_on(quarantine, name, skip_damaged, ret_damage, error, error_size))
        return false;
    rewrite(quarantine);
    quarantine_log_sync_name(log); /* else before the first record that counts */
    return true;
}

struct quarantine *quarantine_open(const struct journal_disk *disk, const char *folder, const char *space,
                                   bool skip_damaged, struct quarantine_damage *ret_damage, char *error,
                                   size_t error_size) {
    struct quarantine *quarantine = calloc(1, sizeof *quarantine);
    if (!quarantine) {
        fit_print(error, error_size, "Out of memory.");
        return NULL;
    }
    pthread_mutex_init(&quarantine->file_mutex, NULL);
    pthread_mutex_init(&quarantine->mutex, NULL);
    quarantine->log = (struct quarantine_log){.disk = disk, .handle = -1};
    *ret_damage = (struct quarantine_damage){0};
    *error = '\0';
    if (folder && !open_file(quarantine, folder, space, skip_damaged, ret_damage, error, error_size)) {
        if (!*error)
            fit_print(error, error_size, "The quarantine file %s cannot be opened: %s.",
                      quarantine->path ? quarantine->path : folder, own_file_reason(errno));
        quarantine_close(quarantine);
        return NULL;
    }
    return quarantine;
}

static void free_chain(struct kept *kept) {
    while (kept) {
        struct kept *next = kept->next;
        free_kept(kept);
        kept = next;
    }
}

static void free_all(struct quarantine *quarantine) {
    key_tree_clear(&quarantine->tree);
    free_chain(quarantine->first);
}

void quarantine_close(struct quarantine *quarantine) {
    if (!quarantine)
        return;
    free_all(quarantine);
    if (quarantine->log.handle >= 0)
        quarantine->log.disk->close(quarantine->log.disk, quarantine->log.handle);
    pthread_mutex_destroy(&quarantine->mutex);
    pthread_mutex_destroy(&quarantine->file_mutex);
    free(quarantine->folder);
    free(quarantine->path);
    free(quarantine);
}

bool quarantine_look(const struct journal_disk *disk, const char *path,
                     struct quarantine_summary *ret_summary) {
    struct quarantine quarantine = {.log = {.disk = disk, .handle = disk->open(disk, path, O_RDONLY)}};
    struct quarantine_summary summary = {.oldest = UINT32_MAX};
    if (quarantine.log.handle < 0)
        return false;
    bool good = replay(&quarantine, &summary.damage);
    int failure = errno;
    for (const struct kept *kept = quarantine.first; kept; kept = kept->next) {
        summary.entries++;
        if (kept->since < summary.oldest)
            summary.oldest = kept->since;
    }
    free_all(&quarantine);
    disk->close(disk, quarantine.log.handle);
    errno = failure;
    if (good)
        *ret_summary = summary;
    return good;
}

/* ---- What happens to it ---- */

size_t quarantine_count(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->count, memory_order_relaxed) : 0;
}

size_t quarantine_bytes(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->bytes, memory_order_relaxed) : 0;
}

uint64_t quarantine_at_disk_us(const struct quarantine *quarantine, uint64_t now_us) {
    return quarantine ? progress_at_us(&quarantine->at_disk, PROGRESS_CALLS, now_us) : 0;
}

uint64_t quarantine_high_version(struct quarantine *quarantine) {
    uint64_t high = 0;
    if (!quarantine)
        return 0;
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        if (kept->copy->entry.version > high)
            high = kept->copy->entry.version;
    return high;
}

/* A file that has become long is written anew; its name is synced before the next record counts. */
static void keep_short(struct quarantine *quarantine) {
    if (quarantine->log.handle < 0 || quarantine->log.end < quarantine->log.rewrite_at)
        return;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    rewrite(quarantine);
    progress_rest(&quarantine->at_disk);
}

/* Writes the records of entries that are added, with one sync. */
static bool log_add(struct quarantine *quarantine, const struct kept *added) {
    struct quarantine_log longer = quarantine->log;
    uint64_t room = quarantine->room_to_go;
    bool written = true;
    if (longer.handle < 0)
        return true;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    for (const struct kept *kept = added; kept && written; kept = kept->next) {
        written = write_add(&longer, kept);
        room += quarantine_log_gone_size(kept->key);
    }
    written = written && quarantine_log_reserve(&longer, room);
    written = quarantine_log_commit(&quarantine->log, written, &longer);
    progress_rest(&quarantine->at_disk);
    return written;
}

/* Those of the mutations that are not held yet, chained in their order. False: no memory. */
static bool make_chain(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                       const char *reason, struct kept **ret_chain) {
    struct kept *chain = NULL, **end = &chain;
    uint32_t since = (uint32_t)(wall_us() / US_PER_SECOND); /* for people */
    for (size_t i = 0; i < count; i++) {
        char short_reason[QUARANTINE_REASON_MAX];
        const struct entry *entry = &mutations[i].entry;
        const struct kept *old = find(quarantine, entry->key);
        if (old && old->copy->entry.version >= entry->version)
            continue;
        fit_text(mutations[i].refusal ? mutations[i].refusal : reason, short_reason, sizeof short_reason);
        struct quarantine_record record = {QUARANTINE_ADD, mutations[i].kind, entry, since, short_reason};
        if (!(*end = make_kept(&record))) {
            free_chain(chain);
            return false;
        }
        end = &(*end)->next;
    }
    *ret_chain = chain;
    return true;
}

/* What is on the disk and finds no memory here is in the file all the same, and is added again by the next attempt. */
static bool put_chain(struct quarantine *quarantine, struct kept *chain) {
    while (chain) {
        struct kept *next = chain->next;
        chain->next = NULL;
        if (!put(quarantine, chain)) {
            chain->next = next;
            free_chain(chain);
            errno = ENOMEM;
            return false;
        }
        chain = next;
    }
    return true;
}

/* The chain is the quarantine's from here on, or freed. */
static bool add_chain(struct quarantine *quarantine, struct kept *chain) {
    if (!log_add(quarantine, chain)) {
        int failure = errno;
        free_chain(chain);
        errno = failure;
        return false;
    }
    pthread_mutex_lock(&quarantine->mutex);
    bool added = put_chain(quarantine, chain);
    pthread_mutex_unlock(&quarantine->mutex);
    if (added)
        keep_short(quarantine);
    return added;
}

bool quarantine_add(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                    const char *reason) {
    struct kept *chain;
    pthread_mutex_lock(&quarantine->file_mutex);
    bool added =
        make_chain(quarantine, mutations, count, reason, &chain) && (!chain || add_chain(quarantine, chain));
    pthread_mutex_unlock(&quarantine->file_mutex);
    return added;
}

static void mark_going(struct kept **going, struct kept *kept) {
    if (kept->going)
        return;
    kept->going = true;
    kept->next_going = *going;
    *going = kept;
}

/* Writes a GONE for each of those that are going, with one sync. */
static bool log_gone(struct quarantine *quarantine, const struct kept *going) {
    struct quarantine_log longer = quarantine->log;
    bool written = true;
    if (longer.handle < 0)
        return true;
    progress_note(&quarantine->at_disk, PROGRESS_CALLS);
    for (const struct kept *kept = going; kept && written; kept = kept->next_going) {
        struct quarantine_record record = {QUARANTINE_GONE, kept->kind, &kept->copy->entry, 0, ""};
        written = quarantine_log_write(&longer, &record);
    }
    written = quarantine_log_commit(&quarantine->log, written, &longer);
    progress_rest(&quarantine->at_disk);
    return written;
}

/* Removes those that are going: all of them, or (false) none. */
static bool let_go(struct quarantine *quarantine, struct kept *going) {
    bool gone = log_gone(quarantine, going);
    pthread_mutex_lock(&quarantine->mutex);
    while (going) {
        struct kept *kept = going;
        going = kept->next_going;
        kept->going = false;
        if (gone)
            remove_kept(quarantine, kept);
    }
    pthread_mutex_unlock(&quarantine->mutex);
    if (gone)
        keep_short(quarantine);
    return gone;
}

bool quarantine_supersede(struct quarantine *quarantine, const struct mutation *mutations, size_t count) {
    struct kept *going = NULL;
    if (quarantine_count(quarantine) == 0)
        return true;
    pthread_mutex_lock(&quarantine->file_mutex);
    for (size_t i = 0; i < count; i++) {
        struct kept *kept = find(quarantine, mutations[i].entry.key);
        if (kept && kept->copy->entry.version <= mutations[i].entry.version)
            mark_going(&going, kept);
    }
    bool gone = !going || let_go(quarantine, going);
    pthread_mutex_unlock(&quarantine->file_mutex);
    return gone;
}

bool quarantine_has(struct quarantine *quarantine, struct slice key) {
    if (quarantine_count(quarantine) == 0)
        return false;
    pthread_mutex_lock(&quarantine->mutex);
    bool has = find(quarantine, key) != NULL;
    pthread_mutex_unlock(&quarantine->mutex);
    return has;
}

struct entry_copy *quarantine_find(struct quarantine *quarantine, struct slice key, bool *ret_deleted) {
    struct entry_copy *copy = NULL;
    if (quarantine_count(quarantine) == 0)
        return NULL;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = find(quarantine, key);
    if (kept) {
        copy = entry_copy_share(kept->copy);
        *ret_deleted = kept->kind == MUTATION_DELETE;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return copy;
}

size_t quarantine_ask_retry(struct quarantine *quarantine, struct slice key) {
    size_t asked = 0;
    if (!quarantine)
        return 0;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = key.size ? find(quarantine, key) : quarantine->first;
    for (; kept; kept = key.size ? NULL : kept->next) {
        set_retry(quarantine, kept, true);
        asked++;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return asked;
}

size_t quarantine_retries(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->retries, memory_order_relaxed) : 0;
}

void quarantine_put_off_retry(struct quarantine *quarantine, struct slice key) {
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = find(quarantine, key);
    if (kept) {
        set_flag(&kept->retry, true, &quarantine->retries);
        set_flag(&kept->put_off, true, &quarantine->put_off);
    }
    pthread_mutex_unlock(&quarantine->mutex);
}

size_t quarantine_put_off(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->put_off, memory_order_relaxed) : 0;
}

void quarantine_go_on_retrying(struct quarantine *quarantine) {
    if (quarantine_put_off(quarantine) == 0)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        if (kept->put_off)
            set_retry(quarantine, kept, true);
    pthread_mutex_unlock(&quarantine->mutex);
}

static bool any_is_due(const struct quarantine *quarantine) {
    return quarantine_retries(quarantine) > quarantine_put_off(quarantine);
}

size_t quarantine_next_retries(struct quarantine *quarantine, size_t most, size_t most_bytes,
                               struct quarantine_retry *ret_retries) {
    size_t count = 0, bytes = 0;
    if (quarantine_retries(quarantine) == 0)
        return 0;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = quarantine->retry_from;
    for (; kept && count < most && bytes < most_bytes && any_is_due(quarantine); kept = kept->next) {
        if (!kept->retry || kept->put_off)
            continue;
        set_retry(quarantine, kept, false);
        ret_retries[count++] = (struct quarantine_retry){entry_copy_share(kept->copy), kept->kind};
        bytes += kept->copy->entry.value.size;
    }
    quarantine->retry_from = any_is_due(quarantine) ? kept : NULL;
    pthread_mutex_unlock(&quarantine->mutex);
    return count;
}

enum quarantine_drop quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version) {
    enum quarantine_drop dropped = QUARANTINE_NONE;
    if (quarantine_count(quarantine) == 0)
        return dropped;
    pthread_mutex_lock(&quarantine->file_mutex);
    struct kept *kept = find(quarantine, key);
    if (kept) {
        uint64_t version = kept->copy->entry.version;
        struct kept *going = NULL;
        mark_going(&going, kept);
        dropped = let_go(quarantine, going) ? QUARANTINE_DROPPED : QUARANTINE_FAILED;
        if (dropped == QUARANTINE_DROPPED)
            *ret_version = version;
    }
    pthread_mutex_unlock(&quarantine->file_mutex);
    return dropped;
}

/* Makes it empty; what it held is the caller's. */
static struct kept *take_all(struct quarantine *quarantine) {
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *all = quarantine->first;
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
    struct kept *going = NULL, *dropped = NULL;
    if (quarantine_count(quarantine) == 0)
        return QUARANTINE_NONE;
    pthread_mutex_lock(&quarantine->file_mutex);
    for (struct kept *kept = quarantine->last; kept; kept = kept->previous)
        mark_going(&going, kept);
    bool gone = log_gone(quarantine, going);
    if (gone) {
        dropped = take_all(quarantine);
        keep_short(quarantine);
    }
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        kept->going = false;
    pthread_mutex_unlock(&quarantine->file_mutex);
    for (const struct kept *kept = dropped; kept; kept = kept->next)
        visitor->entry(visitor, kept->kind, &kept->copy->entry, kept->since, kept->reason);
    free_chain(dropped);
    return gone ? QUARANTINE_DROPPED : QUARANTINE_FAILED;
}

void quarantine_visit(struct quarantine *quarantine, struct quarantine_visitor *visitor) {
    if (!quarantine)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        visitor->entry(visitor, kept->kind, &kept->copy->entry, kept->since, kept->reason);
    pthread_mutex_unlock(&quarantine->mutex);
}
