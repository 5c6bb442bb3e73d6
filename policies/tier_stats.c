/* SPDX-License-Identifier: MIT */
/*
 * Counting and telling. Each counter is written by one thread (a worker, a writer) and read by any; sums are
 * made when somebody asks. A reset remembers the sums of the moment, and they are subtracted from then on.
 */
#include "policies/tier_stats.h"
#include "policies/absence.h"
#include "policies/load/loader.h"
#include "policies/write/low_water.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include "policies/write/writer.h"
#include <inttypes.h>
#include <stdarg.h>

/* ---- memcached's counters ---- */

static void count_get(struct worker_counters *counters, const struct outcome *outcome) {
    count(&counters->cmd_get);
    if (outcome->status == OUTCOME_HIT)
        count(&counters->get_hits);
    else if (outcome->status == OUTCOME_MISS)
        count(&counters->get_misses);
}

static void count_touching_get(struct worker_counters *counters, const struct outcome *outcome) {
    count(&counters->cmd_get);
    count(&counters->cmd_touch);
    if (outcome->status == OUTCOME_HIT) {
        count(&counters->get_hits);
        count(&counters->touch_hits);
    } else if (outcome->status == OUTCOME_MISS) {
        count(&counters->get_misses);
        count(&counters->touch_misses);
    }
}

static void count_hit(counter *hits, counter *misses, const struct outcome *outcome) {
    if (outcome->status == OUTCOME_NOT_FOUND || outcome->status == OUTCOME_NOT_STORED)
        count(misses);
    else if (outcome->status != OUTCOME_ERROR && outcome->status != OUTCOME_EXISTS)
        count(hits);
}

static void count_store(struct worker_counters *counters, const struct request *request,
                        const struct outcome *outcome) {
    count(&counters->cmd_set);
    if (!command_row(request->command)->compares && !request_has(request, 'C'))
        return;
    if (outcome->status == OUTCOME_STORED)
        count(&counters->cas_hits);
    else if (outcome->status == OUTCOME_NOT_FOUND)
        count(&counters->cas_misses);
    else if (outcome->status == OUTCOME_EXISTS)
        count(&counters->cas_badval);
}

static bool decrements(const struct request *request) {
    return command_row(request->command)->decrements || request->mode == 'D';
}

static void count_error(struct worker_counters *counters, enum outcome_error kind) {
    switch (kind) {
    case ERROR_NO_MEMORY:
        count(&counters->store_no_memory);
        return;
    case ERROR_TOO_LARGE:
        count(&counters->store_too_large);
        return;
    case ERROR_BACKEND_DOWN:
        count(&counters->load_errors);
        return;
    case ERROR_ROW_UNFIT:
    case ERROR_NOT_A_NUMBER:
    case ERROR_TOO_BUSY:
    case ERROR_NO_NAMESPACE:
    case ERROR_KEY_UNFIT:
    case ERROR_FULL:
    case ERROR_JOURNAL_FULL:
    case ERROR_BACKEND_REFUSES:
    case ERROR_UNCONFIRMED:
        return;
    }
}

static void count_kind(struct worker_counters *counters, const struct request *request,
                       const struct outcome *outcome) {
    switch (command_kind(request->command)) {
    case KIND_READ:
        if (request_has(request, 'T'))
            count_touching_get(counters, outcome);
        else
            count_get(counters, outcome);
        return;
    case KIND_READ_AND_TOUCH:
        count_touching_get(counters, outcome);
        return;
    case KIND_STORE:
        count_store(counters, request, outcome);
        return;
    case KIND_DELETE:
        count_hit(&counters->delete_hits, &counters->delete_misses, outcome);
        return;
    case KIND_COUNT:
        if (decrements(request))
            count_hit(&counters->decr_hits, &counters->decr_misses, outcome);
        else
            count_hit(&counters->incr_hits, &counters->incr_misses, outcome);
        return;
    case KIND_TOUCH:
        count(&counters->cmd_touch);
        count_hit(&counters->touch_hits, &counters->touch_misses, outcome);
        return;
    case KIND_INSPECT:
    case KIND_TALK:
        return;
    }
}

void count_outcome(struct tier_worker *worker, const struct request *request, const struct outcome *outcome) {
    struct worker_counters *counters = &worker->counters;
    if (command_is_meta(request->command))
        count(&counters->cmd_meta);
    count_kind(counters, request, outcome);
    if (outcome->status != OUTCOME_ERROR)
        return;
    count_error(counters, outcome->error_kind);
    if (tier_closes_on_error(request))
        count(&counters->closed_reads);
}

static void add_counters(struct tier_counters *sum, const struct worker_counters *counters) {
#define ADD(name) sum->name += counted(&counters->name);
    TIER_COUNTERS(ADD)
#undef ADD
}

