/* SPDX-License-Identifier: MIT */
/* The items of a group become changes of rows: each is evaluated on an earlier one of its key, else on what was
 * loaded. */
#include "policies/row.h"
#include "policies/write/concern.h"
#include "policies/write/group_item.h"
#include "policies/write/internal.h"

/* The entry as it is before this item; NULL: there is none. */
static const struct cache_view *base_of(struct group *group, size_t index, const struct cache_time *now,
                                        struct cache_view *storage) {
    struct group_item *item = &group->items[index], *earlier = group_earlier_item(group, index);
    if (earlier)
        return earlier->exists ? &earlier->result : NULL;
    if (item->known)
        return item->before_exists ? &item->before : NULL;
    if (!item->needs_row || !item->row_found)
        return NULL;
    *storage = item->unfit ? row_unfit_view(request_of(item), now->seconds)
                           : view_of_entry(&item->row, now->seconds);
    return storage;
}

static bool is_inside(struct slice inner, struct slice outer) {
    return inner.data >= outer.data && inner.data + inner.size <= outer.data + outer.size;
}

static struct mutation *add_mutation(struct group *group, struct group_item *item, enum mutation_kind kind,
                                     struct entry entry) {
    struct mutation *mutation = &group->mutations[group->mutation_count];
    item->mutation = (int)group->mutation_count++;
    *mutation =
        (struct mutation){.table = &request_of(item)->space->options.table, .kind = kind, .entry = entry};
    return mutation;
}

/* The entry that results from a put or a touch. False: no memory. */
static bool resulting_entry(struct group *group, struct group_item *item, const struct cache_view *base,
                            struct entry *entry) {
    const struct change *change = &item->change;
    if (change->kind == CHANGE_TOUCH) {
        entry->value = base->value;
        entry->flags = base->flags;
        entry->marks = base->marks | change->marks; /* mg T may have won the token */
        entry->client_cas = cache_view_cas(base);   /* a touch does not change what clients compare */
    } else {
        entry->value = change->value;
        if (!is_inside(change->value, request_of(item)->value) &&
            !(base && is_inside(change->value, base->value)))
            entry->value = bytes_copy(&group->bytes, change->value);
        entry->flags = change->flags;
        entry->marks = change->marks;
        entry->client_cas = change->client_cas;
    }
    entry->expires_at = change->expires_at;
    return entry->value.data != NULL || entry->value.size == 0;
}

/* Turns the change into a mutation. False: no memory. */
static bool mutate(struct group *group, struct group_item *item, const struct group_item *earlier,
                   const struct cache_view *base, const struct cache_time *now) {
    const struct request *request = request_of(item);
    struct entry entry = {.key = request->key};
    bool deletes = item->change.kind == CHANGE_DELETE;
    if (!deletes && !resulting_entry(group, item, base, &entry))
        return false;
    entry.version = cache_next_version(request->space->tier->cache, request->hash, now);
    item->exists = !deletes;
    item->result = view_of_entry(&entry, now->seconds);
    item->result.fetched = item->change.hit || (item->change.kind == CHANGE_TOUCH && base->fetched);
    if (item->change.kind == CHANGE_PUT)
        item->outcome.view.version = entry.version;
    struct mutation *mutation = add_mutation(group, item,
                                             deletes                             ? MUTATION_DELETE
                                             : item->change.kind == CHANGE_TOUCH ? MUTATION_TOUCH
                                                                                 : MUTATION_PUT,
                                             entry);
    group_set_on(item, earlier, base, mutation);
    item->is_chained = mutation->on != MUTATION_ON_ANY;
    return true;
}

/* existence = memory: delete and touch of a key that memory does not know are answered NOT_FOUND, and done all
 * the same. */
static void answer_blindly(struct group_item *item) {
    if (evaluate_is_plain_delete(request_of(item)) && item->change.kind == CHANGE_NONE)
        item->change.kind = CHANGE_DELETE;
    if (command_kind(request_of(item)->command) == KIND_TOUCH)
        item->outcome.status = OUTCOME_NOT_FOUND;
}

/* True: an unfit row stands before this item, and the item needs what is in it. Nothing changes by it. */
static bool needs_unfit(const struct group_item *earlier, struct group_item *item,
                        const struct cache_view *base) {
    item->unfit = base && (earlier ? earlier->unfit : item->unfit);
    if (!item->unfit || row_can_be_unfit(request_of(item)))
        return false;
    item->fate = ITEM_UNFIT;
    item->exists = true;
    item->result = *base;
    return true;
}

bool group_nobody_knows_the_base(const struct group_item *earlier, const struct request *request) {
    return earlier && earlier->fate != ITEM_FINE && earlier->fate != ITEM_UNFIT &&
           evaluate_need(request) != NEED_NOTHING;
}

void group_evaluate_item(struct writer *writer, size_t index, const struct cache_time *now) {
    struct group *group = &writer->group;
    struct group_item *item = &group->items[index];
    const struct request *request = request_of(item);
    struct cache_view storage;
    const struct group_item *earlier = group_earlier_item(group, index);
    if (group_nobody_knows_the_base(earlier, request))
        item->fate = ITEM_FAILED;
    if (item->fate != ITEM_FINE)
        return;
    const struct cache_view *base = base_of(group, index, now, &storage);
    struct evaluate_context context = {.now = *now,
                                       .default_ttl = request->space->options.ttl,
                                       .item_max = writer->tier->options.cache.item_max,
                                       .scratch = group->scratch};
    if (base && base->expires_at && base->expires_at <= now->seconds)
        base = NULL;
    item->waits = item->again = group_must_wait(earlier, base);
    if (item->waits || needs_unfit(earlier, item, base))
        return;
    evaluate(request, base, &context, &item->outcome, &item->change);
    item->is_chained = earlier && earlier->is_chained;
    item->exists = base != NULL;
    if (base)
        item->result = *base;
    item->result.fetched |= item->change.hit;
    if (item->answered_blindly)
        answer_blindly(item);
    if (change_concerns_backend(request->space, base, &item->change)) {
        if (!mutate(group, item, earlier, base, now))
            item->fate = ITEM_FAILED;
    } else if (item->change.kind == CHANGE_TOUCH) {
        change_stay_in_memory(&item->change, base);
        item->result.marks = item->change.marks;
    }
    if (item->change.kind == CHANGE_VIVIFY) /* the answer tells it */
        item->outcome.view.version = cache_next_version(writer->tier->cache, request->hash, now);
    item->unfit &= item->change.kind == CHANGE_NONE;
    item->again = item->denied =
        item->known && !earlier && change_was_denied(request->space, request, &item->change);
}
