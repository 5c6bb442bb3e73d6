/* SPDX-License-Identifier: MIT */
/*
 * Connections of which a request waits for the tier: for rows to be loaded, a change to be written, room, a barrier.
 *
 *     parked_add --> with the tier --parked_collect--> served again from that request on
 *         --parked_settle--> as all others
 *
 * Such a connection has a ticket of its own. All that wait for nothing share worker->ticket: most are idle, and a
 * ticket is larger than all else that they take. On the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_PARKED_H
#define FOREBAY_SERVER_WORKER_PARKED_H

#include <stddef.h>

struct connection;
struct worker;

/* The request in slot i, which was executed last, has parked: nothing more of its connection is executed until its
 * ticket is back, which goes to the tier with what the pipeline will want next. Then it and all that follow are
 * executed again. Where there is no memory for that it is answered by an error, and the connection goes on. */
void parked_add(struct worker *worker, size_t i);

/* Those whose tickets are back are ready. */
void parked_collect(struct worker *worker);

/* A turn has served the connection, which has a ticket of its own: that is given back if nothing waits with it. */
void parked_settle(struct connection *connection);

#endif
