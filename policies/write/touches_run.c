/* SPDX-License-Identifier: MIT */
/*
 * When touches are applied that were taken: those of each namespace stand in a line, so that none waits for the table
 * of another. A run takes a batch off the front of each.
 */
#include "policies/write/touch_batch.h"
#include <stdlib.h>

enum {
    LOOKED_AT_MAX = 8192, /* touches of a namespace that a run looks at */
    REST_US = 200000,     /* for a part of the store that is away; doubled each time */
    REST_LONGEST_US = 2000000,
};

/* ---- Whether the row is to be touched now ---- */

enum touch_fate {
    TOUCH_DONE,
    TOUCH_ROW,   /* the row has to be touched */
    TOUCH_WAITS, /* for its entry to be flushed, or its row to be written again */
};

/* What memory has is newer: nothing is left to do. What it has is older and not in the backend yet: that has
 * to get there first, where it may turn out that the row is newer still, and the one that was touched. */
static enum touch_fate touch_memory(struct writer *writer, const struct touch *touch) {
    struct cache_time now = tier_now(touch->space->tier);
    struct cache_cursor cursor;
    enum touch_fate fate = TOUCH_ROW;
    cache_seek(writer->tier->cache, touch->space->number, touch_key(touch), touch->hash, &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version >= touch->version)
        fate = TOUCH_DONE;
    else if (cursor.presence != CACHE_UNKNOWN && cursor.view.state != CACHE_CLEAN)
        fate = TOUCH_WAITS;
    cache_release(&cursor);
    return fate == TOUCH_ROW && touch_row_may_be_older(writer, touch) ? TOUCH_WAITS : fate;
}

/* ---- A round ---- */

/* Takes those off the line whose row is to be touched now, ends those of which nothing is left to do, and puts those
 * that wait at the end. Returns at how many it has looked. */
static size_t collect(struct writer *writer, struct touch_list *taken, struct touch_batch *batch) {
    size_t most = taken->count < LOOKED_AT_MAX ? taken->count : LOOKED_AT_MAX, looked_at = 0;
    for (; looked_at < most && batch->count < TOUCH_BATCH; looked_at++) {
        struct touch *touch = touch_pop(taken);
        switch (touch_memory(writer, touch)) {
        case TOUCH_DONE:
            touch_end(writer, touch);
            break;
        case TOUCH_WAITS:
            touch_push(taken, touch);
            break;
        case TOUCH_ROW:
            touch_batch_add(batch, touch);
            break;
        }
    }
    return looked_at;
}

/* A round goes once through all that are there as it begins. Behind one in which all wait, they are looked at again
 * when the writer passes by. */
static void note_looked_at(struct touch_line *line, size_t before, size_t looked_at) {
    size_t unseen = line->unseen > 0 && line->unseen < before ? line->unseen : before;
    line->unseen = unseen > looked_at ? unseen - looked_at : 0;
}

/* Both breakers let the namespace be asked, or one says how the attempt has failed. */
static enum backend_status admission(struct writer *writer, struct space *space) {
    if (call_is_admitted_for(writer, space))
        return BACKEND_OK;
    return call_is_admitted(writer) ? BACKEND_TABLE_FAILED : BACKEND_TRANSIENT;
}

static enum backend_status run_some(struct writer *writer, struct touch_line *line,
                                    struct touch_batch *batch) {
    struct touch_list *taken = &line->taken;
    size_t before = taken->count;
    note_looked_at(line, before, collect(writer, taken, batch));
    if (taken->count + batch->count == 0)
        return BACKEND_OK;
    enum backend_status status = admission(writer, batch->space);
    if (status != BACKEND_OK)
        touch_batch_put_back(batch, taken);
    else if (batch->count > 0)
        status = touch_batch_run(writer, taken, batch);
    if (status == BACKEND_OK && taken->count > 0)
        writer->touches.more |= taken->count < before || line->unseen > 0;
    return status;
}

static enum backend_status run_line(struct writer *writer, struct space *space) {
    struct touch_line *line = touch_line_of(writer, space);
    if (line->taken.count == 0)
        return BACKEND_OK;
    struct touch_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return touch_put_off(space);
    batch->space = space;
    enum backend_status status = run_some(writer, line, batch);
    bytes_free(&batch->bytes);
    free(batch);
    return status;
}

static void try_again_at(struct touches *touches, uint64_t at_us) {
    if (!touches->retry_us || at_us < touches->retry_us)
        touches->retry_us = at_us;
}

/* A call for a part that is away takes its moment, in which nobody else is served. */
static void rest(struct touches *touches) {
    uint64_t rest_us = touches->rest_us ? 2 * touches->rest_us : REST_US;
    touches->rest_us = !touches->partial ? 0 : rest_us < REST_LONGEST_US ? rest_us : REST_LONGEST_US;
    touches->rests_until_us = monotonic_us() + touches->rest_us;
}

void touches_run(struct writer *writer) {
    enum backend_status status = BACKEND_OK;
    writer->touches.retry_us = 0;
    writer->touches.more = writer->touches.partial = false;
    if (monotonic_us() < writer->touches.rests_until_us) {
        try_again_at(&writer->touches, writer->touches.rests_until_us);
        return;
    }
    for (size_t i = 0; i < writer->flusher_count && status != BACKEND_TRANSIENT; i++) {
        struct space *space = writer->flushers[i].space;
        status = run_line(writer, space);
        if (status == BACKEND_TABLE_FAILED)
            try_again_at(&writer->touches, breaker_retry_at(&space->write_breaker));
    }
    if (status == BACKEND_TRANSIENT) /* once the breaker of the backend lets it */
        try_again_at(&writer->touches, monotonic_us());
    rest(&writer->touches);
}

/* As long as there is progress, whosever table fails. */
void touches_settle(struct writer *writer) {
    size_t before;
    pthread_mutex_lock(&writer->mutex);
    touches_take(writer);
    pthread_mutex_unlock(&writer->mutex);
    do {
        before = touches_count_taken(writer);
        touches_run(writer);
    } while (touches_count_taken(writer) < before);
}
