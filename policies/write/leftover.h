/* SPDX-License-Identifier: MIT */
/*
 * What earlier runs have left in the data folder that no backend has yet: records in journals and entries in
 * quarantines. All of it was acknowledged, so a start passes over none of it in silence, whatever the configuration
 * says now:
 *
 *     the namespace is write-behind        it is taken back, also with journal = off
 *     it has another policy                the start is refused, unless the operator says what to do:
 *       --recover=flush                    it is written to the backend, before anything else
 *       --recover=discard:NAMESPACE        it is given up (for a namespace of any policy, or of none)
 *     it is not configured                 the same: other namespaces answer for its keys now, also if it was renamed
 *       --recover=keep:NAMESPACE           it is told and kept, until it is configured again
 *
 * The thread that starts the server.
 */
#ifndef FOREBAY_POLICIES_WRITE_LEFTOVER_H
#define FOREBAY_POLICIES_WRITE_LEFTOVER_H

#include "policies/tier.h"

/* Does what the operator has said, before a tier with these options is made. False: the start is refused, with a
 * sentence in ret_error that names the remedy. */
bool leftovers_settle(const struct tier_options *options, char *ret_error, size_t error_size);

/* Says the same as a start would, on `notes` or, if it would be refused, on `complaints`; false: it would. Locks and
 * changes nothing; a server may be running. */
bool leftovers_check(const struct tier_options *options, FILE *notes, FILE *complaints);

/* Whether --recover=flush has something to write to the backend of this index, which has to be there then. Changes
 * nothing. */
bool leftovers_need(const struct tier_options *options, size_t backend);

/* The sentence that refuses a start because the journal holds changes of this namespace. */
void leftovers_refuse(const struct tier_options *options, const char *name, char *ret_error,
                      size_t error_size);

/* Whether the operator has said that what a namespace has left stays where it is. */
bool leftovers_are_kept(const struct tier_options *options, const char *name);

#endif
