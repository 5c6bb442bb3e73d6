/* SPDX-License-Identifier: MIT */
/* See figures.h. */
#include "server/http/figures.h"
#include <math.h>

/* ---- Rates and times ---- */

/* A counter that has gone back (`stats reset`, a namespace that went) says nothing about this second. */
static float rate(uint64_t before, uint64_t now, double seconds) {
    return now >= before && seconds > 0 ? (float)((double)(now - before) / seconds) : NAN;
}

double figures_quantile_us(const struct histogram_sum *sum, double share) {
    double wanted = share * (double)histogram_count(sum), seen = 0;
    for (int i = 0; wanted > 0 && i < HISTOGRAM_BUCKETS - 1; i++) {
        double inside = (double)sum->buckets[i];
        double top = (double)(UINT64_C(1) << i), bottom = i ? top / 2 : 0;
        if (seen + inside >= wanted)
            return bottom + (top - bottom) * (wanted - seen) / inside;
        seen += inside;
    }
    return wanted > 0 ? (double)(UINT64_C(1) << (HISTOGRAM_BUCKETS - 2)) : NAN;
}

static bool has_gone_back(const struct histogram_sum *before, const struct histogram_sum *now) {
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (now->buckets[i] < before->buckets[i])
            return true;
    return false;
}

/* Of what took place between the two: the median, and behind it what 1 % exceeds. */
static void times(const struct histogram_sum *before, const struct histogram_sum *now,
                  float ret_times[static 2]) {
    struct histogram_sum passed = *now;
    if (has_gone_back(before, now))
        return;
    histogram_subtract(&passed, before);
    ret_times[0] = (float)figures_quantile_us(&passed, 0.5);
    ret_times[1] = (float)figures_quantile_us(&passed, 0.99);
}

static void clear(float *figures, size_t count) {
    for (size_t i = 0; i < count; i++)
        figures[i] = NAN;
}

/* ---- Namespaces ---- */

enum answered {
    ANSWERED_ALL,
    ANSWERED_HIT,
    ANSWERED_MISSED,
    ANSWERED_CHANGES,
    ANSWERED_ERROR,
    ANSWERED_KINDS
};

/* As docs/metrics.md has the hit ratio: hits and misses are those of get, gat and mg. */
static void add_answers(const struct usage_sum *usage, uint64_t ret_counts[static ANSWERED_KINDS]) {
    for (int i = 0; i < OPERATIONS; i++) {
        bool looks = command_is_lookup(usage_command((enum operation)i));
        for (int outcome = 0; outcome < OUTCOMES; outcome++) {
            uint64_t times_counted = usage->operations[i][outcome];
            ret_counts[ANSWERED_ALL] += times_counted;
            ret_counts[ANSWERED_HIT] += looks && outcome == OUTCOME_HIT ? times_counted : 0;
            ret_counts[ANSWERED_MISSED] += looks && outcome == OUTCOME_MISS ? times_counted : 0;
            ret_counts[ANSWERED_CHANGES] += looks ? 0 : times_counted;
            ret_counts[ANSWERED_ERROR] += outcome == OUTCOME_ERROR ? times_counted : 0;
        }
    }
}

static void rate_answers(const struct usage_sum *before, const struct usage_sum *now, double seconds,
                         float *ret_figures) {
    static const enum space_figure figures[ANSWERED_KINDS] = {[ANSWERED_ALL] = SPACE_FIGURE_operations,
                                                              [ANSWERED_HIT] = SPACE_FIGURE_hits,
                                                              [ANSWERED_MISSED] = SPACE_FIGURE_misses,
                                                              [ANSWERED_CHANGES] = SPACE_FIGURE_changes,
                                                              [ANSWERED_ERROR] = SPACE_FIGURE_errors};
    uint64_t then[ANSWERED_KINDS] = {0}, by_now[ANSWERED_KINDS] = {0};
    add_answers(before, then);
    add_answers(now, by_now);
    for (int kind = 0; kind < ANSWERED_KINDS; kind++)
        ret_figures[figures[kind]] = rate(then[kind], by_now[kind], seconds);
}

