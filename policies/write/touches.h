/* SPDX-License-Identifier: MIT */
/* Touches in the background, of rows that memory does not hold. Design: at the head of touches.c. */
#ifndef FOREBAY_POLICIES_WRITE_TOUCHES_H
#define FOREBAY_POLICIES_WRITE_TOUCHES_H

#include "cache/base/entry.h"
#include "cache/base/log_limit.h"
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

/* Those of a namespace that are taken and not yet applied. */
struct touch_line {
    struct touch_list taken;
    size_t unseen;      /* of this round: so many, from the first on, were not looked at yet */
    uint64_t bound;     /* not above the first version of any of them; it grows now and then */
    size_t bound_count; /* how many there were when it was found */
};

/* Part of a writer. */
struct touches {
    /* the writer's thread alone */
    struct touch_line *lines;          /* by the namespaces' numbers */
    uint64_t retry_us;                 /* monotonic: when one that failed is to be tried again; 0: none did */
    bool more;                         /* there is more to do at once */
    bool partial;                      /* a part of the store is away: some of them wait, */
    uint64_t rest_us, rests_until_us;  /* so long, and until then */
    struct log_limit unreadable_lines; /* of the log */
    /* under the writer's mutex */
    struct touch_list fresh;              /* not yet taken */
    struct touch *by_hash[TOUCH_BUCKETS]; /* all that are not done, taken or not */
    /* shared */
    atomic_uint waiting; /* how many are not done; changes under the mutex */
};

/* Readies them, all zero before. False: no memory. */
bool touches_init(struct writer *writer);

/* ---- Any thread ---- */

/* Worker: a touch of a row, as its journal record has it: key, version, expires_at, and in place of flags the
 * second in which it was made. False: too many wait already, or no memory. */
bool touches_add(struct writer *writer, struct space *space, const struct entry *entry, uint64_t hash);

/* Gives a row as it was loaded the expiry of the touches that have yet to reach it. False: none waits for which
 * it was alive. Costs a load when none waits. */
bool touches_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash);

/* The second as of which the row of a key has to be looked up, so that a touch that waits for it finds it as it was
 * when it was made; 0: none waits. What is found then has the expiry of before the touch, and touches_amend says
 * whether it was alive. Costs a load when none waits. */
uint32_t touches_made_at(struct writer *writer, const struct space *space, struct slice key, uint64_t hash);

/* Is one not done yet? */
bool touches_are_waiting(const struct writer *writer);

/* ---- Recovery: before writer_start ---- */

/* When a touch was made, by its journal record. Records of earlier versions do not say; then it is by its version,
 * but not after now. */
uint32_t touches_second_of(const struct entry *entry);

/* A touch with the version and client_cas of its journal record; as many as there are. first, made_at: its version
 * and second, or those of the first of several for which it stands: the row had to be alive then. False: no memory. */
bool touches_recover(struct writer *writer, struct space *space, const struct entry *entry, uint64_t first,
                     uint32_t made_at);

/* Applies them; those that fail now are tried again by the writer's thread. */
void touches_settle(struct writer *writer);

/* ---- Writer thread ---- */

/* With the writer's mutex: takes over what others have added. */
void touches_take(struct writer *writer);

/* Applies some of those that were taken, of each namespace in one commit, except where their entry has to be flushed
 * first, or their row to be written again, or their table fails; stops when the backend does. */
void touches_run(struct writer *writer);

/* Is a touch of this namespace (NULL: any) taken and not done? */
bool touches_wait(const struct writer *writer, const struct space *space);

/* Not above any version that the touches of this namespace stand for which are not done, taken or not; UINT64_MAX:
 * there are none. */
uint64_t touches_bound(struct writer *writer, const struct space *space);

/* The writer ends: what is left is in the journal. */
void touches_free(struct writer *writer);

#endif
