/* SPDX-License-Identifier: MIT */
/*
 * The list lives in memory, oldest first; the file is a log of it: a record for each entry that comes (ADD)
 * and each that goes (GONE). Opening replays the log and, when it is worth it, writes it anew.
 *
 *     record: magic(4) crc(4, of all that follows) op(1) kind(1) key_size(1) marks(1) flags(4) expires_at(4)
 * since(4) reason_size(4) value_size(8) version(8) client_cas(8) key value reason        (little-endian
 * hosts)
 *
 * A record that is torn or fails its check ends the replay: nothing behind it was ever acknowledged as kept.
 * An ADD is synced before the journal may forget the change. A GONE is not: if it is lost, the entry comes
 * back, and the version guard of the backend makes a retry of it harmless.
 */
#include "policies/write/quarantine.h"
#include "policies/journal/crc32c.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC = 0x52415551, OP_ADD = 1, OP_GONE = 2, REASON_MAX = 200 };

struct record_head {
    uint32_t magic, crc;
    uint8_t op, kind, key_size, marks;
    uint32_t flags, expires_at, since, reason_size;
    uint64_t value_size, version, client_cas;
};
_Static_assert(sizeof(struct record_head) == 56, "the head is written as it lies in memory");

struct kept {
    struct kept *next;
    struct entry_copy *loaded;
    enum mutation_kind kind;
    uint32_t since;
    bool marked;
    char reason[REASON_MAX];
};

struct quarantine {
    pthread_mutex_t mutex;
    struct kept *first; /* under mutex, as all below */
    int file;           /* -1: memory only */
    off_t end;          /* of the last whole record */
    char *path;
    atomic_size_t count;
};

/* ---- The list ---- */

static struct kept **find(struct quarantine *quarantine, struct slice key) {
    struct kept **at = &quarantine->first;
    while (*at && !slice_equal((*at)->loaded->entry.key, key))
        at = &(*at)->next;
    return at;
}

static void remove_at(struct quarantine *quarantine, struct kept **at) {
    struct kept *kept = *at;
    *at = kept->next;
    entry_copy_drop(kept->loaded);
    free(kept);
    atomic_fetch_sub(&quarantine->count, 1);
}

