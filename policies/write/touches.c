/* SPDX-License-Identifier: MIT */
/*
 * Touches of rows that memory does not hold: those that a write-behind namespace with existence = memory has
 * answered already, and those that recovery found in the journal without the value they belong to.
 *
 * A touch has its version, and its record in the journal, from the moment it was answered, and holds the
 * low-water version back until it is done. So a write that comes later has a higher version and wins in the
 * backend, one that came before is older and is touched, and a crash in between loses nothing. What readers
 * load meanwhile gets the touch's expiry on its way into memory (touches_amend): a change made on top of it
 * keeps that.
 *
 *     touches_add --> fresh --touches_take--> taken --touches_run--> done
 *                                             `-- stays while its entry has to be flushed first, or the
 *                                                 backend, or its table in it, is away
 */
#include "policies/write/touches.h"
#include "policies/write/internal.h"
#include "policies/write/quarantine.h"
#include <stdlib.h>

enum { TOUCHES_MAX = 4096 }; /* that workers may leave to a writer; of those of a journal, all are taken */

struct touch {
    struct touch *next;  /* fresh, or taken */
    struct touch *chain; /* in by_hash */
    struct space *space;
    uint64_t hash, version, client_cas;
    uint32_t made_at; /* by the wall clock, by which rows live: versions may be ahead of it */
    uint32_t expires_at;
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

/* ---- The lists ---- */

static struct slice key_of(const struct touch *touch) {
    return slice_of(touch->key, touch->key_size);
}

static struct touch **bucket_of(struct touches *touches, uint64_t hash) {
    return &touches->by_hash[hash % TOUCH_BUCKETS];
}

/* With the mutex. */
static void link_touch(struct touches *touches, struct touch *touch) {
    struct touch **bucket = bucket_of(touches, touch->hash);
    touch->next = touches->fresh;
    touches->fresh = touch;
    touch->chain = *bucket;
    *bucket = touch;
    atomic_fetch_add(&touches->waiting, 1);
}

static bool add(struct writer *writer, struct touch wanted, struct slice key, bool bounded) {
    struct touch *touch = malloc(sizeof *touch);
    if (!touch)
        return false;
    *touch = wanted;
    touch->key_size = (uint8_t)key.size;
    memcpy(touch->key, key.data, key.size);
    pthread_mutex_lock(&writer->mutex);
    bool room = !bounded || atomic_load(&writer->touches.waiting) < TOUCHES_MAX;
    if (room) {
        link_touch(&writer->touches, touch);
        writer_rouse(writer);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!room)
        free(touch);
    return room;
}

bool touches_add(struct writer *writer, struct space *space, const struct entry *entry, uint64_t hash) {
    struct touch touch = {.space = space,
                          .hash = hash,
                          .version = entry->version,
                          .made_at = entry->flags,
                          .expires_at = entry->expires_at};
    return add(writer, touch, entry->key, true);
}

/* When it was made. Records of earlier versions do not say; then it is by its version, but not after now. */
static uint32_t second_of(const struct entry *entry) {
    uint64_t second = version_us(entry->version) / US_PER_SECOND;
    uint32_t now = cache_time_now().seconds;
    if (!entry->client_cas && entry->flags)
        return entry->flags;
    return second < now ? (uint32_t)second : now;
}

bool touches_recover(struct writer *writer, struct space *space, const struct entry *entry) {
    struct touch touch = {.space = space,
                          .hash = cache_hash(entry->key),
                          .version = entry->version,
                          .client_cas = entry->client_cas,
                          .made_at = second_of(entry),
                          .expires_at = entry->expires_at};
    return add(writer, touch, entry->key, false);
}

bool touches_are_waiting(const struct writer *writer) {
    return atomic_load(&writer->touches.waiting) > 0;
}

void touches_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash) {
    uint64_t latest = entry->version;
    if (!touches_are_waiting(writer))
        return;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch *touch = *bucket_of(&writer->touches, hash); touch; touch = touch->chain)
        if (touch->hash == hash && touch->space == space && touch->version > latest &&
            slice_equal(key_of(touch), entry->key)) {
            latest = touch->version;
            entry->expires_at = touch->expires_at;
        }
    pthread_mutex_unlock(&writer->mutex);
}

