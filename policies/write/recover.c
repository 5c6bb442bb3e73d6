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
 * until all touches are applied; what has expired then becomes a tombstone of the same version. Time stands still
 * meanwhile: what is alive when a pass begins is so until its touches are applied.
 *
 * Nothing is written to a backend before all files are read: a delete that was written, and forgotten, would not
 * be there any more for an older put of its key in a file that is read later, and SQLite keeps no trace of it
 * either. So where memory is too small for all, it takes the keys in ranges, by their hashes:
 *
 *     range = all keys
 *     read all files --memory is full--> the upper half of the range is forgotten, reading goes on
 *     touches        --memory is full--> the same
 *     what has expired
 *     more keys? all that is restored --> backends; the next range; read all files again
 *
 * What is left in memory at the end is written by the writers, once they run, while clients are served. Elements
 * are queued with the lowest `since`, so nothing of the old journals is forgotten before they are in the backend.
 *
 * The store may be ahead of what was restored, if the power was lost in between, or if other servers write to it: see
 * confirm.h.
 */
#include "policies/write/recover.h"
#include "cache/base/fit.h"
#include "policies/hold.h"
#include "policies/tell.h"
#include "policies/write/leftover.h"
#include "policies/write/noted.h"
#include "policies/write/places.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include "policies/write/regress.h"
#include "policies/write/touches.h"
#include "policies/write/writer.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    NOTED_SHARE = 8,         /* of the memory there is: what may be noted beside it */
    NOTED_LEAST = 256 << 10, /* bytes */
    UNWRITTEN_PASSES = 256,  /* at most, in memory that is left by what waits for a backend */
};

#define TOO_MUCH "the journal holds more than memory can, and backend \"%s\" cannot be written to now"

/* Keys, by their places, both inclusive. */
struct range {
    uint64_t first, last;
};

struct recovery {
    struct journal_replayer replayer;
    struct tier *tier;
    struct range range;    /* that is restored while the files are read */
    struct cache_time now; /* when the pass began */
    bool reading;
    bool unwritten; /* a backend could not be written to at the end of a pass */
    struct noted_list touches;
    struct noted_list expired; /* restored without their expiry, which has passed */
    size_t noted_most;         /* bytes of both */
    uint64_t expected;         /* bytes of the journal's files, until the cache knows of them */
    bool names_folder;         /* the error does */
    char error[1024];
};

static bool fail_memory(struct recovery *recovery) {
    fit_print(recovery->error, sizeof recovery->error, "out of memory");
    return false;
}

/* ---- Ranges ---- */

/* Keys of any range are spread over all shards, whichever bits of the hash choose those. */
static uint64_t place_of(uint64_t hash) {
    return hash * UINT64_C(0x9E3779B97F4A7C15);
}

static bool in_range(const struct recovery *recovery, uint64_t hash) {
    uint64_t place = place_of(hash);
    return place >= recovery->range.first && place <= recovery->range.last;
}

/* Left to a later pass. What an earlier one has restored, and could not write, stays. */
static bool is_beyond(const struct recovery *recovery, uint64_t hash) {
    return place_of(hash) > recovery->range.last;
}

static bool noted_is_beyond(const void *context, const struct noted *noted) {
    const struct recovery *recovery = context;
    return is_beyond(recovery, cache_hash(recovery->tier->cache, noted_key(noted)));
}

/* No thread runs yet: this one is the queue's producer and its consumer. False: no memory. */
static bool forget_restored(const struct recovery *recovery, struct space *space) {
    struct queue *queue = &space->queues[0];
    struct dirty dirty;
    for (uint64_t left = queue_pushed(queue) - queue->popped; left > 0 && queue_pop(queue, &dirty); left--)
        if (is_beyond(recovery, dirty.hash))
            cache_forget_dirty(space->tier->cache, space->number, dirty.hash);
        else if (queue_reserve(queue))
            queue_push(queue, dirty);
        else
            return false;
    return true;
}

/* Leaves the upper half of the range to a later pass. False: there would be too many of them, or no
 * memory (then there is an error). */
