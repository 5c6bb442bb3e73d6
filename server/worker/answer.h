/* SPDX-License-Identifier: MIT */
/* Answers that are no outcome of a tier: lines of text, and packets with a status. Each goes behind the turn's replies;
 * where there is no memory for it, its connection is broken. On the worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_ANSWER_H
#define FOREBAY_SERVER_WORKER_ANSWER_H

#include "server/protocol/binary.h"

struct connection;
struct slot;
struct worker;

/* A line of the text protocol, given without its end. */
void answer_line(struct worker *worker, struct connection *connection, const char *line);

/* To the request in that slot of a binary connection: a status with its usual message. */
void answer_status(struct worker *worker, const struct slot *slot, enum binary_status status);

/* The same with what a line of the text protocol says as its message. */
void answer_error(struct worker *worker, const struct slot *slot, enum binary_status status,
                  const char *line);

/* The same: success, and a message of up to REPLY_LINE_MAX - BINARY_HEADER bytes. */
void answer_message(struct worker *worker, const struct slot *slot, struct slice message);

/* There is no memory for the answer proper: the line, in the words of the connection's protocol. */
void answer_no_room(struct worker *worker, const struct slot *slot, const char *line);

#endif