static void rate_space(const struct space_measures *before, const struct space_measures *now, double seconds,
                       float *ret_figures) {
    float *figures = ret_figures;
    rate_answers(&before->usage, &now->usage, seconds, figures);
    times(&before->usage.latency[USAGE_HIT], &now->usage.latency[USAGE_HIT], &figures[SPACE_FIGURE_hit_p50]);
    times(&before->usage.latency[USAGE_LOAD], &now->usage.latency[USAGE_LOAD],
          &figures[SPACE_FIGURE_load_p50]);
    times(&before->usage.latency[USAGE_WRITE], &now->usage.latency[USAGE_WRITE],
          &figures[SPACE_FIGURE_write_p50]);
    figures[SPACE_FIGURE_evictions] = rate(before->cache.evictions, now->cache.evictions, seconds);
    figures[SPACE_FIGURE_expirations] = rate(before->cache.expired, now->cache.expired, seconds);
    if (now->backend)
        figures[SPACE_FIGURE_loads] = rate(before->loads, now->loads, seconds);
    if (!now->holds_back)
        return;
    figures[SPACE_FIGURE_accepted] = rate(before->changes, now->changes, seconds);
    figures[SPACE_FIGURE_rows] = rate(before->rows, now->rows, seconds);
    figures[SPACE_FIGURE_retries] = rate(before->retries, now->retries, seconds);
}

static void level_copy(const struct space_measures *now, float *ret_figures) {
    double rows = (double)now->copy_rows, all = (double)now->copy_total;
    ret_figures[SPACE_FIGURE_copy_stage] = (float)now->copy_stage;
    if (all > 0)
        ret_figures[SPACE_FIGURE_copy_percent] = (float)(rows < all ? 100 * rows / all : 100);
}

void figures_of_space(const struct space_measures *before, const struct space_measures *now, double seconds,
                      float ret_figures[static SPACE_FIGURES_COUNT]) {
    clear(ret_figures, SPACE_FIGURES_COUNT);
    ret_figures[SPACE_FIGURE_entries] = (float)now->cache.entries;
    ret_figures[SPACE_FIGURE_memory] = (float)now->cache.memory_used;
    if (now->holds_back) {
        ret_figures[SPACE_FIGURE_dirty] = (float)now->cache.dirty_entries;
        ret_figures[SPACE_FIGURE_dirty_bytes] = (float)now->cache.dirty_bytes;
        ret_figures[SPACE_FIGURE_dirty_limit] = (float)now->dirty_limit;
        ret_figures[SPACE_FIGURE_lag] = (float)now->oldest_dirty_us;
        ret_figures[SPACE_FIGURE_quarantine] = (float)now->quarantine_entries;
    }
    if (now->is_copied)
        level_copy(now, ret_figures);
    if (before)
        rate_space(before, now, seconds, ret_figures);
}

static void add_histogram(struct histogram_sum *total, const struct histogram_sum *part) {
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        total->buckets[i] += part->buckets[i];
}

static void add_usage(struct usage_sum *total, const struct usage_sum *part) {
    for (int i = 0; i < OPERATIONS; i++)
        for (int outcome = 0; outcome < OUTCOMES; outcome++)
            total->operations[i][outcome] += part->operations[i][outcome];
    for (int kind = 0; kind < USAGE_KINDS; kind++)
        add_histogram(&total->latency[kind], &part->latency[kind]);
}

static void add_cache(struct cache_stats *total, const struct cache_stats *part) {
    total->entries += part->entries;
    total->memory_used += part->memory_used;
    total->evictions += part->evictions;
    total->expired += part->expired;
    total->dirty_entries += part->dirty_entries;
    total->dirty_bytes += part->dirty_bytes;
}

static void add_flow(struct space_measures *total, const struct space_measures *part) {
    total->dirty_limit += part->dirty_limit;
    total->changes += part->changes;
    total->rows += part->rows;
    total->retries += part->retries;
    total->quarantine_entries += part->quarantine_entries;
    if (part->oldest_dirty_us > total->oldest_dirty_us)
        total->oldest_dirty_us = part->oldest_dirty_us;
}

void figures_add_spaces(const struct metrics_snapshot *snapshot, struct space_measures *ret_total) {
    struct space_measures *total = ret_total;
    *total = (struct space_measures){0};
    for (size_t i = 0; i < snapshot->space_count; i++) {
        const struct space_measures *part = &snapshot->spaces[i];
        total->backend = part->backend ? part->backend : total->backend;
        total->holds_back |= part->holds_back;
        total->loads += part->loads;
        add_usage(&total->usage, &part->usage);
        add_cache(&total->cache, &part->cache);
        if (part->holds_back)
            add_flow(total, part);
    }
}

/* ---- Backends ---- */

static void add_calls(const struct backend_calls_sum *calls, uint64_t *ret_all, uint64_t *ret_failed) {
    for (int call = 0; call < BACKEND_CALLS; call++)
        for (int status = 0; status < BACKEND_STATUSES; status++) {
            *ret_all += calls->endings[call][status];
            *ret_failed += status == BACKEND_OK ? 0 : calls->endings[call][status];
        }
}

