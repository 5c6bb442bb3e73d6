/* SPDX-License-Identifier: MIT */
/* Write-through changes on their way to a commit that they share. The flow of a group is drawn at the head
 * of group.c. The writer's thread alone. */
#ifndef FOREBAY_POLICIES_WRITE_GROUP_H
#define FOREBAY_POLICIES_WRITE_GROUP_H

#include "policies/ticket.h"
#include "policies/write/bytes.h"

struct group_item;
struct writer;

struct group {
    struct group_item *items;
    size_t count;
    struct mutation *mutations;
    size_t mutation_count;
    struct mutation *some; /* those of one namespace, when they are committed without the others */
    bool prepared;         /* evaluated: only the commit is to be repeated */
    bool is_behind;        /* the store has an older row than memory of one of its keys (group_restore.c) */
    uint64_t deadline_us;
    struct bytes bytes;
    char *scratch;
    int *chains;        /* by hash: the last item, -1: none */
    size_t answered;    /* by the last commit of this pass, 0: there was none */
    uint64_t commit_us; /* what it took, with its preparation */
};

/* Readies one, all zero before, for entries of up to item_max bytes. False: no memory. */
bool group_init(struct group *group, size_t item_max);
void group_free(struct group *group);

/* Works on writer->jobs until none is left, or the backend cannot be asked. */
void group_run(struct writer *writer);

/* Answers one change that is in no group: the backend cannot be asked. Any thread. */
void group_fail_job(const struct writer *writer, struct tier_ticket *ticket);

/* Answers all that waits: the writer ends. */
void group_fail_all(struct writer *writer);

#endif
