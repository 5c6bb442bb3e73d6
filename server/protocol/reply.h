/* SPDX-License-Identifier: MIT */
/* Outcomes to bytes, as memcached would say it. Pure: writes into a buffer of the caller. */
#ifndef FOREBAY_SERVER_REPLY_H
#define FOREBAY_SERVER_REPLY_H

#include "policies/request.h"

/* Bytes that reply_write may need at most, without the value when it lives outside the log (view.large). */
size_t reply_bound(const struct request *request, const struct outcome *outcome);

/* Bytes of any answer without its value: lines, keys, tokens. */
enum { REPLY_LINE_MAX = 1024 };

/* Writes the answer (nothing when noreply or quiet mode wants none) and returns its end. If the value lives
 * outside the log it is not copied: *ret_value_at is where in the bytes it belongs, else NULL. COMMAND_BAD
 * and COMMAND_META_NOOP need no outcome. */
char *reply_write(char *out, const struct request *request, const struct outcome *outcome,
                  char **ret_value_at);

#endif
