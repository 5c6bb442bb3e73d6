/* SPDX-License-Identifier: MIT */
/* A worker's turn: all that is ready is read, parsed, executed, written to the journal and answered. */
#ifndef FOREBAY_SERVER_WORKER_TURN_H
#define FOREBAY_SERVER_WORKER_TURN_H

#include "policies/request.h"
#include <stdbool.h>
#include <stddef.h>

struct worker;

/* Serves the connections on worker->ready, and those whose tickets are back or whose replies may be sent now.
 * On the worker's thread. */
void turn_run(struct worker *worker);

/* ---- While a batch is executed ---- */

/* Ends the parsing of the connection of slot i; its bytes from there on are kept for later. False: no memory, the connection
 * is broken. */
bool turn_hold_from(struct worker *worker, size_t i);

/* Answers the key in slot i by that line, as any error of the tier would be. */
void turn_fail(struct worker *worker, size_t i, enum outcome_error kind, const char *line);

#endif
