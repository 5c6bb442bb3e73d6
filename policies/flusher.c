/* SPDX-License-Identifier: MIT */
/*
 * Write-behind of one namespace: from the dirty queues to the backend.
 *
 *     queue --pop--> collect (DIRTY -> FLUSHING, copied) --apply--> settle (-> CLEAN, or absent)
 *                                                          | transient: the batch is held and applied again
 *                                                          | permanent: halved until the refused row is
 * alone, |            which goes to the quarantine
 *
 * A batch that is held keeps what it copied, while newer writes make its entries dirty again: they are in a
 * later batch with a higher version, so repeating this one does no harm. An entry that changed meanwhile is
 * not settled (the cache compares versions).
 *
 * A row that the backend held in a newer version (another node wrote it) is dropped from memory, if memory
 * still has ours, so that the next read finds the newer one.
 */
#include "policies/writer_internal.h"
#include <assert.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 256, MISSED_MAX = 4 };

bool flusher_init(struct flusher *flusher, struct space *space) {
    flusher->space = space;
    flusher->batch_since = UINT64_MAX;
    return true;
}

void flusher_free(struct flusher *flusher) {
    free(flusher->mutations);
    free(flusher->hashes);
    free(flusher->done);
    free(flusher->again);
    bytes_free(&flusher->bytes);
}

bool flusher_again(struct flusher *flusher, struct dirty dirty) {
    if (flusher->again_count == flusher->again_capacity) {
        size_t capacity = flusher->again_capacity ? flusher->again_capacity * 2 : 64;
        struct dirty *again = realloc(flusher->again, capacity * sizeof *again);
        if (!again)
            return false;
        flusher->again = again;
        flusher->again_capacity = capacity;
    }
    flusher->again[flusher->again_count++] = dirty;
    return true;
}

/* ---- What is there ---- */

/* The queue with the oldest front, or NULL. */
static struct queue *oldest_queue(struct space *space, struct dirty *ret_front) {
    struct queue *oldest = NULL;
    for (unsigned i = 0; i < space->tier->options.workers; i++) {
        struct dirty front;
        if (!queue_peek(&space->queues[i], &front) || (oldest && front.since >= ret_front->since))
            continue;
        oldest = &space->queues[i];
        *ret_front = front;
    }
    return oldest;
}

uint64_t flusher_since(struct flusher *flusher) {
    struct dirty front;
    uint64_t since = flusher->batch_since;
    if (oldest_queue(flusher->space, &front) && front.since < since)
        since = front.since;
    for (size_t i = 0; i < flusher->again_count; i++)
        if (flusher->again[i].since < since)
            since = flusher->again[i].since;
    return since;
}

bool flusher_has_work(struct flusher *flusher) {
    struct dirty front;
    return flusher->count > 0 || flusher->again_count > 0 || oldest_queue(flusher->space, &front) != NULL;
}

static uint64_t popped(const struct space *space) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < space->tier->options.workers; i++)
        sum += space->queues[i].popped;
    return sum;
}

/* By the wall clock, or by how long the front has been seen: the wall clock may have been set back. */
uint64_t flusher_age(struct flusher *flusher, uint64_t now_us) {
    uint64_t since = flusher_since(flusher);
    if (since == UINT64_MAX) {
        flusher->front_seen_us = 0;
        return 0;
    }
    uint64_t front = popped(flusher->space) - flusher->count;
    if (flusher->front_seen_us == 0 || flusher->front_popped != front) {
        flusher->front_seen_us = now_us;
        flusher->front_popped = front;
    }
    uint64_t wall = wall_time().us, turned = version_us(since), seen = now_us - flusher->front_seen_us;
    uint64_t age = wall > turned ? wall - turned : 0;
    return age > seen ? age : seen;
}

uint64_t flusher_due(struct flusher *flusher, uint64_t now_us, bool forced) {
    struct space *space = flusher->space;
    if (!flusher_has_work(flusher))
        return UINT64_MAX;
    uint64_t age = flusher_age(flusher, now_us);
    if (forced || flusher->count > 0 || flusher->again_count > 0 || age >= space->flush_delay_us ||
        atomic_load_explicit(&space->full, memory_order_relaxed) ||
        cache_dirty_entries(space->tier->cache, space->number) >= space->options.flush_batch ||
        cache_dirty_bytes(space->tier->cache, space->number) >= space->flush_bytes)
        return 0;
    return now_us + space->flush_delay_us - age;
}

/* ---- Collecting ---- */

/* An entry that had turned FLUSHING and for which there was no memory. Only when several keys share a hash.
 */
struct missed {
    uint64_t version;
    size_t key_size;
    char key[ENTRY_KEY_MAX];
};

struct collector {
    struct cache_collector base;
    struct flusher *flusher;
    uint64_t hash;
    size_t missed_count;
    struct missed missed[MISSED_MAX];
};

