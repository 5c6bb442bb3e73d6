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
#include "policies/tell.h"
#include "policies/write/bytes.h"
#include "policies/write/internal.h"
#include "policies/write/past_rewrite.h"
#include "policies/write/quarantine.h"
#include <stdlib.h>

enum {
    TOUCHES_MAX = 4096, /* that workers may leave to a writer; of those of a journal, all are taken */
    BATCH_TOUCHES = 1000,
    BATCH_SLOTS = 4096,         /* of the table of a batch's keys: more than twice as many */
    BATCH_BYTES_MAX = 16 << 20, /* values of a batch; one more may be above */
    LOOKED_AT_MAX = 8192,       /* touches of a namespace that a run looks at */
    LOAD_MAX = 128,             /* keys per lookup */
    BOUND_EXACT = 1024,         /* up to so many, the bound is always the least version */
    EVER = 1,                   /* a second: what lived then or later */
    REST_US = 200000,           /* for a part of the store that is away; doubled each time */
    REST_LONGEST_US = 2000000,
};

struct touch {
    struct touch *next;  /* fresh, or taken */
    struct touch *chain; /* in by_hash */
    struct space *space;
    uint64_t hash, version, client_cas;
    uint64_t first;   /* the version of the first touch that it stands for: mostly its own */
    uint32_t made_at; /* when that was made, by the clock that rows live by: versions may be ahead */
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

/* Of one namespace. In memory of the heap, for the time of a run. */
struct touch_batch {
    struct space *space;
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

static struct slice key_of(const struct touch *touch) {
    return slice_of(touch->key, touch->key_size);
}

static struct touch **bucket_of(struct touches *touches, uint64_t hash) {
    return &touches->by_hash[hash % TOUCH_BUCKETS];
}

static struct touch_line *line_of(struct writer *writer, const struct space *space) {
    return &writer->touches.lines[space->number];
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

/* ---- Alive when it was touched? ---- */

/* When the row has to be looked up. That with the CAS that the touch was made on was alive, whatever the clock
 * was then: so as of any time, and was_alive decides. */
static uint32_t second_to_ask(const struct touch *touch) {
    return touch->client_cas || touch->made_at == 0 ? EVER : touch->made_at;
}

static bool was_alive(const struct touch *touch, const struct entry *row) {
    uint64_t cas = row->client_cas ? row->client_cas : row->version;
    return row->expires_at == 0 || row->expires_at > touch->made_at || cas == touch->client_cas;
}

bool touches_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash) {
    uint64_t latest = entry->version;
    uint32_t expires_at = 0;
    bool alive = false;
    if (!touches_are_waiting(writer))
        return false;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch *touch = *bucket_of(&writer->touches, hash); touch; touch = touch->chain) {
        if (touch->hash != hash || touch->space != space || touch->version <= entry->version ||
            !slice_equal(key_of(touch), entry->key))
            continue;
        alive |= was_alive(touch, entry);
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
        if (touch->hash == hash && touch->space == space && second_to_ask(touch) < earliest &&
            slice_equal(key_of(touch), key))
            earliest = second_to_ask(touch);
    pthread_mutex_unlock(&writer->mutex);
    return earliest == UINT32_MAX ? 0 : earliest;
}

/* ---- Taken and done ---- */

void touches_take(struct writer *writer) {
    for (struct touch *touch; (touch = pop(&writer->touches.fresh));) {
        struct touch_line *line = line_of(writer, touch->space);
        if (line->taken.count == 0 || touch->first < line->bound)
            line->bound = touch->first;
        push(&line->taken, touch);
    }
}

static void free_list(struct touch_list *list) {
    for (struct touch *touch; (touch = pop(list));)
        free(touch);
}

void touches_free(struct writer *writer) {
    for (size_t i = 0; writer->touches.lines && i < writer->tier->space_count; i++)
        free_list(&writer->touches.lines[i].taken);
    free_list(&writer->touches.fresh);
    free(writer->touches.lines);
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
    TOUCH_WAITS, /* for its entry to be flushed, or its row to be written again */
};

/* The store went back: what it has of the row may be older than what it is to have again, and would be newer by the touch. */
static bool may_touch_older(const struct writer *writer, const struct touch *touch) {
    const struct past_rewrite *past = writer->rewrite.past;
    return at_risk_has(writer, touch->space, touch->hash) &&
           !(past && past_rewrite_has_written(past, touch->hash));
}

/* What memory has is newer: nothing is left to do. What it has is older and not in the backend yet: that has
 * to get there first, where it may turn out that the row is newer still, and the one that was touched. */
static enum touch_fate touch_memory(struct writer *writer, const struct touch *touch) {
    struct cache_time now = tier_now(touch->space->tier);
    struct cache_cursor cursor;
    enum touch_fate fate = TOUCH_ROW;
    cache_seek(writer->tier->cache, touch->space->number, key_of(touch), touch->hash, &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version >= touch->version)
        fate = TOUCH_DONE;
    else if (cursor.presence != CACHE_UNKNOWN && cursor.view.state != CACHE_CLEAN)
        fate = TOUCH_WAITS;
    cache_release(&cursor);
    return fate == TOUCH_ROW && may_touch_older(writer, touch) ? TOUCH_WAITS : fate;
}

/* What memory may have of the row meanwhile is older than the touch. */
static void forget_older(const struct touch *touch) {
    struct cache_time now = tier_now(touch->space->tier);
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
        if (row->touch->hash == touch->hash && slice_equal(row->key, key_of(touch))) {
            if (second_to_ask(touch) < row->then)
                row->then = second_to_ask(touch);
            return row;
        }
    }
    struct touched *row = &batch->rows[batch->row_count++];
    batch->slots[slot] = (uint16_t)batch->row_count;
    *row = (struct touched){.touch = touch, .key = key_of(touch), .then = second_to_ask(touch)};
    return row;
}

static bool keep_row(struct touch_batch *batch, struct touched *row, const struct entry *entry) {
    row->loaded = row->found = true;
    row->row = *entry;
    row->row.key = row->key;
    row->row.value = bytes_copy(&batch->bytes, entry->value);
    return row->row.value.data || !entry->value.size;
}

/* Nothing is to be called for the namespace for a while, and the touches wait for that. */
static enum backend_status put_off(struct space *space) {
    call_put_off(space);
    return BACKEND_TABLE_FAILED;
}

/* What the quarantine holds is newer than the row. */
static bool take_quarantined(struct touch_batch *batch, struct touched *row, bool *ret_taken) {
    struct entry_copy *held = quarantined(row->touch);
    *ret_taken = held != NULL;
    bool kept = !held || keep_row(batch, row, &held->entry);
    entry_copy_drop(held);
    return kept;
}

/* Looks up rows as of the earliest of their moments: a touch may have kept alive what has expired since. What was
 * dead at its own moment is sorted out later. */
static enum backend_status load_rows(struct writer *writer, struct touch_batch *batch, struct touched **rows,
                                     size_t count_rows) {
    struct slice keys[LOAD_MAX] = {{0}};
    struct load_result results[LOAD_MAX] = {{0}};
    uint32_t then = UINT32_MAX;
    for (size_t i = 0; i < count_rows; i++) {
        keys[i] = rows[i]->key;
        then = rows[i]->then < then ? rows[i]->then : then;
    }
    bool partial;
    enum backend_status status =
        call_load_parts_at(writer, batch->space, keys, count_rows, then, results, &partial);
    if (status != BACKEND_OK && !partial)
        return status;
    writer->touches.partial |= partial;
    for (size_t i = 0; i < count_rows; i++) {
        if (partial && results[i].failed)
            continue;
        if (results[i].found && !keep_row(batch, rows[i], &results[i].entry))
            return put_off(batch->space);
        rows[i]->loaded = true;
    }
    return BACKEND_OK;
}

static void tell_unreadable(struct writer *writer, const struct touch_batch *batch,
                            const struct touched *row) {
    tell_of_space(batch->space, &writer->touches.unreadable_lines, LOG_LEVEL_ERROR,
                  "namespace %s: a row cannot be read and is not touched: %s; level debug tells the key",
                  batch->space->options.name, writer->session.error.message);
    tell_key(batch->space, row->key, "the row that is not touched is that of");
}

/* A row that cannot be read is not touched, and the others are. */
static enum backend_status load_patiently(struct writer *writer, struct touch_batch *batch,
                                          struct touched **rows, size_t count_rows) {
    enum backend_status status = load_rows(writer, batch, rows, count_rows);
    if (status != BACKEND_PERMANENT)
        return status;
    for (size_t i = 0; i < count_rows; i++) {
        status = load_rows(writer, batch, &rows[i], 1);
        if (status == BACKEND_PERMANENT) {
            tell_unreadable(writer, batch, rows[i]);
            rows[i]->loaded = true;
        } else if (status != BACKEND_OK) {
            return status;
        }
    }
    return BACKEND_OK;
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
            return put_off(batch->space);
        if (taken)
            continue;
        if (count_rows == LOAD_MAX) {
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
    if (!row->found || entry->version >= touch->version || !was_alive(touch, entry))
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
            batch->mutations[batch->mutation_count++] = (struct mutation){
                .table = &batch->space->options.table, .kind = MUTATION_TOUCH, .entry = batch->rows[i].row};
}

static enum backend_status keep_refused(const struct writer *writer, struct space *space,
                                        const struct mutation *mutations, size_t count_refused) {
    bool kept = quarantine_add(space->quarantine, mutations, count_refused, writer->session.error.message);
    return kept ? BACKEND_OK : put_off(space);
}

/* Where the store refuses rows it names them, or each is found by itself; they are put into the quarantine. */
static enum backend_status apply_patiently(struct writer *writer, struct space *space,
                                           struct mutation *mutations, size_t count_all) {
    bool partial = false;
    enum backend_status status =
        count_all ? call_apply_parts(writer, space, mutations, count_all, &partial) : BACKEND_OK;
    writer->touches.partial |= partial;
    if (status != BACKEND_PERMANENT)
        return partial ? BACKEND_TABLE_FAILED : status; /* they wait, and those of other namespaces do not */
    size_t first = count_all == 1 ? 1 : call_part_refused(mutations, NULL, count_all);
    if (first > 0) {
        status = keep_refused(writer, space, mutations, first);
    } else {
        first = count_all / 2;
        status = apply_patiently(writer, space, mutations, first);
    }
    return status == BACKEND_OK ? apply_patiently(writer, space, mutations + first, count_all - first)
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

static bool is_unknown(const struct touched *row) {
    return !row->loaded;
}

/* The connection over which it was loaded may have been made for that, and have found a store that went back. */
static bool is_owed(const struct touched *row) {
    return may_touch_older(row->touch->space->backend->writer, row->touch);
}

static bool is_changed(const struct touched *row) {
    return row->changed;
}

/* Puts the touches of such rows back to the front of the line, in their order. */
static void put_back(struct touch_list *taken, struct touch_batch *batch,
                     bool (*is_meant)(const struct touched *row)) {
    size_t kept = batch->count;
    for (size_t i = batch->count; i > 0; i--) {
        struct touch *touch = batch->touches[i - 1];
        if (!is_meant(row_of(batch, touch))) {
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

/* Whatever fails, a touch whose row is known and needs no change is done. */
static enum backend_status run_batch(struct writer *writer, struct touch_list *taken,
                                     struct touch_batch *batch) {
    enum backend_status status = load_batch(writer, batch);
    put_back(taken, batch, is_unknown);
    put_back(taken, batch, is_owed);
    make_mutations(batch);
    if (status == BACKEND_OK)
        status = apply_patiently(writer, batch->space, batch->mutations, batch->mutation_count);
    if (status != BACKEND_OK)
        put_back(taken, batch, is_changed);
    end_batch(writer, batch);
    return status;
}

/* Takes those off the line whose row is to be touched now, ends those of which nothing is left to do, and puts those
 * that wait at the end. Returns at how many it has looked. */
static size_t collect(struct writer *writer, struct touch_list *taken, struct touch_batch *batch) {
    size_t most = taken->count < LOOKED_AT_MAX ? taken->count : LOOKED_AT_MAX, looked_at = 0;
    for (; looked_at < most && batch->count < BATCH_TOUCHES; looked_at++) {
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
    return looked_at;
}

/* A round goes once through all that are there as it begins. Behind one in which all wait, they are looked at again when
 * the writer passes by. */
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
        put_back(taken, batch, is_unknown);
    else if (batch->count > 0)
        status = run_batch(writer, taken, batch);
    if (status == BACKEND_OK && taken->count > 0)
        writer->touches.more |= taken->count < before || line->unseen > 0;
    return status;
}

static enum backend_status run_line(struct writer *writer, struct space *space) {
    struct touch_line *line = line_of(writer, space);
    if (line->taken.count == 0)
        return BACKEND_OK;
    struct touch_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return put_off(space);
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

static size_t count_taken(const struct writer *writer) {
    size_t sum = 0;
    for (size_t i = 0; i < writer->tier->space_count; i++)
        sum += writer->touches.lines[i].taken.count;
    return sum;
}

/* As long as there is progress, whosever table fails. */
void touches_settle(struct writer *writer) {
    size_t before;
    pthread_mutex_lock(&writer->mutex);
    touches_take(writer);
    pthread_mutex_unlock(&writer->mutex);
    do {
        before = count_taken(writer);
        touches_run(writer);
    } while (count_taken(writer) < before);
}

/* ---- What is left ---- */

bool touches_wait(const struct writer *writer, const struct space *space) {
    if (space)
        return writer->touches.lines[space->number].taken.count > 0;
    return count_taken(writer) > 0;
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
    uint64_t taken = bound_of(line_of(writer, space), space);
    pthread_mutex_lock(&writer->mutex);
    uint64_t fresh = least_version(&writer->touches.fresh, space);
    pthread_mutex_unlock(&writer->mutex);
    return taken < fresh ? taken : fresh;
}
