/* SPDX-License-Identifier: MIT */
/*
 * `stats detail`: counters per prefix, that is, what comes before the delimiter (-D, ":") in a key. Counted as
 * memcached does: get, gets, gat and gats with their hits, the classic storage commands, delete; no meta commands.
 *
 * Any thread may call any of these except stats_detail_free.
 */
#ifndef FOREBAY_SERVER_ADMIN_STATS_DETAIL_H
#define FOREBAY_SERVER_ADMIN_STATS_DETAIL_H

#include "policies/request.h"
#include "server/buffer.h"
#include "server/server.h"

struct stats_detail; /* begins with stats_detail_head */
struct stats_detail_head {
    atomic_bool on;
};

/* NULL: no memory, or no random numbers. */
struct stats_detail *stats_detail_create(char delimiter, bool on);
void stats_detail_free(struct stats_detail *detail);

/* A load, so that requests may ask while it is off. */
static inline bool stats_detail_is_on(const struct server *server) {
    return atomic_load_explicit(&((const struct stats_detail_head *)server->detail)->on,
                                memory_order_relaxed);
}

/* Counts one request on a key; call it when stats_detail_is_on. */
void stats_detail_count(struct stats_detail *detail, const struct request *request, bool hit);

void stats_detail_set(struct stats_detail *detail, bool on);
void stats_detail_reset(struct stats_detail *detail); /* forgets all prefixes */

/* Appends a line for each prefix, and END. */
void stats_detail_dump(struct stats_detail *detail, struct buffer *out);

#endif
