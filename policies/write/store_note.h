/* SPDX-License-Identifier: MIT */
/*
 * What the data folder knows of a backend's store, for the next start:
 *
 *     high_version N     the highest version that it was seen to have. A start compares the store with it, and says so
 *                        where an older copy, or none, is in its place
 *     versions_below N   what was written to it is below. A start that cannot ask the store begins above: the clock may
 *                        have been ahead, and a journal does not know of versions that were drawn without it
 *     node N             the server's number when the store acknowledged to it last. A start with another number looks
 *                        the old one up there, and goes on where it ended (backend_options.former_node)
 *
 * A file for each backend, "backend-NAME.version", of these lines (of the first ones alone, before there were the
 * others). It is replaced as a whole, at most every ten seconds while versions grow, and at the end; it is not synced.
 * So the first may lag behind the store, and a copy that is a few seconds older may pass unnoticed after a crash; it
 * never runs ahead. The second does, by some seconds, and is noted before anything above it is written; at an end it is
 * what was written. One that is missing or cannot be read or written costs the comparison and that start, nothing else.
 * The writer's thread, and whoever makes and ends it, where nothing else is said.
 */
#ifndef FOREBAY_POLICIES_WRITE_STORE_NOTE_H
#define FOREBAY_POLICIES_WRITE_STORE_NOTE_H

#include <stdbool.h>
#include <stdint.h>

struct writer;

struct store_note {
    uint64_t version, below;
    unsigned node;
};

/* What the data folder (NULL: there is none) knows of a backend's store. A number of this server that it does not know
 * is left as it is. False: nothing. Any thread. */
bool store_note_find(const char *data, const char *backend, struct store_note *ret_note);

/* Before the first connection. */
void store_note_read(struct writer *writer);

/* For a start without the store: versions are drawn above all that was written to it. False: it says what no clock
 * gives, and counts for nothing. */
bool store_note_begins_above(struct writer *writer);

/* The store has been compared with what was noted: from now on it is asked by the number of now. The file says so
 * before it says anything else by that. */
void store_note_number(struct writer *writer);

/* If it is time. */
void store_note_keep(struct writer *writer, uint64_t now_us);

/* Changes are written to the store, up to this version. */
void store_note_before(struct writer *writer, uint64_t version);

/* Nothing will be written any more. */
void store_note_end(struct writer *writer);

#endif
