/* SPDX-License-Identifier: MIT */
/* A worker's turn: all that is ready is read, parsed, executed, written to the journal and answered. */
#ifndef FOREBAY_SERVER_WORKER_TURN_H
#define FOREBAY_SERVER_WORKER_TURN_H

#include "server/admin/feed.h"
#include "server/protocol/binary.h"
#include <stdbool.h>
#include <stddef.h>

struct connection;
struct slot;
struct worker;

/* Serves the connections on worker->ready, and those whose tickets are back or whose replies may be sent now.
 * On the worker's thread. */
void turn_run(struct worker *worker);

/* The feed of a connection is over: it is served again if all was told, else it is closed. Frees no feed. */
void turn_end_feed(struct connection *connection, enum feed_end end);

/* While a batch is executed: ends the parsing of the connection of slot i; its bytes from there on are kept for later.
 * False: no memory, the connection is broken. */
bool turn_hold_from(struct worker *worker, size_t i);

/* Appends a line, without its end, to the replies of a connection. */
void turn_answer_line(struct worker *worker, struct connection *connection, const char *line);

/* Appends the answer to the request in that slot of a binary connection: a status, with the message that the line of the
 * text protocol has, or (NULL) with its usual one. */
void turn_answer_status(struct worker *worker, const struct slot *slot, enum binary_status status,
                        const char *line);

#endif
