/* SPDX-License-Identifier: MIT */
/*
 * Counting and telling. Each counter is written by one thread (a worker, a writer) and read by any; sums are
 * made when somebody asks. A reset remembers the sums of the moment, and they are subtracted from then on.
 */
#include "policies/tier_stats.h"
#include "policies/absence.h"
#include "policies/load/coherence.h"
#include "policies/load/loader.h"
#include "policies/store.h"
#include "policies/write/copy.h"
#include "policies/write/low_water.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include "policies/write/writer.h"
#include <inttypes.h>
#include <stdarg.h>

/* ---- memcached's counters ---- */

void count_outcome(struct tier_worker *worker, struct usage *usage, const struct request *request,
                   const struct outcome *outcome) {
    usage_count(usage, request, outcome);
    if (__builtin_expect(outcome->status == OUTCOME_ERROR, false) && tier_closes_on_error(request))
        count(&worker->counters.closed_reads);
}

static uint64_t answers(const struct usage_sum *sum, int operation) {
    uint64_t all = 0;
    for (int i = 0; i < OUTCOMES; i++)
        all += sum->operations[operation][i];
    return all;
}

/* Answers with this status, of operations up to the one below 0. */
static uint64_t with_status(const struct usage_sum *sum, enum outcome_status status, const int *operations) {
    uint64_t all = 0;
    for (; *operations >= 0; operations++)
        all += sum->operations[*operations][status];
    return all;
}

static uint64_t with_any(const struct usage_sum *sum, const int *operations) {
    uint64_t all = 0;
    for (; *operations >= 0; operations++)
        all += answers(sum, *operations);
    return all;
}

/* Of changes that need an entry. */
static uint64_t misses(const struct usage_sum *sum, const int *operations) {
    return with_status(sum, OUTCOME_NOT_FOUND, operations) + with_status(sum, OUTCOME_NOT_STORED, operations);
}

static uint64_t hits(const struct usage_sum *sum, const int *operations) {
    return with_any(sum, operations) - misses(sum, operations) - with_status(sum, OUTCOME_ERROR, operations) -
           with_status(sum, OUTCOME_EXISTS, operations);
}

#define OF(...) ((const int[]){__VA_ARGS__, -1})

static void sum_gets(struct tier_counters *counters, const struct usage_sum *sum) {
    const int *touching = OF(COMMAND_GAT, OPERATION_META_GET_TOUCHING);
    const int *all = OF(COMMAND_GET, COMMAND_META_GET, COMMAND_GAT, OPERATION_META_GET_TOUCHING);
    counters->cmd_get = with_any(sum, all);
    counters->get_hits = with_status(sum, OUTCOME_HIT, all);
    counters->get_misses = with_status(sum, OUTCOME_MISS, all);
    counters->cmd_touch = with_any(sum, touching) + answers(sum, COMMAND_TOUCH);
    counters->touch_hits = with_status(sum, OUTCOME_HIT, touching) + hits(sum, OF(COMMAND_TOUCH));
    counters->touch_misses = with_status(sum, OUTCOME_MISS, touching) + misses(sum, OF(COMMAND_TOUCH));
}

static void sum_stores(struct tier_counters *counters, const struct usage_sum *sum) {
    const int *comparing = OF(COMMAND_CAS, OPERATION_META_SET_COMPARING);
    for (int i = 0; i < OPERATIONS; i++)
        if (command_kind(usage_command((enum operation)i)) == KIND_STORE)
            counters->cmd_set += answers(sum, i);
    counters->cas_hits = with_status(sum, OUTCOME_STORED, comparing);
    counters->cas_misses = with_status(sum, OUTCOME_NOT_FOUND, comparing);
    counters->cas_badval = with_status(sum, OUTCOME_EXISTS, comparing);
    counters->store_too_large = sum->errors[ERROR_TOO_LARGE];
    counters->store_no_memory = sum->errors[ERROR_NO_MEMORY];
}

static void sum_changes(struct tier_counters *counters, const struct usage_sum *sum) {
    const int *deletes = OF(COMMAND_DELETE, COMMAND_META_DELETE);
    const int *increments = OF(COMMAND_INCR, COMMAND_META_ARITHMETIC);
    const int *decrements = OF(COMMAND_DECR, OPERATION_META_DECREMENT);
    counters->delete_misses = misses(sum, deletes);
    counters->delete_hits = hits(sum, deletes);
    counters->incr_misses = misses(sum, increments);
    counters->incr_hits = hits(sum, increments);
    counters->decr_misses = misses(sum, decrements);
    counters->decr_hits = hits(sum, decrements);
}

static uint64_t meta_commands(const struct usage_sum *sum) {
    uint64_t all = 0;
    for (int i = 0; i < OPERATIONS; i++)
        if (command_is_meta(usage_command((enum operation)i)))
            all += answers(sum, i);
    return all;
}