void touches_take(struct writer *writer) {
    struct touches *touches = &writer->touches;
    while (touches->fresh) {
        struct touch *touch = touches->fresh;
        touches->fresh = touch->next;
        touch->next = touches->taken;
        touches->taken = touch;
    }
}

static void free_list(struct touch *list) {
    while (list) {
        struct touch *next = list->next;
        free(list);
        list = next;
    }
}

void touches_free(struct writer *writer) {
    free_list(writer->touches.taken);
    free_list(writer->touches.fresh);
}

/* ---- Touching ---- */

/* The entry that is quarantined under the key, unless that is a delete. */
static struct entry_copy *quarantined(const struct touch *touch) {
    bool deleted = false;
    struct entry_copy *copy = quarantine_find(touch->space->quarantine, key_of(touch), &deleted);
    if (deleted) {
        entry_copy_drop(copy);
        return NULL;
    }
    return copy;
}

enum touch_fate {
    TOUCH_DONE,
    TOUCH_ROW,    /* the row has to be touched */
    TOUCH_WAITS,  /* for its entry to be flushed */
    TOUCH_BARRED, /* its table cannot be asked now */
    TOUCH_FAILED, /* the backend cannot be asked now */
};

/* What memory has is newer: nothing is left to do. What it has is older and not in the backend yet: that has
 * to get there first, where it may turn out that the row is newer still, and the one that was touched. */
static enum touch_fate touch_memory(struct writer *writer, const struct touch *touch) {
    struct cache_time now = cache_time_now();
    struct cache_cursor cursor;
    enum touch_fate fate = TOUCH_ROW;
    cache_seek(writer->tier->cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version >= touch->version)
        fate = TOUCH_DONE;
    else if (cursor.presence != CACHE_UNKNOWN && cursor.view.state != CACHE_CLEAN)
        fate = TOUCH_WAITS;
    cache_release(&cursor);
    return fate;
}

/* What memory may have of the row meanwhile is older than the touch. */
static void forget_older(const struct touch *touch) {
    struct cache_time now = cache_time_now();
    struct cache_cursor cursor;
    cache_seek(touch->space->tier->cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence == CACHE_UNKNOWN || /* what is being loaded now is older too */
        (cursor.view.state == CACHE_CLEAN && cursor.view.version < touch->version))
        cache_forget(&cursor);
    cache_release(&cursor);
}

/* Did the row live when it was touched? That with the CAS that the touch was made on did, whatever the clock
 * was then. */
static bool was_alive(const struct touch *touch, const struct entry *row) {
    uint64_t cas = row->client_cas ? row->client_cas : row->version;
    return row->expires_at == 0 || row->expires_at > touch->made_at || cas == touch->client_cas;
}

/* The row, as of the moment of the touch: it may have kept alive what has expired since. */
static enum backend_status load_row(struct writer *writer, const struct touch *touch,
                                    struct load_result *result) {
    struct slice key = key_of(touch);
    uint32_t then = touch->client_cas ? 0 : touch->made_at;
    enum backend_status status = call_load_at(writer, touch->space, &key, 1, then, result);
    if (status == BACKEND_OK && result->found && !was_alive(touch, &result->entry))
        result->found = false;
    return status;
}

static struct mutation mutation_of(const struct touch *touch, const struct entry *row) {
    struct mutation mutation = {.table = &touch->space->options.table, .kind = MUTATION_TOUCH, .entry = *row};
    mutation.entry.key = key_of(touch);
    mutation.entry.client_cas = touch->client_cas ? touch->client_cas
                                : row->client_cas ? row->client_cas
                                                  : row->version;
    mutation.entry.version = touch->version;
    mutation.entry.expires_at = touch->expires_at;
    return mutation;
}

static enum backend_status keep_refused(struct writer *writer, const struct touch *touch,
                                        const struct entry *entry) {
    if (quarantine_add(touch->space->quarantine, MUTATION_TOUCH, entry, writer->session.error.message))
        return BACKEND_OK;
    call_put_off(touch->space);
    return BACKEND_TABLE_FAILED;
}

