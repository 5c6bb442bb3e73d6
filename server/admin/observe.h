/* SPDX-License-Identifier: MIT */
/*
 * What is noted of requests on a key when somebody asks for it: stats detail, and the log of watchers. A turn
 * in which nobody does (worker->observes is false) calls nothing of this.
 */
#ifndef FOREBAY_SERVER_OBSERVE_H
#define FOREBAY_SERVER_OBSERVE_H

#include "server/worker/internal.h"

/* What memory held of the key before the request. */
struct observed {
    bool found;
    size_t size; /* bytes of the value */
};

/* At the beginning of a turn: sets worker->observes. */
void observe_turn(struct worker *worker);

/* Before a request is executed; looks at its entry if a watcher wants to know. */
void observe_before(struct worker *worker, const struct request *request, struct observed *ret_observed);

/* After it, before the outcome is released. */
void observe_after(struct worker *worker, const struct connection *connection, const struct request *request,
                   const struct outcome *outcome, const struct observed *observed);

/* A connection was accepted (reason NULL), or is about to be closed. */
void observe_connection(const struct connection *connection, const char *reason);

#endif
