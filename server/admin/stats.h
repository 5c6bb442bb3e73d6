/* SPDX-License-Identifier: MIT */
/* The command `stats` in all its forms, and the per-prefix counters behind `stats detail`. */
#ifndef FOREBAY_SERVER_STATS_H
#define FOREBAY_SERVER_STATS_H

#include "policies/request.h"
#include "server/buffer.h"
#include "server/server.h"

/* The version that clients are told: some of them ask for it before they use what came with 1.6. */
#define STATS_MEMCACHED_VERSION "1.6.45"

/* Answers `stats [argument]`, with CRLF. */
void stats_run(struct server *server, struct slice argument, struct buffer *out);

/*
 * Counters per prefix: what stands before the delimiter (-D, ":") of a key. Counted as memcached does: get,
 * gets, gat and gats with their hits, the classic storage commands, delete; no meta commands.
 */
struct stats_detail; /* begins with stats_detail_head */
struct stats_detail_head {
    atomic_bool on;
};

/* NULL: no memory. */
struct stats_detail *stats_detail_create(char delimiter, bool on);
void stats_detail_free(struct stats_detail *detail);

static inline bool stats_detail_is_on(const struct server *server) {
    return atomic_load_explicit(&((const struct stats_detail_head *)server->detail)->on,
                                memory_order_relaxed);
}

/* Counts one request on a key; call it when stats_detail_is_on. Any thread. */
void stats_detail_count(struct stats_detail *detail, const struct request *request, bool hit);

#endif
