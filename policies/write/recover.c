/* SPDX-License-Identifier: MIT */
/*
 * Recovery: what the journal holds goes back into memory as dirty, before anything is served; from there it
 * takes the ordinary way to the backend.
 *
 * Records of a key come in any order; the highest version wins. A put or a delete is compared with what the
 * cache holds of the key. So is a whole touch, which has the entry with it; it is written as a touch, so that
 * another node's value in the row stays. Other touches say nothing about the value, and wait until all is read.
 * Such a touch names the CAS value of the entry that it was made on: if that is what memory holds, it is applied
 * there; else its entry is in the backend alone, and the writer touches the row, after what memory holds of the key
 * was flushed (an older put whose flush the journal does not know of, perhaps).
 *
 * A put or a touch whose expiry has passed may have been kept alive by a later touch, so its value is kept
 * until all touches are applied; what has expired then becomes a tombstone of the same version.
 *
 * When memory is full the writer flushes at once. Elements are queued with the lowest `since`, so nothing of
 * the old journals is forgotten before they are in the backend.
 *
 * The store may be ahead of the journal: a flush that was committed durably while the journal's last records
 * were lost with the power (or, at a kill -9, were still in the buffer of a turn). So before the first client
 * is served all that was restored is flushed: where the store is ahead, the version guard says so, and memory
 * gives way to the newer row, be it a put, a touch, one that expired meanwhile, or a tombstone. A store that
 * cannot be written to now does not keep the server from starting: see docs/design.md, "Promises".
 */
#include "policies/write/recover.h"
#include "policies/write/leftover.h"
#include "policies/write/places.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include "policies/write/touches.h"
#include "policies/write/writer.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum { SINCE_RECOVERY = 1 << ENTRY_VERSION_NODE_BITS };

/* What of a record has to wait until all records are read. */
struct noted {
    struct space *space;
    uint64_t version, client_cas;
    uint32_t flags, expires_at;
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

struct noted_list {
    struct noted *list;
    size_t count, capacity;
};

struct recovery {
    struct journal_replayer replayer;
    struct tier *tier;
    struct noted_list touches;
    struct noted_list expired; /* restored without their expiry, which has passed */
    uint64_t restored;
    char error[1024];
};

static bool queue_restored(struct space *space, uint64_t hash) {
    if (!queue_reserve(&space->queues[0]))
        return false;
    queue_push(&space->queues[0], (struct dirty){hash, SINCE_RECOVERY});
    return true;
}

static enum cache_status write_entry(struct cache_cursor *cursor, enum mutation_kind kind,
                                     const struct entry *entry) {
    struct cache_write write = {.value = entry->value,
                                .version = entry->version,
                                .client_cas = entry->client_cas,
                                .flags = entry->flags,
                                .expires_at = entry->expires_at,
                                .marks = entry->marks,
                                .dirty = true};
    if (kind == MUTATION_DELETE)
        return cache_bury(cursor, entry->version);
    enum cache_status status = cache_store(cursor, &write);
    if (status == CACHE_OK && kind == MUTATION_TOUCH)
        cache_set_ttl_only(cursor);
    return status;
}

/* Stores the change if memory has nothing newer. */
static enum cache_status restore_once(struct space *space, enum mutation_kind kind, const struct entry *entry,
                                      uint64_t hash, bool *ret_queued) {
    struct cache_time now = cache_time_now();
    struct cache_cursor cursor;
    enum cache_status status = CACHE_OK;
    cache_seek(space->tier->cache, space->number, entry->key, hash, &now, &cursor);
    bool newer = cursor.presence == CACHE_UNKNOWN || cursor.view.version < entry->version;
    if (newer)
        status = write_entry(&cursor, kind, entry);
    bool queue = newer && status == CACHE_OK && cursor.queue;
    cache_release(&cursor);
    *ret_queued = !queue || queue_restored(space, hash);
    return status;
}

static bool refuse_entry(struct recovery *recovery, const struct space *space, const struct entry *entry,
                         enum cache_status status) {
    if (status == CACHE_TOO_LARGE)
        snprintf(recovery->error, sizeof recovery->error,
                 "the value of %.*s (namespace \"%s\") has %zu bytes, more than item_max allows now, "
                 "and has to reach the backend: start once with an item_max of at least that",
                 (int)entry->key.size, entry->key.data, space->options.name, entry->value.size);
    else
        snprintf(recovery->error, sizeof recovery->error,
                 "the journal holds more than memory can, and backend \"%s\" cannot be written to now",
                 space->backend->options.store.name);
    return false;
}

static bool restore(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                    const struct entry *entry) {
    uint64_t hash = cache_hash(entry->key);
    bool queued;
    enum cache_status status = restore_once(space, kind, entry, hash, &queued);
    if (status == CACHE_NO_MEMORY && writer_flush_now(space->backend->writer, space))
        status = restore_once(space, kind, entry, hash, &queued);
    recovery->restored++;
    return (status == CACHE_OK && queued) || refuse_entry(recovery, space, entry, status);
}

/* Notes key, version, client_cas, flags and expiry of an entry. */
static bool note(struct recovery *recovery, struct noted_list *list, struct space *space,
                 const struct entry *entry) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 256;
        struct noted *longer = realloc(list->list, capacity * sizeof *longer);
        if (!longer) {
            snprintf(recovery->error, sizeof recovery->error, "out of memory");
            return false;
        }
        list->list = longer;
        list->capacity = capacity;
    }
    struct noted *noted = &list->list[list->count++];
    *noted = (struct noted){.space = space,
                            .version = entry->version,
                            .client_cas = entry->client_cas,
                            .flags = entry->flags,
                            .expires_at = entry->expires_at,
                            .key_size = (uint8_t)entry->key.size};
    memcpy(noted->key, entry->key.data, entry->key.size);
    return true;
}

