/* SPDX-License-Identifier: MIT */
/*
 * What the parts of recovery share: recover.c (its design, the journal, the passes), recover_value.c (into memory,
 * range by range), recover_touches.c (what has waited until all is read), recover_store.c (out to the stores). One
 * thread; no other runs yet.
 */
#ifndef FOREBAY_POLICIES_WRITE_RECOVERY_H
#define FOREBAY_POLICIES_WRITE_RECOVERY_H

#include "policies/journal/journal.h"
#include "policies/tier_parts.h"
#include "policies/write/noted.h"
#include <stdio.h>

#define RECOVERY_TOO_MUCH                                                                                    \
    "the journal holds more than memory can, and backend \"%s\" cannot be written to now"

/* Keys, by their places, both inclusive. */
struct range {
    uint64_t first, last;
};

struct recovery {
    struct journal_replayer replayer;
    struct tier *tier;
    struct range range;    /* that is restored while the files are read */
    struct cache_time now; /* when the pass began */
    bool reading;
    bool unwritten; /* a backend could not be written to at the end of a pass */
    struct noted_list touches;
    struct noted_list expired; /* restored without their expiry, which has passed */
    size_t noted_most;         /* bytes of both */
    uint64_t expected;         /* bytes of the journal's files, until the cache knows of them */
    bool names_folder;         /* the error does */
    char error[1024];
};

/* Sets the error; false. */
static inline bool recover_fail_memory(struct recovery *recovery) {
    snprintf(recovery->error, sizeof recovery->error, "out of memory");
    return false;
}

/* ---- recover_value.c ---- */

/* Whether a key belongs to the range at hand; or is left to a later pass: what an earlier one has restored, and could
 * not write, stays. */
bool recover_is_in_range(const struct recovery *recovery, uint64_t hash);
bool recover_noted_is_beyond(const void *recovery, const struct noted *noted);

/* Goes on to the next range. False: that was the last. */
bool recover_next_range(struct recovery *recovery);

/* Stores a change if memory has nothing newer, which may narrow the range. False: there is an error. */
bool recover_change(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                    const struct entry *entry, uint64_t hash);

/* The same for a put or a touch, with its value, whose life may be over: its expiry is noted. */
bool recover_value(struct recovery *recovery, struct space *space, enum mutation_kind kind,
                   const struct entry *entry, uint64_t hash);

/* Notes a touch without its value. False: there is an error. */
bool recover_note_touch(struct recovery *recovery, struct space *space, const struct entry *entry);

/* Puts a dirty entry of memory into its writer's queue. False: no memory. */
bool recover_queue(struct space *space, uint64_t hash);

/* ---- recover_touches.c ---- */

/* Applies the touches that were noted, those of a key in the order of their versions. What is left to the writer is
 * known when no key is left to a later pass any more. False: there is an error. */
bool recover_touches(struct recovery *recovery);

/* Behind the touches: what no touch has prolonged becomes a tombstone. False: there is an error. */
bool recover_expired(struct recovery *recovery);

/* ---- recover_store.c ---- */

/* Writes what was restored. False: not all backends could be written to. */
bool recover_flush(const struct tier *tier);

/* Tells which stores may be ahead of what was restored and cannot be asked now. Writers write it once they run. Where
 * the store may be ahead they are asked before it is believed, if they can write. */
void recover_warn_of_absent(const struct tier *tier);

#endif