static bool narrow(struct recovery *recovery) {
    struct tier *tier = recovery->tier;
    struct range *range = &recovery->range;
    if (range->last - range->first < (recovery->unwritten ? UINT64_MAX / UNWRITTEN_PASSES : 1))
        return false;
    range->last = range->first + (range->last - range->first) / 2;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].policy->holds_back && !forget_restored(recovery, &tier->spaces[i]))
            return fail_memory(recovery);
    if (recovery->reading) { /* else the lists are being worked on */
        noted_remove(&recovery->touches, noted_is_beyond, recovery);
        noted_remove(&recovery->expired, noted_is_beyond, recovery);
    }
    return true;
}

/* False: that was the last. */
static bool next_range(struct recovery *recovery) {
    struct range *range = &recovery->range;
    uint64_t width = range->last - range->first;
    if (range->last == UINT64_MAX)
        return false;
    range->first = range->last + 1;
    range->last = UINT64_MAX - range->first < width ? UINT64_MAX : range->first + width;
    return true;
}

/* ---- Puts and deletes ---- */

static bool queue_restored(struct space *space, uint64_t hash) {
    if (!queue_reserve(&space->queues[0]))
        return false;
    queue_push(&space->queues[0], (struct dirty){hash, QUEUE_SINCE_RECOVERY});
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
static enum cache_status restore_once(const struct recovery *recovery, struct space *space,
                                      enum mutation_kind kind, const struct entry *entry, uint64_t hash,
                                      bool *ret_queued) {
    struct cache_cursor cursor;
    enum cache_status status = CACHE_OK;
    cache_seek(space->tier->cache, space->number, entry->key, hash, &recovery->now, &cursor);
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
    if (recovery->error[0])
        return false;
    if (status == CACHE_TOO_LARGE)
        fit_print(recovery->error, sizeof recovery->error,
                  "a value of namespace \"%s\" has %zu bytes, more than item_max allows now, "
                  "and has to reach the backend: start once with an item_max of at least that",
                  space->options.name, entry->value.size);
    else
        fit_print(recovery->error, sizeof recovery->error, TOO_MUCH, space->backend->options.store.name);
    return false;
}

/* Room is made by leaving keys to a later pass. Only where that is not possible any more is something written, which
 * may have a touch yet to come. */
static bool make_room(struct recovery *recovery, struct space *space, bool *ret_written) {
    if (narrow(recovery))
        return true;
    *ret_written = true;
    return !recovery->reading && !recovery->error[0] && writer_flush_now(space->backend->writer, space);
}

static bool restore(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                    const struct entry *entry, uint64_t hash) {
    bool queued, written = false;
    enum cache_status status = restore_once(recovery, space, kind, entry, hash, &queued);
    while (status == CACHE_NO_MEMORY && !written && make_room(recovery, space, &written)) {
        if (!in_range(recovery, hash))
            return true;
        status = restore_once(recovery, space, kind, entry, hash, &queued);
    }
    return (status == CACHE_OK && queued) || refuse_entry(recovery, space, entry, status);
}

/* ---- What is noted ---- */

static size_t all_noted(const struct recovery *recovery) {
    return recovery->touches.bytes + recovery->expired.bytes;
}

/* Behind this there is room for as much again, or what is noted belongs to a single key. */
static void bound_noted(struct recovery *recovery) {
    if (all_noted(recovery) <= recovery->noted_most || !recovery->reading)
        return;
    noted_fold(&recovery->touches);
    noted_fold(&recovery->expired);
    while (all_noted(recovery) > recovery->noted_most / 2)
        if (!narrow(recovery))
            recovery->noted_most = 2 * all_noted(recovery);
}

static bool settle_noted(struct recovery *recovery, bool added) {
    if (!added)
        return fail_memory(recovery);
    bound_noted(recovery);
    return recovery->error[0] == '\0';
}

static bool note_expired(struct recovery *recovery, struct space *space, const struct entry *entry) {
    return settle_noted(recovery, noted_add(&recovery->expired, space, entry));
}

static bool note_touch(struct recovery *recovery, struct space *space, const struct entry *entry) {
    return settle_noted(recovery, noted_add_touch(&recovery->touches, space, entry));
}

/* A put or a touch, with its value. */
static bool restore_value(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                          const struct entry *entry, uint64_t hash) {
    if (entry->expires_at == 0 || entry->expires_at > recovery->now.seconds)
        return restore(recovery, space, kind, entry, hash);
    struct entry alive = *entry;
    alive.expires_at = 0;
    if (!note_expired(recovery, space, entry))
        return false;
    return !in_range(recovery, hash) || restore(recovery, space, kind, &alive, hash);
}

/* Versions of before ENTRY_VERSION_HIGHEST was known, drawn above what somebody had put into a store. */
static bool refuse_version(struct recovery *recovery, const struct journal_record *record) {
    fit_print(
        recovery->error, sizeof recovery->error,
        "a change in it has version %" PRIu64
        ", which no clock gives (--journal-dump shows its key): move the journal away, and what it alone holds is lost",
        record->entry.version);
    return false;
}

/* Before it can be written: what was restored may meet its own newer row, and nobody else is to blame for that. */
static void note_version(struct tier *tier, uint64_t version) {
    if (version > tier->recovered_version)
        tier->recovered_version = version;
}

/* Of a namespace that is not configured. */
static bool keeps(struct journal_replayer *self, struct slice name) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    const struct tier_options *options = &recovery->tier->options;
    char text[ENTRY_KEY_MAX];
    snprintf(text, sizeof text, "%.*s", (int)name.size, name.data);
    if (leftovers_are_kept(options, text))
        return true;
    leftovers_refuse(options, text, recovery->error, sizeof recovery->error);
    return false;
}

