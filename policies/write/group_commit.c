/* SPDX-License-Identifier: MIT */
/* The changes of a group go to the store together; what is refused, and whose table fails, by itself. */
#include "policies/tell.h"
#include "policies/write/group_item.h"
#include "policies/write/internal.h"

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

enum item_fate group_fate_of_undone(const struct group *group, const struct group_item *item) {
    return item->mutation >= 0 && group->mutations[item->mutation].lacks_replicas ? ITEM_LACKS_REPLICAS
                                                                                  : ITEM_FAILED;
}

/* The commit as a whole was refused. An item whose key another item had before it that was not committed was
 * evaluated against something that never came to be: it shares the other's fate. */
static enum backend_status commit_one_by_one(struct writer *writer, const struct space *space) {
    struct group *group = &writer->group;
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        if (!is_to_be_committed(item) || (space && request_of(item)->space != space))
            continue;
        struct mutation *mutation = &group->mutations[item->mutation];
        enum backend_status status = BACKEND_OK;
        bool partial = false;
        item->fate = earlier_fate(group, i);
        if (item->fate == ITEM_FINE)
            status = call_apply_parts(writer, request_of(item)->space, mutation, 1, &partial);
        if (status == BACKEND_TRANSIENT && !partial)
            return status;
        if (status != BACKEND_OK)
            item->fate = partial ? group_fate_of_undone(group, item) : fate_of(status);
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

/* A part of the store is away: its items fail, and the others do not wait for it. NULL: of all namespaces. */
static enum backend_status end_parts(struct group *group, const struct space *space) {
    for (size_t i = 0; i < group->count; i++) {
        struct group_item *item = &group->items[i];
        if (is_to_be_committed(item) && (!space || request_of(item)->space == space) &&
            !group->mutations[item->mutation].done)
            item->fate = group_fate_of_undone(group, item);
    }
    return BACKEND_OK;
}

static enum backend_status commit_space(struct writer *writer, struct space *space) {
    struct group *group = &writer->group;
    size_t mutations = gather_some(group, space);
    bool partial = false;
    enum backend_status status =
        mutations ? call_apply_parts(writer, space, group->some, mutations, &partial) : BACKEND_OK;
    if (status != BACKEND_OK && !partial)
        return end_failed(writer, space, mutations, status);
    put_back_some(group, space);
    return partial ? end_parts(group, space) : BACKEND_OK;
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

enum backend_status group_commit(struct writer *writer) {
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
        status = end_parts(group, NULL);
    else if (space)
        status = end_failed(writer, space, group->mutation_count, status);
    else if (status == BACKEND_PERMANENT)
        status = commit_one_by_one(writer, NULL);
    else if (status == BACKEND_TABLE_FAILED)
        status = commit_by_space(writer);
    return status;
}
