/* SPDX-License-Identifier: MIT */
/*
 * Write-through: the changes that wait at the same time are evaluated one after the other and share one
 * commit.
 *
 *     jobs --take--> items --load (what memory does not know)--> evaluate --> apply --> memory --> answers
 *                               | transient: from the start,               | transient: the same commit
 *                               | until the deadline                       | again, until the deadline
 *                                                                          | permanent: one by one
 *                                                                          | a table: by namespace
 *                                                                          | another node was faster: those alone from
 *                                                                          | the start, after the others (group_again.c)
 *
 * Changes of a namespace whose table fails are answered with an error at once, and the others are committed without
 * them; while its breaker is open, they do not even come into a group.
 *
 * This thread is the only one of this server that changes these namespaces. It evaluates against the result of an earlier
 * item of the group with the same key, else memory, else the row in the backend; and the backend compares what that was
 * with what it has then.
 *
 * Once a commit was tried, its outcome is unknown until one succeeds: the mutations are repeated as they are
 * (same versions), never evaluated anew. If that is given up, the answer is an error and memory forgets the
 * keys, so that the next read asks the backend what became of them. So is the answer to what changed nothing but
 * was evaluated behind such a change of its key (NOT_STORED after a delete, say): it would tell what is not so.
 */
#include "policies/write/group.h"
#include "cache/base/clock.h"
#include "policies/row.h"
#include "policies/tell.h"
#include "policies/write/concern.h"
#include "policies/write/group_item.h"
#include "policies/write/internal.h"
#include <stdlib.h>

enum {
    GROUP_MAX = 1024,           /* changes that share a commit */
    GROUP_BYTES_MAX = 16 << 20, /* and their values */
    LOAD_MAX = 128,             /* keys per lookup */
    LEAST_SHARE = 8,            /* of the backend's timeout: what a group may wait, however late it is */
    CHAINS = 2 * GROUP_MAX,
    NO_ITEM = -1
};

bool group_init(struct group *group, size_t item_max) {
    group->items = calloc(GROUP_MAX, sizeof *group->items);
    group->mutations = calloc(GROUP_MAX, sizeof *group->mutations);
    group->some = calloc(GROUP_MAX, sizeof *group->some);
    group->chains = calloc(CHAINS, sizeof *group->chains);
    group->scratch = malloc(item_max + 64);
    return group->items && group->mutations && group->some && group->chains && group->scratch;
}

void group_free(struct group *group) {
    free(group->items);
    free(group->mutations);
    free(group->some);
    free(group->chains);
    free(group->scratch);
    bytes_free(&group->bytes);
}

/* ---- Taking ---- */

static int *chain_of(struct group *group, uint64_t hash) {
    return &group->chains[(hash >> 20) % CHAINS];
}

struct group_item *group_earlier_item(struct group *group, size_t index) {
    const struct request *request = request_of(&group->items[index]);
    for (int i = group->items[index].chain; i != NO_ITEM; i = group->items[i].chain) {
        const struct request *other = request_of(&group->items[i]);
        if (other->hash == request->hash && other->space == request->space &&
            slice_equal(other->key, request->key))
            return &group->items[i];
    }
    return NULL;
}

static struct tier_ticket *pop_job(struct writer *writer) {
    struct tier_ticket *ticket = writer->jobs;
    writer->jobs = ticket->next;
    if (!writer->jobs)
        writer->jobs_end = &writer->jobs;
    return ticket;
}

void group_fail_job(const struct writer *writer, struct tier_ticket *ticket) {
    ticket_fail(ticket, ERROR_BACKEND_DOWN, "%s", writer->backend->down);
    ticket_return(ticket);
}