static void add_counters(struct tier_counters *sum, const struct worker_counters *counters) {
    sum->cmd_flush += counted(&counters->cmd_flush);
    sum->loads += counted(&counters->loads);
    sum->parked += counted(&counters->parked);
    sum->closed_reads += counted(&counters->closed_reads);
}

static void sum_usage(const struct tier *tier, size_t space, struct usage_sum *ret_sum) {
    for (unsigned i = 0; i < tier->options.workers; i++)
        usage_collect(ret_sum, &tier->workers[i].usage[space]);
}

/* What usage says; the counters that it does not know are left alone. */
static void add_requests(struct tier_counters *counters, const struct usage_sum *sum) {
    sum_gets(counters, sum);
    sum_stores(counters, sum);
    sum_changes(counters, sum);
    counters->cmd_meta = meta_commands(sum);
    counters->load_errors = sum->errors[ERROR_BACKEND_DOWN];
}

static struct tier_counters sum_counters(const struct tier *tier) {
    struct tier_counters counters = {0};
    struct usage_sum sum = {0};
    for (size_t i = 0; i < tier->space_count; i++)
        sum_usage(tier, i, &sum);
    for (unsigned i = 0; i < tier->options.workers; i++)
        add_counters(&counters, &tier->workers[i].counters);
    add_requests(&counters, &sum);
    return counters;
}

static struct tier_counters sum_space_counters(const struct tier *tier, size_t space) {
    struct tier_counters counters = {0};
    struct usage_sum sum = {0};
    sum_usage(tier, space, &sum);
    add_requests(&counters, &sum);
    return counters;
}

static void subtract_counters(struct tier_counters *sum, const struct tier_counters *base) {
#define SUBTRACT(name) sum->name -= base->name;
    TIER_COUNTERS(SUBTRACT)
#undef SUBTRACT
}

void tier_get_counters(struct tier *tier, struct tier_counters *ret_counters) {
    pthread_mutex_lock(&tier->stats_mutex); /* first: what is subtracted is no later than the sum */
    struct tier_counters sum = sum_counters(tier);
    subtract_counters(&sum, &tier->counters_base);
    pthread_mutex_unlock(&tier->stats_mutex);
    *ret_counters = sum;
}

void tier_get_space_counters(struct tier *tier, size_t space, struct tier_counters *ret_counters) {
    pthread_mutex_lock(&tier->stats_mutex); /* as above */
    struct tier_counters sum = sum_space_counters(tier, space);
    subtract_counters(&sum, &tier->space_counters_base[space]);
    pthread_mutex_unlock(&tier->stats_mutex);
    *ret_counters = sum;
}

static struct histogram_sum sum_latency(const struct tier *tier, size_t space, enum usage_kind kind) {
    struct histogram_sum sum = {0};
    for (unsigned i = 0; i < tier->options.workers; i++)
        histogram_collect(&sum, &tier->workers[i].usage[space].latency[kind]);
    return sum;
}

/* With the mutex. */
static void reset_latencies(struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++)
        for (int kind = 0; kind < USAGE_KINDS; kind++)
            tier->latency_base[i][kind] = sum_latency(tier, i, (enum usage_kind)kind);
}

