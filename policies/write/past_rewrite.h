/* SPDX-License-Identifier: MIT */
/*
 * Writing again what the journal has: after memory's entries (rewrite.h), where a store lacks something that it had
 * acknowledged. Design: at the head of past_rewrite.c. The writer's thread alone.
 */
#ifndef FOREBAY_POLICIES_WRITE_PAST_REWRITE_H
#define FOREBAY_POLICIES_WRITE_PAST_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct past_rewrite;
struct writer;

/* Is there a journal that says something of this kind of store? */
bool past_rewrite_is_of_use(const struct writer *writer);

/* mark: the store has all up to this batch (marks.h); 0: nobody knows. NULL: no memory, or the journal does not
 * open. */
struct past_rewrite *past_rewrite_create(struct writer *writer, uint64_t mark);
void past_rewrite_free(struct past_rewrite *self); /* NULL is allowed */

enum past_rewrite_status {
    PAST_REWRITE_DONE,
    PAST_REWRITE_MORE,
    PAST_REWRITE_NOT_NOW, /* the store cannot be written to */
};

/* A step. */
enum past_rewrite_status past_rewrite_run(struct writer *writer, struct past_rewrite *self);

/* Is all that the journal has of keys with this hash in the store, but for touches? */
bool past_rewrite_has_written(const struct past_rewrite *self, uint64_t hash);

/* How many changes were written to the store again. */
uint64_t past_rewrite_written(const struct past_rewrite *self);

/* Of changes up to this version, some may have been in no file any more although the store may lack them; 0: none. */
uint64_t past_rewrite_missing(const struct past_rewrite *self);

/* Some of it was passed over, and it is to be begun again. */
bool past_rewrite_lacks_memory(const struct past_rewrite *self);

/* False: a file could not be read. */
bool past_rewrite_is_whole(const struct past_rewrite *self);

#endif
