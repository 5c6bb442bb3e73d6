/* SPDX-License-Identifier: MIT */
/*
 * Which worker gets the next connection: they take turns, but no more of them than there are processors for them. With
 * more, each would find less to do whenever it wakes up, and every operation would cost more (docs/engine.md, "More
 * workers, and 64 cores"). How many processors there are is looked at again while connections come, once a second:
 * workers that had none so far get some when there are more. Connections stay with their worker.
 *
 * The main thread's, but for server->workers_in_rotation and server->workers_used, which it sets.
 */
#ifndef FOREBAY_SERVER_ROTATION_H
#define FOREBAY_SERVER_ROTATION_H

#include "server/log.h"
#include <limits.h>
#include <stdint.h>

struct server;
struct worker;

#define ROTATION_UNKNOWN UINT_MAX

/* How many processors the server's workers may keep busy; 0: without a limit, or of no matter; ROTATION_UNKNOWN: it
 * cannot be found out now, so it is taken to be what it was. */
typedef unsigned rotation_processors(const struct server *server);

struct rotation {
    struct server *server;
    rotation_processors *processors;
    unsigned next;
    uint64_t looked_us; /* monotonic */
};

/* Looks at the processors. */
void rotation_start(struct rotation *rotation, struct server *server, rotation_processors *processors);

/* If some workers get no connections, says so in the log, why, and what would change it. */
void rotation_tell_rest(struct server *server, enum log_kind kind);

/* Says in the log, too, if there have come to be more or fewer of them that get connections. */
struct worker *rotation_next(struct rotation *rotation);

#endif
