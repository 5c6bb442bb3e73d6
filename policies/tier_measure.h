/* SPDX-License-Identifier: MIT */
/*
 * All that a tier counts, as it is now: for metrics. Statistics (tier.h) tell people less, and line by line.
 *
 * Any thread. Locks are held for one copy at a time: of a shard, of a loader's counters, of the journal's list.
 * Counters only grow, except that `stats reset` takes the cache's back to 0. Names are valid as long as the tier.
 */
#ifndef FOREBAY_POLICIES_TIER_MEASURE_H
#define FOREBAY_POLICIES_TIER_MEASURE_H

#include "backends/nodes.h"
#include "policies/backend_calls.h"
#include "policies/breaker.h"
#include "policies/space.h"
#include "policies/usage.h"

struct space_measures {
    const struct space_options *options;
    const char *policy, *backend, *journal; /* backend NULL: none */
    bool has_filter, holds_back, is_copied;
    struct usage_sum usage;
    struct cache_stats cache;
    /* with a backend */
    uint64_t loads, load_hits, load_errors;
    uint64_t bad_rows;      /* that the backend cannot read, or memory cannot take */
    uint64_t table_breaker; /* enum breaker_state, of the table alone: of the side that is open, if one is */
    uint64_t filter_keys, filter_bytes, filter_answered, filter_asked;
    uint64_t copy_stage, copy_rows, copy_total, copy_changes, copy_refused, copy_unreadable;
    /* write-behind */
    uint64_t dirty_limit, flush_delay_us, oldest_dirty_us, full, full_waits, full_rejects;
    uint64_t full_throughs; /* let through to the backend */
    uint64_t changes, coalesced, quarantine_entries, quarantine_bytes, quarantine_limit, quarantined;
#define FLUSH_MEASURE(name) uint64_t name;
    FLUSH_COUNTERS(FLUSH_MEASURE)
#undef FLUSH_MEASURE
};

/* The first of the namespaces, in the order of their numbers; returns how many, at most count. */
size_t tier_measure_spaces(struct tier *tier, struct space_measures *ret_spaces, size_t count);

struct backend_measures {
    const char *name, *kind;
    struct backend_calls_sum calls;
    uint64_t loads_shared, loads_waiting;
    uint64_t breaker[BACKEND_ROLES]; /* enum breaker_state */
    uint64_t breaker_opened[BACKEND_ROLES];
    uint64_t commits, changes, refused; /* write-through */
    uint64_t background_touches, barriers, confirmed_rows, superseded, failovers;
    uint64_t store_regressions, replica_waits, replica_short, changes_again;
    uint64_t other_nodes, rival, clock_ahead_us, clock_off_us;
    struct backend_nodes_copy nodes; /* of a store that has several */
    bool is_coherent;                /* changes by others are heard; then: */
    uint64_t believes, heard, compared, dropped, losses, watcher_reconnects, blinds, blind_us;
};

size_t tier_measure_backends(struct tier *tier, struct backend_measures *ret_backends, size_t count);
size_t tier_backend_count(const struct tier *tier);

struct journal_measures {
    uint64_t files, bytes, kept_files, kept_bytes; /* kept: beside the others, for a store that goes back */
    uint64_t records, written_bytes, recycled, compactions, failures;
    struct histogram_sum fsync_times;
    uint64_t low_water_lag_us; /* so old is the oldest change that may not be in its backend */
    uint64_t replayed, replay_us;
};

/* False: there is no journal. */
bool tier_measure_journal(struct tier *tier, struct journal_measures *ret_journal);

#endif