static bool reserve(struct flusher *flusher, size_t room) {
    size_t capacity = flusher->capacity ? flusher->capacity : FIRST_CAPACITY;
    if (!bytes_reserve(&flusher->bytes, room))
        return false;
    if (flusher->count + MISSED_MAX < flusher->capacity)
        return true;
    if (flusher->capacity)
        capacity *= 2;
    struct mutation *mutations = realloc(flusher->mutations, capacity * sizeof *mutations);
    if (mutations)
        flusher->mutations = mutations;
    uint64_t *hashes = realloc(flusher->hashes, capacity * sizeof *hashes);
    if (hashes)
        flusher->hashes = hashes;
    bool *done = realloc(flusher->done, capacity * sizeof *done);
    if (done)
        flusher->done = done;
    if (!mutations || !hashes || !done)
        return false;
    flusher->capacity = capacity;
    return true;
}

static void miss(struct collector *collector, const struct cache_view *view) {
    if (collector->missed_count == MISSED_MAX)
        abort(); /* five keys with one 64-bit hash while memory is used up: rather stop than lose one */
    struct missed *missed = &collector->missed[collector->missed_count++];
    missed->version = view->version;
    missed->key_size = view->key.size;
    memcpy(missed->key, view->key.data, view->key.size);
}

static void collect_entry(struct cache_collector *self, const struct cache_view *view) {
    struct collector *collector = (struct collector *)(void *)self;
    struct flusher *flusher = collector->flusher;
    bool gone = view->tombstone || view->expired;
    struct mutation mutation = {.table = &flusher->space->options.table, .kind = MUTATION_PUT};
    struct entry *entry = &mutation.entry;
    entry->key = bytes_copy(&flusher->bytes, view->key);
    entry->value = bytes_copy(&flusher->bytes, gone ? slice_of("", 0) : view->value);
    if (!entry->key.data || !entry->value.data || flusher->count == flusher->capacity) {
        miss(collector, view);
        return;
    }
    if (gone)
        mutation.kind = MUTATION_DELETE;
    else if (view->ttl_only)
        mutation.kind = MUTATION_TOUCH;
    entry->version = view->version;
    if (!gone) {
        entry->client_cas = view->client_cas;
        entry->flags = view->flags;
        entry->expires_at = view->expires_at;
        entry->marks = view->marks;
    }
    flusher->mutations[flusher->count] = mutation;
    flusher->hashes[flusher->count] = collector->hash;
    flusher->done[flusher->count++] = false;
}

static void put_back_missed(struct collector *collector, struct dirty dirty) {
    struct space *space = collector->flusher->space;
    bool queue = false;
    for (size_t i = 0; i < collector->missed_count; i++)
        queue |= cache_unsettle(space->tier->cache, space->number,
                                slice_of(collector->missed[i].key, collector->missed[i].key_size), dirty.hash,
                                collector->missed[i].version);
    if (queue && !flusher_again(collector->flusher, dirty))
        abort(); /* as above */
    collector->missed_count = 0;
}

static bool next_dirty(struct flusher *flusher, struct dirty *ret_dirty) {
    if (flusher->again_count > 0) {
        *ret_dirty = flusher->again[--flusher->again_count];
        return true;
    }
    struct queue *queue = oldest_queue(flusher->space, ret_dirty);
    return queue && queue_pop(queue, ret_dirty);
}

static void collect(struct flusher *flusher) {
    struct space *space = flusher->space;
    struct collector collector = {.base = {collect_entry}, .flusher = flusher};
    size_t room = space->tier->options.cache.item_max + ENTRY_KEY_MAX;
    struct cache_time now = wall_time();
    struct dirty dirty;
    while (flusher->count < space->options.flush_batch && flusher->bytes.used < BATCH_BYTES_MAX &&
           reserve(flusher, room) && next_dirty(flusher, &dirty)) {
        if (dirty.since < flusher->batch_since)
            flusher->batch_since = dirty.since;
        collector.hash = dirty.hash;
        cache_collect(space->tier->cache, space->number, dirty.hash, &now, &collector.base);
        if (collector.missed_count) {
            put_back_missed(&collector, dirty);
            break;
        }
    }
}

/* ---- Settling ---- */

/* Another node's write is newer: what memory has is old. */
static void forget_ours(struct space *space, const struct mutation *mutation, uint64_t hash,
                        const struct cache_time *now) {
    struct cache_cursor cursor;
    cache_seek(space->tier->cache, space->number, mutation->entry.key, hash, now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version == mutation->entry.version)
        cache_forget(&cursor);
    cache_release(&cursor);
}