static void rate_backend(const struct backend_calls_sum *before, const struct backend_calls_sum *now,
                         double seconds, float *ret_figures) {
    uint64_t then[2] = {0}, by_now[2] = {0};
    add_calls(before, &then[0], &then[1]);
    add_calls(now, &by_now[0], &by_now[1]);
    ret_figures[BACKEND_FIGURE_calls] = rate(then[0], by_now[0], seconds);
    ret_figures[BACKEND_FIGURE_failures] = rate(then[1], by_now[1], seconds);
    times(&before->times[CALL_LOAD], &now->times[CALL_LOAD], &ret_figures[BACKEND_FIGURE_load_p50]);
    times(&before->times[CALL_APPLY], &now->times[CALL_APPLY], &ret_figures[BACKEND_FIGURE_apply_p50]);
}

static void rate_coherence(const struct backend_measures *before, const struct backend_measures *now,
                           double seconds, float *ret_figures) {
    ret_figures[BACKEND_FIGURE_heard] = rate(before->heard, now->heard, seconds);
    ret_figures[BACKEND_FIGURE_compared] = rate(before->compared, now->compared, seconds);
    ret_figures[BACKEND_FIGURE_forgotten] = rate(before->dropped, now->dropped, seconds);
}

void figures_of_backend(const struct backend_measures *before, const struct backend_measures *now,
                        double seconds, float ret_figures[static BACKEND_FIGURES_COUNT]) {
    clear(ret_figures, BACKEND_FIGURES_COUNT);
    ret_figures[BACKEND_FIGURE_read_breaker] = (float)now->breaker[BACKEND_READER];
    ret_figures[BACKEND_FIGURE_write_breaker] = (float)now->breaker[BACKEND_WRITER];
    ret_figures[BACKEND_FIGURE_waiting] = (float)now->loads_waiting;
    ret_figures[BACKEND_FIGURE_others] = (float)now->other_nodes;
    if (now->is_coherent)
        ret_figures[BACKEND_FIGURE_believes] = (float)now->believes;
    if (before)
        rate_backend(&before->calls, &now->calls, seconds, ret_figures);
    if (before && now->is_coherent)
        rate_coherence(before, now, seconds, ret_figures);
}

void figures_of_node(const struct backend_node *before, const struct backend_node *now, double seconds,
                     float ret_figures[static NODE_FIGURES_COUNT]) {
    clear(ret_figures, NODE_FIGURES_COUNT);
    ret_figures[NODE_FIGURE_up] = (float)!now->away;
    ret_figures[NODE_FIGURE_slots] = (float)now->slots;
    if (!before)
        return;
    ret_figures[NODE_FIGURE_commands] = rate(before->commands, now->commands, seconds);
    ret_figures[NODE_FIGURE_errors] = rate(before->errors, now->errors, seconds);
    if (now->exchanges > before->exchanges)
        ret_figures[NODE_FIGURE_exchange] = (float)((double)(now->exchange_us - before->exchange_us) /
                                                    (double)(now->exchanges - before->exchanges));
}

/* ---- The server ---- */

static void rate_server(const struct metrics_snapshot *before, const struct metrics_snapshot *now,
                        double seconds, float *ret_figures) {
    uint64_t cpu_before = before->process.user_us + before->process.system_us;
    uint64_t cpu_now = now->process.user_us + now->process.system_us;
    ret_figures[SERVER_FIGURE_cpu] = rate(cpu_before, cpu_now, seconds * US_PER_SECOND);
    ret_figures[SERVER_FIGURE_received] = rate(before->workers.bytes_read, now->workers.bytes_read, seconds);
    ret_figures[SERVER_FIGURE_sent] =
        rate(before->workers.bytes_written, now->workers.bytes_written, seconds);
    times(&before->workers.turn_times, &now->workers.turn_times, &ret_figures[SERVER_FIGURE_turn_p50]);
    if (now->has_journal && before->has_journal)
        times(&before->journal.fsync_times, &now->journal.fsync_times, &ret_figures[SERVER_FIGURE_fsync_p50]);
}

void figures_of_server(const struct metrics_snapshot *before, const struct metrics_snapshot *now,
                       double seconds, float ret_figures[static SERVER_FIGURES_COUNT]) {
    clear(ret_figures, SERVER_FIGURES_COUNT);
    if (now->process.resident_bytes)
        ret_figures[SERVER_FIGURE_resident] = (float)now->process.resident_bytes;
    ret_figures[SERVER_FIGURE_memory_used] = (float)now->cache.memory_used;
    ret_figures[SERVER_FIGURE_memory_limit] = (float)now->cache.memory_limit;
    ret_figures[SERVER_FIGURE_connections] = (float)now->process.connections;
    if (now->has_journal) {
        ret_figures[SERVER_FIGURE_journal_bytes] = (float)now->journal.bytes;
        ret_figures[SERVER_FIGURE_journal_lag] = (float)now->journal.low_water_lag_us;
    }
    if (before)
        rate_server(before, now, seconds, ret_figures);
}
