/* SPDX-License-Identifier: MIT */
/*
 * An entry is copied under its lock, and is FLUSHING from then on: what was popped must not be forgotten. Where there
 * is no memory for a copy, it is dirty again, and its element is put back beside the queues (flusher.again).
 */
#include "policies/write/collect.h"
#include "backends/batch_order.h"
#include "policies/tier_parts.h"
#include "policies/write/concern.h"
#include "policies/write/queue.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256, MISSED_MAX = 4 };

/* ---- The queues ---- */

/* Room for one more. False: no memory. */
static bool grow(struct dirty **list, size_t used, size_t *capacity) {
    if (used < *capacity)
        return true;
    size_t room = *capacity ? *capacity * 2 : 64;
    struct dirty *larger = realloc(*list, room * sizeof *larger);
    if (!larger)
        return false;
    *list = larger;
    *capacity = room;
    return true;
}

/* Something that has to be flushed beside the queues. False: no memory. */
static bool put_back(struct flusher *flusher, struct dirty dirty) {
    if (!grow(&flusher->again, flusher->again_count, &flusher->again_capacity))
        return false;
    flusher->again[flusher->again_count++] = dirty;
    return true;
}

bool collect_set_aside(struct flusher *flusher, const struct mutation *mutation, uint64_t hash) {
    const struct dirty dirty = {.hash = hash, .since = flusher->batch_since};
    if (!grow(&flusher->aside, flusher->aside_count, &flusher->aside_capacity))
        return false;
    if (!cache_unsettle(flusher->space->tier->cache, mutation->entry.key, hash, mutation->entry.version))
        return true; /* it was changed meanwhile, and is queued, or is gone */
    flusher->aside[flusher->aside_count++] = dirty;
    if (dirty.since < flusher->aside_since)
        flusher->aside_since = dirty.since;
    return true;
}

/* Of what is set aside, half a batch at a time: the rest is not to wait for it. */
static bool take_aside(struct flusher *flusher, struct dirty *ret_dirty) {
    if (flusher->aside_due == 0)
        return false;
    flusher->aside_due--;
    *ret_dirty = flusher->aside[--flusher->aside_count];
    if (flusher->aside_count == 0)
        flusher->aside_since = UINT64_MAX;
    return true;
}

static void find_due(struct flusher *flusher) {
    size_t half = flusher->space->options.flush_batch / 2 + 1;
    bool is_time = monotonic_us() >= flusher->aside_until_us;
    flusher->aside_due = !is_time ? 0 : flusher->aside_count < half ? flusher->aside_count : half;
}

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

bool collect_front(struct space *space, struct dirty *ret_front) {
    return oldest_queue(space, ret_front) != NULL;
}

/* ---- The batch ---- */

/* An entry that turned FLUSHING and for which there was no memory: only where keys share a hash. */
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
    if (!mutations || !hashes)
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

bool collect_describe(const struct space *space, const struct cache_view *view, struct bytes *bytes,
                      struct mutation *ret_mutation) {
    bool gone = view->tombstone || view->expired;
    struct mutation mutation = {.table = &space->options.table, .kind = MUTATION_PUT};
    struct entry *entry = &mutation.entry;
    entry->key = bytes_copy(bytes, view->key);
    entry->value = bytes_copy(bytes, gone ? slice_of("", 0) : view->value);
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
    mutation.on = change_is_on(mutation.kind, entry);
    *ret_mutation = mutation;
    return entry->key.data && entry->value.data;
}

static void collect_entry(struct cache_collector *self, const struct cache_view *view) {
    struct collector *collector = (struct collector *)(void *)self;
    struct flusher *flusher = collector->flusher;
    struct mutation mutation;
    if (!collect_describe(flusher->space, view, &flusher->bytes, &mutation) ||
        flusher->count == flusher->capacity) {
        miss(collector, view);
        return;
    }
    flusher->mutations[flusher->count] = mutation;
    flusher->hashes[flusher->count++] = collector->hash;
}

static void put_back_missed(struct collector *collector, struct dirty dirty) {
    struct space *space = collector->flusher->space;
    bool queue = false;
    for (size_t i = 0; i < collector->missed_count; i++)
        queue |= cache_unsettle(space->tier->cache,
                                slice_of(collector->missed[i].key, collector->missed[i].key_size), dirty.hash,
                                collector->missed[i].version);
    if (queue && !put_back(collector->flusher, dirty))
        abort(); /* as above */
    collector->missed_count = 0;
}

/* What will be asked for soon is fetched meanwhile: its bucket, and when that has come, its record. */
static void fetch_ahead(const struct cache *cache, const struct queue *queue) {
    struct dirty ahead;
    if (queue_peek_ahead(queue, 2 * FLUSHER_AHEAD, &ahead))
        cache_prefetch(cache, ahead.hash);
    if (queue_peek_ahead(queue, FLUSHER_AHEAD, &ahead))
        cache_prefetch_entry(cache, ahead.hash);
}

static bool next_dirty(struct flusher *flusher, struct dirty *ret_dirty) {
    if (flusher->again_count > 0) {
        *ret_dirty = flusher->again[--flusher->again_count];
        return true;
    }
    if (take_aside(flusher, ret_dirty))
        return true;
    struct queue *queue = oldest_queue(flusher->space, ret_dirty);
    if (!queue)
        return false;
    fetch_ahead(flusher->space->tier->cache, queue);
    return queue_pop(queue, ret_dirty);
}

/* Puts the element that places[i] names at place i, in place: each cycle of the permutation in turn. */
static void permute(struct flusher *flusher, struct batch_place *places) {
    for (size_t first = 0; first < flusher->count; first++) {
        struct mutation mutation = flusher->mutations[first];
        uint64_t hash = flusher->hashes[first];
        size_t to = first;
        for (size_t from = places[to].index; from != first; from = places[to].index) {
            flusher->mutations[to] = flusher->mutations[from];
            flusher->hashes[to] = flusher->hashes[from];
            places[to].index = (uint32_t)to; /* done */
            to = from;
        }
        flusher->mutations[to] = mutation;
        flusher->hashes[to] = hash;
        places[to].index = (uint32_t)to;
    }
}

/* A batch of several commits is put in the order of its keys, so that neighbours in the store share a commit,
 * and most pages are written once. Without memory for it, it stays as it is. */
static void order(struct flusher *flusher) {
    struct batch_place *places = malloc(flusher->count * sizeof *places);
    if (!places)
        return;
    batch_order(flusher->mutations, flusher->count, places);
    permute(flusher, places);
    free(places);
}

/* Memory of the batch in hand. */
static size_t batch_bytes(const struct flusher *flusher) {
    return flusher->bytes.used + flusher->count * (sizeof *flusher->mutations + sizeof *flusher->hashes);
}

void collect_batch(struct flusher *flusher) {
    struct space *space = flusher->space;
    struct collector collector = {.base = {collect_entry}, .flusher = flusher};
    size_t room = space->tier->options.cache.item_max + ENTRY_KEY_MAX;
    struct cache_time now = tier_now(flusher->space->tier);
    struct dirty dirty;
    find_due(flusher);
    while (flusher->count < space->options.flush_batch && batch_bytes(flusher) < space->batch_bytes &&
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
    if (flusher->count > FLUSHER_COMMIT_MAX)
        order(flusher);
}
