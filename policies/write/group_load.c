/* SPDX-License-Identifier: MIT */
/* What the items of a group are evaluated on: what memory knows of their keys, or the rows that the store has. */
#include "policies/write/group_item.h"
#include "policies/write/internal.h"

enum { LOAD_MAX = 128 /* keys per lookup */ };

/* Takes what memory knows of the key out of it, at once: it may be evicted before it is evaluated. Nobody but
 * this thread changes the entry meanwhile. A remembered absence is not knowledge: other writers may have inserted the
 * row. False: no memory. */
static bool look_into_memory(struct group *group, struct group_item *item, const struct cache_time *now) {
    const struct request *request = request_of(item);
    struct cache_cursor cursor;
    cache_seek(request->space->tier->cache, request->space->number, request->key, request->hash, now,
               &cursor);
    if (cache_is_absence(&cursor))
        cache_forget(&cursor);
    item->known = cursor.presence != CACHE_UNKNOWN;
    item->before_exists = cursor.presence == CACHE_PRESENT;
    bool copied = true;
    if (item->before_exists) {
        item->before = cursor.view;
        item->before.key = request->key;
        item->before.value = bytes_copy(&group->bytes, cursor.view.value);
        item->before.large = NULL;
        copied = item->before.value.data != NULL;
    }
    cache_release(&cursor);
    return copied;
}

/* Finds out whether the row has to be loaded. False: no memory. */
static bool look(struct group *group, size_t index, const struct cache_time *now) {
    struct group_item *item = &group->items[index];
    const struct request *request = request_of(item);
    enum need need = evaluate_need(request);
    item->needs_row = item->known = item->before_exists = item->unfit = false;
    if (need == NEED_NOTHING || group_earlier_item(group, index))
        return true;
    if (!look_into_memory(group, item, now))
        return false;
    if (item->known && !item->asks)
        return true;
    item->answered_blindly = need == NEED_EXISTENCE && item->tries == 0 && /* memory has known it, else */
                             request->space->options.existence == EXISTENCE_MEMORY;
    item->needs_row = !item->answered_blindly || command_kind(request->command) == KIND_TOUCH;
    return true;
}

static bool keep_row(struct group *group, struct group_item *item, const struct load_result *result) {
    struct cache_time now = tier_now(request_of(item)->space->tier);
    if (item->asks)
        group_forget_copy(request_of(item), &now);
    item->known &= !item->asks;
    item->row_found = result->found;
    item->unfit = result->unfit;
    if (!result->found || result->unfit)
        return true;
    item->row = result->entry;
    item->row.key = request_of(item)->key;
    item->row.value = bytes_copy(&group->bytes, result->entry.value);
    return item->row.value.data != NULL || result->entry.value.size == 0;
}

/* Loads the rows of these items: at most LOAD_MAX, all of one namespace. */
static enum backend_status load_rows(struct writer *writer, const size_t *indices, size_t count_rows) {
    struct group *group = &writer->group;
    struct slice keys[LOAD_MAX] = {{0}};
    struct load_result results[LOAD_MAX];
    struct space *space = request_of(&group->items[indices[0]])->space;
    for (size_t i = 0; i < count_rows; i++)
        keys[i] = request_of(&group->items[indices[i]])->key;
    bool partial;
    enum backend_status status = call_load_parts(writer, space, keys, count_rows, results, &partial);
    for (size_t i = 0; (status == BACKEND_OK || partial) && i < count_rows; i++)
        if (partial && results[i].failed)
            group->items[indices[i]].fate = ITEM_FAILED;
        else if (!keep_row(group, &group->items[indices[i]], &results[i]))
            return BACKEND_TRANSIENT;
    return partial ? BACKEND_OK : status;
}

/* A row that cannot be read fails its item alone. */
static enum backend_status load_one_by_one(struct writer *writer, const size_t *indices, size_t count_rows) {
    for (size_t i = 0; i < count_rows; i++) {
        enum backend_status status = load_rows(writer, &indices[i], 1);
        struct group_item *item = &writer->group.items[indices[i]];
        if (status == BACKEND_TRANSIENT)
            return status;
        if (status == BACKEND_PERMANENT)
            space_note_unreadable(request_of(item)->space, request_of(item)->key,
                                  writer->session.error.message);
        if (status != BACKEND_OK)
            item->fate = ITEM_FAILED;
    }
    return BACKEND_OK;
}

static enum backend_status load_step(struct writer *writer, const size_t *indices, size_t count_rows) {
    enum backend_status status = count_rows ? load_rows(writer, indices, count_rows) : BACKEND_OK;
    if (status == BACKEND_PERMANENT)
        return load_one_by_one(writer, indices, count_rows);
    if (status != BACKEND_TABLE_FAILED)
        return status;
    for (size_t i = 0; i < count_rows; i++)
        writer->group.items[indices[i]].fate = ITEM_FAILED;
    return BACKEND_OK;
}

enum backend_status group_load(struct writer *writer, const struct cache_time *now) {
    struct group *group = &writer->group;
    size_t indices[LOAD_MAX], waiting = 0;
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < group->count && status == BACKEND_OK; i++) {
        struct group_item *item = &group->items[i];
        if (!look(group, i, now))
            return BACKEND_TRANSIENT;
        if (!item->needs_row)
            continue;
        if (waiting == LOAD_MAX ||
            (waiting > 0 && request_of(&group->items[indices[0]])->space != request_of(item)->space)) {
            status = load_step(writer, indices, waiting);
            waiting = 0;
        }
        indices[waiting++] = i;
    }
    return status == BACKEND_OK ? load_step(writer, indices, waiting) : status;
}
