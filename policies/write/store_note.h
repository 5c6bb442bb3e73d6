/* SPDX-License-Identifier: MIT */
/*
 * What the data folder knows of a backend's store: the highest version that it was seen to have. A start compares the
 * store with it, and says so where an older copy, or none, is in its place.
 *
 * A file for each backend, "backend-NAME.version", one line of text: "high_version N". It is replaced as a whole, at
 * most every ten seconds while versions grow, and at the end; it is not synced. So it may lag behind the store, and a
 * copy that is a few seconds older may pass unnoticed after a crash; it never runs ahead. One that is missing or
 * cannot be read or written costs the comparison, nothing else. The writer's thread, and whoever makes and ends it.
 */
#ifndef FOREBAY_POLICIES_WRITE_STORE_NOTE_H
#define FOREBAY_POLICIES_WRITE_STORE_NOTE_H

#include <stdint.h>

struct writer;

/* Before the first connection. */
void store_note_read(struct writer *writer);

/* If it is time. */
void store_note_keep(struct writer *writer, uint64_t now_us);

void store_note_write(struct writer *writer);

#endif
