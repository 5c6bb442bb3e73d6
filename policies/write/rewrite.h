/* SPDX-License-Identifier: MIT */
/*
 * Writing again what memory holds: after the store was lost and another is in its place, or when it turned out to be
 * an older copy of itself.
 *
 * All clean entries of the write-behind and write-through namespaces of the backend are written once more; dirty ones
 * are written anyway. The version guard makes that harmless where the store has the row. Where it has a newer one,
 * memory forgets its own. Rows that memory does not hold stay as the store has them, and so do rows whose delete
 * memory no longer knows. Where a part of the store is away, or has not the replicas that it has to have, the rest is written
 * first.
 *
 * The writer's thread alone, except rewrite_is_running. A copy is taken and written within one step of that thread, so
 * a delete that comes in between is written after it.
 */
#ifndef FOREBAY_POLICIES_WRITE_REWRITE_H
#define FOREBAY_POLICIES_WRITE_REWRITE_H

#include "cache/cache.h"
#include <stdatomic.h>

struct writer;

struct rewrite { /* all zero: none */
    atomic_bool running;
    size_t space; /* of the tier, that is being walked */
    struct cache_walk walk;
    uint64_t written; /* rows that were offered to the store */
    /* A part of the store is away, or lacks replicas: */
    bool partial; /* it has not taken some of the step in hand, */
    bool left;    /* or of steps before; so another walk follows, */
    bool again;   /* which is under way, and waits where that is still so */
    uint64_t rests_until_us;
};

/* From the beginning, also if one is running. */
void rewrite_begin(struct writer *writer);

/* A step, unless the backend is away. True: there is more to do at once. */
bool rewrite_run(struct writer *writer);

/* Any thread. */
bool rewrite_is_running(const struct writer *writer);

#endif
