/* SPDX-License-Identifier: MIT */
/*
 * The list lives in memory, oldest first; the file is a log of it: a record for each entry that comes (ADD)
 * and each that goes (GONE). Opening replays the log and writes it anew with what is left.
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
 * A record that is torn or fails its check ends the replay: nothing behind it was ever acknowledged as kept.
 *
 * An ADD is synced before the journal may forget the change that was refused, and a GONE before it may forget
 * the one that took its place: else a restart would show the older value again. So a record counts, and the
 * list changes, only when it is synced; one that could not be written or synced is written again, at the same
 * place, by the next attempt. (After a failed sync the kernel counts the pages as clean. Whatever is behind
 * the end of what was synced is therefore never relied upon.) Remains of a longer attempt that lie behind the
 * last record are cut off by zeros.
 *
 * With an ADD comes the room for its GONE: on a full disk an entry can still go.
 */
#include "policies/write/quarantine.h"
#include "policies/journal/crc32c.h"
#include "policies/journal/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MAGIC = 0x52415551,
    OP_ADD = 1,
    OP_GONE = 2,
    REASON_MAX = 200,
    CUT_SIZE = 4,         /* zeros where the next magic would be */
    ROOM_STEP = 64 << 10, /* bytes by which the file grows */
};

struct record_head {
    uint32_t magic, crc;
    uint8_t op, kind, key_size, marks;
    uint32_t flags, expires_at, since, reason_size;
    uint64_t value_size, version, client_cas;
};
_Static_assert(sizeof(struct record_head) == 56, "the head is written as it lies in memory");

struct kept {
    struct kept *next;
    struct entry_copy *copy;
    enum mutation_kind kind;
    uint32_t since;
    bool retry; /* an operator asked for it */
    bool going; /* within a call: its GONE is being written */
    char reason[REASON_MAX];
};

struct log_file {
    int handle;      /* -1: memory only */
    bool named;      /* its name in the folder is synced */
    uint64_t end;    /* of the last record, all of them synced */
    uint64_t spoilt; /* up to here there may be remains of attempts that failed */
    uint64_t room;   /* bytes that the disk has for it */
};

struct quarantine {
    const struct journal_disk *disk;
    char *folder, *path;

    pthread_mutex_t mutex;
    struct kept *first;  /* under mutex */
    struct log_file log; /* under mutex */
    atomic_size_t count;
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

static struct kept **find(struct quarantine *quarantine, struct slice key) {
    struct kept **at = &quarantine->first;
    while (*at && !slice_equal((*at)->copy->entry.key, key))
        at = &(*at)->next;
    return at;
}

static void remove_at(struct quarantine *quarantine, struct kept **at) {
    struct kept *kept = *at;
    *at = kept->next;
    entry_copy_drop(kept->copy);
    free(kept);
    atomic_fetch_sub(&quarantine->count, 1);
}

/* Puts an entry at the end of the list, in place of an older one of its key. False: no memory. */
static bool put(struct quarantine *quarantine, enum mutation_kind kind, const struct entry *entry,
                uint32_t since, const char *reason) {
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept && !(kept->copy = entry_copy_make(entry))) {
        free(kept);
        kept = NULL;
    }
    if (!kept)
        return false;
    kept->kind = kind;
    kept->since = since;
    snprintf(kept->reason, sizeof kept->reason, "%s", reason);
    struct kept **at = find(quarantine, entry->key);
    if (*at)
        remove_at(quarantine, at);
    while (*at)
        at = &(*at)->next;
    *at = kept;
    atomic_fetch_add(&quarantine->count, 1);
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
    uint64_t end = log->end + sizeof head + key.size + value.size + reason.size;
    head.crc = record_crc(&head, key, value, reason);
    if (log->spoilt < end)
        log->spoilt = end;
    return write_piece(disk, log, slice_of((const char *)&head, sizeof head)) &&
           write_piece(disk, log, key) && write_piece(disk, log, value) && write_piece(disk, log, reason);
}

