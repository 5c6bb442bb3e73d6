/* SPDX-License-Identifier: MIT */
/* A group is done: memory has what it came to, and the clients are answered; what has to be evaluated anew stays. */
#include "policies/row.h"
#include "policies/write/group_item.h"
#include "policies/write/internal.h"

/* ---- Memory ---- */

static void store_result(struct cache_cursor *cursor, const struct group_item *item) {
    const struct cache_view *view = &item->result;
    struct cache_write write = {.value = view->value,
                                .version = view->version,
                                .client_cas = view->client_cas,
                                .flags = view->flags,
                                .expires_at = view->expires_at,
                                .marks = view->marks};
    if (cursor->presence == CACHE_PRESENT && cursor->view.version > view->version)
        return; /* a reader brought something newer, from another node */
    if (cache_store(cursor, &write) != CACHE_OK)
        cache_forget(cursor);
}

static void vivify(struct cache_cursor *cursor, const struct group_item *item) {
    struct cache_write write = {.value = SLICE(""),
                                .version = item->outcome.view.version,
                                .client_cas = item->change.client_cas,
                                .flags = item->change.flags,
                                .expires_at = item->change.expires_at,
                                .marks = item->change.marks};
    if (cursor->presence != CACHE_PRESENT)
        cache_store(cursor, &write);
}

/* It has failed, and the store was never asked for it: what memory has is as good as before. */
static bool is_untried(const struct group *group, const struct group_item *item) {
    return item->mutation >= 0 && item->fate != ITEM_FINE && group->mutations[item->mutation].attempts == 0;
}

static void update_memory(struct group *group, const struct group_item *item, const struct cache_time *now) {
    const struct request *request = request_of(item);
    struct cache_cursor cursor;
    if (is_untried(group, item))
        return;
    bool marks = item->change.kind == CHANGE_MARKS, vivifies = item->change.kind == CHANGE_VIVIFY;
    if (item->mutation < 0 && (item->fate != ITEM_FINE || (!marks && !vivifies && !item->change.hit)))
        return;
    cache_seek(request->space->tier->cache, request->space->number, request->key, request->hash, now,
               &cursor);
    /* The result is stored over the entry; but what is touched is the same entry afterwards. */
    bool was_fetched = item->change.kind == CHANGE_TOUCH && item->mutation >= 0 &&
                       cursor.presence == CACHE_PRESENT && cursor.view.fetched;
    if (item->mutation < 0 && vivifies)
        vivify(&cursor, item);
    else if (item->mutation < 0 && marks && cursor.presence == CACHE_PRESENT)
        cache_set_marks(&cursor, item->change.marks);
    else if (item->mutation >= 0 && item->fate == ITEM_FINE && item->exists &&
             !group->mutations[item->mutation].superseded)
        store_result(&cursor, item);
    else if (item->mutation >= 0)
        cache_forget(&cursor);
    if ((item->change.hit || was_fetched) && cursor.presence == CACHE_PRESENT)
        cache_hit(&cursor);
    cache_release(&cursor);
}

/* ---- Answers ---- */

static void keep_answer(struct writer *writer, struct group_item *item) {
    struct tier_ticket *ticket = item->ticket;
    item->outcome.ttl_now =
        item->outcome.ttl_now ? item->outcome.ttl_now : tier_now(writer->backend->tier).seconds;
    if (item->fate == ITEM_REFUSED)
        ticket_fail(ticket, ERROR_BACKEND_REFUSES, "SERVER_ERROR backend %s refuses it: the log says why",
                    writer->backend->options.store.name);
    else if (item->fate == ITEM_UNFIT)
        ticket_fail(ticket, ERROR_ROW_UNFIT, "%s", row_unfit_line);
    else if (item->fate == ITEM_OUTRUN)
        ticket_fail(
            ticket, ERROR_BACKEND_DOWN,
            "SERVER_ERROR other servers change this key all the time, nothing was changed: try again");
    else if (item->fate == ITEM_LACKS_REPLICAS)
        ticket_fail(
            ticket, ERROR_BACKEND_DOWN,
            "SERVER_ERROR backend %s has written it, but too few replicas have it: it may hold, or get lost",
            writer->backend->options.store.name);
    else if (item->fate == ITEM_FAILED || !ticket_keep_outcome(ticket, &item->outcome))
        ticket_fail(ticket, ERROR_BACKEND_DOWN, "%s", writer->backend->down);
}

/* Items point into the tickets of earlier ones: of a key that was set and read in one group the answer to the
 * latter is in the request of the former. So all are copied, the last first, before any ticket goes back. */
static void answer_all(struct writer *writer) {
    struct group *group = &writer->group;
    for (size_t i = group->count; i > 0; i--)
        if (!group->items[i - 1].again)
            keep_answer(writer, &group->items[i - 1]);
    for (size_t i = 0; i < group->count; i++)
        if (!group->items[i].again)
            ticket_return(group->items[i].ticket);
}

/* What changes nothing was not committed, but may have been evaluated against what was to be. */
static void share_fates(struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        const struct group_item *earlier = group_earlier_item(group, i);
        if (item->fate == ITEM_FINE && item->mutation < 0 &&
            group_nobody_knows_the_base(earlier, request_of(item)))
            item->fate = earlier->fate;
    }
}

void group_finish(struct writer *writer) {
    struct group *group = &writer->group;
    struct cache_time now = tier_now(writer->backend->tier);
    group_find_again(group);
    share_fates(group);
    for (size_t i = 0; i < group->count; i++)
        if (!group->items[i].again) {
            update_memory(group, &group->items[i], &now);
            count(&writer->counters.write_through_changes);
        }
    count(&writer->counters.write_through_commits);
    answer_all(writer);
    group_keep_again(writer);
}
