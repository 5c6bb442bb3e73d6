/* SPDX-License-Identifier: MIT */
/*
 * Of which keys a store that went back may lack changes that it had acknowledged, and that the journal has. A load of
 * such a key waits until they are written again (rewrite.h): it would show what is older.
 *
 *     NOTHING --the store is found to have gone back--> ANYTHING --the journal is read--> LISTED --all is written--> NOTHING
 *                                                          ^                                |
 *                                                          `---------and once more----------'
 *
 * The list is one of hashes, a bit for each, so some others wait as well: one in 17 where a million keys are on it. It
 * is kept from then on, as readers look at it at any time. Where there is no memory for it, or the journal does not
 * open, it stays at ANYTHING. What memory holds is not loaded, and need not be known here.
 *
 * The writer's thread alone, except where it says so.
 */
#ifndef FOREBAY_POLICIES_WRITE_AT_RISK_H
#define FOREBAY_POLICIES_WRITE_AT_RISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct journal_past;
struct space;
struct writer;

struct at_risk { /* all zero: nothing is */
    atomic_int state;
    atomic_uint losses;         /* that were noticed so far */
    atomic_uint_fast64_t *bits; /* NULL: not made yet */
    struct journal_past *past;  /* being read */
    bool reads;                 /* it is to be read */
};

/* The store is another one, or went back: what was loaded from it until now may be what it went back to. */
void at_risk_note_loss(struct writer *writer);

/* The same, and it has all up to this batch (marks.h): what it lacks is going to be written again. */
void at_risk_begin(struct writer *writer, uint64_t mark);

/* A step of reading the journal. False: that is done. */
bool at_risk_read(struct writer *writer);

/* All is written again. */
void at_risk_end(struct writer *writer);

/* The writer ends. */
void at_risk_free(struct writer *writer);

/* Any thread. */
bool at_risk_has(const struct writer *writer, const struct space *space, uint64_t hash);

#endif