static void subtract_counters(struct tier_counters *sum, const struct tier_counters *base) {
#define SUBTRACT(name) sum->name -= base->name;
    TIER_COUNTERS(SUBTRACT)
#undef SUBTRACT
}

static struct tier_counters sum_counters(const struct tier *tier) {
    struct tier_counters sum = {0};
    for (unsigned i = 0; i < tier->options.workers; i++)
        add_counters(&sum, &tier->workers[i].counters);
    return sum;
}

void tier_get_counters(struct tier *tier, struct tier_counters *ret_counters) {
    struct tier_counters sum = sum_counters(tier);
    pthread_mutex_lock(&tier->stats_mutex);
    subtract_counters(&sum, &tier->counters_base);
    pthread_mutex_unlock(&tier->stats_mutex);
    *ret_counters = sum;
}

void tier_reset_stats(struct tier *tier) {
    struct tier_counters sum = sum_counters(tier);
    pthread_mutex_lock(&tier->stats_mutex);
    tier->counters_base = sum;
    pthread_mutex_unlock(&tier->stats_mutex);
    cache_reset_stats(tier->cache);
}

/* ---- Lines ---- */

__attribute__((format(printf, 4, 5))) static void line(struct stat_sink *sink, const char *owner,
                                                       const char *name, const char *format, ...) {
    char whole[320], value[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    snprintf(whole, sizeof whole, "%s:%s", owner, name);
    sink->line(sink, whole, value);
}

static void number(struct stat_sink *sink, const char *owner, const char *name, uint64_t value) {
    line(sink, owner, name, "%" PRIu64, value);
}

static void stat_breaker(struct stat_sink *sink, const char *owner, const char *what,
                         const struct breaker *breaker) {
    char name[40];
    snprintf(name, sizeof name, "%s_breaker", what);
    line(sink, owner, name, "%s", breaker_state_name(breaker_state(breaker)));
    snprintf(name, sizeof name, "%s_breaker_opened", what);
    number(sink, owner, name, counted(&breaker->opened));
}

static void stat_absence(struct stat_sink *sink, const char *name, struct absence *absence) {
    struct absence_stats stats;
    absence_get_stats(absence, &stats);
    line(sink, name, "absent_filter", "%s", stats.asked ? "used" : stats.filling ? "filling" : "none");
    number(sink, name, "absent_filter_keys", stats.keys);
    number(sink, name, "absent_filter_bytes", stats.bytes);
    number(sink, name, "absent_filter_builds", stats.builds);
    number(sink, name, "absent_filter_distrusted", stats.distrusts);
    number(sink, name, "absent_answered", stats.answered);
    number(sink, name, "absent_asked", stats.in_vain);
}

void tier_stat_spaces(struct tier *tier, struct stat_sink *sink) {
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        const char *name = space->options.name;
        struct cache_stats stats;
        if (space_is_retired(space))
            continue;
        cache_get_stats(tier->cache, space->number, &stats);
        line(sink, name, "prefix", "%s", space->options.prefix);
        line(sink, name, "policy", "%s", space->policy->name);
        line(sink, name, "backend", "%s", space->backend ? space->backend->options.store.name : "");
        number(sink, name, "entries", stats.entries);
        number(sink, name, "bytes", stats.bytes);
        number(sink, name, "memory_used", stats.memory_used);
        number(sink, name, "total_stored", stats.total_stored);
        number(sink, name, "evictions", stats.evictions);
        number(sink, name, "expired", stats.expired);
        number(sink, name, "remembered_absences", stats.negatives);
        number(sink, name, "refused_no_memory", stats.no_memory);
        if (!space->backend)
            continue;
        number(sink, name, "loads", counted(&space->loads));
        number(sink, name, "load_hits", counted(&space->load_hits));
        number(sink, name, "load_errors", counted(&space->load_errors));
        number(sink, name, "load_unfit", counted(&space->load_unfit));
        number(sink, name, "rows_unreadable", counted(&space->rows_unreadable));
        if (space->absence)
            stat_absence(sink, name, space->absence);
        stat_breaker(sink, name, "read", &space->read_breaker);
        stat_breaker(sink, name, "write", &space->write_breaker);
    }
}

static void stat_backend(struct tier_backend *backend, struct stat_sink *sink) {
    const char *name = backend->options.store.name;
    struct loader_stats loads;
    struct writer_stats writes;
    loader_get_stats(backend->loader, &loads);
    writer_get_stats(backend->writer, &writes);
    line(sink, name, "kind", "%s", backend->type->scheme);
    line(sink, name, "read_breaker", "%s", breaker_state_name(loads.breaker));
    number(sink, name, "read_breaker_opened", loads.breaker_opened);
    number(sink, name, "read_batches", loads.loads);
    number(sink, name, "reads_shared", loads.joined);
    number(sink, name, "reads_waiting", loads.in_flight);
    number(sink, name, "read_failures", loads.failures);
    line(sink, name, "write_breaker", "%s", breaker_state_name(writes.breaker));
    number(sink, name, "write_breaker_opened", writes.breaker_opened);
#define TELL(counter_name) number(sink, name, #counter_name, writes.counter_name);
    WRITER_COUNTERS(TELL)
#undef TELL
}

