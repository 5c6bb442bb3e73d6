/* SPDX-License-Identifier: MIT */
/* The items of a group (group.h), for the files that are parts of it: group.c, group_load.c, group_evaluate.c,
 * group_commit.c, group_answer.c, group_again.c, which finds those that have to be evaluated anew, and group_restore.c.
 * The writer's thread alone. */
#ifndef FOREBAY_POLICIES_WRITE_GROUP_ITEM_H
#define FOREBAY_POLICIES_WRITE_GROUP_ITEM_H

#include "policies/evaluate.h"
#include "policies/write/group.h"

enum item_fate {
    ITEM_FINE,
    ITEM_UNFIT, /* needs a row that is unfit (row.h); changes nothing */
    ITEM_REFUSED,
    ITEM_FAILED,
    ITEM_LACKS_REPLICAS, /* the store has it, but too few of its replicas */
    ITEM_OUTRUN, /* whenever it was evaluated, another node had changed the row before it was committed */
};

struct group_item {
    struct tier_ticket *ticket;
    unsigned tries; /* evaluations before this one that did not stand */
    struct outcome outcome;
    struct change change;
    struct cache_view result; /* the entry after this item, if exists */
    bool exists;
    bool known; /* memory knows the key: before, unless there is no such entry */
    bool before_exists;
    struct cache_view before; /* copied out of the cache */
    bool needs_row;           /* memory does not know it: row, once loaded, says what the backend has */
    bool row_found;
    bool unfit; /* the row; once evaluated: such a row stands after this item too, and result is empty */
    bool answered_blindly; /* existence = memory: whatever the row says, the reply is as for an absent key */
    struct entry row;
    int mutation; /* index, -1: the backend has nothing to learn */
    int chain;    /* the item before with the same bucket */
    /* The entry after this item is so only if a mutation that is on something (mutation.on) was applied. */
    bool is_chained;
    bool overtaken; /* a later change of the key has been applied */
    bool waits;     /* it was not evaluated yet, as those before it have to be committed first */
    bool again;     /* it is to be evaluated, or anew */
    bool denied; /* that, as memory denied it, or one before it, and another node may have changed the row */
    bool asks;   /* it was denied: the row counts, and memory's copy goes when it is loaded */
    bool is_ahead; /* the store has an older row than what it, or one before it, was computed from */
    bool restored; /* what memory had of its key has gone to the store before the group (group_restore.c) */
    enum item_fate fate;
};

static inline const struct request *request_of(const struct group_item *item) {
    return &item->ticket->request;
}

/* The last item before index with the same key, or NULL. */
struct group_item *group_earlier_item(struct group *group, size_t index);

/* Adds an item for this ticket at the end. */
void group_add_item(struct group *group, struct tier_ticket *ticket);

/* Empties the group, before items are added. */
void group_clear(struct group *group);

/* ---- group_load.c ---- */

/* For all items. Not BACKEND_OK: not now. */
enum backend_status group_load(struct writer *writer, const struct cache_time *now);

/* ---- group_evaluate.c ---- */

void group_evaluate_item(struct writer *writer, size_t index, const struct cache_time *now);

/* What became of the one that a request is evaluated on is not known, and matters to it. */
bool group_nobody_knows_the_base(const struct group_item *earlier, const struct request *request);

/* ---- group_commit.c ---- */

/* Not BACKEND_OK: not now, and it is to be repeated as it is. */
enum backend_status group_commit(struct writer *writer);

/* Of an item that was not committed in time. */
enum item_fate group_fate_of_undone(const struct group *group, const struct group_item *item);

/* ---- group_answer.c ---- */

/* What was committed, or given up. */
void group_finish(struct writer *writer);

/* ---- group_again.c ---- */

/* What the mutation of an item is on. base: the entry as it was before the item; NULL: there was none. */
void group_set_on(const struct group_item *item, const struct group_item *earlier,
                  const struct cache_view *base, struct mutation *mutation);

/* Whether an item is not to be evaluated before those before it have been committed. */
bool group_must_wait(const struct group_item *earlier, const struct cache_view *base);

/* After a commit: sets `again` of those that have to be evaluated anew, and the fate of those of which it cannot be
 * known what became of them. */
void group_find_again(struct group *group);

/* Once the others are done and answered: makes a group of those, and memory forgets what they were computed from,
 * unless the store has yet to be asked. */
void group_keep_again(struct writer *writer);

/* Memory forgets what it has of the key, unless it is dirty. */
void group_forget_copy(const struct request *request, const struct cache_time *now);

/* ---- group_restore.c ---- */

/* Before the commit, to a store that was lost or went back: what memory had of the keys. False: not now. */
bool group_restore(struct writer *writer);

#endif
