/* SPDX-License-Identifier: MIT */
/*
 * By which batch a store had what: "all of the namespace up to this version was in the store as of the batch of this
 * number" (backend_connection.applied), at some moments of the last minutes. Where a store turns out to have no more
 * than some earlier batch, this says which changes are there for certain. The writer's thread alone.
 */
#ifndef FOREBAY_POLICIES_WRITE_MARKS_H
#define FOREBAY_POLICIES_WRITE_MARKS_H

#include <stddef.h>
#include <stdint.h>

enum { MARKS_MAX = 64 };

struct marks { /* all zero: none */
    struct {
        uint64_t version, mark;
    } list[MARKS_MAX]; /* both grow */
    size_t count;
};

/* As of now. Numbers are times (us); moments less than spacing_us apart are one, the later. */
void marks_note(struct marks *marks, uint64_t version, uint64_t mark, uint64_t spacing_us);

/* The version up to which a store that has this batch has all; 0: nothing is known. */
uint64_t marks_find(const struct marks *marks, uint64_t mark);

/* The store has gone back to this batch: what was noted later says nothing any more. */
void marks_go_back(struct marks *marks, uint64_t mark);

#endif
