/* SPDX-License-Identifier: MIT */
/* The command `stats` in all its forms. */
#ifndef FOREBAY_SERVER_ADMIN_STATS_H
#define FOREBAY_SERVER_ADMIN_STATS_H

#include "cache/base/slice.h"
#include "server/buffer.h"
#include "server/server.h"

/* The version that clients are told: some of them ask for it before they use what came with 1.6. */
#define STATS_MEMCACHED_VERSION "1.6.45"

/* Answers `stats [argument]`, with CRLF. */
void stats_run(struct server *server, struct slice argument, struct buffer *out);

#endif