/* A put or a touch, with its value. */
static bool restore_value(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                          const struct entry *entry) {
    struct entry alive = *entry;
    if (entry->expires_at == 0 || entry->expires_at > cache_time_now().seconds)
        return restore(recovery, space, kind, entry);
    alive.expires_at = 0;
    return note(recovery, &recovery->expired, space, entry) && restore(recovery, space, kind, &alive);
}

/* Versions of before ENTRY_VERSION_HIGHEST was known, drawn above what somebody had put into a store. */
static bool refuse_version(struct recovery *recovery, const struct journal_record *record) {
    snprintf(recovery->error, sizeof recovery->error,
             "its change of key %.*s has version %" PRIu64
             ", which no clock gives: move the journal away, and what it alone holds is lost",
             (int)(record->entry.key.size < 100 ? record->entry.key.size : 100), record->entry.key.data,
             record->entry.version);
    return false;
}

static bool replay(struct journal_replayer *self, const struct journal_record *record) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    struct space *space = space_by_name(recovery->tier, record->space);
    if (!space)
        return true; /* kept and named by the journal */
    if (!space->policy->holds_back) {
        leftovers_refuse(&recovery->tier->options, space->options.name, recovery->error,
                         sizeof recovery->error);
        return false;
    }
    if (record->entry.version > ENTRY_VERSION_HIGHEST)
        return refuse_version(recovery, record);
    switch (record->kind) {
    case JOURNAL_PUT:
        return restore_value(recovery, space, MUTATION_PUT, &record->entry);
    case JOURNAL_TOUCH_WHOLE:
        return restore_value(recovery, space, MUTATION_TOUCH, &record->entry);
    case JOURNAL_DELETE:
        return restore(recovery, space, MUTATION_DELETE, &record->entry);
    case JOURNAL_TOUCH:
        return note(recovery, &recovery->touches, space, &record->entry);
    }
    return true;
}

/* ---- Touches ---- */

static int by_version(const void *a, const void *b) {
    const struct noted *x = a, *y = b;
    return x->version < y->version ? -1 : x->version > y->version;
}

static struct slice key_of(const struct noted *noted) {
    return slice_of(noted->key, noted->key_size);
}

static void seek(const struct noted *noted, uint64_t hash, struct cache_cursor *ret_cursor) {
    struct cache_time now = cache_time_now();
    cache_seek(noted->space->tier->cache, noted->space->number, key_of(noted), hash, &now, ret_cursor);
}

/* A copy of the entry in memory that the touch was made on, or NULL. *ret_settled: nothing is to be done.
 * *ret_kind: how the entry is written, by which the touch of it is. */
