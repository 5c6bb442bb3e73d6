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
 * This file takes the jobs and runs the groups; each step is in a file of its own: group_load.c, group_evaluate.c,
 * group_commit.c, group_answer.c; and what precedes a commit to a store that went back in group_restore.c.
 *
 * Changes of a namespace whose table fails are answered with an error at once, and the others are committed without
 * them; while its breaker is open, they do not even come into a group.
 *
 * This thread is the only one of this server that changes these namespaces. It evaluates against the result of an
 * earlier item of the group with the same key, else memory, else the row in the backend; and the backend compares what
 * that was with what it has then.
 *
 * Once a commit was tried, its outcome is unknown until one succeeds: the mutations are repeated as they are
 * (same versions), never evaluated anew. If that is given up, the answer is an error and memory forgets the
 * keys, so that the next read asks the backend what became of them. So is the answer to what changed nothing but
 * was evaluated behind such a change of its key (NOT_STORED after a delete, say): it would tell what is not so.
 */
#include "policies/write/group.h"
#include "cache/base/clock.h"
#include "policies/write/group_item.h"
#include "policies/write/internal.h"
#include <stdlib.h>

enum {
    GROUP_MAX = 1024,           /* changes that share a commit */
    GROUP_BYTES_MAX = 16 << 20, /* and their values */
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

/* ---- Running ---- */

static bool prepare(struct writer *writer) {
    struct cache_time now = tier_now_for_versions(writer->backend->tier);
    bytes_reset(&writer->group.bytes);
    if (group_load(writer, &now) != BACKEND_OK)
        return false;
    for (size_t i = 0; i < writer->group.count; i++)
        group_evaluate_item(writer, i, &now);
    writer->group.prepared = true;
    return true;
}

/* The deadline came first: nobody knows what became of what was to be committed. */
static void give_up(struct writer *writer) {
    struct group *group = &writer->group;
    for (size_t i = 0; i < group->count; i++)
        if (group->items[i].fate == ITEM_FINE && (group->items[i].mutation >= 0 || !group->prepared))
            group->items[i].fate = group_fate_of_undone(group, &group->items[i]);
    group_finish(writer);
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
            group_commit(writer) != BACKEND_OK)
            continue; /* the breaker says when to go on */
        group->commit_us = monotonic_us() - now_us;
        group->answered = group->mutation_count ? group->count : 0;
        group_finish(writer);
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
