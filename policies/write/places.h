/* SPDX-License-Identifier: MIT */
/*
 * Where the rows of each namespace are, as the data folder remembers it from one start to the next: a changed
 * configuration can leave rows behind that nobody finds any more, or send changes of before to a store that they were
 * not made for. Both may be meant, so both are told and nothing is refused, but a place that has a part of a copy.
 *
 * The file, `places`, has a line for each namespace: its name, its prefix, and where its rows are, separated by tabs.
 * A missing one tells nothing. Without a data folder there is none.
 *
 * At the start alone, by the thread that makes the tier.
 */
#ifndef FOREBAY_POLICIES_WRITE_PLACES_H
#define FOREBAY_POLICIES_WRITE_PLACES_H

#include "policies/tier_parts.h"

enum { PLACES_WHERE_SIZE = 600 };

/* Where the rows of a table are, in one line. */
void places_describe(const struct backend_options *store, const struct backend_table *table,
                     char ret_where[PLACES_WHERE_SIZE]);

/* Tells of changes of before that are about to be written to another place than at the last start. When journal and
 * quarantines are read, and nothing of them is written yet. */
void places_tell_pending(struct tier *tier);

/* The same sentence, of so many changes of a namespace; false: they go where they were made for. Changes nothing. */
bool places_describe_pending(const struct tier_options *options, const struct space_options *space,
                             uint64_t pending, char *ret_text, size_t size);

/* False: a namespace is over the place that it was being copied to, and the copy is not complete: what clients change
 * there would be undone by the rest of it. A sentence in ret_error names the remedy. */
bool places_allow(const struct tier_options *options, char *ret_error, size_t error_size);

/* Tells of keys whose rows were in another place at the last start. Changes nothing. */
void places_tell(const struct service *service, const struct tier_options *options);

/* The same, and notes where they are now. When nothing can fail
 * the start any more. */
void places_note(struct tier *tier);

#endif
