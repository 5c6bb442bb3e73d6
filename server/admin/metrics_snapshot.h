/* SPDX-License-Identifier: MIT */
/* Everything that metrics tell, read at one moment or nearly so. */
#ifndef FOREBAY_SERVER_ADMIN_METRICS_SNAPSHOT_H
#define FOREBAY_SERVER_ADMIN_METRICS_SNAPSHOT_H

#include "policies/tier.h"
#include "policies/tier_measure.h"
#include "server/server.h"
#include "server/worker/worker_stats.h"

struct process_measures {
    uint64_t user_us, system_us; /* CPU */
    uint64_t resident_bytes;     /* 0: the system does not say */
    uint64_t descriptors;        /* open; 0: the system does not say */
    uint64_t descriptors_max;    /* UINT64_MAX: without limit */
    uint64_t started_us;         /* wall clock */
    uint64_t connections, connections_max, accepted, rejected, paused, paused_us;
    uint64_t threads, threads_in_rotation, accepting, hands_over, request_bytes;
    uint64_t reloads, reload_failures, reloaded_us; /* the last that succeeded, wall clock; 0: none */
};

/* What /livez and /readyz would answer, 1 or 0. */
struct metrics_health {
    uint64_t live, ready;
};

struct metrics_snapshot {
    struct metrics_health health;
    struct process_measures process;
    struct worker_stats workers;
    struct tier_counters counters;
    struct cache_stats cache;
    bool has_journal;
    struct journal_measures journal;
    struct space_measures *spaces;
    size_t space_count;
    struct backend_measures *backends;
    size_t backend_count;
};

/* All but the health. False: no memory. To be ended with metrics_snapshot_free in either case. */
bool metrics_snapshot_take(struct server *server, struct metrics_snapshot *ret_snapshot);
void metrics_snapshot_free(struct metrics_snapshot *snapshot);

#endif
