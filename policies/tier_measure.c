/* SPDX-License-Identifier: MIT */
/* See tier_measure.h. */
#include "policies/tier_measure.h"
#include "policies/absence.h"
#include "policies/load/coherence.h"
#include "policies/load/loader.h"
#include "policies/tier_parts.h"
#include "policies/write/copy.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"

/* ---- Namespaces ---- */

static void measure_filter(struct space *space, struct space_measures *measures) {
    struct absence_stats stats;
    if (!space->absence)
        return;
    absence_get_stats(space->absence, &stats);
    measures->has_filter = true;
    measures->filter_keys = stats.keys;
    measures->filter_bytes = stats.bytes;
    measures->filter_answered = stats.answered;
    measures->filter_asked = stats.in_vain;
}

static void measure_copy(const struct copy *copy, struct space_measures *measures) {
    if (!copy)
        return;
    measures->is_copied = true;
    measures->copy_stage = (uint64_t)atomic_load(&copy->stage);
    measures->copy_rows = counted(&copy->rows);
    measures->copy_total = counted(&copy->total);
    measures->copy_changes = counted(&copy->changes);
    measures->copy_refused = counted(&copy->refused);
    measures->copy_unreadable = counted(&copy->unreadable);
}

static void measure_loads(struct space *space, struct space_measures *measures) {
    measures->loads = counted(&space->loads);
    measures->load_hits = counted(&space->load_hits);
    measures->load_errors = counted(&space->load_errors);
    measures->bad_rows = counted(&space->load_unfit) + counted(&space->rows_unreadable);
    enum breaker_state reads = breaker_state(&space->read_breaker);
    measures->table_breaker = reads != BREAKER_CLOSED ? reads : breaker_state(&space->write_breaker);
}

static void measure_flushes(const struct space *space, struct space_measures *measures) {
    const struct flush_counters *flushed = &space->flushed;
#define MEASURE(name) measures->name = counted(&flushed->name);
    FLUSH_COUNTERS(MEASURE)
#undef MEASURE
    measures->quarantined = counted(&flushed->quarantined);
    for (unsigned i = 0; i < space->tier->options.workers; i++) {
        measures->changes += counted(&space->by_worker[i].changes);
        measures->coalesced += counted(&space->by_worker[i].coalesced);
    }
}

static void measure_write_behind(struct space *space, struct space_measures *measures) {
    const struct fullness *fullness = &space->fullness;
    measures->holds_back = true;
    measures->dirty_limit = space->options.dirty_limit;
    measures->flush_delay_us = space_flush_delay_us(space);
    measures->oldest_dirty_us = space_oldest_dirty_us(space);
    measures->full = atomic_load(&fullness->full);
    measures->full_waits = counted(&fullness->waits);
    measures->full_rejects = counted(&fullness->rejects);
    measures->full_throughs = counted(&fullness->throughs);
    measures->quarantine_entries = quarantine_count(space->quarantine);
    measures->quarantine_bytes = quarantine_bytes(space->quarantine);
    measures->quarantine_limit = space->options.quarantine_limit;
    measure_flushes(space, measures);
}

static const char *journal_name(const struct space *space) {
    bool writes = space->policy->holds_back && space->tier->journal;
    return journal_mode_names[writes ? space->options.journal : JOURNAL_OFF];
}

static void measure_space(struct space *space, struct space_measures *measures) {
    measures->options = &space->options;
    measures->policy = space->policy->name;
    measures->backend = space->backend ? space->backend->options.store.name : NULL;
    measures->journal = journal_name(space);
    for (unsigned i = 0; i < space->tier->options.workers; i++)
        usage_collect(&measures->usage, &space->tier->workers[i].usage[space->number]);
    if (space->backend)
        measure_loads(space, measures);
    measure_filter(space, measures);
    measure_copy(space->copy, measures);
    if (space->policy->holds_back)
        measure_write_behind(space, measures);
}

size_t tier_measure_spaces(struct tier *tier, struct space_measures *ret_spaces, size_t count) {
    struct cache_stats cache[CACHE_SPACES_MAX];
    cache_get_space_stats(tier->cache, cache);
    size_t measured = 0, spaces = tier->space_count;
    for (size_t i = 0; i < spaces && measured < count; i++) {
        if (space_is_retired(&tier->spaces[i]))
            continue;
        ret_spaces[measured] = (struct space_measures){.cache = cache[i]};
        measure_space(&tier->spaces[i], &ret_spaces[measured++]);
    }
    return measured;
}

