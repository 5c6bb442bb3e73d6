/* SPDX-License-Identifier: MIT */
/*
 * Copying a namespace to another backend while it is served (copy_to). What is committed meanwhile goes to both stores
 * (mirror.h); beside that the namespace's own store is walked from end to end:
 *
 *     COUNTS --> CLEARS --> WALKS --> WHOLE
 *       ^                   ^   |       |
 *       |                   `---'       |  the other store refuses a row: another walk, a minute later
 *       `-----------------------+-------'  a change may be in the other store alone; that was lost, or is older than it was
 *     HALTED: the namespace's own store was lost, or is empty and the other one is not. Changes still go to both
 *
 *     COUNTS  keys, for who asks how far it is
 *     CLEARS  the other store is walked, and what the namespace's own does not have goes: an earlier copy may have left rows
 *             that were deleted since
 *     WALKS   rows are read and written with their versions, expiries and CAS
 *     WHOLE   the other store has all of it, and keeps up
 *
 * A step reads from one store and writes to the other within one step of the namespace's writer, which alone commits
 * its changes: so no row is read, deleted in both, and written again; and a later change is written later, and is
 * newer. Nothing has to be known of how long a store remembers deletes. After a step it rests for as long as that took:
 * changes have half of the writer's time at least.
 *
 * A change that was given up (answered with an error), that its own store has superseded or found to be on something
 * else than is there (mutation.on), or that a kill has cut off, may be in the other store and not in the namespace's
 * own. Nobody was promised it, and who has read the key since was shown that it did not happen. So another round
 * follows (`doubt`), which finds the other store ahead: it deletes the row there that its own does not have, or gives
 * the row of its own a version that is one higher than what it met, in both, with the CAS that clients know. Any later
 * change of that key is higher still. What is yet to be written, or is in quarantine, is left alone by this.
 *
 * All of this takes it that nobody else changes either store. Changes of another server would go to one of them alone,
 * and rows that it has brought to the other would be taken for what an earlier copy has left. So the copy waits while a
 * server beside this one has one of them open, as far as the stores tell (backend_company), and begins anew when none
 * has.
 *
 * How far it is, is noted in the data folder (copy_note.h). Its writer's thread, where nothing else is said.
 */
#ifndef FOREBAY_POLICIES_WRITE_COPY_H
#define FOREBAY_POLICIES_WRITE_COPY_H

#include "cache/base/counter.h"
#include "policies/space.h"

struct writer;

enum copy_stage { COPY_COUNTS, COPY_CLEARS, COPY_WALKS, COPY_WHOLE, COPY_HALTED };

/* Keys of a page, one behind the other, each after a byte with its size. */
struct copy_page {
    char *bytes;
    size_t size, capacity, at;
    struct backend_place next; /* where the page behind it begins */
    bool no_memory;
};

struct copy {
    struct tier_backend *target; /* constant, */
    struct backend_table table;  /* as that is */

    struct backend_place place; /* where the page begins that is in hand, or the next one */
    struct copy_page page;
    bool begun;             /* by this process */
    bool waits;             /* for other servers to be gone */
    bool answered;          /* the other store has, in this step */
    bool ended;             /* nothing happens any more */
    bool pending;           /* a change is with the other store that its own has not taken yet */
    bool doubt;             /* such a one was given up since this round began */
    size_t refused_rows;    /* in this walk */
    uint64_t rest_until_us; /* monotonic */
    atomic_uint_fast64_t began_us, ended_us; /* monotonic: from then on, to then; 0: not yet */

    /* read by anyone */
    atomic_int stage; /* enum copy_stage */
    counter rows, total, removed, changes, refused, unreadable;
    counter rate_rows;    /* by this process */
    atomic_bool lost;     /* by anyone: it begins anew */
    atomic_bool own_lost; /* the same: it is halted */
};

/* With space_init: one for a namespace with copy_to; true where there is nothing to do. False: no memory. */
bool copy_init(struct space *space);
void copy_free(struct space *space);

/* Gives its table the next index of the other backend's. */
void copy_list_table(struct space *space);

/* Steps of those namespaces of the writer for which it is time. Returns when the next is (monotonic us), UINT64_MAX:
 * never. */
uint64_t copies_run(struct writer *writer);

/* Changes were brought to the other store, of which it refused some, for this reason. */
void copy_note_changes(struct space *space, size_t count, size_t refused, const char *reason);

/* The changes that were brought to other stores are in the writer's own as well, but those that it has superseded; or
 * it is not known. */
void copies_settle(struct writer *writer, const struct mutation *mutations, size_t count, bool written);

/* The writer ends: a start that finds it noted so need not doubt. */
void copies_end(struct writer *writer);

/* Whether a namespace is copied to this backend. Any thread. */
bool copies_lead_to(const struct tier_backend *target);

/* Whether another server has one of the two stores open, as far as is known. */
bool copy_has_company(const struct space *space);

/* A backend's writer has found another store, or an older copy, in its place: what is copied to it begins anew, and
 * what is copied from it halts. */
void copies_lose(struct tier_backend *backend);

/* ---- Any thread ---- */

const char *copy_stage_name(const struct copy *copy);

/* Rows a second, from the first that this process has copied. */
uint64_t copy_rate(const struct copy *copy);

#endif
