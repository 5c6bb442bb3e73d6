/* SPDX-License-Identifier: MIT */
/* The lock of a data folder: two servers must not share one, whether or not they keep a journal in it. */
#ifndef FOREBAY_POLICIES_JOURNAL_FOLDER_LOCK_H
#define FOREBAY_POLICIES_JOURNAL_FOLDER_LOCK_H

#include "policies/journal/journal.h"

/* Makes the folder if it is missing, and takes its lock. JOURNAL_LOCKED: somebody else has it, in this process or
 * another; *ret_error names the folder, the other's pid and the remedy. JOURNAL_FAILED: it cannot be made or locked.
 * *ret_lock is for folder_lock_release. Any thread. */
enum journal_status folder_lock_take(const char *folder, int *ret_lock, struct journal_error *ret_error);

/* Does somebody have the lock, in this process or another? For whoever only looks. Any thread. */
bool folder_lock_is_held(const char *folder);

/* The pid of whoever has it, as the file says; 0: nobody, or it is not known. Any thread. */
long folder_lock_holder(const char *folder);

/* -1 is no lock. Any thread. The end of the process, however it ends, does the same. */
void folder_lock_release(int lock);

#endif
