/* SPDX-License-Identifier: MIT */
/*
 * Changes of a namespace that is being copied (copy.h) go to both stores: to the one that it is copied to first, and then to
 * its own. A change counts as written once both have it.
 *
 * In that order nothing can be in a namespace's own store and be missing in the other, whatever dies in between: what was
 * shown to anybody is in both. The other way round, a write-through change that a kill cuts off between the two would be
 * read until the configuration is switched, and be gone then.
 *
 * What a change is on (mutation.on) is for its own store to judge: the rows of the other one may be behind, which the walk
 * has yet to reach, or have versions of their own (copy.h). There the higher version stays, and nothing else is asked. Where
 * its own store then does not take the change, another round sets right what the other one has of it (copies_settle).
 *
 * A touch goes as a whole entry: what the other store has of the row, if it has any, may be of an earlier copy.
 */
#ifndef FOREBAY_POLICIES_WRITE_MIRROR_H
#define FOREBAY_POLICIES_WRITE_MIRROR_H

#include "policies/space.h"

struct errand;
struct writer;

/* Before these are applied to the writer's own store: brings those to the other stores that belong there. False: one of them
 * has not taken its share now; then writer->session.error says which and why, and nothing may be assumed of any. Rows that
 * it refuses for good are counted and left out (copy.h): its own store is to have them all the same. */
bool mirror_apply(struct writer *writer, const struct mutation *mutations, size_t count);

/* Applies mutations of the table that the namespace is copied to, by the writer of that backend. *ret_refused: how many it
 * refuses for good; then session.error says why, too. The same answer. */
bool mirror_send(struct writer *writer, struct space *space, struct mutation *mutations, size_t count,
                 size_t *ret_refused);

/* Says in writer->session.error what became of an errand to the backend that the namespace is copied to. */
void mirror_explain(struct writer *writer, const struct space *space, const struct errand *errand);

#endif
