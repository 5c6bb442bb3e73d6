/* SPDX-License-Identifier: MIT */
/*
 * What a store gives is looked at once, where it comes in: other programs write there too, and item_max may have been
 * larger when a row was written. Behind session_load and preload.c nobody has to expect
 *
 *     - a value longer than item_max, for which no buffer is made;
 *     - a version that no clock gives (ENTRY_VERSION_HIGHEST): it counts as 0, as if the row had none;
 *     - marks that do not exist;
 *     - a key that no client can ask for, or that belongs to another namespace.
 *
 * What memory cannot take of these makes the row unfit: docs/policies.md says what is answered. Any thread.
 */
#ifndef FOREBAY_POLICIES_ROW_H
#define FOREBAY_POLICIES_ROW_H

#include "backends/backend.h"
#include "policies/request.h"
#include "policies/space.h"

/* What a command is told that needs the value of an unfit row. */
extern const char row_unfit_line[];

/* Whether memory can take this entry of a store or of the quarantine. */
bool row_is_fit(const struct space *space, const struct entry *entry);

/* Looks at what was loaded: sets result->unfit, leaves of marks and version what makes sense. An unfit row is
 * counted, and told on the log, at most once a minute for a namespace. */
void row_check(struct space *space, struct load_result *result);

/* Whether a key that a scan of the namespace's table shows can be asked for by a client of that namespace. */
bool row_key_is_fit(const struct space *space, struct slice key);

/* Whether the command can be done over an unfit row: it asks at most whether the row is there. */
bool row_can_be_unfit(const struct request *request);

/* Such a row as the command sees it: it is there, with nothing in it. */
struct cache_view row_unfit_view(const struct request *request, uint32_t now);

#endif
