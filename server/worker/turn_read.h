/* SPDX-License-Identifier: MIT */
/* The stages "read" and "parse" of a turn (turn.c), for one connection. On the worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_TURN_READ_H
#define FOREBAY_SERVER_WORKER_TURN_READ_H

struct connection;
struct worker;

/* Sends what was kept of its replies, reads, and parses what has come into the worker's batch, which is executed
 * whenever it is full or its bytes may move; what is left of it then is the caller's to execute. Nothing where the
 * connection has to wait. */
void turn_serve(struct worker *worker, struct connection *connection);

#endif
