/* SPDX-License-Identifier: MIT */
/* What `stats` tells of a worker. Any thread, from worker_create to worker_free. */
#ifndef FOREBAY_SERVER_WORKER_WORKER_STATS_H
#define FOREBAY_SERVER_WORKER_WORKER_STATS_H

#include "cache/base/histogram.h"

struct stat_sink; /* policies/tier.h */
struct worker;

struct worker_stats {
    uint64_t bytes_read, bytes_written;
    uint64_t requests, yields; /* yields: a connection had more than a turn takes of one */
    uint64_t full_turns;       /* had as much to do as one takes */
    struct histogram_sum turn_times;
    uint64_t replies_refused;  /* more than the memory that replies may take */
    uint64_t requests_starved; /* unfinished, and more than the memory that such may take */
    uint64_t idle_kicks, auth_commands, auth_errors;
    uint64_t unsent_bytes,
        slow_readers; /* of replies that are kept, and connections that have some; now, likewise */
    uint64_t auth_timeouts, forbidden; /* see internal.h */
    uint64_t aside_bytes;   /* that came over io_uring and could not be read yet; now, whatever is reset */
    uint64_t aside_strains; /* how often a worker had too many of these and received one by one */
    uint64_t tls_handshakes, tls_resumed, tls_handshake_errors, tls_errors; /* see internal.h */
};

/* Adds this worker's counters to *sum. */
void worker_add_stats(struct worker *worker, struct worker_stats *sum);
void worker_reset_stats(struct worker *worker);

/* The second (monotonic) in which it last turned. It does so at least once a second, busy or not, so one that is behind
 * by more is stuck in a turn, or gets no processor. */
uint32_t worker_last_turn(const struct worker *worker);

/* How it talks with the kernel: io_type.name. */
const char *worker_io_name(const struct worker *worker);

/* For stats conns: calls line(sink, "<fd>:<name>", value) for each connection of this worker, under its
 * list_lock, so connections are opened and closed before or after. */
void worker_stat_connections(struct worker *worker, struct stat_sink *sink);

#endif
