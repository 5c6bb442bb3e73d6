/* SPDX-License-Identifier: MIT */
/* The commands without a key: stats, flush_all, version, verbosity, cache_memlimit, quarantine, shutdown ...
 */
#ifndef FOREBAY_SERVER_COMMAND_H
#define FOREBAY_SERVER_COMMAND_H

#include "server/buffer.h"
#include "server/server.h"

enum command_result { COMMAND_ANSWERED, COMMAND_CLOSE };

/* Runs one on a worker's thread and appends its whole answer (with CRLF; nothing for noreply) to out. SYNC is
 * not among them: it parks (tier_sync), which is the worker's business. */
enum command_result command_run(struct server *server, struct tier_worker *worker,
                                const struct request *request, const struct cache_time *now,
                                struct buffer *out);

#endif
