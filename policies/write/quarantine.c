/* SPDX-License-Identifier: MIT */
/*
 * The entries are a list in memory, oldest first, with a tree over it by key: nothing but a listing walks the list, and no
 * choice of keys makes the tree slow. The file is its log: it has a record for each entry that was added (ADD) and for each
 * that was removed (GONE). Opening reads the log and then writes the file anew, with an ADD for each entry that is left;
 * so does an addition or a removal that finds the file twice as long as it was then.
 *
 * A record, as struct record_head lies in memory (a file is read by hosts of the byte order that wrote it):
 *
 *     offset  size
 *          0     4  magic
 *          4     4  CRC-32C of all that follows
 *          8     1  op: ADD or GONE
 *          9     1  kind of the change
 *         10     1  size of the key
 *         11     1  marks
 *         12     4  flags
 *         16     4  expires_at
 *         20     4  since: when it was refused, in seconds
 *         24     4  size of the reason
 *         28     4  (unused)
 *         32     8  size of the value
 *         40     8  version
 *         48     8  client_cas
 *         56        key, value, reason
 *
 * Records follow one another without gaps. Where there is none, the log ends, if no whole record follows or if zeros cut
 * it off there. Else the file is damaged (docs/policies.md): what follows is taken all the same, because a record says
 * what is true by itself, but only a start that was told so goes on with what is left.
 *
 * An ADD is synced before the journal may forget the refused change. A GONE is synced before the journal may forget the
 * newer change of the key: otherwise a restart would show the older value again. So the list changes only after its
 * record is synced. A record that could not be written or synced is overwritten by the next attempt, at the same place;
 * bytes behind the last synced record are never relied upon, because after a failed sync the kernel counts their pages
 * as clean. If an attempt that failed was longer than the next one, its remains are cut off by zeros.
 *
 * An ADD also reserves the room for the GONE of its entry, so that entries can be removed on a full disk.
 */
#include "policies/write/quarantine.h"
#include "cache/base/own_file.h"
#include "policies/journal/crc32c.h"
#include "policies/journal/disk.h"
#include "policies/write/key_tree.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAGIC = 0x52415551,
    OP_ADD = 1,
    OP_GONE = 2,
    REASON_MAX = 200,
    NUMBERS_MAX = 1000,   /* of damaged files of one name */
    CUT_SIZE = 4,         /* zeros where the next magic would be */
    ROOM_STEP = 64 << 10, /* bytes by which the file grows */
    SEARCHED = 16 << 10,  /* bytes that are searched at once */
    WINDOW = 64 << 10,    /* bytes that are read at once */
    REWRITE_STEP =
        1 << 20,         /* bytes that a file may be longer than twice what it was when it was written anew */
    SMALL_RECORD = 2048, /* bytes: such a record is written with one call */
    NODE_SIZE =
        80 /* bytes of a node of the tree, and of what three allocations take beside what was asked for */
};

struct record_head {
    uint32_t magic, crc;
    uint8_t op, kind, key_size, marks;
    uint32_t flags, expires_at, since, reason_size;
    uint64_t value_size, version, client_cas;
};
_Static_assert(sizeof(struct record_head) == 56, "the head is written as it lies in memory");

struct kept {
    struct slice key; /* first, as the tree compares it; its bytes are the copy's */
    struct kept *previous, *next;
    struct kept *next_going; /* within a call: the next one to be removed, if its GONE can be written */
    bool going;
    bool retry;      /* an operator asked for it */
    uint64_t number; /* grows along the list */
    struct entry_copy *copy;
    enum mutation_kind kind;
    uint32_t since;
    char reason[];
};

struct log_file {
    int handle;          /* -1: memory only */
    bool named;          /* its name in the folder is synced */
    uint64_t end;        /* of the last synced record */
    uint64_t spoilt;     /* end of what attempts that failed may have left */
    uint64_t room;       /* bytes allocated for it on the disk */
    uint64_t rewrite_at; /* end from which it is written anew */
    int failure;         /* errno of what kept the replay from reading it, 0: nothing */
};

struct quarantine {
    const struct journal_disk *disk;
    char *folder, *path;

    pthread_mutex_t mutex;
    struct kept *first, *last; /* under mutex, as all below but the atomics */
    struct key_tree tree;      /* struct kept by key */
    uint64_t numbered;         /* number of the last entry */
    uint64_t room_to_go;       /* bytes of the GONE records of all entries */
    struct kept *retry_from;   /* no entry before it is marked; NULL: none is */
    struct log_file log;
    struct window *window; /* while the log is read; NULL: not now */
    atomic_size_t count, bytes, retries;
};

