/* SPDX-License-Identifier: MIT */
/*
 * Changes of a namespace that is being copied (copy.h) go to both stores: to the one that it is copied to first, and
 * then to its own. A change counts as written once both have it.
 *
 * In that order nothing can be in a namespace's own store and be missing in the other, whatever dies in between: what
 * was shown to anybody is in both. The other way round, a write-through change that a kill cuts off between the two
 * would be read until the configuration is switched, and be gone then.
 *
 * What a change is on (mutation.on) is for its own store to judge: the rows of the other one may be behind, which the
 * walk has yet to reach, or have versions of their own (copy.h). There the higher version stays, and nothing else is
 * asked. Where its own store then does not take the change, another round sets right what the other one has of it
 * (copies_settle).
 *
 * A touch goes as a whole entry: what the other store has of the row, if it has any, may be of an earlier copy.
 */
#ifndef FOREBAY_POLICIES_WRITE_MIRROR_H
#define FOREBAY_POLICIES_WRITE_MIRROR_H

#include "policies/space.h"

struct errand;
struct writer;

enum mirrored {
    MIRRORED,         /* all are where they belong; mutation.done says nothing */
    MIRRORED_IN_PART, /* a part of another store is away: mutation.done says what is where it belongs */
    NOT_MIRRORED      /* now; nothing may be assumed of any */
};

/* Before these are applied to the writer's own store: brings those to the other stores that belong there. Where one of
 * them has not taken its share, writer->session.error says which and why. Rows that it refuses for good are counted and
 * left out (copy.h): its own store is to have them all the same. */
enum mirrored mirror_apply(struct writer *writer, struct mutation *mutations, size_t count);

size_t mirror_count_done(const struct mutation *mutations, size_t count);

/* Those that are where they belong, copied in their order to `ret_some`, which has room for all. Returns how many. */
size_t mirror_take_done(const struct mutation *mutations, size_t count, struct mutation *ret_some);

/* What became of them, back in their places; all: each of them is done. */
void mirror_put_back(struct mutation *mutations, size_t count, const struct mutation *some, bool all);

/* Applies mutations of the table that the namespace is copied to, by the writer of that backend. *ret_refused: how many
 * it refuses for good; then session.error says why, too. Their order changes, and `numbers` (NULL: nobody asks) goes
 * along. */
enum mirrored mirror_send(struct writer *writer, struct space *space, struct mutation *mutations,
                          uint64_t *numbers, size_t count, size_t *ret_refused);

/* Says in writer->session.error what became of an errand to the backend that the namespace is copied to. */
void mirror_explain(struct writer *writer, const struct space *space, const struct errand *errand);

#endif
