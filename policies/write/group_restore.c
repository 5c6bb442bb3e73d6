/* SPDX-License-Identifier: MIT */
/*
 * A store that was lost, or went back, does not have yet what the changes of a group were computed from: memory holds
 * that, and all of it is on its way (rewrite.h). So those rows go there before the group does. Otherwise the store
 * would say that its row is another one, memory would forget the only copy (group_again.c), and an incr would count on
 * from an old value. The same where it shows by a row alone, as the promoted replica of a cluster's master may take
 * some before it is found out: in one and the same store versions only grow.
 */
#include "policies/write/group_item.h"
#include "policies/write/internal.h"

/* What memory holds of the key, be it believed at the moment or not, copied as a row. False: nothing, or no memory for
 * it. */
static bool take_row(struct group *group, const struct request *request, struct mutation *ret_put,
                     bool *ret_no_memory) {
    struct cache *cache = request->space->tier->cache;
    struct cache_time now = tier_now(request->space->tier);
    struct cache_cursor cursor;
    cache_seek(cache, request->space->number, request->key, request->hash, &now, &cursor);
    bool held =
        (cursor.presence == CACHE_PRESENT || cache_is_hidden(&cursor)) && rewrite_is_of_store(&cursor.view);
    if (held) {
        struct slice value = bytes_copy(&group->bytes, cursor.view.value);
        held = value.data != NULL || cursor.view.value.size == 0;
        *ret_no_memory = !held;
        *ret_put = (struct mutation){.table = &request->space->options.table,
                                     .kind = MUTATION_PUT,
                                     .entry = rewrite_entry(&cursor.view, request->key, value)};
    }
    cache_release(&cursor);
    return held;
}

static size_t gather_rows(struct group *group) {
    size_t gathered = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        bool no_memory = false;
        item->restored = item->fate == ITEM_FINE && !group_earlier_item(group, i) &&
                         take_row(group, request_of(item), &group->some[gathered], &no_memory);
        gathered += item->restored;
        if (no_memory) /* nothing to compute from, as below */
            item->fate = ITEM_FAILED;
    }
    return gathered;
}

/* What cannot be put back, as its part of the store is away, is nothing to compute from. */
static void fail_missing(struct group *group) {
    size_t at = 0;
    for (size_t i = 0; i < group->count; i++)
        if (group->items[i].restored && !group->some[at++].done)
            group->items[i].fate = ITEM_FAILED;
}

/* Some row, or some table, is refused: as its changes will be, and told then. Of a part that is away as above. */
static enum backend_status put_one_by_one(struct writer *writer) {
    struct group *group = &writer->group;
    enum backend_status status = BACKEND_OK;
    size_t at = 0;
    bool partial = false;
    for (size_t i = 0; i < group->count && (status != BACKEND_TRANSIENT || partial); i++) {
        struct group_item *item = &group->items[i];
        if (!item->restored)
            continue;
        status = call_apply_parts(writer, request_of(item)->space, &group->some[at++], 1, &partial);
        item->fate = partial ? ITEM_FAILED : item->fate;
    }
    return status == BACKEND_TRANSIENT && !partial ? status : BACKEND_OK;
}

bool group_restore(struct writer *writer) {
    struct group *group = &writer->group;
    size_t rows = rewrite_is_running(writer) || group->is_behind ? gather_rows(group) : 0;
    bool partial;
    if (rows == 0)
        return true;
    enum backend_status status = call_apply_parts(writer, NULL, group->some, rows, &partial);
    if (partial)
        fail_missing(group);
    else if (status == BACKEND_PERMANENT || status == BACKEND_TABLE_FAILED)
        status = put_one_by_one(writer);
    group->is_behind &= status != BACKEND_OK && !partial;
    return status == BACKEND_OK || partial;
}