void tier_stat_backends(struct tier *tier, struct stat_sink *sink) {
    for (size_t i = 0; i < tier->backend_count; i++)
        stat_backend(&tier->backends[i], sink);
}

/* The loss window without a journal: the age of the oldest change that is not in the backend. */
static uint64_t oldest_age_ms(const struct space *space) {
    uint64_t oldest_us = atomic_load(&space->oldest_us);
    if (oldest_us == 0 || cache_dirty_entries(space->tier->cache, space->number) == 0)
        return 0;
    return (monotonic_us() - oldest_us) / US_PER_MS;
}

static void stat_write_behind(struct space *space, struct stat_sink *sink) {
    const char *name = space->options.name;
    struct cache *cache = space->tier->cache;
    const struct flush_counters *flushed = &space->flushed;
    uint64_t changes = 0, queued = 0;
    struct writer_stats writes;
    for (unsigned i = 0; i < space->tier->options.workers; i++) {
        changes += counted(&space->by_worker[i].changes);
        queued += queue_pushed(&space->queues[i]);
    }
    writer_get_stats(space->backend->writer, &writes);
    number(sink, name, "dirty_entries", cache_dirty_entries(cache, space->number));
    number(sink, name, "dirty_bytes", cache_dirty_bytes(cache, space->number));
    number(sink, name, "dirty_limit", space->options.dirty_limit);
    number(sink, name, "oldest_dirty_ms", oldest_age_ms(space));
    number(sink, name, "full", atomic_load(&space->fullness.full));
    number(sink, name, "waiting_requests", atomic_load(&space->fullness.waiting_count));
    number(sink, name, "full_waits", counted(&space->fullness.waits));
    number(sink, name, "full_rejects", counted(&space->fullness.rejects));
    number(sink, name, "full_write_throughs", counted(&space->fullness.throughs));
    number(sink, name, "changes", changes);
    number(sink, name, "coalesced", changes > queued ? changes - queued : 0);
#define TELL(counter_name) number(sink, name, #counter_name, counted(&flushed->counter_name));
    FLUSH_COUNTERS(TELL)
#undef TELL
    number(sink, name, "quarantine", quarantine_count(space->quarantine));
    number(sink, name, "quarantined", counted(&flushed->quarantined));
    number(sink, name, "quarantine_bytes", quarantine_bytes(space->quarantine));
    number(sink, name, "quarantine_limit", space->options.quarantine_limit);
    line(sink, name, "breaker", "%s",
         breaker_state_name(writes.breaker != BREAKER_CLOSED ? writes.breaker
                                                             : breaker_state(&space->write_breaker)));
    line(sink, name, "journal", "%s",
         journal_mode_names[space->tier->journal ? space->options.journal : JOURNAL_OFF]);
}

static void stat_journal(struct tier *tier, struct stat_sink *sink) {
    struct journal_stats stats;
    journal_get_stats(tier->journal, &stats);
    number(sink, "journal", "files", stats.files);
    number(sink, "journal", "bytes", stats.bytes);
    number(sink, "journal", "written_records", stats.written_records);
    number(sink, "journal", "written_bytes", stats.written_bytes);
    number(sink, "journal", "fsyncs", stats.fsyncs);
    number(sink, "journal", "fsync_us", stats.fsync_us);
    number(sink, "journal", "fsync_max_us", stats.fsync_max_us);
    number(sink, "journal", "recycled_files", stats.recycled);
    number(sink, "journal", "compactions", stats.compactions);
    number(sink, "journal", "failures", stats.failures);
    number(sink, "journal", "low_water", low_water_least(tier));
    number(sink, "journal", "replayed_records", tier->replayed);
    number(sink, "journal", "replayed_files", tier->replayed_files);
    number(sink, "journal", "replay_ms", tier->replay_ms);
}

void tier_stat_write_behind(struct tier *tier, struct stat_sink *sink) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].policy->holds_back && !space_is_retired(&tier->spaces[i]))
            stat_write_behind(&tier->spaces[i], sink);
    if (tier->journal)
        stat_journal(tier, sink);
}

void tier_stat_quarantine(struct tier *tier, struct stat_sink *sink) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].policy->holds_back && !space_is_retired(&tier->spaces[i])) {
            const struct quarantine *quarantine = tier->spaces[i].quarantine;
            number(sink, tier->spaces[i].options.name, "entries", quarantine_count(quarantine));
            number(sink, tier->spaces[i].options.name, "bytes", quarantine_bytes(quarantine));
        }
}