static void note_progress(const struct recovery *recovery, size_t count) {
    atomic_uint_fast64_t *recovered = recovery->tier->options.recovered;
    if (recovered)
        atomic_fetch_add_explicit(recovered, count, memory_order_relaxed);
}

/* Some other server, as this one has a number or listens to others. What the journal holds may have been written long ago,
 * as the low-water version is noted now and then, and changed there since. */
static bool others_write(const struct space *space) {
    return space->tier->options.cache.node != 0 || space->backend->options.store.coherent;
}

static bool replay_record(struct recovery *recovery, const struct journal_record *record, uint64_t hash) {
    struct space *space = &recovery->tier->spaces[record->space];
    if (!space->policy->holds_back) {
        leftovers_refuse(&recovery->tier->options, space->options.name, recovery->error,
                         sizeof recovery->error);
        recovery->names_folder = true;
        return false;
    }
    if (record->entry.version > ENTRY_VERSION_HIGHEST)
        return refuse_version(recovery, record);
    note_version(recovery->tier, record->entry.version);
    if (!in_range(recovery, hash))
        return true;
    if ((record->from_earlier_boot || others_write(space)) &&
        record->entry.version > atomic_load(&space->unconfirmed))
        atomic_store(&space->unconfirmed, record->entry.version);
    switch (record->kind) {
    case JOURNAL_PUT:
        return restore_value(recovery, space, MUTATION_PUT, &record->entry, hash);
    case JOURNAL_TOUCH_WHOLE:
        return restore_value(recovery, space, MUTATION_TOUCH, &record->entry, hash);
    case JOURNAL_DELETE:
        return restore(recovery, space, MUTATION_DELETE, &record->entry, hash);
    case JOURNAL_TOUCH:
        return note_touch(recovery, space, &record->entry);
    }
    return true;
}

static void begin(struct journal_replayer *self, uint64_t bytes) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    recovery->expected = bytes;
}

/* As if all records were as long as the first few: a record takes no more than that in a file. */
static void tell_cache(struct recovery *recovery, const struct journal_record *records, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += records[i].entry.key.size + records[i].entry.value.size;
    uint64_t all = recovery->expected / (bytes / count + JOURNAL_RECORD_OVERHEAD);
    cache_expect(recovery->tier->cache, all, all * (bytes / count));
    recovery->expected = 0;
}

