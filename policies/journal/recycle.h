/* SPDX-License-Identifier: MIT */
/*
 * Files that the low-water version has passed: out of the list, and blank for their next use.
 *
 * The syncer's thread alone; journal_open before that has started, journal_close when it has ended.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_RECYCLE_H
#define FOREBAY_POLICIES_JOURNAL_RECYCLE_H

#include "policies/journal/internal.h"

/* Takes the blanks that an earlier process left, as many as may be wanted, and removes the others. */
void recycle_adopt_blanks(struct journal *journal);

/* By what is noted, nothing in the file is needed any more, or it is needed in another one. With the lock. */
bool recycle_is_done_with(const struct journal *journal, const struct journal_file *file);

/* Takes out of the list the files that hold nothing above the low-water version, when that is on disk, and that they
 * are not in use. NULL: there are none, or it could not be written. The caller gives them to recycle_files. */
struct journal_file *recycle_take_passed(struct journal *journal);

/* Makes blanks of the files, as many as will be wanted, and removes the others; frees them all. */
void recycle_files(struct journal *journal, struct journal_file *passed);

#endif
