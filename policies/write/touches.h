/* SPDX-License-Identifier: MIT */
/* Touches in the background, of rows that memory does not hold. Design: at the head of touches.c. */
#ifndef FOREBAY_POLICIES_WRITE_TOUCHES_H
#define FOREBAY_POLICIES_WRITE_TOUCHES_H

#include "cache/base/entry.h"
#include <stdatomic.h>
#include <stdbool.h>

struct space;
struct touch;
struct writer;

enum { TOUCH_BUCKETS = 4096 };

/* Part of a writer. */
struct touches {
    /* the writer's thread alone */
    struct touch *taken; /* not yet applied */
    uint64_t retry_us;   /* monotonic: when one that failed is to be tried again; 0: none did */
    /* under the writer's mutex */
    struct touch *fresh;                  /* not yet taken */
    struct touch *by_hash[TOUCH_BUCKETS]; /* all that are not done, taken or not */
    /* shared */
    atomic_uint waiting; /* how many are not done; changes under the mutex */
};

/* ---- Any thread ---- */

/* Worker: a touch of a row, as its journal record has it: key, version, expires_at, and in place of flags the
 * second in which it was made. False: too many wait already, or no memory. */
bool touches_add(struct writer *writer, struct space *space, const struct entry *entry, uint64_t hash);

/* A row as it was loaded, with the expiry of a touch that has yet to reach it. Costs a load when none
 * waits. */
void touches_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash);

/* Is one not done yet? */
bool touches_are_waiting(const struct writer *writer);

/* ---- Recovery: before writer_start ---- */

/* A touch as its journal record has it; as many as there are. False: no memory. */
bool touches_recover(struct writer *writer, struct space *space, const struct entry *entry);

/* Applies them; those that fail now are tried again by the writer's thread. */
void touches_settle(struct writer *writer);

/* ---- Writer thread ---- */

/* With the writer's mutex: takes over what others have added. */
void touches_take(struct writer *writer);

/* Applies those that were taken, except where their entry has to be flushed first, or their table fails; stops when
 * the backend does. */
void touches_run(struct writer *writer);

/* Is a touch of this namespace (NULL: any) taken and not done? */
bool touches_wait(const struct writer *writer, const struct space *space);

/* The least version among the touches of this namespace that are not done, taken or not; UINT64_MAX: none. */
uint64_t touches_bound(struct writer *writer, const struct space *space);

/* The writer ends: what is left is in the journal. */
void touches_free(struct writer *writer);

#endif