void tier_reset_stats(struct tier *tier) {
    pthread_mutex_lock(&tier->stats_mutex);
    tier->counters_base = sum_counters(tier);
    for (size_t i = 0; i < tier->space_count; i++)
        tier->space_counters_base[i] = sum_space_counters(tier, i);
    reset_latencies(tier);
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

/* Counts by bucket, up to the last that is not 0: who asks twice knows the times in between. */
static void show_buckets(const struct histogram_sum *sum, char *ret_text, size_t size) {
    int last = HISTOGRAM_BUCKETS;
    size_t used = 0;
    while (last > 1 && sum->buckets[last - 1] == 0)
        last--;
    for (int i = 0; i < last; i++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s%" PRIu64, i ? "," : "", sum->buckets[i]);
}

static void stat_latency(struct stat_sink *sink, const char *owner, const char *kind,
                         const struct histogram_sum *sum) {
    static const struct {
        const char *name;
        unsigned per_ten_thousand;
    } ranks[] = {{"p50", 5000}, {"p99", 9900}, {"p999", 9990}};
    char name[320], buckets[HISTOGRAM_BUCKETS * 21];
    snprintf(name, sizeof name, "%s_count", kind);
    number(sink, owner, name, histogram_count(sum));
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        snprintf(name, sizeof name, "%s_%s_us", kind, ranks[i].name);
        number(sink, owner, name, histogram_rank_us(sum, ranks[i].per_ten_thousand));
    }
    snprintf(name, sizeof name, "%s:%s_buckets", owner, kind);
    show_buckets(sum, buckets, sizeof buckets);
    sink->line(sink, name, buckets);
}

/* Since the last reset; nothing where no such request was answered. */
static void stat_latency_of(struct stat_sink *sink, struct tier *tier, size_t space, enum usage_kind kind) {
    pthread_mutex_lock(&tier->stats_mutex);
    struct histogram_sum sum = sum_latency(tier, space, kind);
    histogram_subtract(&sum, &tier->latency_base[space][kind]);
    pthread_mutex_unlock(&tier->stats_mutex);
    if (histogram_count(&sum) > 0)
        stat_latency(sink, tier->spaces[space].options.name, usage_kind_name(kind), &sum);
}

void tier_stat_latencies(struct tier *tier, struct stat_sink *sink) {
    for (size_t i = 0; i < tier->space_count; i++)
        for (int kind = 0; kind < USAGE_KINDS && !space_is_retired(&tier->spaces[i]); kind++)
            stat_latency_of(sink, tier, i, (enum usage_kind)kind);
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

static void stat_copy(struct stat_sink *sink, const char *name, const struct copy *copy) {
    line(sink, name, "copy_to", "%s", copy->target->options.store.name);
    line(sink, name, "copy_state", "%s", copy_stage_name(copy));
    number(sink, name, "copy_rows", counted(&copy->rows));
    number(sink, name, "copy_rows_total", counted(&copy->total));
    number(sink, name, "copy_rows_per_second", copy_rate(copy));
    number(sink, name, "copy_rows_removed", counted(&copy->removed));
    number(sink, name, "copy_changes", counted(&copy->changes));
    number(sink, name, "copy_refused", counted(&copy->refused));
    number(sink, name, "copy_unreadable", counted(&copy->unreadable));
}

/* Since the start: a reset leaves them alone, as it does the loads below. */
static void stat_requests(struct stat_sink *sink, const struct tier *tier, const struct space *space) {
    struct tier_counters counters = sum_space_counters(tier, (size_t)space->number);
    number(sink, space->options.name, "cmd_get", counters.cmd_get);
    number(sink, space->options.name, "get_hits", counters.get_hits);
    number(sink, space->options.name, "get_misses", counters.get_misses);
    number(sink, space->options.name, "cmd_set", counters.cmd_set);
    number(sink, space->options.name, "cmd_touch", counters.cmd_touch);
    number(sink, space->options.name, "delete_hits", counters.delete_hits);
    number(sink, space->options.name, "delete_misses", counters.delete_misses);
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
        stat_requests(sink, tier, space);
        if (!space->backend)
            continue;
        number(sink, name, "loads", counted(&space->loads));
        number(sink, name, "load_hits", counted(&space->load_hits));
        number(sink, name, "load_errors", counted(&space->load_errors));
        stat_latency_of(sink, tier, i, USAGE_LOAD);
        number(sink, name, "load_unfit", counted(&space->load_unfit));
        number(sink, name, "rows_unreadable", counted(&space->rows_unreadable));
        if (space->copy)
            stat_copy(sink, name, space->copy);
        if (space->absence)
            stat_absence(sink, name, space->absence);
        stat_breaker(sink, name, "read", &space->read_breaker);
        stat_breaker(sink, name, "write", &space->write_breaker);
    }
}

/* Of kinds of calls that were made. */
static void stat_calls(struct stat_sink *sink, const char *owner, const struct backend_calls *calls) {
    struct backend_calls_sum sum;
    char name[40];
    backend_calls_read(calls, &sum);
    for (int call = 0; call < BACKEND_CALLS; call++) {
        const char *kind = backend_call_name((enum backend_call)call);
        uint64_t failed = 0;
        if (histogram_count(&sum.times[call]) == 0)
            continue;
        for (int status = BACKEND_OK + 1; status < BACKEND_STATUSES; status++)
            failed += sum.endings[call][status];
        stat_latency(sink, owner, kind, &sum.times[call]);
        snprintf(name, sizeof name, "%s_failed", kind);
        number(sink, owner, name, failed);
    }
}

/* Of a store that is looked for. */
static void stat_place(struct tier_backend *backend, struct stat_sink *sink) {
    char place[BACKEND_PLACE_SHOWN], uri[300];
    store_get_place(backend->store, place);
    if (!*place)
        return;
    backend_show_uri(backend->options.store.uri, uri, sizeof uri);
    line(sink, backend->options.store.name, "uri", "%s", uri);
    line(sink, backend->options.store.name, "address", "%s", place);
}

/* One of its lines: "node:PLACE:NAME". */
static void stat_node(const struct tier_backend *backend, const struct backend_node *node,
                      struct stat_sink *sink) {
    const char *owner = backend->options.store.name;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"slots", node->slots},
                   {"commands", node->commands},
                   {"errors", node->errors},
                   {"redirections", node->redirections},
                   {"replica_waits", node->replica_waits},
                   {"replica_short", node->replica_short},
                   {"exchanges", node->exchanges},
                   {"exchange_us", node->exchange_us},
                   {"exchange_max_us", node->exchange_max_us}};
    char name[BACKEND_NODE_NAME + 32];
    snprintf(name, sizeof name, "node:%s:role", node->name);
    line(sink, owner, name, "%s", node->slots ? "master" : "none");
    snprintf(name, sizeof name, "node:%s:breaker", node->name);
    line(sink, owner, name, "%s", node->away ? "open" : "closed");
    snprintf(name, sizeof name, "node:%s:heard", node->name);
    if (backend->coherence)
        line(sink, owner, name, "%s", node->heard ? "yes" : "no");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(name, sizeof name, "node:%s:%s", node->name, numbers[i].name);
        number(sink, owner, name, numbers[i].value);
    }
}