/* What the records of all that is held, and of one more key, would take if they went. */
static uint64_t room_to_go(const struct quarantine *quarantine, size_t key_size) {
    uint64_t room = sizeof(struct record_head) + key_size + CUT_SIZE;
    for (const struct kept *kept = quarantine->first; kept; kept = kept->next)
        room += sizeof(struct record_head) + kept->copy->entry.key.size;
    return room;
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

/* Ends an attempt to make the log longer: what was written counts if all of it was, and is synced. */
static bool commit(struct quarantine *quarantine, bool written, struct log_file *longer) {
    const struct journal_disk *disk = quarantine->disk;
    bool good = written && cut(disk, longer) && disk->sync(disk, longer->handle) == 0 &&
                sync_name(quarantine, longer);
    if (!good)
        longer->end = quarantine->log.end;
    quarantine->log = *longer;
    return good;
}

static bool read_all(const struct quarantine *quarantine, void *to, size_t size, uint64_t at) {
    return journal_disk_read(quarantine->disk, quarantine->log.handle, to, size, at) == (ssize_t)size;
}

/* Does one record to the list; false: there is no whole one at *at. */
static bool replay_record(struct quarantine *quarantine, uint64_t *at, uint64_t size) {
    struct record_head head;
    if (!read_all(quarantine, &head, sizeof head, *at) || head.magic != MAGIC ||
        head.reason_size >= REASON_MAX || head.value_size > size - *at)
        return false;
    size_t body = head.key_size + (size_t)head.value_size + head.reason_size;
    char *bytes = malloc(body + 1);
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
    if (sound && head.op == OP_ADD) {
        sound = put(quarantine, (enum mutation_kind)head.kind, &entry, head.since, reason);
    } else if (sound) {
        struct kept **kept = find(quarantine, key);
        if (*kept && (*kept)->copy->entry.version <= head.version)
            remove_at(quarantine, kept);
    }
    free(bytes);
    if (sound)
        *at += sizeof head + body;
    return sound;
}

static bool replay(struct quarantine *quarantine) {
    struct log_file *log = &quarantine->log;
    struct stat status;
    if (fstat(log->handle, &status) != 0)
        return false;
    while (log->end < (uint64_t)status.st_size &&
           replay_record(quarantine, &log->end, (uint64_t)status.st_size))
        continue;
    log->spoilt = (uint64_t)status.st_size;
    return true;
}

/* Writes what is held into a file of its own, synced. */
static bool write_held(const struct quarantine *quarantine, struct log_file *log) {
    const struct journal_disk *disk = quarantine->disk;
    for (struct kept *kept = quarantine->first; kept; kept = kept->next) {
        struct record record = {OP_ADD, kept->kind, &kept->copy->entry, kept->since, kept->reason};
        if (!write_record(disk, log, &record))
            return false;
    }
    return reserve(disk, log, room_to_go(quarantine, 0)) && disk->sync(disk, log->handle) == 0;
}

/* Writes the file anew with what is held. The old one stays if that fails. */
static void rewrite(struct quarantine *quarantine) {
    const struct journal_disk *disk = quarantine->disk;
    char path[4096];
    snprintf(path, sizeof path, "%s.new", quarantine->path);
    struct log_file fresh = {.handle = disk->open(disk, path, O_RDWR | O_CREAT | O_TRUNC)};
    if (fresh.handle < 0)
        return;
    if (write_held(quarantine, &fresh) && disk->rename(disk, path, quarantine->path) == 0) {
        disk->close(disk, quarantine->log.handle);
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

static bool open_file(struct quarantine *quarantine, const char *folder, const char *space) {
    const struct journal_disk *disk = quarantine->disk;
    char name[400];
    safe_name(space, name, sizeof name);
    if (!(quarantine->folder = strdup(folder)) ||
        asprintf(&quarantine->path, "%s/quarantine-%s.log", folder, name) < 0)
        return false;
    quarantine->log.handle = disk->open(disk, quarantine->path, O_RDWR | O_CREAT);
    if (quarantine->log.handle < 0 || !replay(quarantine))
        return false;
    rewrite(quarantine);
    sync_name(quarantine, &quarantine->log); /* else before the first record that counts */
    return true;
}

struct quarantine *quarantine_open(const struct journal_disk *disk, const char *folder, const char *space,
                                   char *error, size_t error_size) {
    struct quarantine *quarantine = calloc(1, sizeof *quarantine);
    if (!quarantine) {
        snprintf(error, error_size, "Out of memory.");
        return NULL;
    }
    pthread_mutex_init(&quarantine->mutex, NULL);
    quarantine->disk = disk;
    quarantine->log.handle = -1;
    if (folder && !open_file(quarantine, folder, space)) {
        snprintf(error, error_size, "The quarantine file %s cannot be opened: %s.",
                 quarantine->path ? quarantine->path : folder, strerror(errno));
        quarantine_close(quarantine);
        return NULL;
    }
    return quarantine;
}

void quarantine_close(struct quarantine *quarantine) {
    if (!quarantine)
        return;
    while (quarantine->first)
        remove_at(quarantine, &quarantine->first);
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
    bool good = replay(&quarantine);
    int failure = errno;
    for (const struct kept *kept = quarantine.first; kept; kept = kept->next) {
        summary.entries++;
        if (kept->since < summary.oldest)
            summary.oldest = kept->since;
    }
    while (quarantine.first)
        remove_at(&quarantine, &quarantine.first);
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

uint64_t quarantine_high_version(struct quarantine *quarantine) {
    uint64_t high = 0;
    if (!quarantine)
        return 0;
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        if (kept->copy->entry.version > high)
            high = kept->copy->entry.version;
    return high;
}

/* Writes the record of an entry that comes. */
static bool log_add(struct quarantine *quarantine, const struct record *record) {
    const struct journal_disk *disk = quarantine->disk;
    struct log_file log = quarantine->log;
    if (log.handle < 0)
        return true;
    bool written = write_record(disk, &log, record) &&
                   reserve(disk, &log, room_to_go(quarantine, record->entry->key.size));
    return commit(quarantine, written, &log);
}

bool quarantine_add(struct quarantine *quarantine, enum mutation_kind kind, const struct entry *entry,
                    const char *reason) {
    char short_reason[REASON_MAX];
    uint32_t since = (uint32_t)(wall_us() / US_PER_SECOND); /* for people */
    snprintf(short_reason, sizeof short_reason, "%s", reason);
    struct record record = {OP_ADD, kind, entry, since, short_reason};
    pthread_mutex_lock(&quarantine->mutex);
    struct kept **old = find(quarantine, entry->key);
    bool kept = *old && (*old)->copy->entry.version >= entry->version;
    if (!kept)
        kept = log_add(quarantine, &record) && put(quarantine, kind, entry, since, short_reason);
    pthread_mutex_unlock(&quarantine->mutex);
    return kept;
}

/* Writes the records of those that are going, with one sync. */
static bool log_gone(struct quarantine *quarantine) {
    struct log_file log = quarantine->log;
    bool written = true;
    if (log.handle < 0)
        return true;
    for (const struct kept *kept = quarantine->first; kept && written; kept = kept->next) {
        struct record record = {OP_GONE, kept->kind, &kept->copy->entry, 0, ""};
        written = !kept->going || write_record(quarantine->disk, &log, &record);
    }
    return commit(quarantine, written, &log);
}

/* Lets those go that are going, or none. */
static bool let_go(struct quarantine *quarantine) {
    bool gone = log_gone(quarantine);
    for (struct kept **at = &quarantine->first; *at;) {
        if ((*at)->going && gone) {
            remove_at(quarantine, at);
            continue;
        }
        (*at)->going = false;
        at = &(*at)->next;
    }
    return gone;
}

bool quarantine_supersede(struct quarantine *quarantine, const struct mutation *mutations, size_t count) {
    bool any = false;
    if (quarantine_count(quarantine) == 0)
        return true;
    pthread_mutex_lock(&quarantine->mutex);
    for (size_t i = 0; i < count; i++) {
        struct kept *kept = *find(quarantine, mutations[i].entry.key);
        if (kept && kept->copy->entry.version <= mutations[i].entry.version)
            any = kept->going = true;
    }
    bool gone = !any || let_go(quarantine);
    pthread_mutex_unlock(&quarantine->mutex);
    return gone;
}

bool quarantine_has(struct quarantine *quarantine, struct slice key) {
    if (quarantine_count(quarantine) == 0)
        return false;
    pthread_mutex_lock(&quarantine->mutex);
    bool has = *find(quarantine, key) != NULL;
    pthread_mutex_unlock(&quarantine->mutex);
    return has;
}

struct entry_copy *quarantine_find(struct quarantine *quarantine, struct slice key, bool *ret_deleted) {
    struct entry_copy *copy = NULL;
    if (quarantine_count(quarantine) == 0)
        return NULL;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = *find(quarantine, key);
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
    for (struct kept *kept = quarantine->first; kept; kept = kept->next) {
        if (key.size && !slice_equal(kept->copy->entry.key, key))
            continue;
        kept->retry = true;
        asked++;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return asked;
}

struct entry_copy *quarantine_next_retry(struct quarantine *quarantine, enum mutation_kind *ret_kind) {
    struct entry_copy *copy = NULL;
    if (quarantine_count(quarantine) == 0)
        return NULL;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept && !copy; kept = kept->next) {
        if (!kept->retry)
            continue;
        kept->retry = false;
        copy = entry_copy_share(kept->copy);
        *ret_kind = kept->kind;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return copy;
}

enum quarantine_drop quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version) {
    enum quarantine_drop dropped = QUARANTINE_NONE;
    if (quarantine_count(quarantine) == 0)
        return dropped;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = *find(quarantine, key);
    if (kept) {
        uint64_t version = kept->copy->entry.version;
        kept->going = true;
        dropped = let_go(quarantine) ? QUARANTINE_DROPPED : QUARANTINE_FAILED;
        if (dropped == QUARANTINE_DROPPED)
            *ret_version = version;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return dropped;
}

void quarantine_visit(struct quarantine *quarantine, struct quarantine_visitor *visitor) {
    if (!quarantine)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        visitor->entry(visitor, kept->kind, &kept->copy->entry, kept->since, kept->reason);
    pthread_mutex_unlock(&quarantine->mutex);
}
