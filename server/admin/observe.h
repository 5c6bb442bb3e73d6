/* SPDX-License-Identifier: MIT */
/*
 * What is noted of requests on a key when somebody asks for it: stats detail, and the log of watchers. A turn
 * in which nobody does (observe_turn returns false) calls nothing more of this.
 */
#ifndef FOREBAY_SERVER_ADMIN_OBSERVE_H
#define FOREBAY_SERVER_ADMIN_OBSERVE_H

#include "policies/request.h"

struct peer; /* server/accepted.h */
struct server;

/* One for each worker, used by its thread alone. */
struct observer {
    struct server *server;
    const struct cache_time *now; /* of the turn */

    /* Private. */
    bool counts_detail; /* as of this turn's begin: stats detail is on */
    unsigned watched;   /* kinds of events that watchers watch */
};

/* What memory held of the key before the request. */
struct observed {
    bool found;
    size_t size; /* bytes of the value */
};

/* At the beginning of a turn. True: somebody asks. */
bool observe_turn(struct observer *observer);

/* Before a request is executed; looks at its entry if a watcher wants to know. */
void observe_before(struct observer *observer, const struct request *request, struct observed *ret_observed);

/* After it, before the outcome is released. */
void observe_after(struct observer *observer, int fd, const struct request *request,
                   const struct outcome *outcome, const struct observed *observed);

/* A connection was accepted (reason NULL), or is about to be closed. */
void observe_connection(struct server *server, int fd, const struct peer *peer, const char *reason);

#endif
