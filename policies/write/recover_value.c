/* SPDX-License-Identifier: MIT */
/*
 * Changes of the journal go into memory, where the highest version of a key wins. Where they do not fit, the range of
 * keys that is restored is narrowed (recover.c).
 */
#include "cache/base/fit.h"
#include "policies/write/queue.h"
#include "policies/write/recovery.h"
#include "policies/write/writer.h"

enum { UNWRITTEN_PASSES = 256 /* at most, in memory that is left by what waits for a backend */ };

/* ---- Ranges ---- */

/* Keys of any range are spread over all shards, whichever bits of the hash choose those. */
static uint64_t place_of(uint64_t hash) {
    return hash * UINT64_C(0x9E3779B97F4A7C15);
}

bool recover_is_in_range(const struct recovery *recovery, uint64_t hash) {
    uint64_t place = place_of(hash);
    return place >= recovery->range.first && place <= recovery->range.last;
}

static bool is_beyond(const struct recovery *recovery, uint64_t hash) {
    return place_of(hash) > recovery->range.last;
}

bool recover_noted_is_beyond(const void *context, const struct noted *noted) {
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
            return recover_fail_memory(recovery);
    if (recovery->reading) { /* else the lists are being worked on */
        noted_remove(&recovery->touches, recover_noted_is_beyond, recovery);
        noted_remove(&recovery->expired, recover_noted_is_beyond, recovery);
    }
    return true;
}

bool recover_next_range(struct recovery *recovery) {
    struct range *range = &recovery->range;
    uint64_t width = range->last - range->first;
    if (range->last == UINT64_MAX)
        return false;
    range->first = range->last + 1;
    range->last = UINT64_MAX - range->first < width ? UINT64_MAX : range->first + width;
    return true;
}

/* ---- Puts and deletes ---- */

bool recover_queue(struct space *space, uint64_t hash) {
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
    *ret_queued = !queue || recover_queue(space, hash);
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
        fit_print(recovery->error, sizeof recovery->error, RECOVERY_TOO_MUCH,
                  space->backend->options.store.name);
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

bool recover_change(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                    const struct entry *entry, uint64_t hash) {
    bool queued, written = false;
    enum cache_status status = restore_once(recovery, space, kind, entry, hash, &queued);
    while (status == CACHE_NO_MEMORY && !written && make_room(recovery, space, &written)) {
        if (!recover_is_in_range(recovery, hash))
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
        return recover_fail_memory(recovery);
    bound_noted(recovery);
    return recovery->error[0] == '\0';
}

static bool note_expired(struct recovery *recovery, struct space *space, const struct entry *entry) {
    return settle_noted(recovery, noted_add(&recovery->expired, space, entry));
}

bool recover_note_touch(struct recovery *recovery, struct space *space, const struct entry *entry) {
    return settle_noted(recovery, noted_add_touch(&recovery->touches, space, entry));
}

bool recover_value(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                   const struct entry *entry, uint64_t hash) {
    if (entry->expires_at == 0 || entry->expires_at > recovery->now.seconds)
        return recover_change(recovery, space, kind, entry, hash);
    struct entry alive = *entry;
    alive.expires_at = 0;
    if (!note_expired(recovery, space, entry))
        return false;
    return !recover_is_in_range(recovery, hash) || recover_change(recovery, space, kind, &alive, hash);
}