/* A part of the file, so that reading it takes few calls. */
struct window {
    uint64_t at;
    size_t size;
    char bytes[WINDOW];
};

/* What is written for an entry. */
struct record {
    uint8_t op;
    enum mutation_kind kind;
    const struct entry *entry; /* GONE: its value is left out */
    uint32_t since;
    const char *reason;
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

static size_t gone_size(const struct kept *kept) {
    return sizeof(struct record_head) + kept->key.size;
}

static void free_kept(struct kept *kept) {
    entry_copy_drop(kept->copy);
    free(kept);
}

/* NULL: no memory. */
static struct kept *make_kept(const struct record *record) {
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

static void set_retry(struct quarantine *quarantine, struct kept *kept, bool retry) {
    if (kept->retry != retry)
        atomic_fetch_add(&quarantine->retries, retry ? 1 : (size_t)-1);
    kept->retry = retry;
    if (retry && (!quarantine->retry_from || kept->number < quarantine->retry_from->number))
        quarantine->retry_from = kept;
}

static void take_off_list(struct quarantine *quarantine, struct kept *kept) {
    set_retry(quarantine, kept, false);
    if (quarantine->retry_from == kept)
        quarantine->retry_from = kept->next;
    *(kept->previous ? &kept->previous->next : &quarantine->first) = kept->next;
    *(kept->next ? &kept->next->previous : &quarantine->last) = kept->previous;
    quarantine->room_to_go -= gone_size(kept);
    atomic_fetch_sub(&quarantine->bytes, size_of(kept));
    atomic_fetch_sub(&quarantine->count, 1);
}

static void append_to_list(struct quarantine *quarantine, struct kept *kept) {
    kept->number = ++quarantine->numbered;
    kept->previous = quarantine->last;
    *(kept->previous ? &kept->previous->next : &quarantine->first) = kept;
    quarantine->last = kept;
    quarantine->room_to_go += gone_size(kept);
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

static uint32_t record_crc(const struct record_head *head, struct slice key, struct slice value,
                           struct slice reason) {
    size_t skipped = offsetof(struct record_head, op);
    uint32_t crc = crc32c(0, (const char *)head + skipped, sizeof *head - skipped);
    crc = crc32c(crc, key.data, key.size);
    crc = crc32c(crc, value.data, value.size);
    return crc32c(crc, reason.data, reason.size);
}

static bool write_piece(const struct journal_disk *disk, struct log_file *log, struct slice piece) {
    if (journal_disk_write(disk, log->handle, piece.data, piece.size, log->end) != 0)
        return false;
    log->end += piece.size;
    return true;
}

enum { PIECES = 4 }; /* of a record: head, key, value, reason */

/* With one call where that needs little memory. */
static bool write_pieces(const struct journal_disk *disk, struct log_file *log,
                         const struct slice pieces[PIECES], size_t size) {
    char bytes[SMALL_RECORD];
    size_t used = 0;
    bool whole = size <= sizeof bytes, written = true;
    for (size_t i = 0; i < PIECES && written; i++) {
        if (!whole)
            written = write_piece(disk, log, pieces[i]);
        else if (pieces[i].size)
            memcpy(bytes + used, pieces[i].data, pieces[i].size);
        used += pieces[i].size;
    }
    return whole ? write_piece(disk, log, slice_of(bytes, used)) : written;
}

/* Writes a record at the end of *log. False: only a part of it is there. */
static bool write_record(const struct journal_disk *disk, struct log_file *log, const struct record *record) {
    const struct entry *entry = record->entry;
    struct slice key = entry->key, reason = slice_string(record->reason);
    struct slice value = record->op == OP_ADD ? entry->value : slice_of("", 0);
    struct record_head head = {.magic = MAGIC,
                               .op = record->op,
                               .kind = (uint8_t)record->kind,
                               .key_size = (uint8_t)key.size,
                               .marks = entry->marks,
                               .flags = entry->flags,
                               .expires_at = entry->expires_at,
                               .since = record->since,
                               .reason_size = (uint32_t)reason.size,
                               .value_size = value.size,
                               .version = entry->version,
                               .client_cas = entry->client_cas};
    size_t size = sizeof head + key.size + value.size + reason.size;
    head.crc = record_crc(&head, key, value, reason);
    if (log->spoilt < log->end + size)
        log->spoilt = log->end + size;
    const struct slice pieces[PIECES] = {slice_of((const char *)&head, sizeof head), key, value, reason};
    return write_pieces(disk, log, pieces, size);
}

/* Makes sure that there is room behind the last record. */
static bool reserve(const struct journal_disk *disk, struct log_file *log, uint64_t more) {
    uint64_t room = (log->end + more + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    if (log->end + more <= log->room)
        return true;
    if (disk->allocate(disk, log->handle, room) != 0)
        return false;
    log->room = room;
    return true;
}

/* Nothing behind the last record may pass for one. */
static bool cut(const struct journal_disk *disk, const struct log_file *log) {
    static const char zeros[CUT_SIZE];
    return log->end >= log->spoilt ||
           journal_disk_write(disk, log->handle, zeros, sizeof zeros, log->end) == 0;
}

static bool sync_name(const struct quarantine *quarantine, struct log_file *log) {
    log->named = log->named || quarantine->disk->sync_folder(quarantine->disk, quarantine->folder) == 0;
    return log->named;
}

/* Ends an attempt to append to the log. If all was written and can be synced, it counts; otherwise none of it does. */
static bool commit(struct quarantine *quarantine, bool written, struct log_file *longer) {
    const struct journal_disk *disk = quarantine->disk;
    bool good = written && cut(disk, longer) && disk->sync(disk, longer->handle) == 0 &&
                sync_name(quarantine, longer);
    if (!good)
        longer->end = quarantine->log.end;
    quarantine->log = *longer;
    return good;
}

/* Returns how much there is; a failure is noted, and is nothing. */
static size_t read_some(struct quarantine *quarantine, void *to, size_t size, uint64_t at) {
    ssize_t n = journal_disk_read(quarantine->disk, quarantine->log.handle, to, size, at);
    if (n < 0)
        quarantine->log.failure = errno;
    return n < 0 ? 0 : (size_t)n;
}

/* False: the file ends before, or (noted) it cannot be read. */
static bool read_all(struct quarantine *quarantine, void *to, size_t size, uint64_t at) {
    struct window *window = quarantine->window;
    if (size > sizeof window->bytes)
        return read_some(quarantine, to, size, at) == size;
    if (at < window->at || at + size > window->at + window->size) {
        window->size = read_some(quarantine, window->bytes, sizeof window->bytes, at);
        window->at = at;
    }
    if (size > window->size)
        return false;
    memcpy(to, window->bytes + (at - window->at), size);
    return true;
}

static void *allocate(struct quarantine *quarantine, size_t size) {
    void *bytes = malloc(size);
    if (!bytes)
        quarantine->log.failure = ENOMEM;
    return bytes;
}

/* Does to the list what a record says. False (noted): no memory. */
static bool replay_entry(struct quarantine *quarantine, const struct record *record) {
    if (record->op == OP_ADD) {
        struct kept *kept = make_kept(record);
        if (kept && put(quarantine, kept))
            return true;
        if (kept)
            free_kept(kept);
        quarantine->log.failure = ENOMEM;
        return false;
    }
    struct kept *kept = find(quarantine, record->entry->key);
    if (kept && kept->copy->entry.version <= record->entry->version)
        remove_kept(quarantine, kept);
    return true;
}

/* Takes one record into the list; false: there is no whole one at *at. */
static bool replay_record(struct quarantine *quarantine, uint64_t *at, uint64_t size) {
    struct record_head head;
    if (!read_all(quarantine, &head, sizeof head, *at) || head.magic != MAGIC ||
        head.reason_size >= REASON_MAX || head.value_size > size - *at)
        return false;
    size_t body = head.key_size + (size_t)head.value_size + head.reason_size;
    if (body > size - *at)
        return false;
    char *bytes = allocate(quarantine, body + 1);
    if (!bytes || !read_all(quarantine, bytes, body, *at + sizeof head)) {
        free(bytes);
        return false;
    }
    bytes[body] = 0;
    struct slice key = slice_of(bytes, head.key_size),
                 value = slice_of(bytes + head.key_size, (size_t)head.value_size);
    char *reason = bytes + body - head.reason_size;
    bool sound = record_crc(&head, key, value, slice_of(reason, head.reason_size)) == head.crc;
    struct entry entry = {key, value, head.version, head.client_cas, head.flags, head.expires_at, head.marks};
    struct record record = {head.op, (enum mutation_kind)head.kind, &entry, head.since, reason};
    sound = sound && replay_entry(quarantine, &record);
    free(bytes);
    if (sound)
        *at += sizeof head + body;
    return sound;
}

/* Nothing was ever written there, or zeros cut off what was. */
static bool is_cut(struct quarantine *quarantine, uint64_t at) {
    char bytes[CUT_SIZE];
    static const char zeros[CUT_SIZE];
    return read_all(quarantine, bytes, sizeof bytes, at) && memcmp(bytes, zeros, sizeof bytes) == 0;
}

/* The next place from *at on where the magic of a record is; false: there is none. */
static bool find_magic(struct quarantine *quarantine, uint64_t *at, uint64_t size) {
    static const uint32_t magic = MAGIC;
    char bytes[SEARCHED];
    while (*at + sizeof magic <= size) {
        size_t length = size - *at < SEARCHED ? (size_t)(size - *at) : SEARCHED;
        if (!read_all(quarantine, bytes, length, *at))
            return false;
        const char *found = memmem(bytes, length, &magic, sizeof magic);
        if (found) {
            *at += (uint64_t)(found - bytes);
            return true;
        }
        *at += length - (sizeof magic - 1);
    }
    return false;
}

/* Goes on behind a place without a record; false: no whole record follows, it was the end. */
static bool replay_behind(struct quarantine *quarantine, uint64_t size, struct quarantine_damage *damage) {
    uint64_t gap = quarantine->log.end;
    if (is_cut(quarantine, gap))
        return false;
    for (uint64_t at = gap + 1; find_magic(quarantine, &at, size); at++) {
        uint64_t begin = at;
        if (!replay_record(quarantine, &at, size))
            continue;
        quarantine->log.end = at;
        if (damage->places++ == 0)
            damage->offset = gap;
        damage->bytes += begin - gap;
        return true;
    }
    return false;
}

/* False: errno. */
static bool replay(struct quarantine *quarantine, struct quarantine_damage *ret_damage) {
    struct log_file *log = &quarantine->log;
    struct stat status;
    struct window window = {.size = 0};
    *ret_damage = (struct quarantine_damage){0};
    if (fstat(log->handle, &status) != 0)
        return false;
    uint64_t size = (uint64_t)status.st_size;
    quarantine->window = &window;
    while (log->end < size && log->failure == 0 &&
           (replay_record(quarantine, &log->end, size) || replay_behind(quarantine, size, ret_damage)))
        continue;
    quarantine->window = NULL;
    log->spoilt = size;
    errno = log->failure;
    return log->failure == 0;
}

/* Writes the entries held into a new file, and syncs it. */
static bool write_held(const struct quarantine *quarantine, struct log_file *log) {
    const struct journal_disk *disk = quarantine->disk;
    for (struct kept *kept = quarantine->first; kept; kept = kept->next) {
        struct record record = {OP_ADD, kept->kind, &kept->copy->entry, kept->since, kept->reason};
        if (!write_record(disk, log, &record))
            return false;
    }
    return reserve(disk, log, quarantine->room_to_go + CUT_SIZE) && disk->sync(disk, log->handle) == 0;
}

/* Writes the file anew with the entries held. If that fails, the old file stays in use. */
static void rewrite(struct quarantine *quarantine) {
    const struct journal_disk *disk = quarantine->disk;
    char path[4096];
    quarantine->log.rewrite_at = quarantine->log.end + REWRITE_STEP; /* not at once again, if it fails */
    snprintf(path, sizeof path, "%s.new", quarantine->path);
    struct log_file fresh = {.handle = disk->open(disk, path, O_RDWR | O_CREAT | O_TRUNC)};
    if (fresh.handle < 0)
        return;
    if (write_held(quarantine, &fresh) && disk->rename(disk, path, quarantine->path) == 0) {
        disk->close(disk, quarantine->log.handle);
        fresh.rewrite_at = 2 * fresh.end + REWRITE_STEP;
        quarantine->log = fresh;
    } else {
        disk->close(disk, fresh.handle);
        disk->remove(disk, path);
    }
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
        snprintf(error, error_size, "The damaged quarantine file %s cannot be kept as %s: %s.",
                 quarantine->path, aside, strerror(errno));
    return status == 0;
}

static bool may_go_on(const struct quarantine *quarantine, const char *name, bool skip_damaged,
                      const struct quarantine_damage *damage, char *error, size_t error_size) {
    if (damage->places == 0)
        return true;
    if (skip_damaged)
        return set_aside(quarantine, name, error, error_size);
    snprintf(
        error, error_size,
        "The quarantine file %s is damaged: no record that passes its check at offset %" PRIu64 " (%" PRIu64
        " bytes in %zu places). What they held is lost; to start without it, use --recover=skip-damaged.",
        quarantine->path, damage->offset, damage->bytes, damage->places);
    return false;
}

static bool open_file(struct quarantine *quarantine, const char *folder, const char *space, bool skip_damaged,
                      struct quarantine_damage *ret_damage, char *error, size_t error_size) {
    const struct journal_disk *disk = quarantine->disk;
    char name[400];
    safe_name(space, name, sizeof name);
    if (!(quarantine->folder = strdup(folder)) ||
        asprintf(&quarantine->path, "%s/quarantine-%s.log", folder, name) < 0)
        return false;
    quarantine->log.handle = disk->open(disk, quarantine->path, O_RDWR | O_CREAT);
    if (quarantine->log.handle < 0 || !replay(quarantine, ret_damage))
        return false;
    if (!may_go_on(quarantine, name, skip_damaged, ret_damage, error, error_size))
        return false;
    rewrite(quarantine);
    sync_name(quarantine, &quarantine->log); /* else before the first record that counts */
    return true;
}

struct quarantine *quarantine_open(const struct journal_disk *disk, const char *folder, const char *space,
                                   bool skip_damaged, struct quarantine_damage *ret_damage, char *error,
                                   size_t error_size) {
    struct quarantine *quarantine = calloc(1, sizeof *quarantine);
    if (!quarantine) {
        snprintf(error, error_size, "Out of memory.");
        return NULL;
    }
    pthread_mutex_init(&quarantine->mutex, NULL);
    quarantine->disk = disk;
    quarantine->log.handle = -1;
    *ret_damage = (struct quarantine_damage){0};
    *error = '\0';
    if (folder && !open_file(quarantine, folder, space, skip_damaged, ret_damage, error, error_size)) {
        if (!*error)
            snprintf(error, error_size, "The quarantine file %s cannot be opened: %s.",
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
        quarantine->disk->close(quarantine->disk, quarantine->log.handle);
    pthread_mutex_destroy(&quarantine->mutex);
    free(quarantine->folder);
    free(quarantine->path);
    free(quarantine);
}

bool quarantine_look(const struct journal_disk *disk, const char *path,
                     struct quarantine_summary *ret_summary) {
    struct quarantine quarantine = {.disk = disk, .log = {.handle = disk->open(disk, path, O_RDONLY)}};
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
    if (quarantine->log.handle >= 0 && quarantine->log.end >= quarantine->log.rewrite_at)
        rewrite(quarantine);
}

/* Writes the records of entries that are added, with one sync. */
static bool log_add(struct quarantine *quarantine, const struct kept *added) {
    const struct journal_disk *disk = quarantine->disk;
    struct log_file log = quarantine->log;
    uint64_t room = quarantine->room_to_go + CUT_SIZE;
    bool written = true;
    if (log.handle < 0)
        return true;
    for (const struct kept *kept = added; kept && written; kept = kept->next) {
        struct record record = {OP_ADD, kept->kind, &kept->copy->entry, kept->since, kept->reason};
        written = write_record(disk, &log, &record);
        room += gone_size(kept);
    }
    return commit(quarantine, written && reserve(disk, &log, room), &log);
}

/* Those of the mutations that are not held yet, chained in their order. False: no memory. */
static bool make_chain(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                       const char *reason, struct kept **ret_chain) {
    struct kept *chain = NULL, **end = &chain;
    uint32_t since = (uint32_t)(wall_us() / US_PER_SECOND); /* for people */
    for (size_t i = 0; i < count; i++) {
        char short_reason[REASON_MAX];
        const struct entry *entry = &mutations[i].entry;
        const struct kept *old = find(quarantine, entry->key);
        if (old && old->copy->entry.version >= entry->version)
            continue;
        snprintf(short_reason, sizeof short_reason, "%s",
                 mutations[i].refusal ? mutations[i].refusal : reason);
        struct record record = {OP_ADD, mutations[i].kind, entry, since, short_reason};
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

bool quarantine_add(struct quarantine *quarantine, const struct mutation *mutations, size_t count,
                    const char *reason) {
    struct kept *chain;
    pthread_mutex_lock(&quarantine->mutex);
    bool added = make_chain(quarantine, mutations, count, reason, &chain);
    if (added && chain && !log_add(quarantine, chain)) {
        int failure = errno;
        free_chain(chain);
        errno = failure;
        added = false;
    } else if (added && chain) {
        added = put_chain(quarantine, chain);
        keep_short(quarantine);
    }
    pthread_mutex_unlock(&quarantine->mutex);
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
    struct log_file log = quarantine->log;
    bool written = true;
    if (log.handle < 0)
        return true;
    for (const struct kept *kept = going; kept && written; kept = kept->next_going) {
        struct record record = {OP_GONE, kept->kind, &kept->copy->entry, 0, ""};
        written = write_record(quarantine->disk, &log, &record);
    }
    return commit(quarantine, written, &log);
}

/* Removes those that are going: all of them, or (false) none. */
static bool let_go(struct quarantine *quarantine, struct kept *going) {
    bool gone = log_gone(quarantine, going);
    while (going) {
        struct kept *kept = going;
        going = kept->next_going;
        kept->going = false;
        if (gone)
            remove_kept(quarantine, kept);
    }
    if (gone)
        keep_short(quarantine);
    return gone;
}

bool quarantine_supersede(struct quarantine *quarantine, const struct mutation *mutations, size_t count) {
    struct kept *going = NULL;
    if (quarantine_count(quarantine) == 0)
        return true;
    pthread_mutex_lock(&quarantine->mutex);
    for (size_t i = 0; i < count; i++) {
        struct kept *kept = find(quarantine, mutations[i].entry.key);
        if (kept && kept->copy->entry.version <= mutations[i].entry.version)
            mark_going(&going, kept);
    }
    bool gone = !going || let_go(quarantine, going);
    pthread_mutex_unlock(&quarantine->mutex);
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

size_t quarantine_next_retries(struct quarantine *quarantine, size_t most, size_t most_bytes,
                               struct quarantine_retry *ret_retries) {
    size_t count = 0, bytes = 0;
    if (quarantine_retries(quarantine) == 0)
        return 0;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = quarantine->retry_from;
    for (; kept && count < most && bytes < most_bytes && quarantine_retries(quarantine); kept = kept->next) {
        if (!kept->retry)
            continue;
        set_retry(quarantine, kept, false);
        ret_retries[count++] = (struct quarantine_retry){entry_copy_share(kept->copy), kept->kind};
        bytes += kept->copy->entry.value.size;
    }
    quarantine->retry_from = quarantine_retries(quarantine) ? kept : NULL;
    pthread_mutex_unlock(&quarantine->mutex);
    return count;
}

enum quarantine_drop quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version) {
    enum quarantine_drop dropped = QUARANTINE_NONE;
    if (quarantine_count(quarantine) == 0)
        return dropped;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = find(quarantine, key);
    if (kept) {
        uint64_t version = kept->copy->entry.version;
        struct kept *going = NULL;
        mark_going(&going, kept);
        dropped = let_go(quarantine, going) ? QUARANTINE_DROPPED : QUARANTINE_FAILED;
        if (dropped == QUARANTINE_DROPPED)
            *ret_version = version;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return dropped;
}

/* Makes it empty; what it held is the caller's. */
static struct kept *take_all(struct quarantine *quarantine) {
    struct kept *all = quarantine->first;
    key_tree_clear(&quarantine->tree);
    quarantine->first = quarantine->last = quarantine->retry_from = NULL;
    quarantine->room_to_go = 0;
    atomic_store(&quarantine->count, 0);
    atomic_store(&quarantine->bytes, 0);
    atomic_store(&quarantine->retries, 0);
    keep_short(quarantine);
    return all;
}

enum quarantine_drop quarantine_drop_all(struct quarantine *quarantine, struct quarantine_visitor *visitor) {
    struct kept *going = NULL, *dropped = NULL;
    if (quarantine_count(quarantine) == 0)
        return QUARANTINE_NONE;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->last; kept; kept = kept->previous)
        mark_going(&going, kept);
    bool gone = log_gone(quarantine, going);
    if (gone)
        dropped = take_all(quarantine);
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        kept->going = false;
    pthread_mutex_unlock(&quarantine->mutex);
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