static char *touched_value(const struct noted *noted, uint64_t hash, struct entry *ret_entry,
                           enum mutation_kind *ret_kind, bool *ret_settled) {
    struct cache_cursor cursor;
    const struct cache_view *view = &cursor.view;
    char *copy = NULL;
    seek(noted, hash, &cursor);
    *ret_settled = cursor.presence != CACHE_UNKNOWN && view->version >= noted->version;
    if (cursor.presence == CACHE_PRESENT && !*ret_settled && cache_view_cas(view) == noted->client_cas &&
        (copy = malloc(view->value.size + 1))) {
        if (view->value.size)
            memcpy(copy, view->value.data, view->value.size);
        *ret_entry = (struct entry){
            .value = slice_of(copy, view->value.size), .flags = view->flags, .marks = view->marks};
        *ret_kind = view->ttl_only ? MUTATION_TOUCH : MUTATION_PUT;
    }
    cache_release(&cursor);
    return copy;
}

static bool replay_touch(struct recovery *recovery, const struct noted *noted) {
    uint64_t hash = cache_hash(key_of(noted));
    struct entry entry = {0};
    enum mutation_kind kind = MUTATION_PUT;
    bool settled, fine = true;
    char *copy = touched_value(noted, hash, &entry, &kind, &settled);
    entry.key = key_of(noted);
    entry.version = noted->version;
    entry.client_cas = noted->client_cas;
    entry.expires_at = noted->expires_at;
    if (copy)
        fine = restore_value(recovery, noted->space, kind, &entry);
    else if (!settled) {
        entry.flags = noted->flags;
        fine = touches_recover(noted->space->backend->writer, noted->space, &entry);
    }
    if (!fine && !recovery->error[0])
        snprintf(recovery->error, sizeof recovery->error, "out of memory");
    free(copy);
    return fine;
}

static bool replay_touches(struct recovery *recovery) {
    struct noted_list *touches = &recovery->touches;
    if (touches->count > 1)
        qsort(touches->list, touches->count, sizeof *touches->list, by_version);
    for (size_t i = 0; i < touches->count; i++)
        if (!replay_touch(recovery, &touches->list[i]))
            return false;
    return true;
}

/* A touch waits for the row that this entry was flushed to when memory was full. */
static bool row_is_touched(const struct noted *expired, uint64_t hash) {
    struct entry entry = {.key = key_of(expired), .version = expired->version};
    uint32_t mark = entry.expires_at = UINT32_MAX;
    touches_amend(expired->space->backend->writer, expired->space, &entry, hash);
    return entry.expires_at != mark;
}

/* No touch has prolonged it: its life is over. It may have been flushed as if alive: then its row goes. */
static bool expire(struct recovery *recovery, const struct noted *expired) {
    uint64_t hash = cache_hash(key_of(expired));
    if (row_is_touched(expired, hash))
        return true;
    struct cache_cursor cursor;
    enum cache_status status = CACHE_OK;
    seek(expired, hash, &cursor);
    bool same = cursor.presence == CACHE_UNKNOWN || cursor.view.version == expired->version;
    if (same)
        status = cache_bury(&cursor, expired->version);
    bool queue = same && status == CACHE_OK && cursor.queue;
    cache_release(&cursor);
    if (status == CACHE_OK && (!queue || queue_restored(expired->space, hash)))
        return true;
    snprintf(recovery->error, sizeof recovery->error, "out of memory");
    return false;
}

static bool expire_all(struct recovery *recovery) {
    for (size_t i = 0; i < recovery->expired.count; i++)
        if (!expire(recovery, &recovery->expired.list[i]))
            return false;
    return true;
}

/* ---- The store ---- */

static void warn_of_table(const struct space *space) {
    service_log(
        &space->tier->service, LOG_LEVEL_WARNING,
        "namespace %s, keys \"%s*\": cannot be written to now: its reads are answered with what the journal holds. After a power loss that may be older than what backend %s has, until it can be written to",
        space->options.name, space->options.prefix, space->backend->options.store.name);
}

/* True: the store has everything, or has shown what is newer; but for namespaces that were warned of. */
static bool flush_backend(struct tier_backend *backend) {
    struct tier *tier = backend->tier;
    bool fine = writer_is_connected(backend->writer);
    for (size_t i = 0; fine && i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend != backend || !space->policy->holds_back)
            continue;
        bool flushed = writer_flush_now(backend->writer, space);
        bool table_failed = !flushed && space->write_breaker.failures > 0;
        if (table_failed)
            warn_of_table(space);
        fine = flushed || table_failed; /* the others do not wait for it */
    }
    return fine;
}