/* ---- Backends ---- */

static void measure_coherence(const struct coherence *coherence, struct backend_measures *measures) {
    struct coherence_stats stats;
    coherence_get_stats(coherence, &stats);
    measures->is_coherent = true;
    measures->believes = stats.believes;
    measures->heard = stats.heard;
    measures->compared = stats.asked;
    measures->dropped = stats.dropped;
    measures->losses = stats.losses;
    measures->watcher_reconnects = stats.reconnects;
    measures->blinds = stats.blinds;
    measures->blind_us = stats.blind_us;
}

static void measure_backend(struct tier_backend *backend, struct backend_measures *ret_measures) {
    struct loader_stats loads;
    struct writer_stats writes;
    loader_get_stats(backend->loader, &loads);
    writer_get_stats(backend->writer, &writes);
    *ret_measures = (struct backend_measures){
        .name = backend->options.store.name,
        .kind = backend->type->scheme,
        .loads_shared = loads.joined,
        .loads_waiting = loads.in_flight,
        .breaker = {[BACKEND_READER] = loads.breaker, [BACKEND_WRITER] = writes.breaker},
        .breaker_opened = {[BACKEND_READER] = loads.breaker_opened, [BACKEND_WRITER] = writes.breaker_opened},
        .commits = writes.write_through_commits,
        .changes = writes.write_through_changes,
        .refused = writes.write_through_refused,
        .background_touches = writes.background_touches,
        .barriers = writes.barriers,
        .confirmed_rows = writes.confirmed_rows,
        .superseded = writes.superseded_unexplained,
        .failovers = writes.failovers,
        .store_regressions = writes.store_regressions,
        .replica_waits = writes.replica_waits,
        .replica_short = writes.replica_short,
        .changes_again = writes.write_through_again,
        .other_nodes = atomic_load(&backend->others),
        .rival = atomic_load(&backend->rival),
        .clock_ahead_us = (uint64_t)atomic_load(&backend->ahead_us),
        .clock_off_us = atomic_load(&backend->clock_off_us),
    };
    backend_calls_read(&backend->calls, &ret_measures->calls);
    backend_nodes_read(backend->nodes, &ret_measures->nodes);
    if (backend->coherence)
        measure_coherence(backend->coherence, ret_measures);
}

size_t tier_backend_count(const struct tier *tier) {
    return tier->backend_count;
}

size_t tier_measure_backends(struct tier *tier, struct backend_measures *ret_backends, size_t count) {
    if (count > tier->backend_count)
        count = tier->backend_count;
    for (size_t i = 0; i < count; i++)
        measure_backend(&tier->backends[i], &ret_backends[i]);
    return count;
}

/* ---- The journal ---- */

/* Versions may be ahead of the clock, and a namespace that has not been looked at yet has no low-water version. */
static uint64_t low_water_lag_us(const struct tier *tier) {
    uint64_t now_us = tier_now_for_versions(tier).us, longest = 0;
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space *space = &tier->spaces[i];
        uint64_t us = version_us(atomic_load(&space->low_water));
        if (!space_is_retired(space) && space->policy->holds_back && space->options.journal != JOURNAL_OFF &&
            us != 0 && us < now_us && now_us - us > longest)
            longest = now_us - us;
    }
    return longest;
}

bool tier_measure_journal(struct tier *tier, struct journal_measures *ret_journal) {
    struct journal_stats stats;
    if (!tier->journal)
        return false;
    journal_get_stats(tier->journal, &stats);
    *ret_journal = (struct journal_measures){
        .files = stats.files,
        .bytes = stats.bytes,
        .kept_files = stats.kept_files,
        .kept_bytes = stats.kept_bytes,
        .records = stats.written_records,
        .written_bytes = stats.written_bytes,
        .recycled = stats.recycled,
        .compactions = stats.compactions,
        .failures = stats.failures,
        .fsync_times = stats.fsync_times,
        .low_water_lag_us = low_water_lag_us(tier),
        .replayed = tier->replayed,
        .replay_us = tier->replay_ms * US_PER_MS,
    };
    return true;
}
