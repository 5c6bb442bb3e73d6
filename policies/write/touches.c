/* SPDX-License-Identifier: MIT */
/*
 * Touches of rows that memory does not hold: those that a write-behind namespace with existence = memory has
 * answered already, and those that recovery found in the journal without the value they belong to.
 *
 * A touch has its version, and its record in the journal, from the moment it was answered, and holds the
 * low-water version back until it is done. So a write that comes later has a higher version and wins in the
 * backend, one that came before is older and is touched, and a crash in between loses nothing. What readers
 * load meanwhile gets the touch's expiry on its way into memory (writer_amend): a change made on top of it
 * keeps that.
 */
#include "policies/write/internal.h"
#include <assert.h>
#include <stdlib.h>

void touches_free(struct touch_later *touches) {
    while (touches) {
        struct touch_later *next = touches->next;
        free(touches);
        touches = next;
    }
}

static struct slice key_of(const struct touch_later *touch) {
    return slice_of(touch->key, touch->key_size);
}

static struct entry_copy *quarantined(const struct touch_later *touch) {
    bool deleted = false;
    struct entry_copy *loaded = quarantine_find(touch->space->quarantine, key_of(touch), &deleted);
    if (deleted) {
        entry_copy_drop(loaded);
        return NULL;
    }
    return loaded;
}

enum touched { TOUCH_DONE, TOUCH_ROW, TOUCH_WAITS, TOUCH_FAILED };

/* What memory has is newer: nothing is left to do. What it has is older and not in the backend yet: that has
 * to get there first, where it may turn out that the row is newer still, and the one that was touched. */
static enum touched touch_memory(struct writer *writer, const struct touch_later *touch) {
    struct cache_time now = cache_time_now();
    struct cache_cursor cursor;
    enum touched touched = TOUCH_ROW;
    cache_seek(writer->tier->cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version >= touch->version)
        touched = TOUCH_DONE;
    else if (cursor.presence != CACHE_UNKNOWN && cursor.view.state != CACHE_CLEAN)
        touched = TOUCH_WAITS;
    cache_release(&cursor);
    return touched;
}

/* What memory may have of the row meanwhile is older than the touch. */
static void forget_older(const struct touch_later *touch) {
    struct cache_time now = cache_time_now();
    struct cache_cursor cursor;
    cache_seek(touch->space->tier->cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence == CACHE_UNKNOWN || /* what is being loaded now is older too */
        (cursor.view.state == CACHE_CLEAN && cursor.view.version < touch->version))
        cache_forget(&cursor);
    cache_release(&cursor);
}

/* The row, as of the moment of the touch: it may have kept alive what has expired since. */
static enum backend_status load_row(struct writer *writer, const struct touch_later *touch,
                                    struct load_result *result) {
    struct slice key = key_of(touch);
    uint32_t then = (uint32_t)(version_us(touch->version) / 1000000);
    return writer_load_at(writer, touch->space, &key, 1, then, result);
}

static enum backend_status touch_row(struct writer *writer, const struct touch_later *touch) {
    struct slice key = key_of(touch);
    struct load_result result = {0};
    struct entry_copy *held = quarantined(touch);
    enum backend_status status = BACKEND_OK;
    if (held) {
        result.found = true;
        result.entry = held->entry;
    } else {
        status = load_row(writer, touch, &result);
    }
    if (status == BACKEND_OK && result.found && result.entry.version < touch->version) {
        struct mutation mutation = {
            .table = &touch->space->options.table, .kind = MUTATION_TOUCH, .entry = result.entry};
        mutation.entry.key = key;
        mutation.entry.client_cas = touch->client_cas         ? touch->client_cas
                                    : result.entry.client_cas ? result.entry.client_cas
                                                              : result.entry.version;
        mutation.entry.version = touch->version;
        mutation.entry.expires_at = touch->expires_at;
        struct bytes copy = {
            0}; /* the row's bytes live until the next call on the connection, which is this one */
        mutation.entry.value = bytes_copy(&copy, result.entry.value);
        status = mutation.entry.value.data || !result.entry.value.size ? writer_apply(writer, &mutation, 1)
                                                                       : BACKEND_TRANSIENT;
        bytes_free(&copy);
        if (status == BACKEND_PERMANENT)
            status = quarantine_add(touch->space->quarantine, MUTATION_TOUCH, &mutation.entry,
                                    writer->error.message)
                         ? BACKEND_OK
                         : BACKEND_TRANSIENT;
        if (status == BACKEND_OK)
            forget_older(touch);
    }
    entry_copy_drop(held);
    return status;
}

static void touch_done(struct writer *writer, struct touch_later *touch) {
    struct touch_later **at = &writer->pending[touch->hash % TOUCH_BUCKETS];
    atomic_fetch_add(&writer->touched, 1);
    pthread_mutex_lock(&writer->mutex);
    while (*at != touch)
        at = &(*at)->chain;
    *at = touch->chain;
    atomic_fetch_sub(&writer->detached, 1);
    pthread_mutex_unlock(&writer->mutex);
    free(touch);
}

static enum touched run_one(struct writer *writer, const struct touch_later *touch) {
    enum touched touched = touch_memory(writer, touch);
    if (touched != TOUCH_ROW)
        return touched;
    if (!writer_admits(writer))
        return TOUCH_FAILED;
    enum backend_status status = touch_row(writer, touch);
    if (status == BACKEND_PERMANENT)
        service_log(&writer->tier->service, LOG_LEVEL_ERROR,
                    "namespace %s: the row of %.*s cannot be read and is not touched: %s",
                    touch->space->options.name, (int)touch->key_size, touch->key, writer->error.message);
    return status == BACKEND_TRANSIENT ? TOUCH_FAILED : TOUCH_DONE;
}

bool touches_run(struct writer *writer) {
    enum touched touched = TOUCH_DONE;
    for (struct touch_later **at = &writer->touches; *at && touched != TOUCH_FAILED;) {
        struct touch_later *touch = *at;
        touched = run_one(writer, touch);
        if (touched == TOUCH_DONE) {
            *at = touch->next;
            touch_done(writer, touch);
        } else {
            at = &touch->next;
        }
    }
    return touched != TOUCH_FAILED;
}

bool touches_wait(const struct writer *writer, const struct space *space) {
    for (const struct touch_later *touch = writer->touches; touch; touch = touch->next)
        if (!space || touch->space == space)
            return true;
    return false;
}

uint64_t touches_bound(struct writer *writer) {
    uint64_t bound = UINT64_MAX;
    if (atomic_load(&writer->detached) == 0)
        return bound;
    for (const struct touch_later *touch = writer->touches; touch; touch = touch->next)
        bound = touch->version < bound ? touch->version : bound;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch_later *touch = writer->new_touches; touch; touch = touch->next)
        bound = touch->version < bound ? touch->version : bound;
    pthread_mutex_unlock(&writer->mutex);
    return bound;
}
