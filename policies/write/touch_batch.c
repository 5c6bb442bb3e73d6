/* SPDX-License-Identifier: MIT */
/* See touch_batch.h. */
#include "policies/write/touch_batch.h"
#include "policies/tell.h"
#include "policies/write/past_rewrite.h"
#include "policies/write/quarantine.h"

enum {
    BATCH_BYTES_MAX = 16 << 20, /* values of a batch; one more may be above */
    LOAD_MAX = 128,             /* keys per lookup */
};

bool touch_row_may_be_older(const struct writer *writer, const struct touch *touch) {
    const struct past_rewrite *past = writer->rewrite.past;
    return at_risk_has(writer, touch->space, touch->hash) &&
           !(past && past_rewrite_has_written(past, touch->hash));
}

enum backend_status touch_put_off(struct space *space) {
    call_put_off(space);
    return BACKEND_TABLE_FAILED;
}

/* ---- Rows ---- */

/* The row of the touch, added if it is the first of its key. Of an earlier touch that comes later: as of that. */
static struct touched *row_of(struct touch_batch *batch, const struct touch *touch) {
    size_t slot = (touch->hash >> 8) % TOUCH_BATCH_SLOTS;
    for (; batch->slots[slot]; slot = (slot + 1) % TOUCH_BATCH_SLOTS) {
        struct touched *row = &batch->rows[batch->slots[slot] - 1];
        if (row->touch->hash == touch->hash && slice_equal(row->key, touch_key(touch))) {
            if (touch_second_to_ask(touch) < row->then)
                row->then = touch_second_to_ask(touch);
            return row;
        }
    }
    struct touched *row = &batch->rows[batch->row_count++];
    batch->slots[slot] = (uint16_t)batch->row_count;
    *row = (struct touched){.touch = touch, .key = touch_key(touch), .then = touch_second_to_ask(touch)};
    return row;
}

static bool keep_row(struct touch_batch *batch, struct touched *row, const struct entry *entry) {
    row->loaded = row->found = true;
    row->row = *entry;
    row->row.key = row->key;
    row->row.value = bytes_copy(&batch->bytes, entry->value);
    return row->row.value.data || !entry->value.size;
}

void touch_batch_add(struct touch_batch *batch, struct touch *touch) {
    batch->touches[batch->count++] = touch;
    row_of(batch, touch);
}

/* The entry that is quarantined under the key, unless that is a delete. */
static struct entry_copy *quarantined(const struct touch *touch) {
    bool deleted = false;
    struct entry_copy *copy = quarantine_find(touch->space->quarantine, touch_key(touch), &deleted);
    if (deleted) {
        entry_copy_drop(copy);
        return NULL;
    }
    return copy;
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
            return touch_put_off(batch->space);
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
            return touch_put_off(batch->space);
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

/* ---- Mutations ---- */

/* Over what the touches before have made of the row, if it was alive at the time. */
static void touch_over(struct touched *row, const struct touch *touch) {
    struct entry *entry = &row->row;
    if (!row->found || entry->version >= touch->version || !touch_was_alive(touch, entry))
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
    return kept ? BACKEND_OK : touch_put_off(space);
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

/* ---- Put back, and done ---- */

static bool is_unknown(const struct touched *row) {
    return !row->loaded;
}

/* The connection over which it was loaded may have been made for that, and have found a store that went back. */
static bool is_owed(const struct touched *row) {
    return touch_row_may_be_older(row->touch->space->backend->writer, row->touch);
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

void touch_batch_put_back(struct touch_batch *batch, struct touch_list *taken) {
    put_back(taken, batch, is_unknown);
}

/* What memory may have of the row meanwhile is older than the touch. */
static void forget_older(const struct touch *touch) {
    struct cache_time now = tier_now(touch->space->tier);
    struct cache_cursor cursor;
    cache_seek(touch->space->tier->cache, touch->space->number, touch_key(touch), touch->hash, &now, &cursor);
    if (cursor.presence == CACHE_UNKNOWN || /* what is being loaded now is older too */
        (cursor.view.state == CACHE_CLEAN && cursor.view.version < touch->version))
        cache_forget(&cursor);
    cache_release(&cursor);
}

/* What memory has of the rows is forgotten before the touches are: a reader asks for one or the other. */
static void end_batch(struct writer *writer, struct touch_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (row_of(batch, batch->touches[i])->changed)
            forget_older(batch->touches[i]);
    for (size_t i = 0; i < batch->count; i++)
        touch_end(writer, batch->touches[i]);
}

enum backend_status touch_batch_run(struct writer *writer, struct touch_list *taken,
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