/* Jobs whose time is over; all of those whose backend, or whose table in it, is known to be away. */
static void expire_jobs(struct writer *writer, uint64_t now_us) {
    struct tier_ticket *kept = NULL, **end = &kept, *next;
    for (struct tier_ticket *ticket = writer->jobs; ticket; ticket = next) {
        next = ticket->next;
        if (now_us >= ticket->deadline_us || !writer_is_hopeful(writer, ticket->request.space)) {
            group_fail_job(writer, ticket);
        } else {
            *end = ticket;
            end = &ticket->next;
        }
    }
    *end = NULL;
    writer->jobs = kept;
    writer->jobs_end = kept ? end : &writer->jobs;
}

void group_clear(struct group *group) {
    for (size_t i = 0; i < CHAINS; i++)
        group->chains[i] = NO_ITEM;
    bytes_reset(&group->bytes);
    group->count = group->mutation_count = 0;
    group->prepared = group->is_behind = false;
    group->deadline_us = UINT64_MAX;
}

void group_add_item(struct group *group, struct tier_ticket *ticket) {
    struct group_item *item = &group->items[group->count];
    memset(item, 0, sizeof *item);
    item->ticket = ticket;
    item->mutation = -1;
    int *chain = chain_of(group, request_of(item)->hash);
    item->chain = *chain;
    *chain = (int)group->count++;
    if (ticket->deadline_us < group->deadline_us)
        group->deadline_us = ticket->deadline_us;
}

static void take_jobs(struct writer *writer) {
    struct group *group = &writer->group;
    size_t size = 0;
    group_clear(group);
    while (writer->jobs && group->count < GROUP_MAX && size < GROUP_BYTES_MAX) {
        struct tier_ticket *ticket = pop_job(writer);
        group_add_item(group, ticket);
        size += ticket->request.value.size + ticket->request.key.size;
    }
}

/* ---- Loading what memory does not know ---- */

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

static enum backend_status load_all(struct writer *writer, const struct cache_time *now) {
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

/* ---- Evaluating ---- */

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

static bool nobody_knows_the_base(const struct group_item *earlier, const struct request *request) {
    return earlier && earlier->fate != ITEM_FINE && earlier->fate != ITEM_UNFIT &&
           evaluate_need(request) != NEED_NOTHING;
}

static void evaluate_item(struct writer *writer, size_t index, const struct cache_time *now) {
    struct group *group = &writer->group;
    struct group_item *item = &group->items[index];
    const struct request *request = request_of(item);
    struct cache_view storage;
    const struct group_item *earlier = group_earlier_item(group, index);
    if (nobody_knows_the_base(earlier, request))
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
    item->unfit &= item->change.kind == CHANGE_NONE;
    item->again = item->denied =
        item->known && !earlier && change_was_denied(request->space, request, &item->change);
}

/* ---- Memory and answers ---- */

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
        if (item->fate == ITEM_FINE && item->mutation < 0 && nobody_knows_the_base(earlier, request_of(item)))
            item->fate = earlier->fate;
    }
}