/* The keys lie anywhere in memory: all of them are fetched at once, the places in the index first. */
static bool replay(struct journal_replayer *self, const struct journal_record *records, size_t count) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    struct cache *cache = recovery->tier->cache;
    uint64_t hashes[JOURNAL_SHOWN_MOST];
    note_progress(recovery, count);
    if (recovery->expected)
        tell_cache(recovery, records, count);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = cache_hash(cache, records[i].entry.key);
        cache_prefetch(cache, hashes[i]);
    }
    for (size_t i = 0; i < count; i++)
        cache_prefetch_entry(cache, hashes[i]);
    for (size_t i = 0; i < count; i++)
        if (!replay_record(recovery, &records[i], hashes[i]))
            return false;
    return true;
}

/* ---- Touches ---- */

static void seek(const struct recovery *recovery, const struct noted *noted, uint64_t hash,
                 struct cache_cursor *ret_cursor) {
    cache_seek(recovery->tier->cache, noted->space->number, noted_key(noted), hash, &recovery->now,
               ret_cursor);
}

/* A copy of the entry in memory that the touch was made on, or NULL. *ret_settled: nothing is to be done.
 * *ret_kind: how the entry is written, by which the touch of it is. */
static char *touched_value(const struct recovery *recovery, const struct noted *noted, uint64_t hash,
                           struct entry *ret_entry, enum mutation_kind *ret_kind, bool *ret_settled) {
    struct cache_cursor cursor;
    const struct cache_view *view = &cursor.view;
    char *copy = NULL;
    seek(recovery, noted, hash, &cursor);
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

/* in_memory: applies the touch if memory holds what it was made on. Else leaves it to the writer if it is still to be
 * done. */
static bool replay_touch(struct recovery *recovery, const struct noted *noted, bool in_memory) {
    uint64_t hash = cache_hash(recovery->tier->cache, noted_key(noted));
    struct entry entry = {0};
    enum mutation_kind kind = MUTATION_PUT;
    bool settled, fine = true;
    char *copy = touched_value(recovery, noted, hash, &entry, &kind, &settled);
    entry.key = noted_key(noted);
    entry.version = noted->version;
    entry.client_cas = noted->client_cas;
    entry.expires_at = noted->expires_at;
    if (in_memory && copy)
        fine = restore_value(recovery, noted->space, kind, &entry, hash);
    else if (!in_memory && !settled)
        fine = touches_recover(noted->space->backend->writer, noted->space, &entry, noted->first,
                               noted->made_at);
    free(copy);
    return fine || (recovery->error[0] == '\0' && fail_memory(recovery));
}

static bool replay_touches_where(struct recovery *recovery, bool in_memory) {
    for (size_t i = 0; i < recovery->touches.count; i++) {
        const struct noted *noted = recovery->touches.list[i];
        if (!noted_is_beyond(recovery, noted) && !replay_touch(recovery, noted, in_memory))
            return false;
    }
    return true;
}

/* Those of a key in the order of their versions. What is left to the writer is known when no key is left to a later
 * pass any more. */
static bool replay_touches(struct recovery *recovery) {
    noted_fold(&recovery->touches);
    return replay_touches_where(recovery, true) && replay_touches_where(recovery, false);
}

/* A touch that was made while it lived waits for the row that this entry was flushed to when memory was full. */
static bool row_is_touched(const struct noted *expired, uint64_t hash) {
    struct entry entry = {.key = noted_key(expired),
                          .version = expired->version,
                          .client_cas = expired->client_cas,
                          .expires_at = expired->expires_at};
    return touches_amend(expired->space->backend->writer, expired->space, &entry, hash);
}

/* No touch has prolonged it: its life is over. It may have been flushed as if alive: then its row goes. */
static bool expire(struct recovery *recovery, const struct noted *expired) {
    uint64_t hash = cache_hash(recovery->tier->cache, noted_key(expired));
    if (row_is_touched(expired, hash))
        return true;
    struct cache_cursor cursor;
    enum cache_status status = CACHE_OK;
    seek(recovery, expired, hash, &cursor);
    bool same = cursor.presence == CACHE_UNKNOWN || cursor.view.version == expired->version;
    if (same)
        status = cache_bury(&cursor, expired->version);
    bool queue = same && status == CACHE_OK && cursor.queue;
    cache_release(&cursor);
    if (status == CACHE_OK && (!queue || queue_restored(expired->space, hash)))
        return true;
    return fail_memory(recovery);
}

static bool expire_all(struct recovery *recovery) {
    noted_fold(&recovery->expired);
    for (size_t i = 0; i < recovery->expired.count; i++)
        if (!noted_is_beyond(recovery, recovery->expired.list[i]) &&
            !expire(recovery, recovery->expired.list[i]))
            return false;
    return true;
}

/* ---- The store ---- */

static bool table_fails(const struct space *space) {
    return space->write_breaker.failures > 0;
}

/* True: the store has everything, or has shown what is newer. A table that fails holds up no other. */
static bool flush_backend(struct tier_backend *backend) {
    struct tier *tier = backend->tier;
    bool fine = writer_is_connected(backend->writer), away = !fine;
    for (size_t i = 0; !away && i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend != backend || !space->policy->holds_back ||
            writer_flush_now(backend->writer, space))
            continue;
        fine = false;
        away = !table_fails(space);
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

/* False: not all backends could be written to. */
static bool flush_restored(const struct tier *tier) {
    bool fine = true;
    for (size_t i = 0; i < tier->backend_count; i++) {
        struct tier_backend *backend = &tier->backends[i];
        if (holds_restored(backend))
            fine &= flush_backend(backend);
        if (touches_are_waiting(backend->writer) && !regress_may_follow(backend->writer))
            touches_settle(backend->writer);
    }
    return fine;
}

/* Memory that is full of it has no room for what clients change. */
static bool fills_memory(const struct tier *tier) {
    size_t bytes = 0;
    for (size_t i = 0; i < tier->space_count; i++)
        bytes += cache_dirty_bytes(tier->cache, (int)i);
    return bytes > tier->options.cache.memory_limit / 2;
}

static void warn_of_backend(const struct space *space) {
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "backend %s is away and may have newer rows, as the system was started anew or other servers write there: until it is back, "
        "reads of namespace %s are answered with what the journal holds",
        space->backend->options.store.name, space->options.name);
}

static void warn_of_table(const struct space *space) {
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "namespace %s, keys \"%s*\": cannot be written to now, and its table in backend %s may have newer rows, as the system was started anew or other servers write there: until it can be written to, reads are answered with what the journal holds",
        space->options.name, space->options.prefix, space->backend->options.store.name);
}

