/* SPDX-License-Identifier: MIT */
/*
 * Which files are in use is noted in the low-water file, so that a start misses what was removed while nobody looked.
 * In most cases there is no other way to know: there are gaps between the numbers of files wherever one was used again.
 *
 *     current, sealed, and needed --begins: noted soon--> listed --passed, or compacted: noted--> not listed --> blank
 *
 * A file leaves its name only when the list on disk has it no more; so one that is listed, and is not there, was taken
 * away by somebody else, whenever the process ended. A file that was begun a moment ago may not be listed yet, nor one
 * of more than the low-water file has room for: these are not missed. One that --recover has set aside is there under
 * its other name.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_LISTED_H
#define FOREBAY_POLICIES_JOURNAL_LISTED_H

#include "policies/journal/internal.h"

/* Lists the files in use in journal.low_waters, which is to be written. True: they are others than those on disk.
 * Syncer, as the next. */
bool listed_renew(struct journal *journal);
/* That has been written. */
void listed_note_written(struct journal *journal);

/* Is this file of the list neither there nor set aside? Gives its name. Any thread. */
bool listed_is_missing(const char *folder, const struct listed_file *listed, char ret_name[JOURNAL_NAME_MAX]);

#endif
