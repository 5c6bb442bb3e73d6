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
 *                                             `-- stays while its entry has to be flushed first, or its row
 *                                                 to be written again (rewrite.h), or the backend, or its
 *                                                 table in it, is away
 *
 * Those that are taken stand in a line for each namespace, so that none waits for the table of another. A run
 * takes a batch off the front of each, whose rows are loaded together and written in one commit. Several touches
 * of one row become one: each is applied to what the one before has made of it, if that was alive then.
 */
#include "policies/write/touches.h"
#include "policies/write/touch.h"
#include <stdlib.h>

enum {
    TOUCHES_MAX = 4096, /* that workers may leave to a writer; of those of a journal, all are taken */
    BOUND_EXACT = 1024, /* up to so many, the bound is always the least version */
};

/* ---- The lists ---- */

static struct touch **bucket_of(struct touches *touches, uint64_t hash) {
    return &touches->by_hash[hash % TOUCH_BUCKETS];
}

/* With the mutex. */
static void link_touch(struct touches *touches, struct touch *touch) {
    struct touch **bucket = bucket_of(touches, touch->hash);
    touch_push(&touches->fresh, touch);
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

bool touches_init(struct writer *writer) {
    writer->touches.lines = calloc(CACHE_SPACES_MAX, sizeof *writer->touches.lines);
    return writer->touches.lines != NULL;
}

bool touches_add(struct writer *writer, struct space *space, const struct entry *entry, uint64_t hash) {
    struct touch touch = {.space = space,
                          .hash = hash,
                          .version = entry->version,
                          .first = entry->version,
                          .made_at = entry->flags,
                          .expires_at = entry->expires_at};
    return add(writer, touch, entry->key, true);
}

uint32_t touches_second_of(const struct entry *entry) {
    uint64_t second = version_us(entry->version) / US_PER_SECOND;
    uint32_t now = (uint32_t)(wall_us() / US_PER_SECOND);
    if (!entry->client_cas && entry->flags)
        return entry->flags;
    return second < now ? (uint32_t)second : now;
}

bool touches_recover(struct writer *writer, struct space *space, const struct entry *entry, uint64_t first,
                     uint32_t made_at) {
    struct touch touch = {.space = space,
                          .hash = cache_hash(writer->tier->cache, entry->key),
                          .version = entry->version,
                          .client_cas = entry->client_cas,
                          .first = first,
                          .made_at = made_at,
                          .expires_at = entry->expires_at};
    return add(writer, touch, entry->key, false);
}

bool touches_are_waiting(const struct writer *writer) {
    return atomic_load(&writer->touches.waiting) > 0;
}

/* ---- What readers find ---- */

bool touches_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash) {
    uint64_t latest = entry->version;
    uint32_t expires_at = 0;
    bool alive = false;
    if (!touches_are_waiting(writer))
        return false;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch *touch = *bucket_of(&writer->touches, hash); touch; touch = touch->chain) {
        if (touch->hash != hash || touch->space != space || touch->version <= entry->version ||
            !slice_equal(touch_key(touch), entry->key))
            continue;
        alive |= touch_was_alive(touch, entry);
        if (touch->version > latest) {
            latest = touch->version;
            expires_at = touch->expires_at;
        }
    }
    pthread_mutex_unlock(&writer->mutex);
    if (alive)
        entry->expires_at = expires_at;
    return alive;
}

uint32_t touches_made_at(struct writer *writer, const struct space *space, struct slice key, uint64_t hash) {
    uint32_t earliest = UINT32_MAX;
    if (!touches_are_waiting(writer))
        return 0;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch *touch = *bucket_of(&writer->touches, hash); touch; touch = touch->chain)
        if (touch->hash == hash && touch->space == space && touch_second_to_ask(touch) < earliest &&
            slice_equal(touch_key(touch), key))
            earliest = touch_second_to_ask(touch);
    pthread_mutex_unlock(&writer->mutex);
    return earliest == UINT32_MAX ? 0 : earliest;
}

/* ---- Taken and done ---- */

void touches_take(struct writer *writer) {
    for (struct touch *touch; (touch = touch_pop(&writer->touches.fresh));) {
        struct touch_line *line = touch_line_of(writer, touch->space);
        if (line->taken.count == 0 || touch->first < line->bound)
            line->bound = touch->first;
        touch_push(&line->taken, touch);
    }
}

static void free_list(struct touch_list *list) {
    for (struct touch *touch; (touch = touch_pop(list));)
        free(touch);
}

void touches_free(struct writer *writer) {
    for (size_t i = 0; writer->touches.lines && i < writer->tier->space_count; i++)
        free_list(&writer->touches.lines[i].taken);
    free_list(&writer->touches.fresh);
    free(writer->touches.lines);
}

void touch_end(struct writer *writer, struct touch *touch) {
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

/* ---- What is left ---- */

size_t touches_count_taken(const struct writer *writer) {
    size_t sum = 0;
    for (size_t i = 0; i < writer->tier->space_count; i++)
        sum += writer->touches.lines[i].taken.count;
    return sum;
}

bool touches_wait(const struct writer *writer, const struct space *space) {
    if (space)
        return writer->touches.lines[space->number].taken.count > 0;
    return touches_count_taken(writer) > 0;
}

static uint64_t least_version(const struct touch_list *list, const struct space *space) {
    uint64_t least = UINT64_MAX;
    for (const struct touch *touch = list->first; touch; touch = touch->next)
        if (touch->space == space && touch->first < least)
            least = touch->first;
    return least;
}

/* Of many, the least is looked for again only when half of them are done. */
static uint64_t bound_of(struct touch_line *line, const struct space *space) {
    size_t count_now = line->taken.count;
    if (count_now <= BOUND_EXACT || count_now < line->bound_count / 2) {
        line->bound = least_version(&line->taken, space);
        line->bound_count = count_now;
    } else if (line->bound_count < count_now) {
        line->bound_count = count_now;
    }
    return line->bound;
}

uint64_t touches_bound(struct writer *writer, const struct space *space) {
    if (!touches_are_waiting(writer))
        return UINT64_MAX;
    uint64_t taken = bound_of(touch_line_of(writer, space), space);
    pthread_mutex_lock(&writer->mutex);
    uint64_t fresh = least_version(&writer->touches.fresh, space);
    pthread_mutex_unlock(&writer->mutex);
    return taken < fresh ? taken : fresh;
}
