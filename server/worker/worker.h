/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with one ev_loop, its share of the connections, and the turns in which it serves them.
 *
 * A turn has stages: read every ready connection once, parse all that is complete, hash and prefetch,
 * execute, journal once, send once per connection. docs/design.md, "A worker's turn".
 */
#ifndef FOREBAY_SERVER_WORKER_H
#define FOREBAY_SERVER_WORKER_H

#include "policies/tier.h"

struct server;
struct worker;

/* Starts the thread. NULL when it cannot be had. */
struct worker *worker_start(struct server *server, unsigned index);

/* Hands over an accepted, non-blocking socket. Any thread. The worker closes it and counts it down in the
 * end. */
void worker_hand(struct worker *worker, int fd);

/* For tier_options.wake. Any thread; also for the authentication file's reload and verbosity changes. */
void worker_wake(struct worker *worker);

/* Stops reading, finishes what is being executed and sends it (bounded: a second for slow readers, five for
 * requests that wait for a backend), closes the connections and ends the thread. */
void worker_stop(struct worker *worker);

/* Frees a stopped worker. Only after tier_destroy: until then the tier may wake the worker, and write to the
 * tickets of requests that never came back. */
void worker_free(struct worker *worker);

struct worker_stats {
    uint64_t bytes_read, bytes_written;
    uint64_t turns, requests, yields; /* yields: a connection had more than a turn takes of one */
    uint64_t turn_us[32];             /* turns that took at most 2^i microseconds (longest worker turn) */
    uint64_t replies_refused;         /* more than the memory that replies may take */
    uint64_t idle_kicks, auth_commands, auth_errors;
    uint64_t connections, buffer_bytes;
};
/* Adds this worker's counters to *sum. Any thread. */
void worker_add_stats(struct worker *worker, struct worker_stats *sum);
void worker_reset_stats(struct worker *worker);

/* For stats conns: calls line(sink, "<fd>:<name>", value) for each connection of this worker. Worker's own
 * thread takes it at its next turn, so this blocks for a moment: not to be called from a worker but about
 * itself; other workers' connections are read under their connection lock. */
void worker_stat_connections(struct worker *worker, struct stat_sink *sink);

#endif
