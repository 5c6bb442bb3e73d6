/* SPDX-License-Identifier: MIT */
/*
 * What a guarded connection may do: one that has not authenticated (login.h), or one of a user whose rights have bounds
 * (users.h). All others are not asked about. Rights are those of the moment in which a request is executed, so a reload
 * that takes some away is felt by the next one. On the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_AUTH_GUARD_H
#define FOREBAY_SERVER_WORKER_AUTH_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct connection;
struct request;
struct worker;

/* Whether the request in slot i of the batch, of a guarded connection, is not to be executed. It is answered then, or
 * waits. */
bool guard_stops(struct worker *worker, size_t i);

/* Whether the client may have the key asked for, or changed. Of a guarded connection that has authenticated. */
bool guard_allows(const struct connection *connection, const struct request *request);

/* Ends what is fed to clients that may not have it any more, if users have changed. Once a second. */
void guard_look_after_feeds(struct worker *worker);

#endif