/* Writers write it once they run. Where the store may be ahead they are asked before it is believed, if they can write. */
static void warn_of_absent(const struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space *space = &tier->spaces[i];
        if (!atomic_load(&space->unconfirmed))
            continue;
        if (!writer_is_connected(space->backend->writer))
            warn_of_backend(space);
        else if (table_fails(space))
            warn_of_table(space);
    }
}

/* ---- The end of a pass ---- */

/* What waits in vain for a backend takes its memory from all passes that follow. */
static bool write_out(struct recovery *recovery) {
    recovery->unwritten |= !flush_restored(recovery->tier);
    for (size_t i = 0; i < recovery->tier->backend_count; i++)
        if (recovery->unwritten && touches_are_waiting(recovery->tier->backends[i].writer)) {
            fit_print(recovery->error, sizeof recovery->error, TOO_MUCH,
                      recovery->tier->backends[i].options.store.name);
            return false;
        }
    return true;
}

/* All that the files say of the keys of the range has been read. */
static bool end_pass(struct journal_replayer *self, bool *ret_again) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    recovery->reading = false;
    bool fine = replay_touches(recovery) && expire_all(recovery);
    noted_clear(&recovery->touches);
    noted_clear(&recovery->expired);
    recovery->now = tier_now(recovery->tier);
    recovery->reading = *ret_again = next_range(recovery);
    return fine && (!*ret_again || write_out(recovery));
}

/* ---- Opening ---- */

static void on_durable(void *context, unsigned worker, uint64_t position) {
    struct tier *tier = context;
    hold_durable(&tier->workers[worker], position);
}

static void on_log(void *context, enum log_level level, const char *message) {
    const struct tier *tier = context;
    service_log(&tier->service, level, "%s", message);
}

