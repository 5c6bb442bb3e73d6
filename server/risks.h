/* SPDX-License-Identifier: MIT */
/* What a start warns of, before it serves: what nobody may have meant. */
#ifndef FOREBAY_SERVER_RISKS_H
#define FOREBAY_SERVER_RISKS_H

#include "cache/base/log.h"
#include "server/config/settings.h"

typedef void risks_say(void *context, enum log_level level, const char *message);

/* Fewer connections than were wanted, more memory than there is, an address for everybody, files that the user cannot
 * read again, root. user: -u, or NULL. adopted: the addresses are those of sockets that a service manager has handed
 * over. After the limits were raised and the privileges dropped. */
void risks_tell(const struct settings *settings, unsigned connections_wanted, const char *user, bool adopted,
                risks_say *say, void *context);

/* Of these, limits of memory above what the machine has, which a reload may set as well. */
void risks_tell_memory(const struct settings *settings, risks_say *say, void *context);

#endif