/* Puts an entry at the end of the list, in place of an older one of its key. False: no memory. */
static bool put(struct quarantine *quarantine, enum mutation_kind kind, const struct entry *entry,
                uint32_t since, const char *reason) {
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept && !(kept->loaded = entry_copy_make(entry))) {
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

static bool write_all(int file, const void *data, size_t size, off_t *at) {
    const char *bytes = data;
    while (size > 0) {
        ssize_t written = pwrite(file, bytes, size, *at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
        *at += written;
    }
    return true;
}

/* Appends a record behind *end; *end moves only if it is whole. */
static bool write_record(int file, off_t *end, uint8_t op, enum mutation_kind kind, const struct entry *entry,
                         uint32_t since, const char *reason) {
    struct slice text = slice_string(reason), value = op == OP_ADD ? entry->value : slice_of("", 0);
    struct record_head head = {
        .magic = MAGIC, .op = op, .kind = (uint8_t)kind, .key_size = (uint8_t)entry->key.size};
    off_t at = *end;
    head.marks = entry->marks;
    head.flags = entry->flags;
    head.expires_at = entry->expires_at;
    head.since = since;
    head.reason_size = (uint32_t)text.size;
    head.value_size = value.size;
    head.version = entry->version;
    head.client_cas = entry->client_cas;
    head.crc = record_crc(&head, entry->key, value, text);
    if (!write_all(file, &head, sizeof head, &at) ||
        !write_all(file, entry->key.data, entry->key.size, &at) ||
        !write_all(file, value.data, value.size, &at) || !write_all(file, text.data, text.size, &at))
        return false;
    *end = at;
    return true;
}

static bool read_all(int file, void *data, size_t size, off_t at) {
    char *bytes = data;
    while (size > 0) {
        ssize_t got = pread(file, bytes, size, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        size -= (size_t)got;
        at += got;
    }
    return true;
}

/* Does one record to the list; false: there is no whole one at *at. */
static bool replay_record(struct quarantine *quarantine, off_t *at, off_t size) {
    struct record_head head;
    if (!read_all(quarantine->file, &head, sizeof head, *at) || head.magic != MAGIC ||
        head.reason_size >= REASON_MAX || head.value_size > (uint64_t)(size - *at))
        return false;
    size_t body = head.key_size + (size_t)head.value_size + head.reason_size;
    char *bytes = malloc(body + 1);
    if (!bytes || !read_all(quarantine->file, bytes, body, *at + (off_t)sizeof head)) {
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
        if (*kept && (*kept)->loaded->entry.version <= head.version)
            remove_at(quarantine, kept);
    }
    free(bytes);
    if (sound)
        *at += (off_t)(sizeof head + body);
    return sound;
}

static bool replay(struct quarantine *quarantine) {
    struct stat status;
    if (fstat(quarantine->file, &status) != 0)
        return false;
    while (quarantine->end < status.st_size && replay_record(quarantine, &quarantine->end, status.st_size))
        continue;
    return true;
}

static void sync_folder(const char *folder) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
}

/* Writes the file anew with only what is held, if it holds more. The old one stays if that fails. */
static void rewrite(struct quarantine *quarantine, const char *folder) {
    char path[4096];
    off_t end = 0;
    snprintf(path, sizeof path, "%s.new", quarantine->path);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool whole = file >= 0;
    for (struct kept *kept = quarantine->first; whole && kept; kept = kept->next)
        whole = write_record(file, &end, OP_ADD, kept->kind, &kept->loaded->entry, kept->since, kept->reason);
    if (whole && fsync(file) == 0 && rename(path, quarantine->path) == 0) {
        close(quarantine->file);
        quarantine->file = file;
        quarantine->end = end;
        sync_folder(folder);
    } else if (file >= 0) {
        close(file);
        unlink(path);
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
    char name[400];
    safe_name(space, name, sizeof name);
    if (asprintf(&quarantine->path, "%s/quarantine-%s.log", folder, name) < 0)
        return false;
    quarantine->file = open(quarantine->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (quarantine->file < 0 || !replay(quarantine))
        return false;
    sync_folder(folder);
    rewrite(quarantine, folder);
    return true;
}

struct quarantine *quarantine_open(const char *folder, const char *space, char *error, size_t error_size) {
    struct quarantine *quarantine = calloc(1, sizeof *quarantine);
    if (!quarantine) {
        snprintf(error, error_size, "Out of memory.");
        return NULL;
    }
    pthread_mutex_init(&quarantine->mutex, NULL);
    quarantine->file = -1;
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
    if (quarantine->file >= 0)
        close(quarantine->file);
    pthread_mutex_destroy(&quarantine->mutex);
    free(quarantine->path);
    free(quarantine);
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
        if (kept->loaded->entry.version > high)
            high = kept->loaded->entry.version;
    return high;
}

bool quarantine_add(struct quarantine *quarantine, enum mutation_kind kind, const struct entry *entry,
                    const char *reason) {
    char short_reason[REASON_MAX];
    uint32_t since = cache_time_now().seconds;
    snprintf(short_reason, sizeof short_reason, "%s", reason);
    pthread_mutex_lock(&quarantine->mutex);
    struct kept **old = find(quarantine, entry->key);
    bool kept = *old && (*old)->loaded->entry.version >= entry->version;
    if (!kept) {
        off_t end = quarantine->end;
        kept = quarantine->file < 0 ||
               (write_record(quarantine->file, &end, OP_ADD, kind, entry, since, short_reason) &&
                fdatasync(quarantine->file) == 0);
        kept = kept && put(quarantine, kind, entry, since, short_reason);
        if (kept)
            quarantine->end = end;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return kept;
}

static void drop_at(struct quarantine *quarantine, struct kept **at) {
    if (quarantine->file >= 0)
        write_record(quarantine->file, &quarantine->end, OP_GONE, (*at)->kind, &(*at)->loaded->entry, 0, "");
    remove_at(quarantine, at);
}

void quarantine_supersede(struct quarantine *quarantine, struct slice key, uint64_t version) {
    if (quarantine_count(quarantine) == 0)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept **at = find(quarantine, key);
    if (*at && (*at)->loaded->entry.version <= version)
        drop_at(quarantine, at);
    pthread_mutex_unlock(&quarantine->mutex);
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
    struct entry_copy *loaded = NULL;
    if (quarantine_count(quarantine) == 0)
        return NULL;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept *kept = *find(quarantine, key);
    if (kept) {
        loaded = entry_copy_share(kept->loaded);
        *ret_deleted = kept->kind == MUTATION_DELETE;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return loaded;
}

size_t quarantine_mark(struct quarantine *quarantine, struct slice key) {
    size_t marked = 0;
    if (!quarantine)
        return 0;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept; kept = kept->next) {
        if (key.size && !slice_equal(kept->loaded->entry.key, key))
            continue;
        kept->marked = true;
        marked++;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return marked;
}

struct entry_copy *quarantine_next_marked(struct quarantine *quarantine, enum mutation_kind *ret_kind) {
    struct entry_copy *loaded = NULL;
    if (quarantine_count(quarantine) == 0)
        return NULL;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept && !loaded; kept = kept->next) {
        if (!kept->marked)
            continue;
        kept->marked = false;
        loaded = entry_copy_share(kept->loaded);
        *ret_kind = kept->kind;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return loaded;
}

bool quarantine_drop(struct quarantine *quarantine, struct slice key, uint64_t *ret_version) {
    bool dropped = false;
    if (quarantine_count(quarantine) == 0)
        return false;
    pthread_mutex_lock(&quarantine->mutex);
    struct kept **at = find(quarantine, key);
    if (*at) {
        *ret_version = (*at)->loaded->entry.version;
        drop_at(quarantine, at);
        dropped = true;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return dropped;
}

void quarantine_visit(struct quarantine *quarantine, struct quarantine_visitor *visitor) {
    if (!quarantine)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct kept *kept = quarantine->first; kept; kept = kept->next)
        visitor->entry(visitor, kept->kind, &kept->loaded->entry, kept->since, kept->reason);
    pthread_mutex_unlock(&quarantine->mutex);
}