static enum backend_status apply_touch(struct writer *writer, const struct touch *touch,
                                       const struct entry *row) {
    struct mutation mutation = mutation_of(touch, row);
    /* The row's bytes live until the next call on the connection, which is this one. */
    struct bytes copy = {0};
    enum backend_status status = BACKEND_TRANSIENT;
    mutation.entry.value = bytes_copy(&copy, row->value);
    if (mutation.entry.value.data || !row->value.size)
        status = call_apply(writer, touch->space, &mutation, 1);
    bytes_free(&copy);
    if (status == BACKEND_PERMANENT)
        status = keep_refused(writer, touch, &mutation.entry);
    if (status == BACKEND_OK)
        forget_older(touch);
    return status;
}

static enum backend_status touch_row(struct writer *writer, const struct touch *touch) {
    struct load_result result = {0};
    struct entry_copy *held = quarantined(touch);
    enum backend_status status = BACKEND_OK;
    if (held) {
        result.found = true;
        result.entry = held->entry;
    } else {
        status = load_row(writer, touch, &result);
    }
    if (status == BACKEND_OK && result.found && result.entry.version < touch->version)
        status = apply_touch(writer, touch, &result.entry);
    entry_copy_drop(held);
    return status;
}

static void end_touch(struct writer *writer, struct touch *touch) {
    struct touch **at = bucket_of(&writer->touches, touch->hash);
    count(&writer->counters.background_touches);
    pthread_mutex_lock(&writer->mutex);
    while (*at != touch)
        at = &(*at)->chain;
    *at = touch->chain;
    atomic_fetch_sub(&writer->touches.waiting, 1);
    pthread_mutex_unlock(&writer->mutex);
    free(touch);
}

static enum touch_fate run_one(struct writer *writer, const struct touch *touch) {
    enum touch_fate fate = touch_memory(writer, touch);
    if (fate != TOUCH_ROW)
        return fate;
    if (!call_is_admitted_for(writer, touch->space))
        return call_is_admitted(writer) ? TOUCH_BARRED : TOUCH_FAILED;
    enum backend_status status = touch_row(writer, touch);
    if (status == BACKEND_PERMANENT)
        service_log(&writer->tier->service, LOG_LEVEL_ERROR,
                    "namespace %s: the row of %.*s cannot be read and is not touched: %s",
                    touch->space->options.name, (int)touch->key_size, touch->key,
                    writer->session.error.message);
    if (status == BACKEND_TABLE_FAILED)
        return TOUCH_BARRED;
    return status == BACKEND_TRANSIENT ? TOUCH_FAILED : TOUCH_DONE;
}

static void try_again_at(struct touches *touches, uint64_t at_us) {
    if (!touches->retry_us || at_us < touches->retry_us)
        touches->retry_us = at_us;
}

void touches_run(struct writer *writer) {
    enum touch_fate fate = TOUCH_DONE;
    writer->touches.retry_us = 0;
    for (struct touch **at = &writer->touches.taken; *at && fate != TOUCH_FAILED;) {
        struct touch *touch = *at;
        fate = run_one(writer, touch);
        if (fate == TOUCH_DONE) {
            *at = touch->next;
            end_touch(writer, touch);
        } else {
            at = &touch->next;
        }
        if (fate == TOUCH_BARRED)
            try_again_at(&writer->touches, breaker_retry_at(&touch->space->write_breaker));
    }
    if (fate == TOUCH_FAILED) /* once the breaker of the backend lets it */
        try_again_at(&writer->touches, monotonic_us());
}

void touches_settle(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    touches_take(writer);
    pthread_mutex_unlock(&writer->mutex);
    touches_run(writer);
}

/* ---- What is left ---- */

bool touches_wait(const struct writer *writer, const struct space *space) {
    for (const struct touch *touch = writer->touches.taken; touch; touch = touch->next)
        if (!space || touch->space == space)
            return true;
    return false;
}

static uint64_t least_version(const struct touch *touch, const struct space *space) {
    uint64_t least = UINT64_MAX;
    for (; touch; touch = touch->next)
        if (touch->space == space && touch->version < least)
            least = touch->version;
    return least;
}

uint64_t touches_bound(struct writer *writer, const struct space *space) {
    if (!touches_are_waiting(writer))
        return UINT64_MAX;
    uint64_t taken = least_version(writer->touches.taken, space);
    pthread_mutex_lock(&writer->mutex);
    uint64_t fresh = least_version(writer->touches.fresh, space);
    pthread_mutex_unlock(&writer->mutex);
    return taken < fresh ? taken : fresh;
}
