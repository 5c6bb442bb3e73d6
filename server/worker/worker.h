/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with one event loop, its share of the connections, and the turns in which it serves
 * them.
 *
 * A turn has stages: read every ready connection once, parse all that is complete, hash and prefetch,
 * execute, journal once, send once per connection. docs/design.md, "A worker's turn".
 */
#ifndef FOREBAY_SERVER_WORKER_WORKER_H
#define FOREBAY_SERVER_WORKER_WORKER_H

#include <stdbool.h>

struct accepted; /* server/accepted.h */
struct io_type;  /* server/worker/io/io.h */
struct server;
struct worker;

/* NULL: errno says why, and *ret_lacks_io whether it is io_type that cannot be had. It does nothing yet; worker_free
 * frees it. */
struct worker *worker_create(struct server *server, const struct io_type *io_type, unsigned index,
                             bool *ret_lacks_io);

/* Starts the thread. False: there is none to be had. */
bool worker_run(struct worker *worker);

/* Hands over an accepted connection. Any thread. The worker closes it in the end, and counts it down from
 * server->connections. Where it is to be encrypted, server->tls is there. */
void worker_hand(struct worker *worker, const struct accepted *accepted);

/* For tier_options.wake: a ticket of this worker is back, or more of the journal is on the disk. Any
 * thread. */
void worker_wake(struct worker *worker);

/* Stops reading, but of connections that were just made: their first request is waited for, up to two seconds. Finishes
 * what is being executed and sends it (bounded: a second for slow readers, five for requests that wait for a backend),
 * closes the connections and ends the thread. */
void worker_stop(struct worker *worker);

/* Frees a stopped worker. Only after tier_destroy: until then the tier may wake the worker, and write to the
 * tickets of requests that never came back. */
void worker_free(struct worker *worker);

#endif
