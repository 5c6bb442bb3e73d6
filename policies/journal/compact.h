/* SPDX-License-Identifier: MIT */
/*
 * Compaction: what namespaces still need of files that they hold back is copied into a few new ones. Design: at
 * the head of compact.c.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_COMPACT_H
#define FOREBAY_POLICIES_JOURNAL_COMPACT_H

#include "policies/journal/internal.h"

/* The compactor: a thread. */
void *journal_compactor_run(void *journal);

/* The syncer's thread: sets the compactor to work where that may be worth it. */
void compact_when_due(struct journal *journal);

#endif