/* Of a store that has several. */
static void stat_nodes(struct tier_backend *backend, struct stat_sink *sink) {
    struct backend_nodes_copy nodes;
    backend_nodes_read(backend->nodes, &nodes);
    if (nodes.map_us)
        number(sink, backend->options.store.name, "map_age_ms", (monotonic_us() - nodes.map_us) / US_PER_MS);
    for (size_t i = 0; i < nodes.count; i++)
        stat_node(backend, &nodes.list[i], sink);
}

static void stat_coherence(struct stat_sink *sink, const char *name, const struct coherence *coherence) {
    struct coherence_stats stats;
    coherence_get_stats(coherence, &stats);
    line(sink, name, "coherent", "%s", stats.believes ? "yes" : "blind");
    number(sink, name, "coherent_heard", stats.heard);
    number(sink, name, "coherent_compared", stats.asked);
    number(sink, name, "coherent_dropped", stats.dropped);
    number(sink, name, "coherent_losses", stats.losses);
    number(sink, name, "coherent_reconnects", stats.reconnects);
    number(sink, name, "coherent_blinds", stats.blinds);
    number(sink, name, "coherent_blind_ms", stats.blind_us / US_PER_MS);
}

static void stat_backend(struct tier_backend *backend, struct stat_sink *sink) {
    const char *name = backend->options.store.name;
    struct loader_stats loads;
    struct writer_stats writes;
    loader_get_stats(backend->loader, &loads);
    writer_get_stats(backend->writer, &writes);
    line(sink, name, "kind", "%s", backend->type->scheme);
    stat_place(backend, sink);
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
    number(sink, name, "other_nodes", atomic_load(&backend->others));
    number(sink, name, "clock_ahead_us", (uint64_t)atomic_load(&backend->ahead_us));
    number(sink, name, "clock_off_us", atomic_load(&backend->clock_off_us));
    number(sink, name, "rival", atomic_load(&backend->rival));
    if (backend->coherence)
        stat_coherence(sink, name, backend->coherence);
    stat_calls(sink, name, &backend->calls);
    stat_nodes(backend, sink);
}

void tier_stat_backends(struct tier *tier, struct stat_sink *sink) {
    for (size_t i = 0; i < tier->backend_count; i++)
        stat_backend(&tier->backends[i], sink);
}

static void stat_write_behind(struct space *space, struct stat_sink *sink) {
    const char *name = space->options.name;
    struct cache *cache = space->tier->cache;
    const struct flush_counters *flushed = &space->flushed;
    uint64_t changes = 0, coalesced = 0;
    struct writer_stats writes;
    for (unsigned i = 0; i < space->tier->options.workers; i++) {
        changes += counted(&space->by_worker[i].changes);
        coalesced += counted(&space->by_worker[i].coalesced);
    }
    writer_get_stats(space->backend->writer, &writes);
    number(sink, name, "dirty_entries", cache_dirty_entries(cache, space->number));
    number(sink, name, "dirty_bytes", cache_dirty_bytes(cache, space->number));
    number(sink, name, "dirty_limit", space->options.dirty_limit);
    number(sink, name, "oldest_dirty_ms", space_oldest_dirty_us(space) / US_PER_MS);
    number(sink, name, "full", atomic_load(&space->fullness.full));
    number(sink, name, "waiting_requests", atomic_load(&space->fullness.waiting_count));
    number(sink, name, "full_waits", counted(&space->fullness.waits));
    number(sink, name, "full_rejects", counted(&space->fullness.rejects));
    number(sink, name, "full_write_throughs", counted(&space->fullness.throughs));
    number(sink, name, "changes", changes);
    number(sink, name, "coalesced", coalesced);
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
    number(sink, "journal", "kept_files", stats.kept_files);
    number(sink, "journal", "kept_bytes", stats.kept_bytes);
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
