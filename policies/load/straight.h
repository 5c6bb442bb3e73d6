/* SPDX-License-Identifier: MIT */
/*
 * A whole namespace is filled as its rows lie in the store, in one pass and without looking up any: for a preload that
 * wants all of them, where all of them have room, so that it does not matter which come first.
 *
 *     for each page    the stamps of all keys are taken, then rows are read and filled one by one
 *
 * What changes in memory after its stamp was taken is not overwritten; what is refused for another key's change is
 * noted (filling.h). One thread.
 */
#ifndef FOREBAY_POLICIES_LOAD_STRAIGHT_H
#define FOREBAY_POLICIES_LOAD_STRAIGHT_H

#include "policies/load/filling.h"
#include "policies/session.h"

/* All zero: not begun. */
struct straight {
    struct backend_visitor visitor;
    struct backend_place place;
    struct filling *filling;
    const atomic_bool *stop;
    struct cache_stamps *stamps; /* NULL: not begun */
    struct cache_time now;       /* of the page */
    unsigned losses;             /* of the store, when the page began */
    bool distrusted;             /* it has lost something since */
    size_t rows;                 /* how many there are, about */
    size_t shown;                /* of them */
};

/* Begins it over the open connection, into `filling`, which must outlive it, where all rows are wanted and have room as
 * far as the store can tell beforehand. The room is not set aside: what else fills memory meanwhile, perhaps another
 * such pass, takes of the same. */
enum backend_status straight_begin(struct straight *straight, struct session *session,
                                   struct filling *filling, const atomic_bool *stop);

static inline bool straight_has_begun(const struct straight *straight) {
    return straight->stamps != NULL;
}

static inline bool straight_is_done(const struct straight *straight) {
    return straight->place.end;
}

/* Fills the next page. After a failure it can be called again, also over another connection. */
enum backend_status straight_step(struct straight *straight, struct session *session);

/* The next page is the first: it is another store. */
void straight_restart(struct straight *straight);

/* It is not begun any more, and all zero. */
void straight_end(struct straight *straight);

#endif
