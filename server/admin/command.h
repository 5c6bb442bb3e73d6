/* SPDX-License-Identifier: MIT */
/* The commands without a key: stats, flush_all, version, verbosity, cache_memlimit, quarantine, shutdown ... */
#ifndef FOREBAY_SERVER_ADMIN_COMMAND_H
#define FOREBAY_SERVER_ADMIN_COMMAND_H

#include "policies/tier.h"
#include "server/buffer.h"
#include "server/server.h"

struct feed;

enum command_result {
    COMMAND_ANSWERED,
    COMMAND_CLOSE,
    COMMAND_FEED, /* the connection is to be fed (server/admin/feed.h): place->feed */
};

/* Where a command is on its connection, and what the caller is to go on with. */
struct command_place {
    bool behind_replies; /* answers to earlier requests of the connection are not sent yet */
    struct feed *feed;
};

/* Runs one on a worker's thread and appends its whole answer (with CRLF; nothing for noreply) to out. Those that
 * are about the connection itself the worker's turn answers, and they must not come here: META_NOOP, QUIT, SASL,
 * SYNC (which parks) and BAD. */
enum command_result command_run(struct server *server, struct tier_worker *worker,
                                const struct request *request, const struct cache_time *now,
                                struct command_place *place, struct buffer *out);

#endif
