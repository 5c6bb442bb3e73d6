/* SPDX-License-Identifier: MIT */
/* Outcomes to bytes, as memcached would say it. Pure: writes into a buffer of the caller. */
#ifndef FOREBAY_SERVER_PROTOCOL_REPLY_H
#define FOREBAY_SERVER_PROTOCOL_REPLY_H

#include "policies/request.h"

/* Bytes of any answer without its value: lines, keys, tokens. */
enum { REPLY_LINE_MAX = 1024 };

/* Writes the answer (nothing when noreply or quiet mode wants none) and returns its end. out: room for
 * REPLY_LINE_MAX bytes and for the value. If the value lives outside the log (view.large) it is not copied, and
 * needs no room: *ret_value_at is where in the bytes it belongs, else NULL. COMMAND_BAD and COMMAND_META_NOOP
 * need no outcome. */
char *reply_write(char *out, const struct request *request, const struct outcome *outcome,
                  char **ret_value_at);

/* The answer of those two alone. For the server, whose path of a key is the only one to call reply_write: so it is
 * compiled into that, which saves a get one instruction in twenty. */
char *reply_write_without_key(char *out, const struct request *request);

#endif