static void finish(struct writer *writer) {
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

/* ---- Committing ---- */

static bool prepare(struct writer *writer) {
    struct cache_time now = tier_now_for_versions(writer->backend->tier);
    bytes_reset(&writer->group.bytes);
    if (load_all(writer, &now) != BACKEND_OK)
        return false;
    for (size_t i = 0; i < writer->group.count; i++)
        evaluate_item(writer, i, &now);
    writer->group.prepared = true;
    return true;
}

/* What became of the items with the same key before this one: the first of them that was not fine. */
static enum item_fate earlier_fate(struct group *group, size_t index) {
    enum item_fate fate = ITEM_FINE;
    for (struct group_item *item = group_earlier_item(group, index); item;
         item = group_earlier_item(group, (size_t)(item - group->items)))
        if (item->fate != ITEM_FINE)
            fate = item->fate;
    return fate;
}

static bool is_to_be_committed(const struct group_item *item) {
    return item->mutation >= 0 && item->fate == ITEM_FINE;
}

static enum item_fate fate_of(enum backend_status status) {
    return status == BACKEND_OK ? ITEM_FINE : status == BACKEND_PERMANENT ? ITEM_REFUSED : ITEM_FAILED;
}

/* A client is not told why: a backend's sentence may name paths, tables and columns. */
static void tell_refused(struct writer *writer, const struct request *request) {
    struct space *space = request->space;
    tell_of_space(space, &space->refused_lines, LOG_LEVEL_ERROR,
                  "namespace %s: the backend refuses to write a row, and its client was told so: %s",
                  space->options.name, writer->session.error.message);
    tell_key(space, request->key, "the backend refuses to write the row of");
}

static void note_refused(struct writer *writer, const struct group_item *item) {
    count(&writer->counters.write_through_refused);
    tell_refused(writer, request_of(item));
}

/* The commit as a whole was refused. An item whose key another item had before it that was not committed was
 * evaluated against something that never came to be: it shares the other's fate. */
static enum backend_status commit_one_by_one(struct writer *writer, const struct space *space) {
    struct group *group = &writer->group;
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        if (!is_to_be_committed(item) || (space && request_of(item)->space != space))
            continue;
        enum backend_status status = BACKEND_OK;
        item->fate = earlier_fate(group, i);
        if (item->fate == ITEM_FINE)
            status = call_apply(writer, request_of(item)->space, &group->mutations[item->mutation], 1);
        if (status == BACKEND_TRANSIENT)
            return status;
        if (status != BACKEND_OK)
            item->fate = fate_of(status);
        if (status == BACKEND_PERMANENT)
            note_refused(writer, item);
        else if (item->fate == ITEM_REFUSED)
            count(&writer->counters
                       .write_through_refused); /* as an earlier one of its key was, which is told */
    }
    return BACKEND_OK;
}

static void end_items(struct writer *writer, const struct space *space, enum item_fate fate) {
    struct group *group = &writer->group;
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        if (!is_to_be_committed(item) || request_of(item)->space != space)
            continue;
        item->fate = fate;
        if (fate == ITEM_REFUSED)
            note_refused(writer, item);
    }
}

/* A commit of one namespace has failed. */
static enum backend_status end_failed(struct writer *writer, struct space *space, size_t mutations,
                                      enum backend_status status) {
    if (status == BACKEND_TRANSIENT)
        return status;
    if (status == BACKEND_PERMANENT && mutations > 1)
        return commit_one_by_one(writer, space);
    end_items(writer, space, fate_of(status));
    return BACKEND_OK;
}

/* Their places in group->mutations, so that what the backend says of them can be put back. */
static size_t gather_some(struct group *group, const struct space *space) {
    size_t gathered = 0;
    for (size_t i = 0; i < group->count; i++)
        if (is_to_be_committed(&group->items[i]) && request_of(&group->items[i])->space == space)
            group->some[gathered++] = group->mutations[group->items[i].mutation];
    return gathered;
}

static void put_back_some(struct group *group, const struct space *space) {
    size_t at = 0;
    for (size_t i = 0; i < group->count; i++)
        if (is_to_be_committed(&group->items[i]) && request_of(&group->items[i])->space == space)
            group->mutations[group->items[i].mutation] = group->some[at++];
}

static enum backend_status commit_space(struct writer *writer, struct space *space) {
    struct group *group = &writer->group;
    size_t mutations = gather_some(group, space);
    enum backend_status status = mutations ? call_apply(writer, space, group->some, mutations) : BACKEND_OK;
    if (status != BACKEND_OK)
        return end_failed(writer, space, mutations, status);
    put_back_some(group, space);
    return BACKEND_OK;
}

/* The table of some namespace failed: each is committed without the others. */
static enum backend_status commit_by_space(struct writer *writer) {
    struct tier *tier = writer->tier;
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < tier->space_count && status == BACKEND_OK; i++)
        status = commit_space(writer, &tier->spaces[i]);
    return status;
}

