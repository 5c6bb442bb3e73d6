/* SPDX-License-Identifier: MIT */
/*
 * What is known of a quarantine's file beside it, in "quarantine-NAME.note": up to where it was synced, and how many
 * entries it held then. So a start misses what was cut off, or a file that was removed, while nobody looked.
 *
 * It is written in place after each change, and not synced: it may be behind the file, and never ahead of it. Before a
 * shorter file takes its place it is made to say nothing, on disk. One that is missing, or fails its check, says
 * nothing, and of another file than its own only that there was one: an earlier version writes the file anew and knows
 * of no note. One thread at a time.
 */
#ifndef FOREBAY_POLICIES_WRITE_QUARANTINE_NOTE_H
#define FOREBAY_POLICIES_WRITE_QUARANTINE_NOTE_H

#include "policies/journal/disk.h"
#include <stdbool.h>

struct quarantine_note {
    uint64_t end;   /* of the last synced record; 0: nothing is known */
    uint64_t count; /* of entries */
    uint64_t inode,
        born_us; /* of the file: the end of another one is not known, nor of one that got its number */
};

/* Of the file beside that of a quarantine, quarantine-NAME.log. To be freed. NULL: no memory. */
char *quarantine_note_path(const char *log_path);

/* What it says; nothing, if it cannot be read. */
struct quarantine_note quarantine_note_read(const struct journal_disk *disk, const char *path);

/* A file that is not there is made, unless nothing is to be said. synced: it is on disk when it returns. False:
 * errno. */
bool quarantine_note_write(const struct journal_disk *disk, const char *path,
                           const struct quarantine_note *note, bool synced);

#endif
