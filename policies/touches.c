/* SPDX-License-Identifier: MIT */
/*
 * Touches of rows that memory does not hold: those that a write-behind namespace with existence = memory has
 * answered already, and those that recovery found in the journal without the value they belong to.
 *
 * The version is drawn before the look into memory. So a write that comes later has a higher version and wins
 * in the backend, and one that came before is seen.
 */
#include "policies/writer_internal.h"
#include <assert.h>
#include <stdlib.h>

void touches_free(struct touch_later *touches) {
    while (touches) {
        struct touch_later *next = touches->next;
        free(touches);
        touches = next;
    }
}

static struct flusher *flusher_of(struct writer *writer, const struct space *space) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (writer->flushers[i].space == space)
            return &writer->flushers[i];
    return NULL;
}

static struct slice key_of(const struct touch_later *touch) {
    return slice_of(touch->key, touch->key_size);
}

static struct loaded *quarantined(const struct touch_later *touch) {
    bool deleted = false;
    struct loaded *loaded = quarantine_find(touch->space->quarantine, key_of(touch), &deleted);
    if (deleted) {
        loaded_drop(loaded);
        return NULL;
    }
    return loaded;
}

/* A touch of a live entry in memory, made dirty like any other; true: there is nothing left to do. */
static bool touch_memory(struct writer *writer, struct touch_later *touch) {
    struct cache *cache = writer->tier->cache;
    struct cache_time now = wall_time();
    struct cache_cursor cursor;
    uint64_t version = touch->version ? touch->version : cache_next_version(cache, touch->hash, &now);
    bool done = true;
    cache_seek(cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence == CACHE_UNKNOWN)
        done = false;
    else if (cursor.presence == CACHE_PRESENT && touch->version == 0)
        cache_touch(&cursor, touch->expires_at, true);
    else if (cursor.presence == CACHE_PRESENT && cursor.view.state == CACHE_CLEAN &&
             cursor.view.version < version)
        done = false; /* recovered: the row has to learn it */
    bool queue = done && cursor.presence == CACHE_PRESENT && touch->version == 0 && cursor.queue;
    cache_release(&cursor);
    if (queue)
        flusher_again(flusher_of(writer, touch->space),
                      (struct dirty){touch->hash, version_from_us(now.us, 0)});
    if (!done)
        touch->version = version;
    return done;
}

/* What memory may have of the row meanwhile is older than the touch. */
static void forget_older(const struct touch_later *touch) {
    struct cache_time now = wall_time();
    struct cache_cursor cursor;
    cache_seek(touch->space->tier->cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence == CACHE_PRESENT && cursor.view.state == CACHE_CLEAN &&
        cursor.view.version < touch->version)
        cache_forget(&cursor);
    else if (cursor.presence == CACHE_UNKNOWN)
        cache_forget(&cursor); /* what is being loaded now is older too */
    cache_release(&cursor);
}

static enum backend_status touch_row(struct writer *writer, struct touch_later *touch) {
    struct slice key = key_of(touch);
    struct load_result result = {0};
    struct loaded *held = quarantined(touch);
    enum backend_status status = BACKEND_OK;
    if (held) {
        result.found = true;
        result.entry = held->entry;
    } else {
        status = writer_load(writer, touch->space, &key, 1, &result);
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
        if (status == BACKEND_PERMANENT &&
            quarantine_add(touch->space->quarantine, MUTATION_TOUCH, &mutation.entry, writer->error.message))
            status = BACKEND_OK;
        if (status == BACKEND_OK)
            forget_older(touch);
    }
    loaded_drop(held);
    return status;
}

static void touch_done(struct writer *writer, struct touch_later *touch) {
    atomic_fetch_add(&writer->touched, 1);
    free(touch);
    pthread_mutex_lock(&writer->mutex);
    writer->detached--;
    pthread_mutex_unlock(&writer->mutex);
}

void touches_run(struct writer *writer) {
    while (writer->touches) {
        struct touch_later *touch = writer->touches;
        bool done = touch_memory(writer, touch);
        if (!done && (!writer_admits(writer) || touch_row(writer, touch) == BACKEND_TRANSIENT))
            return;
        writer->touches = touch->next;
        touch_done(writer, touch);
    }
}
