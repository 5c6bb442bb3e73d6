/* SPDX-License-Identifier: MIT */
/*
 * Changes of a group that the store has not applied, as another node has changed the row meanwhile.
 *
 * What an answer was computed from goes to the store with the change: the version of the row, or that there is none
 * (mutation.on). Where the store has something else, nothing was changed, and nobody was answered: memory forgets its
 * copy, the row is loaded, and the change is evaluated on it. So each cas, incr or add is right, however many nodes
 * change a row, and whether they hear of each other or not. A set or a delete is on whatever there is; where the store
 * has a higher version, because this node's clock is behind, it is given one above that, and goes again.
 *
 * Changes of one key keep their order: whatever follows on a change of the group that is on something is itself on the
 * outcome of that, be it a set. It cannot be after a delete, which leaves no version in every kind of store: what
 * follows on such a one waits until it has been committed.
 *
 * What memory denies is not committed, so nobody has asked the store yet: that may be one that came back empty, and
 * memory's copy all that is left. It is forgotten only when the row has been loaded, over a link that is known to lead
 * to the same store.
 *
 * A change that was tried before, with an outcome that nobody knows (the connection was lost), and now meets a newer
 * row, may have been applied, and another node's change may be built on it. It is never evaluated anew, as an incr
 * might count twice; its client is told that it has failed.
 */
#include "policies/write/concern.h"
#include "policies/write/group_item.h"
#include "policies/write/internal.h"

enum {
    TRIES_MAX =
        32 /* evaluations of one change; each costs two round trips, and some node's change is through each time */
};

/* ---- Before the commit ---- */

/* Does the answer tell what was there? */
static bool is_answer_of_base(const struct group_item *item) {
    const struct request *request = request_of(item);
    bool blind = item->answered_blindly && command_kind(request->command) != KIND_TOUCH;
    return evaluate_need(request) != NEED_NOTHING && !evaluate_is_plain_delete(request) && !blind;
}

void group_set_on(const struct group_item *item, const struct group_item *earlier,
                  const struct cache_view *base, struct mutation *mutation) {
    bool chained = earlier && earlier->is_chained;
    bool unknown = base && base->state != CACHE_CLEAN; /* dirty: what the store has is not known */
    if ((!is_answer_of_base(item) && !chained) || unknown || item->unfit)
        return;
    mutation->on = base ? MUTATION_ON_VERSION : MUTATION_ON_ABSENCE;
    mutation->base = base ? base->version : 0;
    if (base && may_be_placeholder(base->value, base->marks))
        mutation->on |= MUTATION_ON_ABSENCE;
}

bool group_must_wait(const struct group_item *earlier, const struct cache_view *base) {
    return earlier && (earlier->again || (earlier->is_chained && !base));
}

/* ---- After the commit ---- */

static struct mutation *mutation_of(struct group *group, const struct group_item *item) {
    return item->mutation >= 0 ? &group->mutations[item->mutation] : NULL;
}

/* It may have been applied, and what supersedes it may have come after that. */
static bool is_doubtful(const struct mutation *mutation) {
    bool is_older = mutation->superseded_by > 0 && mutation->superseded_by < mutation->entry.version;
    return mutation->attempts > 1 && !is_older;
}

static void judge(struct group *group, struct group_item *item) {
    const struct mutation *mutation = mutation_of(group, item);
    /* Overtaken: it meets what was built on it, when the batch is repeated; or it is as if it had been done just
     * before. */
    if (item->fate != ITEM_FINE || !mutation || !mutation->superseded || item->overtaken)
        return;
    if (mutation->on != MUTATION_ON_ANY && is_doubtful(mutation))
        item->fate = ITEM_FAILED;
    else
        item->again = true;
}

static void judge_all(struct group *group) {
    for (size_t i = group->count; i-- > 0;) {
        struct group_item *item = &group->items[i], *earlier = group_earlier_item(group, i);
        const struct mutation *mutation = mutation_of(group, item);
        judge(group, item);
        if (earlier)
            earlier->overtaken =
                item->overtaken || (mutation && item->fate == ITEM_FINE && !mutation->superseded);
    }
}

/* The store has a row, and an older one than memory. The version of what may be a placeholder is none of the
 * store's. */
static bool is_behind(const struct mutation *mutation) {
    return mutation && mutation->superseded && mutation->on == MUTATION_ON_VERSION &&
           mutation->superseded_by > 0 && mutation->superseded_by < mutation->base;
}

/* What was evaluated behind one that goes again does so too, even if it changes nothing. */
static void follow(struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        const struct group_item *earlier = group_earlier_item(group, i);
        item->again |= earlier && earlier->again && item->fate == ITEM_FINE;
        item->denied |= earlier && earlier->denied && item->again;
        item->is_ahead = is_behind(mutation_of(group, item)) || (earlier && earlier->is_ahead);
        if (item->again && !item->waits && item->tries + 1 >= TRIES_MAX) {
            item->again = false;
            item->fate = ITEM_OUTRUN;
        }
    }
}

void group_find_again(struct group *group) {
    judge_all(group);
    follow(group);
}

void group_forget_copy(const struct request *request, const struct cache_time *now) {
    struct cache_cursor cursor;
    cache_seek(request->space->tier->cache, request->space->number, request->key, request->hash, now,
               &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.state == CACHE_CLEAN)
        cache_forget(&cursor);
    cache_release(&cursor);
}

void group_keep_again(struct writer *writer) {
    struct group *group = &writer->group;
    struct cache_time now = tier_now(writer->backend->tier);
    size_t count_all = group->count;
    bool some_behind = false;
    group_clear(group);
    for (size_t i = 0; i < count_all; i++) {
        struct tier_ticket *ticket = group->items[i].ticket;
        unsigned tries = group->items[i].tries + !group->items[i].waits;
        bool denied = group->items[i].denied;
        if (!group->items[i].again)
            continue;
        if (group->items[i].is_ahead)
            some_behind = true;
        else if (!denied)
            group_forget_copy(&ticket->request, &now);
        group_add_item(group, ticket);
        group->items[group->count - 1].tries = tries;
        group->items[group->count - 1].asks = denied;
        count(&writer->counters.write_through_again);
    }
    group->is_behind = some_behind;
}
