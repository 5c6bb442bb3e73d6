/* SPDX-License-Identifier: MIT */
/* A worker's turn: all that is ready is read, parsed, executed, written to the journal and answered. */
#ifndef FOREBAY_SERVER_WORKER_TURN_H
#define FOREBAY_SERVER_WORKER_TURN_H

struct worker;

/* Serves the connections in worker->ready, and those whose tickets are back or whose replies may be sent now.
 * On the worker's thread. */
void turn_run(struct worker *worker);

#endif