/* The namespace of all that is to be committed; NULL: there are several. */
static struct space *only_space(const struct group *group) {
    struct space *only = NULL;
    for (size_t i = 0; i < group->count; i++) {
        struct space *space = request_of(&group->items[i])->space;
        if (!is_to_be_committed(&group->items[i]))
            continue;
        if (only && only != space)
            return NULL;
        only = space;
    }
    return only;
}

static void note_success(struct writer *writer) {
    const struct group *group = &writer->group;
    for (size_t i = 0; i < group->count; i++)
        if (is_to_be_committed(&group->items[i]))
            call_succeeded_for(writer, request_of(&group->items[i])->space);
}

static enum item_fate fate_of_undone(const struct group *group, const struct group_item *item) {
    return item->mutation >= 0 && group->mutations[item->mutation].lacks_replicas ? ITEM_LACKS_REPLICAS
                                                                                  : ITEM_FAILED;
}

/* A part of the store is away: its items fail, and the others do not wait for it. */
static enum backend_status end_parts(struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        if (is_to_be_committed(item) && !group->mutations[item->mutation].done)
            item->fate = fate_of_undone(group, item);
    }
    return BACKEND_OK;
}

static enum backend_status commit(struct writer *writer) {
    struct group *group = &writer->group;
    bool partial;
    if (group->mutation_count == 0)
        return BACKEND_OK;
    struct space *space = only_space(group);
    enum backend_status status =
        call_apply_parts(writer, space, group->mutations, group->mutation_count, &partial);
    if (status == BACKEND_OK)
        note_success(writer);
    else if (partial)
        status = end_parts(group);
    else if (space)
        status = end_failed(writer, space, group->mutation_count, status);
    else if (status == BACKEND_PERMANENT)
        status = commit_one_by_one(writer, NULL);
    else if (status == BACKEND_TABLE_FAILED)
        status = commit_by_space(writer);
    return status;
}

/* The deadline came first: nobody knows what became of what was to be committed. */
static void give_up(struct writer *writer) {
    struct group *group = &writer->group;
    for (size_t i = 0; i < group->count; i++)
        if (group->items[i].fate == ITEM_FINE && (group->items[i].mutation >= 0 || !group->prepared))
            group->items[i].fate = fate_of_undone(group, &group->items[i]);
    finish(writer);
}

/* Who waits is answered within the backend's timeout, whatever part of it the group has waited for its turn. */
static void limit_calls(struct writer *writer, uint64_t now_us) {
    uint64_t least_us = now_us + (uint64_t)writer->backend->timeout_ms * US_PER_MS / LEAST_SHARE;
    call_limit(writer, writer->group.deadline_us > least_us ? writer->group.deadline_us : least_us);
}

static void run_groups(struct writer *writer) {
    struct group *group = &writer->group;
    while (group->count > 0 || writer->jobs) {
        uint64_t now_us = monotonic_us();
        if (group->count == 0) {
            expire_jobs(writer, now_us);
            take_jobs(writer);
        }
        if (group->count == 0)
            break;
        if (now_us >= group->deadline_us) {
            give_up(writer);
            continue;
        }
        if (!call_is_admitted(writer))
            break;
        limit_calls(writer, now_us);
        if (!call_connect(writer) || !group_restore(writer) || (!group->prepared && !prepare(writer)) ||
            commit(writer) != BACKEND_OK)
            continue; /* the breaker says when to go on */
        group->commit_us = monotonic_us() - now_us;
        group->answered = group->mutation_count ? group->count : 0;
        finish(writer);
    }
}

void group_run(struct writer *writer) {
    writer->group.answered = 0;
    run_groups(writer);
    call_limit(writer, 0);
    if (writer->jobs)
        expire_jobs(writer, monotonic_us());
}

void group_fail_all(struct writer *writer) {
    if (writer->group.count)
        give_up(writer);
    while (writer->jobs)
        group_fail_job(writer, pop_job(writer));
}
