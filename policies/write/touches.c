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
 *                                                 backend is away
 *
 * A run takes a batch off the front, whose rows are loaded together and written in one commit. Several touches
 * of one row become one: each is applied to what the one before has made of it.
 */
#include "policies/write/touches.h"
#include "policies/write/bytes.h"
#include "policies/write/internal.h"
#include "policies/write/quarantine.h"
#include <stdlib.h>

enum {
    TOUCHES_MAX = 4096, /* that workers may leave to a writer; of those of a journal, all are taken */
    BATCH_TOUCHES = 1000,
    BATCH_SLOTS = 4096,         /* of the table of a batch's keys: more than twice as many */
    BATCH_BYTES_MAX = 16 << 20, /* values of a batch; one more may be above */
    LOOKED_AT_MAX = 8192,       /* touches that a run looks at */
    LOAD_MAX = 128,             /* keys per lookup */
    BOUND_EXACT = 1024,         /* up to so many, the bound is always the least version */
};

struct touch {
    struct touch *next;  /* fresh, or taken */
    struct touch *chain; /* in by_hash */
    struct space *space;
    uint64_t hash, version, client_cas;
    uint64_t made; /* the version of the first touch that it stands for: mostly its own */
    uint32_t expires_at;
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

/* A row that touches of a batch are about. */
struct touched {
    const struct touch *touch; /* the first of them */
    struct slice key;
    uint32_t then; /* when it has to be looked up */
    bool loaded, found, changed;
    struct entry row; /* as the touches so far have left it */
};

/* In memory of the heap, for the time of a run. */
struct touch_batch {
    struct touch *touches[BATCH_TOUCHES];
    size_t count;
    struct touched rows[BATCH_TOUCHES];
    size_t row_count;
    uint16_t slots[BATCH_SLOTS]; /* by hash: index of a row, and one; 0: none */
    struct mutation mutations[BATCH_TOUCHES];
    size_t mutation_count;
    struct bytes bytes;
};

/* ---- The lists ---- */

static uint32_t second_of(uint64_t version) {
    return (uint32_t)(version_us(version) / 1000000);
}

static struct slice key_of(const struct touch *touch) {
    return slice_of(touch->key, touch->key_size);
}

static struct touch **bucket_of(struct touches *touches, uint64_t hash) {
    return &touches->by_hash[hash % TOUCH_BUCKETS];
}

static void push(struct touch_list *list, struct touch *touch) {
    touch->next = NULL;
    if (list->last)
        list->last->next = touch;
    else
        list->first = touch;
    list->last = touch;
    list->count++;
}

static struct touch *pop(struct touch_list *list) {
    struct touch *touch = list->first;
    if (!touch)
        return NULL;
    list->first = touch->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    return touch;
}

/* With the mutex. */
static void link_touch(struct touches *touches, struct touch *touch) {
    struct touch **bucket = bucket_of(touches, touch->hash);
    push(&touches->fresh, touch);
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

bool touches_add(struct writer *writer, struct space *space, struct slice key, uint64_t hash,
                 uint64_t version, uint32_t expires_at) {
    struct touch touch = {
        .space = space, .hash = hash, .version = version, .made = version, .expires_at = expires_at};
    return add(writer, touch, key, true);
}

bool touches_recover(struct writer *writer, struct space *space, const struct entry *entry, uint64_t made) {
    struct touch touch = {.space = space,
                          .hash = cache_hash(entry->key),
                          .version = entry->version,
                          .client_cas = entry->client_cas,
                          .made = made,
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

uint32_t touches_made_at(struct writer *writer, const struct space *space, struct slice key, uint64_t hash) {
    uint64_t made = UINT64_MAX;
    if (!touches_are_waiting(writer))
        return 0;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch *touch = *bucket_of(&writer->touches, hash); touch; touch = touch->chain)
        if (touch->hash == hash && touch->space == space && touch->made < made &&
            slice_equal(key_of(touch), key))
            made = touch->made;
    pthread_mutex_unlock(&writer->mutex);
    return made == UINT64_MAX ? 0 : second_of(made);
}

void touches_take(struct writer *writer) {
    struct touches *touches = &writer->touches;
    if (touches->taken.count == 0)
        touches->bound = UINT64_MAX;
    for (struct touch *touch; (touch = pop(&touches->fresh));) {
        touches->bound = touch->version < touches->bound ? touch->version : touches->bound;
        push(&touches->taken, touch);
    }
}

static void free_list(struct touch_list *list) {
    for (struct touch *touch; (touch = pop(list));)
        free(touch);
}

void touches_free(struct writer *writer) {
    free_list(&writer->touches.taken);
    free_list(&writer->touches.fresh);
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
    TOUCH_ROW,   /* the row has to be touched */
    TOUCH_WAITS, /* for its entry to be flushed */
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

/* ---- A batch: its rows ---- */

/* The row of the touch, added if it is the first of its key. Of an earlier touch that comes later: as of that. */
static struct touched *row_of(struct touch_batch *batch, const struct touch *touch) {
    size_t slot = (touch->hash >> 8) % BATCH_SLOTS;
    for (; batch->slots[slot]; slot = (slot + 1) % BATCH_SLOTS) {
        struct touched *row = &batch->rows[batch->slots[slot] - 1];
        if (row->touch->hash == touch->hash && row->touch->space == touch->space &&
            slice_equal(row->key, key_of(touch))) {
            if (second_of(touch->made) < row->then)
                row->then = second_of(touch->made);
            return row;
        }
    }
    struct touched *row = &batch->rows[batch->row_count++];
    batch->slots[slot] = (uint16_t)batch->row_count;
    *row = (struct touched){.touch = touch, .key = key_of(touch), .then = second_of(touch->made)};
    return row;
}

static bool keep_row(struct touch_batch *batch, struct touched *row, const struct entry *entry) {
    row->loaded = row->found = true;
    row->row = *entry;
    row->row.key = row->key;
    row->row.value = bytes_copy(&batch->bytes, entry->value);
    return row->row.value.data || !entry->value.size;
}

/* What the quarantine holds is newer than the row. */
static bool take_quarantined(struct touch_batch *batch, struct touched *row, bool *ret_taken) {
    struct entry_copy *held = quarantined(row->touch);
    *ret_taken = held != NULL;
    bool kept = !held || keep_row(batch, row, &held->entry);
    entry_copy_drop(held);
    return kept;
}

/* Looks up rows of one namespace, as of the earliest of their moments: a touch may have kept alive what has expired
 * since. What was dead at its own moment is sorted out later. */
static enum backend_status load_rows(struct writer *writer, struct touch_batch *batch, struct touched **rows,
                                     size_t count_rows) {
    struct slice keys[LOAD_MAX];
    struct load_result results[LOAD_MAX] = {{0}};
    uint32_t then = UINT32_MAX;
    for (size_t i = 0; i < count_rows; i++) {
        keys[i] = rows[i]->key;
        then = rows[i]->then < then ? rows[i]->then : then;
    }
    enum backend_status status = call_load_at(writer, rows[0]->touch->space, keys, count_rows, then, results);
    for (size_t i = 0; status == BACKEND_OK && i < count_rows; i++)
        rows[i]->loaded = true;
    for (size_t i = 0; status == BACKEND_OK && i < count_rows; i++)
        if (results[i].found && !keep_row(batch, rows[i], &results[i].entry))
            status = BACKEND_TRANSIENT;
    return status;
}

/* A row that cannot be read is not touched, and the others are. */
static enum backend_status load_patiently(struct writer *writer, struct touch_batch *batch,
                                          struct touched **rows, size_t count_rows) {
    enum backend_status status = load_rows(writer, batch, rows, count_rows);
    if (status != BACKEND_PERMANENT)
        return status;
    for (size_t i = 0; i < count_rows && status != BACKEND_TRANSIENT; i++) {
        status = load_rows(writer, batch, &rows[i], 1);
        rows[i]->loaded = true;
        if (status == BACKEND_PERMANENT)
            service_log(&writer->tier->service, LOG_LEVEL_ERROR,
                        "namespace %s: the row of %.*s cannot be read and is not touched: %s",
                        rows[i]->touch->space->options.name, (int)rows[i]->key.size, rows[i]->key.data,
                        writer->session.error.message);
    }
    return status == BACKEND_TRANSIENT ? status : BACKEND_OK;
}

/* As many rows as may be held in memory. */
static enum backend_status load_batch(struct writer *writer, struct touch_batch *batch) {
    struct touched *rows[LOAD_MAX];
    size_t count_rows = 0;
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < batch->row_count && status == BACKEND_OK; i++) {
        struct touched *row = &batch->rows[i];
        bool taken;
        if (!take_quarantined(batch, row, &taken))
            return BACKEND_TRANSIENT;
        if (taken)
            continue;
        if (count_rows == LOAD_MAX || (count_rows > 0 && rows[0]->touch->space != row->touch->space)) {
            status = load_patiently(writer, batch, rows, count_rows);
            count_rows = 0;
        }
        if (batch->bytes.used >= BATCH_BYTES_MAX)
            break;
        rows[count_rows++] = row;
    }
    return status == BACKEND_OK && count_rows > 0 ? load_patiently(writer, batch, rows, count_rows) : status;
}

/* ---- A batch: its touches ---- */

/* Over what the touches before have made of the row, if it was alive at the time. */
static void touch_over(struct touched *row, const struct touch *touch) {
    struct entry *entry = &row->row;
    if (!row->found || entry->version >= touch->version ||
        (entry->expires_at && entry->expires_at <= second_of(touch->made)))
        return;
    entry->client_cas = touch->client_cas   ? touch->client_cas
                        : entry->client_cas ? entry->client_cas
                                            : entry->version;
    entry->version = touch->version;
    entry->expires_at = touch->expires_at;
    row->changed = true;
}

static void make_mutations(struct touch_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        touch_over(row_of(batch, batch->touches[i]), batch->touches[i]);
    for (size_t i = 0; i < batch->row_count; i++)
        if (batch->rows[i].changed)
            batch->mutations[batch->mutation_count++] =
                (struct mutation){.table = &batch->rows[i].touch->space->options.table,
                                  .kind = MUTATION_TOUCH,
                                  .entry = batch->rows[i].row};
}

static struct space *space_of(const struct writer *writer, const struct mutation *mutation) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (&writer->flushers[i].space->options.table == mutation->table)
            return writer->flushers[i].space;
    return NULL;
}

/* Where the store refuses a row it is found by itself, and put into the quarantine. */
static enum backend_status apply_patiently(struct writer *writer, struct mutation *mutations,
                                           size_t count_all) {
    enum backend_status status = count_all ? call_apply(writer, mutations, count_all) : BACKEND_OK;
    if (status != BACKEND_PERMANENT)
        return status;
    if (count_all == 1)
        return quarantine_add(space_of(writer, mutations)->quarantine, MUTATION_TOUCH, &mutations->entry,
                              writer->session.error.message)
                   ? BACKEND_OK
                   : BACKEND_TRANSIENT;
    status = apply_patiently(writer, mutations, count_all / 2);
    return status == BACKEND_OK
               ? apply_patiently(writer, mutations + count_all / 2, count_all - count_all / 2)
               : status;
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

/* What memory has of the rows is forgotten before the touches are: a reader asks for one or the other. */
static void end_batch(struct writer *writer, struct touch_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (row_of(batch, batch->touches[i])->changed)
            forget_older(batch->touches[i]);
    for (size_t i = 0; i < batch->count; i++)
        end_touch(writer, batch->touches[i]);
}

/* Puts the touches whose rows are not loaded (all: every one) back to the front of the list, in their order. */
static void put_back(struct touch_list *taken, struct touch_batch *batch, bool all) {
    size_t kept = batch->count;
    for (size_t i = batch->count; i > 0; i--) {
        struct touch *touch = batch->touches[i - 1];
        if (!all && row_of(batch, touch)->loaded) {
            batch->touches[--kept] = touch;
            continue;
        }
        touch->next = taken->first;
        taken->first = touch;
        taken->last = taken->last ? taken->last : touch;
        taken->count++;
    }
    batch->count -= kept;
    memmove(batch->touches, batch->touches + kept, batch->count * sizeof(struct touch *));
}

static void run_batch(struct writer *writer, struct touch_batch *batch) {
    enum backend_status status = BACKEND_TRANSIENT;
    if (call_is_admitted(writer))
        status = load_batch(writer, batch);
    if (status == BACKEND_OK) {
        put_back(&writer->touches.taken, batch, false);
        make_mutations(batch);
        status = apply_patiently(writer, batch->mutations, batch->mutation_count);
    }
    writer->touches.failed = status != BACKEND_OK;
    if (status == BACKEND_OK)
        end_batch(writer, batch);
    else
        put_back(&writer->touches.taken, batch, true);
}

/* Takes those off the list whose row is to be touched now, ends those of which nothing is left to do, and puts those
 * that wait at the end. */
static void collect(struct writer *writer, struct touch_batch *batch) {
    struct touch_list *taken = &writer->touches.taken;
    size_t left = taken->count < LOOKED_AT_MAX ? taken->count : LOOKED_AT_MAX;
    for (; left > 0 && batch->count < BATCH_TOUCHES; left--) {
        struct touch *touch = pop(taken);
        switch (touch_memory(writer, touch)) {
        case TOUCH_DONE:
            end_touch(writer, touch);
            break;
        case TOUCH_WAITS:
            push(taken, touch);
            break;
        case TOUCH_ROW:
            batch->touches[batch->count++] = touch;
            row_of(batch, touch);
            break;
        }
    }
}

void touches_run(struct writer *writer) {
    struct touches *touches = &writer->touches;
    size_t before = touches->taken.count;
    touches->failed = touches->more = false;
    if (before == 0)
        return;
    struct touch_batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        touches->failed = true;
        return;
    }
    collect(writer, batch);
    if (batch->count > 0)
        run_batch(writer, batch);
    touches->more = !touches->failed && touches->taken.count > 0 &&
                    (touches->taken.count < before || before > LOOKED_AT_MAX);
    bytes_free(&batch->bytes);
    free(batch);
}

void touches_settle(struct writer *writer) {
    struct touches *touches = &writer->touches;
    size_t before;
    pthread_mutex_lock(&writer->mutex);
    touches_take(writer);
    pthread_mutex_unlock(&writer->mutex);
    do {
        before = touches->taken.count;
        touches_run(writer);
    } while (!touches->failed && touches->taken.count < before);
}

/* ---- What is left ---- */

bool touches_wait(const struct writer *writer, const struct space *space) {
    for (const struct touch *touch = writer->touches.taken.first; touch; touch = touch->next)
        if (!space || touch->space == space)
            return true;
    return false;
}

static uint64_t least_version(const struct touch_list *list) {
    uint64_t least = UINT64_MAX;
    for (const struct touch *touch = list->first; touch; touch = touch->next)
        least = touch->version < least ? touch->version : least;
    return least;
}

/* Of many, the least is looked for again only when half of them are done. */
uint64_t touches_bound(struct writer *writer) {
    struct touches *touches = &writer->touches;
    if (!touches_are_waiting(writer))
        return UINT64_MAX;
    if (touches->taken.count <= BOUND_EXACT || touches->taken.count < touches->bound_count / 2) {
        touches->bound = least_version(&touches->taken);
        touches->bound_count = touches->taken.count;
    } else if (touches->bound_count < touches->taken.count) {
        touches->bound_count = touches->taken.count;
    }
    pthread_mutex_lock(&writer->mutex);
    uint64_t fresh = least_version(&touches->fresh);
    pthread_mutex_unlock(&writer->mutex);
    return fresh < touches->bound ? fresh : touches->bound;
}
