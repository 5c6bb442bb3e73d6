/* SPDX-License-Identifier: MIT */
/*
 * The walk over a file of which nobody knows where its records end: that of format.h, read as far as it is needed.
 *
 *     records, through a window
 *        | no record: does one follow?
 *     the rest, through the window --no record can--> the end, torn or not
 *        | one may: there is a tag
 *     the rest of the file in memory
 *
 * So a file takes a window's memory, and more of it only where it may be damaged.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_WALK_H
#define FOREBAY_POLICIES_JOURNAL_WALK_H

#include "policies/journal/format.h"
#include "policies/journal/window.h"

/* All zero: a walk that has walked nowhere yet. */
struct walk {
    const struct journal_disk *disk;
    int handle; /* the caller's */
    uint64_t size;
    struct window window;
    char *head; /* a copy of the header */
    struct format_header header;
    struct format_key key;
    bool paused;
    char *data; /* of the file's length, if it was needed; kept from file to file */
    size_t capacity;
    enum { WALK_IN_RECORDS, WALK_IN_REST, WALK_IN_DATA, WALK_AT_END } stage;
    struct scan scan;            /* of data */
    struct format_record record; /* of WALK_RECORD */
    size_t at;     /* where the record, the hole, the torn record, what is missing or the end is */
    size_t extent; /* and its length in bytes, as those of a scan */
    uint64_t missing;
};

enum walk_status {
    WALK_RECORD,
    WALK_HOLE, /* as those of scan_next */
    WALK_MISSING,
    WALK_TORN,
    WALK_END,
    WALK_PAUSE,  /* the next step takes the bytes of all records away that were found so far */
    WALK_FAILED, /* errno */
};

/* Onto the first record. *ret_header: what its header is; the walk goes on only where that is FORMAT_GOOD. False:
 * errno. */
bool walk_begin(struct walk *walk, const struct journal_disk *disk, int handle,
                enum format_status *ret_header);

void walk_free(struct walk *walk);

enum walk_status walk_next(struct walk *walk);

/* As scan_hole_is_damage, behind WALK_HOLE. */
bool walk_hole_is_damage(const struct walk *walk, const uint8_t boot[JOURNAL_BOOT_SIZE]);

/* All bytes of the file, walk->size of them. The walk is over. NULL: errno. */
const char *walk_all(struct walk *walk);

#endif
