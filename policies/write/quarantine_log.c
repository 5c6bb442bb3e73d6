/* SPDX-License-Identifier: MIT */
/*
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
 * Records follow one another without gaps. Where there is none, the log ends, if no whole record follows or if zeros
 * cut it off there. Else the file is damaged (docs/policies.md): what follows is taken all the same, because a record
 * says what is true by itself, but only a start that was told so goes on with what is left.
 *
 * A record that could not be written or synced is overwritten by the next attempt, at the same place; bytes behind the
 * last synced record are never relied upon, because after a failed sync the kernel counts their pages as clean. If an
 * attempt that failed was longer than the next one, its remains are cut off by zeros.
 */
#include "policies/write/quarantine_log.h"
#include "policies/journal/crc32c.h"
#include "policies/journal/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MAGIC = 0x52415551,
    CUT_SIZE = 4,         /* zeros where the next magic would be */
    ROOM_STEP = 64 << 10, /* bytes by which the file grows */
    SEARCHED = 16 << 10,  /* bytes that are searched at once */
    WINDOW = 64 << 10,    /* bytes that are read at once */
    REWRITE_STEP =
        1 << 20,         /* bytes that a file may be longer than twice what it was when it was written anew */
    SMALL_RECORD = 2048, /* bytes: such a record is written with one call */
    PIECES = 4,          /* of a record: head, key, value, reason */
};

struct record_head {
    uint32_t magic, crc;
    uint8_t op, kind, key_size, marks;
    uint32_t flags, expires_at, since, reason_size;
    uint64_t value_size, version, client_cas;
};
_Static_assert(sizeof(struct record_head) == 56, "the head is written as it lies in memory");

size_t quarantine_log_gone_size(struct slice key) {
    return sizeof(struct record_head) + key.size;
}

static uint32_t record_crc(const struct record_head *head, struct slice key, struct slice value,
                           struct slice reason) {
    size_t skipped = offsetof(struct record_head, op);
    uint32_t crc = crc32c(0, (const char *)head + skipped, sizeof *head - skipped);
    crc = crc32c(crc, key.data, key.size);
    crc = crc32c(crc, value.data, value.size);
    return crc32c(crc, reason.data, reason.size);
}

/* ---- Writing ---- */

static bool write_piece(struct quarantine_log *attempt, struct slice piece) {
    if (journal_disk_write(attempt->disk, attempt->handle, piece.data, piece.size, attempt->end) != 0)
        return false;
    attempt->end += piece.size;
    return true;
}

/* With one call where that needs little memory. */
static bool write_pieces(struct quarantine_log *attempt, const struct slice pieces[PIECES], size_t size) {
    char bytes[SMALL_RECORD];
    size_t used = 0;
    bool whole = size <= sizeof bytes, written = true;
    for (size_t i = 0; i < PIECES && written; i++) {
        if (!whole)
            written = write_piece(attempt, pieces[i]);
        else if (pieces[i].size)
            memcpy(bytes + used, pieces[i].data, pieces[i].size);
        used += pieces[i].size;
    }
    return whole ? write_piece(attempt, slice_of(bytes, used)) : written;
}