/* False: the journal's error, or the recovery's, which is why it was refused. */
static bool open_journal(struct recovery *recovery, struct slice *names, struct journal_recovery *ret_found,
                         struct journal_error *ret_error) {
    struct tier *tier = recovery->tier;
    struct slice discarded[TIER_RECOVER_MAX];
    bool keeps_of[CACHE_SPACES_MAX];
    for (size_t i = 0; i < tier->options.recovery.discard_count; i++)
        discarded[i] = slice_string(tier->options.recovery.discard[i]);
    struct journal_options options = {.folder = tier->options.data,
                                      .is_locked = true,
                                      .series_count = tier->options.workers,
                                      .file_size = tier->options.journal_file_size,
                                      .keep_ms = tier->options.journal_keep,
                                      .keep_bytes = tier->options.journal_keep_size,
                                      .keeps = keeps_of,
                                      .spaces = names,
                                      .space_count = tier->space_count,
                                      .discarded = discarded,
                                      .discarded_count = tier->options.recovery.discard_count,
                                      .durable = on_durable,
                                      .log = on_log,
                                      .context = tier};
    for (size_t i = 0; i < tier->space_count; i++) {
        names[i] = slice_string(tier->spaces[i].options.name);
        keeps_of[i] = space_keeps_journal(&tier->spaces[i]);
    }
    return journal_open(&options, tier->options.recovery.skip_damaged, &recovery->replayer, ret_found,
                        &tier->journal, ret_error) == JOURNAL_OK;
}

static bool read_journal(struct recovery *recovery, struct journal_recovery *ret_found, char *error,
                         size_t error_size) {
    const struct tier *tier = recovery->tier;
    struct journal_error journal_error = {{0}};
    struct slice *names = calloc(tier->space_count, sizeof *names);
    bool fine = names && open_journal(recovery, names, ret_found, &journal_error);
    if (!names)
        fit_print(error, error_size, "Out of memory.");
    else if (!fine && recovery->names_folder)
        fit_print(error, error_size, "%s", recovery->error);
    else if (!fine)
        fit_print(error, error_size, "The journal in %s: %s", tier->options.data,
                  recovery->error[0] ? recovery->error : journal_error.message);
    free(names);
    return fine;
}

/* What is drawn from now on is newer than what the journal has. */
static bool raise_version(struct tier *tier, uint64_t version, char *error, size_t error_size) {
    if (cache_raise_version(tier->cache, version)) {
        note_version(tier, version);
        return true;
    }
    fit_print(error, error_size,
              "The journal in %s: its low-water version is %" PRIu64 ", which no clock gives: move it away",
              tier->options.data, version);
    return false;
}

static void report(struct recovery *recovery, const struct journal_recovery *found, uint64_t start_us) {
    struct tier *tier = recovery->tier;
    tier->replayed = found->shown;
    tier->replayed_files = found->files;
    tier->replay_ms = (monotonic_us() - start_us) / 1000;
    if (found->records)
        service_log(&tier->service, LOG_LEVEL_NOTICE,
                    "journal: %llu records of %llu files recovered in %llu ms",
                    (unsigned long long)found->shown, (unsigned long long)found->files,
                    (unsigned long long)tier->replay_ms);
}

bool recover(struct tier *tier, char *error, size_t error_size) {
    size_t noted_most = tier->options.cache.memory_limit / NOTED_SHARE;
    struct recovery recovery = {
        .replayer = {.begins = begin, .records = replay, .end = end_pass, .keeps = keeps},
        .tier = tier,
        .range = {0, UINT64_MAX},
        .now = tier_now(tier),
        .reading = true,
        .noted_most = noted_most > NOTED_LEAST ? noted_most : NOTED_LEAST};
    struct journal_recovery found = {0};
    uint64_t start_us = monotonic_us();
    bool fine = read_journal(&recovery, &found, error, error_size) &&
                raise_version(tier, found.highest_version, error, error_size);
    cache_expect_no_more(tier->cache);
    if (fine) {
        places_tell_pending(tier);
        if (fills_memory(tier))
            flush_restored(tier);
        warn_of_absent(tier);
        report(&recovery, &found, start_us);
    }
    noted_clear(&recovery.touches);
    noted_clear(&recovery.expired);
    return fine;
}
