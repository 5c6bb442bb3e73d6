/* SPDX-License-Identifier: MIT */
/*
 * Keys whose rows were changed in a store, by another node or by this one: whether memory holds something else of them
 * is asked in batches, over a connection of its own, and what is not the store's is forgotten.
 *
 *     noted --clean--> asked now --the same--> stays
 *       |                   |--a newer one--> forgotten
 *       |                   |--none, or an older one--> asked again once the writer has looked whether the store has lost what
 *       |                   |                           it had, and has written it again (doubts_are_sure)
 *       |                   `--no answer, for it or for all--> asked again
 *       `--being written, or a commit may be on its way into memory--> looked at again after the writer's pass
 *
 * A server hears of its own changes, too. Asking keeps them from costing hits.
 *
 * One thread's alone, except the counters.
 */
#ifndef FOREBAY_POLICIES_LOAD_DOUBTS_H
#define FOREBAY_POLICIES_LOAD_DOUBTS_H

#include "policies/session.h"

enum { DOUBTS_ASKED = 128 /* together */ };

struct doubt {
    uint64_t hash, version;
    size_t key_size;
    char key[ENTRY_KEY_MAX];
};

/* To be looked at later. */
struct doubt_later {
    uint64_t hash, passes; /* passes: of the writer, when it was put off */
    struct space *space;
};

struct doubt_queue {
    struct doubt_later *list;
    size_t first, count, room;
};

struct doubts {
    struct tier_backend *backend;
    struct session session;
    uint64_t patience_us;     /* for an answer */
    uint64_t silent_until_us; /* it had none: no other is waited for before that */
    struct space *space;      /* of those to be asked now */
    size_t count;
    struct doubt now[DOUBTS_ASKED];
    struct doubt_queue later; /* until the writer's pass is another one; in the order of passes */
    /* Of which the store has less than memory: until it is sure that it has not lost it. */
    struct doubt_queue back;
    bool sure;
    bool unanswered, no_memory; /* since the last doubts_ask */
    counter asked, dropped;
};

void doubts_init(struct doubts *doubts, struct tier_backend *backend, uint64_t patience_us);
void doubts_free(struct doubts *doubts);

/* The store may be elsewhere: it is asked there from now on. */
void doubts_follow(struct doubts *doubts);

/* The row of this key was changed. */
void doubts_note(struct doubts *doubts, struct space *space, struct slice key);

enum doubts_status {
    DOUBTS_ANSWERED, /* memory holds nothing older than what was noted, but what has to be looked at again */
    DOUBTS_UNANSWERED, /* it may */
    DOUBTS_NO_MEMORY,  /* some were not kept in mind: anything may be another one */
};

/* Asks for all that can be asked now. */
enum doubts_status doubts_ask(struct doubts *doubts);

/* True: the writer is to look whether the store is what it was, and then doubts_are_sure. */
static inline bool doubts_need_look(const struct doubts *doubts) {
    return doubts->back.count > 0;
}

/* The writer has looked since: what the store has less of now, it has less of. True: memory holds nothing older than
 * what was noted (DOUBTS_ANSWERED). */
bool doubts_are_sure(struct doubts *doubts);

/* Some have to be looked at again. */
static inline bool doubts_are_waiting(const struct doubts *doubts) {
    return doubts->later.count > 0 || doubts->back.count > 0;
}

#endif