bool quarantine_log_write(struct quarantine_log *attempt, const struct quarantine_record *record) {
    const struct entry *entry = record->entry;
    struct slice key = entry->key, reason = slice_string(record->reason);
    struct slice value = record->op == QUARANTINE_ADD ? entry->value : slice_of("", 0);
    struct record_head head = {.magic = MAGIC,
                               .op = (uint8_t)record->op,
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
    if (attempt->spoilt < attempt->end + size)
        attempt->spoilt = attempt->end + size;
    const struct slice pieces[PIECES] = {slice_of((const char *)&head, sizeof head), key, value, reason};
    return write_pieces(attempt, pieces, size);
}

bool quarantine_log_reserve(struct quarantine_log *attempt, uint64_t more) {
    uint64_t end = attempt->end + more + CUT_SIZE, room = (end + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    if (end <= attempt->room)
        return true;
    if (attempt->disk->allocate(attempt->disk, attempt->handle, room) != 0)
        return false;
    attempt->room = room;
    return true;
}

/* Nothing behind the last record may pass for one. */
static bool cut(const struct quarantine_log *attempt) {
    static const char zeros[CUT_SIZE];
    return attempt->end >= attempt->spoilt ||
           journal_disk_write(attempt->disk, attempt->handle, zeros, sizeof zeros, attempt->end) == 0;
}

bool quarantine_log_sync_name(struct quarantine_log *log) {
    log->named = log->named || log->disk->sync_folder(log->disk, log->folder) == 0;
    return log->named;
}

bool quarantine_log_commit(struct quarantine_log *log, bool written, const struct quarantine_log *attempt) {
    struct quarantine_log longer = *attempt;
    bool good = written && cut(&longer) && longer.disk->sync(longer.disk, longer.handle) == 0 &&
                quarantine_log_sync_name(&longer);
    if (!good)
        longer.end = log->end;
    *log = longer;
    return good;
}

static void path_anew(const struct quarantine_log *log, char ret_path[PATH_MAX]) {
    snprintf(ret_path, PATH_MAX, "%s.new", log->path);
}

bool quarantine_log_begin_anew(struct quarantine_log *log, struct quarantine_log *ret_fresh) {
    struct quarantine_log fresh = {.disk = log->disk, .folder = log->folder, .path = log->path};
    char path[PATH_MAX];
    path_anew(log, path);
    log->rewrite_at = log->end + REWRITE_STEP;
    fresh.handle = log->disk->open(log->disk, path, O_RDWR | O_CREAT | O_TRUNC);
    if (fresh.handle < 0)
        return false;
    *ret_fresh = fresh;
    return true;
}

void quarantine_log_end_anew(struct quarantine_log *log, bool written, const struct quarantine_log *fresh) {
    const struct journal_disk *disk = log->disk;
    char path[PATH_MAX];
    path_anew(log, path);
    if (written && disk->sync(disk, fresh->handle) == 0 && disk->rename(disk, path, log->path) == 0) {
        disk->close(disk, log->handle);
        *log = *fresh;
        log->rewrite_at = 2 * log->end + REWRITE_STEP;
    } else {
        disk->close(disk, fresh->handle);
        disk->remove(disk, path);
    }
}

/* ---- Reading ---- */

/* A part of the file, so that reading it takes few calls. */
struct window {
    uint64_t at;
    size_t size;
    char bytes[WINDOW];
};

/* Too large for a stack of which nobody knows how much is left. */
struct reading {
    struct quarantine_log *log; /* its end moves on */
    struct quarantine_log_reader *reader;
    uint64_t size; /* of the file */
    int failure;   /* errno of what kept it from being read, 0: nothing */
    struct window window;
    char searched[SEARCHED];
};

/* Returns how much there is; a failure is noted, and is nothing. */
static size_t read_some(struct reading *reading, void *to, size_t size, uint64_t at) {
    ssize_t n = journal_disk_read(reading->log->disk, reading->log->handle, to, size, at);
    if (n < 0)
        reading->failure = errno;
    return n < 0 ? 0 : (size_t)n;
}

/* False: the file ends before, or (noted) it cannot be read. */
static bool read_all(struct reading *reading, void *to, size_t size, uint64_t at) {
    struct window *window = &reading->window;
    if (size > sizeof window->bytes)
        return read_some(reading, to, size, at) == size;
    if (at < window->at || at + size > window->at + window->size) {
        window->size = read_some(reading, window->bytes, sizeof window->bytes, at);
        window->at = at;
    }
    if (size > window->size)
        return false;
    memcpy(to, window->bytes + (at - window->at), size);
    return true;
}

static void *allocate(struct reading *reading, size_t size) {
    void *bytes = malloc(size);
    if (!bytes)
        reading->failure = ENOMEM;
    return bytes;
}

/* False (noted): no memory. */
static bool show(struct reading *reading, const struct quarantine_record *record) {
    bool taken = reading->reader->record(reading->reader, record);
    if (!taken)
        reading->failure = ENOMEM;
    return taken;
}

/* Says it something that a record can say? Whatever its CRC is: a key that is too long fits nowhere. */
static bool is_possible(const struct record_head *head) {
    return head->magic == MAGIC && (head->op == QUARANTINE_ADD || head->op == QUARANTINE_GONE) &&
           head->kind <= MUTATION_DELETE && head->key_size > 0 && head->key_size <= ENTRY_KEY_MAX &&
           head->reason_size < QUARANTINE_REASON_MAX;
}

/* Shows one record; false: there is no whole one at *at. */
static bool replay_record(struct reading *reading, uint64_t *at) {
    struct record_head head;
    if (!read_all(reading, &head, sizeof head, *at) || !is_possible(&head) ||
        head.value_size > reading->size - *at)
        return false;
    size_t body = head.key_size + (size_t)head.value_size + head.reason_size;
    if (body > reading->size - *at)
        return false;
    char *bytes = allocate(reading, body + 1);
    if (!bytes || !read_all(reading, bytes, body, *at + sizeof head)) {
        free(bytes);
        return false;
    }
    bytes[body] = 0;
    struct slice key = slice_of(bytes, head.key_size),
                 value = slice_of(bytes + head.key_size, (size_t)head.value_size);
    char *reason = bytes + body - head.reason_size;
    bool sound = record_crc(&head, key, value, slice_of(reason, head.reason_size)) == head.crc;
    struct entry entry = {key, value, head.version, head.client_cas, head.flags, head.expires_at, head.marks};
    struct quarantine_record record = {(enum quarantine_op)head.op, (enum mutation_kind)head.kind, &entry,
                                       head.since, reason};
    sound = sound && show(reading, &record);
    free(bytes);
    if (sound)
        *at += sizeof head + body;
    return sound;
}

/* Nothing was ever written there, or zeros cut off what was. */
static bool is_cut(struct reading *reading, uint64_t at) {
    char bytes[CUT_SIZE];
    static const char zeros[CUT_SIZE];
    return read_all(reading, bytes, sizeof bytes, at) && memcmp(bytes, zeros, sizeof bytes) == 0;
}

/* The next place from *at on where the magic of a record is; false: there is none. */
static bool find_magic(struct reading *reading, uint64_t *at) {
    static const uint32_t magic = MAGIC;
    char *bytes = reading->searched;
    while (*at + sizeof magic <= reading->size) {
        size_t length = reading->size - *at < SEARCHED ? (size_t)(reading->size - *at) : SEARCHED;
        if (!read_all(reading, bytes, length, *at))
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
static bool replay_behind(struct reading *reading, struct quarantine_damage *damage) {
    uint64_t gap = reading->log->end;
    if (is_cut(reading, gap))
        return false;
    for (uint64_t at = gap + 1; find_magic(reading, &at); at++) {
        uint64_t begin = at;
        if (!replay_record(reading, &at))
            continue;
        reading->log->end = at;
        if (damage->places++ == 0)
            damage->offset = gap;
        damage->bytes += begin - gap;
        return true;
    }
    return false;
}

/* Something but zeros is there. */
static bool is_begun(struct reading *reading, uint64_t at) {
    static const char zeros[CUT_SIZE];
    char bytes[CUT_SIZE];
    uint64_t rest = reading->size - at;
    size_t length = rest < CUT_SIZE ? (size_t)rest : CUT_SIZE;
    return read_all(reading, bytes, length, at) && memcmp(bytes, zeros, length) != 0;
}

/* Returns errno of what kept it from being read, 0: nothing. */
static int replay_all(struct reading *reading, struct quarantine_damage *damage) {
    struct quarantine_log *log = reading->log;
    while (log->end < reading->size && reading->failure == 0 &&
           (replay_record(reading, &log->end) || replay_behind(reading, damage)))
        continue;
    damage->cut_short = reading->failure == 0 && is_begun(reading, log->end);
    damage->end = log->end;
    log->spoilt = reading->size;
    return reading->failure;
}

bool quarantine_log_replay(struct quarantine_log *log, struct quarantine_log_reader *reader,
                           struct quarantine_damage *ret_damage) {
    struct stat status;
    *ret_damage = (struct quarantine_damage){0};
    if (fstat(log->handle, &status) != 0)
        return false;
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return false;
    reading->log = log;
    reading->reader = reader;
    reading->size = (uint64_t)status.st_size;
    int failure = replay_all(reading, ret_damage);
    free(reading);
    errno = failure;
    return failure == 0;
}
