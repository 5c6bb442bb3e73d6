/* SPDX-License-Identifier: MIT */
/*
 * Which records of a set of files have to be kept: by key, the newest put or delete, and the touches after it.
 *
 * What is dropped is always dominated by a record that is kept, so a recovery that reads the kept ones (and, in
 * other files, any others) comes to the same result:
 *
 *     a put or a delete    by a newer put or delete of the key: the highest version wins
 *     a touch              by a newer put or delete of the key, or by a newer touch that names the same CAS
 *                          value. A touch without one is kept: whether the row was alive when a later one was
 *                          made may depend on it. There are few: the writer takes 4,096 at once
 *
 * One thread.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_KEPT_H
#define FOREBAY_POLICIES_JOURNAL_KEPT_H

#include "policies/journal/format.h"

struct kept; /* owns copies of the keys */

/* NULL: no memory, or no random numbers. */
struct kept *kept_create(void);
void kept_free(struct kept *kept);

/* Notes a record; space: the number of its namespace. False: no memory. */
bool kept_note(struct kept *kept, const struct format_record *record, unsigned space);

/* Does one of those that were noted have to be kept, now that all are noted? */
bool kept_needs(const struct kept *kept, const struct format_record *record, unsigned space);

/* Where what a record has stored was touched later, by one that was noted and names it: the version and the expiry of
 * the newest such touch. */
bool kept_find_touch(const struct kept *kept, const struct format_record *record, unsigned space,
                     uint64_t *ret_version, uint32_t *ret_expires_at);

/* Is what this touch was made on the newest change of its key that was noted, so that it goes with that? */
bool kept_is_joined(const struct kept *kept, const struct format_record *touch, unsigned space);

/* kept_needs, for whoever needs it once: of two records of one change, as one that was copied to another file leaves
 * them, the second is not needed. */
bool kept_take(struct kept *kept, const struct format_record *record, unsigned space);

/* How many keys were noted. */
size_t kept_count(const struct kept *kept);

/* Bytes of the records that have to be kept, or a little more. */
uint64_t kept_bytes(const struct kept *kept);

#endif
