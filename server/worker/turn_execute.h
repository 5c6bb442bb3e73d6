/* SPDX-License-Identifier: MIT */
/*
 * A batch of parsed requests is executed, in order, and its replies are written into the turn's output. What asks for a
 * connection to wait (a request that parked, replies that are held or not read, a share that is used up) has its
 * requests kept from there on: turn_hold_from.
 *
 * On the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_TURN_EXECUTE_H
#define FOREBAY_SERVER_WORKER_TURN_EXECUTE_H

#include "policies/request.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"

/* Requests that are parsed while the bucket of one is on its way: so long behind it comes turn_prefetch_entry. */
enum { TURN_AHEAD = 8 };

/* For slot.line_key: a key of an open line behind the first since it was opened. Its `start` is its own. */
#define LINE_KEY_OPEN SIZE_MAX

/* False once nothing more of this connection may be executed in this turn. */
static inline bool turn_goes_on(const struct connection *connection) {
    return connection->stops == 0;
}

/* By now the bucket that tier_prepare asked for is near: ask for the entry it points to. */
void turn_prefetch_entry(struct worker *worker, size_t i);

/* Executes what was parsed; then there is no batch. */
void turn_execute_batch(struct worker *worker);

/* ---- While it is executed ---- */

/* Ends the parsing of the connection of slot i; its bytes from there on are kept for later. False: no memory, the
 * connection is broken. */
bool turn_hold_from(struct worker *worker, size_t i);

/* Answers the key in slot i by that line, as any error of the tier would be. */
void turn_fail(struct worker *worker, size_t i, enum outcome_error kind, const char *line);

#endif