static bool holds_restored(const struct tier_backend *backend) {
    const struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend && cache_dirty_entries(tier->cache, (int)i) > 0)
            return true;
    return false;
}

static void flush_restored(struct tier *tier) {
    for (size_t i = 0; i < tier->backend_count; i++) {
        struct tier_backend *backend = &tier->backends[i];
        if (holds_restored(backend) && !flush_backend(backend))
            service_log(
                &tier->service, LOG_LEVEL_WARNING,
                "backend %s cannot be written to now: reads are answered with what the journal holds. "
                "After a power loss that may be older than what the backend has, until it can be written to",
                backend->options.store.name);
        touches_settle(backend->writer);
    }
}

/* ---- Opening ---- */

static void on_durable(void *context, unsigned worker, uint64_t position) {
    struct tier *tier = context;
    atomic_uint_fast64_t *durable = &tier->workers[worker].durable;
    uint64_t before = atomic_load_explicit(durable, memory_order_relaxed);
    while (before < position && !atomic_compare_exchange_weak_explicit(
                                    durable, &before, position, memory_order_acq_rel, memory_order_relaxed))
        continue;
    service_wake(&tier->service, worker);
}

static void on_log(void *context, enum log_level level, const char *message) {
    const struct tier *tier = context;
    service_log(&tier->service, level, "%s", message);
}

static bool open_journal(struct recovery *recovery, struct slice *names, struct journal_recovery *ret_found,
                         char *error, size_t error_size) {
    struct tier *tier = recovery->tier;
    struct journal_error journal_error = {{0}};
    struct slice discarded[TIER_DISCARDS_MAX];
    for (size_t i = 0; i < tier->options.recovery.discard_count; i++)
        discarded[i] = slice_string(tier->options.recovery.discard[i]);
    struct journal_options options = {.folder = tier->options.data,
                                      .series_count = tier->options.workers,
                                      .file_size = tier->options.journal_file_size,
                                      .spaces = names,
                                      .space_count = tier->space_count,
                                      .discarded = discarded,
                                      .discarded_count = tier->options.recovery.discard_count,
                                      .durable = on_durable,
                                      .log = on_log,
                                      .context = tier};
    for (size_t i = 0; i < tier->space_count; i++)
        names[i] = slice_string(tier->spaces[i].options.name);
    enum journal_status status = journal_open(&options, tier->options.recovery.skip_damaged,
                                              &recovery->replayer, ret_found, &tier->journal, &journal_error);
    if (status == JOURNAL_OK)
        return true;
    snprintf(error, error_size, "The journal in %s: %s", options.folder,
             recovery->error[0] ? recovery->error : journal_error.message);
    return false;
}

static void report(struct recovery *recovery, const struct journal_recovery *found, uint64_t start_us) {
    struct tier *tier = recovery->tier;
    tier->replayed = found->records;
    tier->replayed_files = found->files;
    tier->replay_ms = (monotonic_us() - start_us) / 1000;
    if (found->records)
        service_log(&tier->service, LOG_LEVEL_NOTICE,
                    "journal: %llu records of %llu files recovered in %llu ms",
                    (unsigned long long)found->records, (unsigned long long)found->files,
                    (unsigned long long)tier->replay_ms);
}

bool recover(struct tier *tier, char *error, size_t error_size) {
    struct recovery recovery = {.replayer = {replay}, .tier = tier};
    struct journal_recovery found = {0};
    uint64_t start_us = monotonic_us();
    struct slice *names = calloc(tier->space_count, sizeof *names);
    bool fine = names && open_journal(&recovery, names, &found, error, error_size);
    if (!names)
        snprintf(error, error_size, "Out of memory.");
    if (fine) {
        fine = cache_raise_version(tier->cache, found.highest_version);
        if (!fine)
            snprintf(recovery.error, sizeof recovery.error,
                     "its low-water version is %" PRIu64 ", which no clock gives: move it away",
                     found.highest_version);
        if (found.highest_version > tier->recovered_version)
            tier->recovered_version = found.highest_version;
        fine = fine && replay_touches(&recovery) && expire_all(&recovery);
        if (!fine)
            snprintf(error, error_size, "The journal in %s: %s", tier->options.data, recovery.error);
    }
    if (fine) {
        places_tell_pending(tier);
        flush_restored(tier);
        report(&recovery, &found, start_us);
    }
    free(recovery.touches.list);
    free(recovery.expired.list);
    free(names);
    return fine;
}