static void count_row(struct space *space, const struct mutation *mutation) {
    struct space_counters *counters = &space->flushed;
    count(&counters->rows);
    if (mutation->kind == MUTATION_DELETE)
        count(&counters->deletes);
    else if (mutation->kind == MUTATION_TOUCH)
        count(&counters->touches);
    if (mutation->superseded)
        count(&counters->superseded);
}

static void settle(struct flusher *flusher, size_t from, size_t to) {
    struct space *space = flusher->space;
    struct cache_time now = wall_time();
    for (size_t i = from; i < to; i++) {
        const struct mutation *mutation = &flusher->mutations[i];
        quarantine_supersede(space->quarantine, mutation->entry.key, mutation->entry.version);
        if (mutation->superseded)
            forget_ours(space, mutation, flusher->hashes[i], &now);
        else
            cache_settle(space->tier->cache, space->number, mutation->entry.key, flusher->hashes[i],
                         mutation->entry.version, &now);
        count_row(space, mutation);
        flusher->done[i] = true;
    }
}

/* False: the quarantine could not take it now. */
static bool quarantine_one(struct writer *writer, struct flusher *flusher, size_t index) {
    struct space *space = flusher->space;
    struct mutation *mutation = &flusher->mutations[index];
    struct cache_time now = wall_time();
    if (!quarantine_add(space->quarantine, mutation->kind, &mutation->entry, writer->error.message)) {
        breaker_failure(&writer->breaker, monotonic_us());
        tier_log(space->tier, LOG_LEVEL_ERROR,
                 "namespace %s: a refused entry cannot be put into the quarantine file", space->options.name);
        return false;
    }
    tier_log(space->tier, LOG_LEVEL_ERROR, "namespace %s: the backend refuses %.*s, it is in quarantine: %s",
             space->options.name, (int)mutation->entry.key.size, mutation->entry.key.data,
             writer->error.message);
    cache_settle(space->tier->cache, space->number, mutation->entry.key, flusher->hashes[index],
                 mutation->entry.version, &now);
    count(&space->flushed.quarantined);
    flusher->done[index] = true;
    return true;
}

/* Applies [from, to), halving where the backend refuses. False: it cannot be written now. */
static bool apply(struct writer *writer, struct flusher *flusher, size_t from, size_t to) {
    switch (writer_apply(writer, flusher->mutations + from, to - from)) {
    case BACKEND_OK:
        settle(flusher, from, to);
        return true;
    case BACKEND_PERMANENT:
        break;
    case BACKEND_TRANSIENT:
    case BACKEND_REFUSED:
        count(&flusher->space->flushed.retries);
        return false;
    }
    if (to - from == 1)
        return quarantine_one(writer, flusher, from);
    size_t middle = from + (to - from) / 2;
    count(&flusher->space->flushed.bisections);
    return apply(writer, flusher, from, middle) && apply(writer, flusher, middle, to);
}

/* Keeps what is not done at the front of the batch. */
static void compact(struct flusher *flusher) {
    size_t kept = 0;
    for (size_t i = 0; i < flusher->count; i++) {
        if (flusher->done[i])
            continue;
        flusher->mutations[kept] = flusher->mutations[i];
        flusher->hashes[kept] = flusher->hashes[i];
        flusher->done[kept++] = false;
    }
    flusher->count = kept;
    if (kept > 0)
        return;
    flusher->batch_since = UINT64_MAX;
    bytes_reset(&flusher->bytes);
}

bool flusher_flush(struct writer *writer, struct flusher *flusher) {
    uint64_t start = monotonic_us();
    if (flusher->count == 0)
        collect(flusher);
    bool written = flusher->count == 0 || apply(writer, flusher, 0, flusher->count);
    if (flusher->count > 0 && written)
        count(&flusher->space->flushed.batches);
    compact(flusher);
    count_add(&flusher->space->flushed.flush_us, monotonic_us() - start);
    return written;
}

/* ---- The quarantine ---- */

void flusher_retry_quarantine(struct writer *writer, struct flusher *flusher) {
    struct space *space = flusher->space;
    struct loaded *loaded;
    enum mutation_kind kind;
    while ((loaded = quarantine_next_marked(space->quarantine, &kind))) {
        struct mutation mutation = {.table = &space->options.table, .kind = kind, .entry = loaded->entry};
        struct cache_time now = wall_time();
        enum backend_status status = writer_apply(writer, &mutation, 1);
        if (status == BACKEND_OK) {
            quarantine_supersede(space->quarantine, loaded->entry.key, loaded->entry.version);
            if (mutation.superseded)
                forget_ours(space, &mutation, cache_hash(loaded->entry.key), &now);
        } else if (status == BACKEND_TRANSIENT) {
            quarantine_mark(space->quarantine, loaded->entry.key);
        }
        loaded_drop(loaded);
        if (status == BACKEND_TRANSIENT)
            return;
    }
}
