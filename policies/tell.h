/* SPDX-License-Identifier: MIT */
/*
 * Lines of the log about a namespace or a backend. The message names it, for people, and so do the line's fields, for
 * programs. For the files of policies alone. Any thread.
 *
 * A message never has a value, and at the levels that are told by default no key: what a client keeps here is not for
 * whoever reads logs. Where an operator has to find a row, the line says how, and tell_key names it at level debug.
 */
#ifndef FOREBAY_POLICIES_TELL_H
#define FOREBAY_POLICIES_TELL_H

#include "policies/tier_parts.h"

/* limit: of a line that may come over and over; NULL: none. */
__attribute__((format(printf, 4, 5))) void tell_of_space(const struct space *space, struct log_limit *limit,
                                                         enum log_level level, const char *format, ...);
__attribute__((format(printf, 4, 5))) void tell_of_backend(const struct tier_backend *backend,
                                                           struct log_limit *limit, enum log_level level,
                                                           const char *format, ...);

/* A debug line beside one of those: "namespace sessions: <what> <key>". Limited, and what is left out is not counted,
 * as most often nobody reads it. */
void tell_key(struct space *space, struct slice key, const char *what);

#endif
