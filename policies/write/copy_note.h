/* SPDX-License-Identifier: MIT */
/*
 * How far the copy of a namespace is, as the data folder knows it for the next start: a file "copy-NAMESPACE". It is
 * replaced as a whole, and not synced: after a power loss an older one may be there, and the copy goes on from further
 * back.
 *
 *     from sqlite:store.db, table sessions
 *     to redis://127.0.0.1:6379/0, key prefix ""
 *     stage 2 rows 12000 total 20000 unreadable 0 doubt 1
 *     place 736573733a3939
 *
 * doubt: the server has not ended since in the way of a stop, or has given changes up (copy.h). One of another pair of
 * places means nothing. A start without copy_to removes it: changes that are made without it are in one store alone.
 */
#ifndef FOREBAY_POLICIES_WRITE_COPY_NOTE_H
#define FOREBAY_POLICIES_WRITE_COPY_NOTE_H

#include "policies/tier_parts.h"

/* Takes over what is noted, unless that was whole and is in doubt: then another round begins. False: nothing is noted.
 * The writer's thread. */
bool copy_note_read(struct space *space);

/* False: it cannot be written; errno says why. The same. */
bool copy_note_write(const struct space *space);

/* Whether the namespace of this name was copied, all of it, from one place to another, as places.h calls them. At the
 * start. */
bool copy_note_is_whole(const struct tier_options *options, const char *name, const char *from,
                        const char *to);

/* Whether a copy to this place has begun and is not complete; then how far it is. At the start. */
bool copy_note_is_partial(const struct tier_options *options, const char *name, const char *to,
                          uint64_t *ret_rows, uint64_t *ret_total);

/* Removes those of namespaces that are not copied. At the start. */
void copy_notes_clear(const struct tier *tier);

#endif
