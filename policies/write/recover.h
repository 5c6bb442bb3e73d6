/* SPDX-License-Identifier: MIT */
/* The journal's way back, at the start. */
#ifndef FOREBAY_POLICIES_WRITE_RECOVER_H
#define FOREBAY_POLICIES_WRITE_RECOVER_H

#include "policies/tier_parts.h"

/* Opens the journal and restores what it holds. Connections of the writers exist, no thread runs yet.
 * False: a sentence in error; the server must not start. */
bool recover(struct tier *tier, char *error, size_t error_size);

#endif
