/* SPDX-License-Identifier: MIT */
/* Touches in the background, of rows that memory does not hold. Design: at the head of touches.c. */
#ifndef FOREBAY_POLICIES_TOUCHES_H
#define FOREBAY_POLICIES_TOUCHES_H

#include "cache/base/entry.h"
#include <stdatomic.h>
#include <stdbool.h>

struct space;
struct touch;
struct writer;

enum { TOUCH_BUCKETS = 65536 };

/* Touches in their order. */
struct touch_list {
    struct touch *first, *last;
    size_t count;
};

/* Part of a writer. */
struct touches {
    /* the writer's thread alone */
    struct touch_list taken; /* not yet applied */
    uint64_t bound;          /* not above the version of any that is taken; it grows now and then */
    size_t bound_count;      /* that were taken when it was found */
    bool failed;             /* the last attempt: to be tried again when the breaker lets it */
    bool more;               /* there is more to do at once */
    /* under the writer's mutex */
    struct touch_list fresh;              /* not yet taken */
    struct touch *by_hash[TOUCH_BUCKETS]; /* all that are not done, taken or not */
    /* shared */
    atomic_uint waiting; /* how many are not done; changes under the mutex */
};

/* ---- Any thread ---- */

/* Worker: a touch of a row, with the version of its journal record. False: too many wait already, or no
 * memory. */
bool touches_add(struct writer *writer, struct space *space, struct slice key, uint64_t hash,
                 uint64_t version, uint32_t expires_at);

/* A row as it was loaded, with the expiry of a touch that has yet to reach it. Costs a load when none
 * waits. */
void touches_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash);

/* The second at which the row of a key has to be looked up, so that a touch that waits for it finds it alive as it was
 * when it was made; 0: none waits. What is found then has the expiry of before the touch. Costs a load when none
 * waits. */
uint32_t touches_made_at(struct writer *writer, const struct space *space, struct slice key, uint64_t hash);

/* Is one not done yet? */
bool touches_are_waiting(const struct writer *writer);

/* ---- Recovery: before writer_start ---- */

/* A touch with the version and client_cas of its journal record; as many as there are. made: its version, or that of
 * the first of several for which it stands: the row had to be alive then. False: no memory. */
bool touches_recover(struct writer *writer, struct space *space, const struct entry *entry, uint64_t made);

/* Applies them; those that fail now are tried again by the writer's thread. */
void touches_settle(struct writer *writer);

/* ---- Writer thread ---- */

/* With the writer's mutex: takes over what others have added. */
void touches_take(struct writer *writer);

/* Applies some of those that were taken, in one commit, except where their entry has to be flushed first. */
void touches_run(struct writer *writer);

/* Is a touch of this namespace (NULL: any) taken and not done? */
bool touches_wait(const struct writer *writer, const struct space *space);

/* The least version among the touches that are not done, taken or not; UINT64_MAX: none. */
uint64_t touches_bound(struct writer *writer);

/* The writer ends: what is left is in the journal. */
void touches_free(struct writer *writer);

#endif
