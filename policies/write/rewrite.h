/* SPDX-License-Identifier: MIT */
/*
 * Writing again what this server has: after the store was lost and another is in its place, or when it turned out to be
 * an older copy of itself, now or before the start.
 *
 *     memory    all clean entries of the write-behind and write-through namespaces of the backend are written once more;
 *               dirty ones are written anyway
 *     journal   then what it alone has, deletes and rows that memory has evicted (past_rewrite.h)
 *
 * The version guard makes that harmless where the store has the row. Where it has a newer one, memory forgets its own.
 * What neither of them has stays as the store has it.
 *
 * Until all is done the store owes something: the mark of its namespaces says so in the data folder, before anything is
 * written to it, so that a start after a kill begins anew (journal_set_mark).
 *
 * The writer's thread alone, except rewrite_is_running. A copy is taken and written within one step of that thread, so
 * a delete that comes in between is written after it.
 */
#ifndef FOREBAY_POLICIES_WRITE_REWRITE_H
#define FOREBAY_POLICIES_WRITE_REWRITE_H

#include "backends/backend.h"
#include "cache/cache.h"
#include <stdatomic.h>

struct writer;

struct rewrite { /* all zero: none */
    atomic_bool running;
    uint64_t mark; /* the store has all up to this batch; 0: nobody knows */
    size_t space;  /* of the tier, that is being walked */
    struct cache_walk walk;
    uint64_t written; /* rows of memory that were offered to the store */
    bool in_journal;  /* memory is done */
    struct past_rewrite *past;
    bool halts; /* the journal's time (journal_halt_keeping) */
    /* A part of the store is away, or lacks replicas: */
    bool partial; /* it has not taken some of the step in hand, */
    bool left;    /* or of steps before; so another walk follows, */
    bool again;   /* which is under way, and waits where that is still so */
    uint64_t rests_until_us;
};

/* From the beginning, also if one is running. mark: as in struct rewrite. */
void rewrite_begin(struct writer *writer, uint64_t mark);

/* The same, of the journal alone: memory has just been filled from there, or from the store. */
void rewrite_begin_past(struct writer *writer, uint64_t mark);

/* What the low-water versions of its namespaces are marked with: the last batch that the store has, or that it owes. */
uint64_t rewrite_mark(const struct writer *writer);

/* While the store is away or owes something, nothing is forgotten for being old. With each pass. */
void rewrite_halt_keeping(struct writer *writer);

/* The writer ends. */
void rewrite_end(struct writer *writer);

/* Does a store have to have what is seen? What is dirty is written anyway. */
bool rewrite_is_of_store(const struct cache_view *view);

/* The row that it is written as; key and value are where the caller has put them. */
struct entry rewrite_entry(const struct cache_view *view, struct slice key, struct slice value);

/* A step, unless the backend is away. True: there is more to do at once. */
bool rewrite_run(struct writer *writer);

/* When it goes on after a rest, monotonic us; UINT64_MAX: it does not rest. */
uint64_t rewrite_rests_until(const struct writer *writer);

/* Any thread. */
bool rewrite_is_running(const struct writer *writer);

#endif
