/* SPDX-License-Identifier: MIT */
/*
 * What a store gives is looked at once, where it comes in: other programs write there too, and item_max may have been
 * larger when a row was written. Behind session_load and preload.c nobody has to expect
 *
 *     - a value longer than item_max, for which no buffer is made;
 *     - a version that none of ours would reach (ROW_VERSION_MAX): taking it over would end the versions to come;
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

/* The highest version that a row may have: a year of microseconds below the end of the 63 bits that stores keep. */
#define ROW_VERSION_MAX ((UINT64_C(1) << 63) - version_from_us(UINT64_C(366) * 24 * 60 * 60 * 1000000, 0))

/* What a command is told that needs the value of an unfit row. */
extern const char row_unfit_line[];

/* Whether memory can take this entry of a store or of the quarantine. */
bool row_is_fit(const struct space *space, const struct entry *entry);

/* Looks at what was loaded: sets result->unfit, leaves of the marks those that exist. An unfit row is counted, and
 * told on the log, at most once a minute for a namespace. */
void row_check(struct space *space, struct load_result *result);

/* Whether a key that a scan of the namespace's table shows can be asked for by a client of that namespace. */
bool row_key_is_fit(const struct space *space, struct slice key);

/* Whether the command can be done over an unfit row: it asks at most whether the row is there. */
bool row_can_be_unfit(const struct request *request);

/* Such a row as the command sees it: it is there, with nothing in it. */
struct cache_view row_unfit_view(const struct request *request, uint32_t now);

#endif
