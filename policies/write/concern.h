/* SPDX-License-Identifier: MIT */
/*
 * Which changes the backend has to learn of, and what is left of the others. The same for write-through, on
 * the worker and on the writer's thread, and for write-behind, which has one more case (write_behind.c).
 */
#ifndef FOREBAY_POLICIES_WRITE_CONCERN_H
#define FOREBAY_POLICIES_WRITE_CONCERN_H

#include "policies/evaluate.h"
#include "policies/space.h"

/* Does the backend have to learn of the change? base is the entry as it stands; a touch has one. */
bool change_concerns_backend(const struct space *space, const struct cache_view *base,
                             const struct change *change);

/* Makes of a change that does not concern the backend what is made in memory alone: of a touch below the
 * slack that is the token that it won, or nothing; the expiry stays. */
void change_stay_in_memory(struct change *change, const struct cache_view *base);

/* Was it an old copy, perhaps, that kept the request from changing anything? Other servers use the store, and what
 * memory has of the row is no ground to say EXISTS or NOT_STORED. */
bool change_was_denied(const struct space *space, const struct request *request, const struct change *change);

/* May it be a placeholder (mg N), of which the backend has nothing? A row without a value looks the same while somebody
 * who has the token recaches it. */
bool may_be_placeholder(struct slice value, uint8_t marks);

/* What the change that leaves this entry is on (enum mutation_on), where it is not known which row was there. */
unsigned change_is_on(enum mutation_kind kind, const struct entry *entry);

#endif
