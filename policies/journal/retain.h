/* SPDX-License-Identifier: MIT */
/*
 * Files that the low-water version has passed and that stay for a while: their records are the only place that still
 * has what a store acknowledged and may yet lose. Design: at the head of retain.c.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_RETAIN_H
#define FOREBAY_POLICIES_JOURNAL_RETAIN_H

#include "policies/journal/internal.h"

/* ---- The syncer's thread; journal_open before that has started, journal_close when it has ended ---- */

/* Finds out which of them have to go, and what is forgotten then, to be noted before they do. */
void retain_look(struct journal *journal);

/* Retains those of the passed files that are worth it. Returns the others, for recycle_files. */
struct journal_file *retain_files(struct journal *journal, struct journal_file *passed);

/* Those that have to go, for recycle_files. */
struct journal_file *retain_take_due(struct journal *journal);

/* ---- Any thread ---- */

/* Gives up the oldest for want of room: it takes the name of a blank of the usual size, or is removed where it has
 * another size. False: there is none. *ret_blank: it has the name. */
bool retain_give_up(struct journal *journal, const char *blank_path, bool *ret_blank);

#endif
