/* SPDX-License-Identifier: MIT */
/* See model.h. */
#include "tools/top/model.h"
#include "cache/base/clock.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- What two samples say of one counter ---- */

double model_rate(const struct picture *picture, enum report report, const char *owner, const char *name) {
    if (!picture->has_rates)
        return NAN;
    double now = sample_number(picture->now, report, owner, name);
    double before = sample_number(picture->before, report, owner, name);
    return (now - (before <= now ? before : 0)) / picture->interval_s;
}

/* What came into a bucket; all of it if there was a reset, which empties them. */
static void subtract_buckets(struct histogram_sum *sum, const struct histogram_sum *before) {
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (before->buckets[i] > sum->buckets[i])
            return;
    histogram_subtract(sum, before);
}

static double rank_us(const struct histogram_sum *sum, unsigned per_ten_thousand) {
    uint64_t us = histogram_rank_us(sum, per_ten_thousand);
    return us ? (double)us : NAN;
}

/* Of "owner:kind_..." between the two samples. */
static struct quantiles quantiles_of(const struct picture *picture, enum report report, const char *owner,
                                     const char *kind) {
    if (!picture->has_rates)
        return (struct quantiles){NAN, NAN, NAN, NAN};
    struct histogram_sum sum = sample_buckets(picture->now, report, owner, kind);
    struct histogram_sum before = sample_buckets(picture->before, report, owner, kind);
    subtract_buckets(&sum, &before);
    return (struct quantiles){(double)histogram_count(&sum) / picture->interval_s, rank_us(&sum, 5000),
                              rank_us(&sum, 9900), rank_us(&sum, 9990)};
}

static double hit_ratio(double hits, double misses) {
    return hits + misses > 0 ? 100 * hits / (hits + misses) : NAN;
}

static double level(const struct picture *picture, enum report report, const char *owner, const char *name) {
    return sample_number(picture->now, report, owner, name);
}

static void copy_text(const struct picture *picture, enum report report, const char *owner, const char *name,
                      char ret_text[SAMPLE_NAME_MAX]) {
    const char *text = sample_text(picture->now, report, owner, name);
    snprintf(ret_text, SAMPLE_NAME_MAX, "%s", text ? text : "");
}

/* ---- Rows ---- */

static void fill_dirty(const struct picture *picture, struct namespace_row *row) {
    row->dirty_entries = level(picture, REPORT_WRITE_BEHIND, row->name, "dirty_entries");
    row->dirty_bytes = level(picture, REPORT_WRITE_BEHIND, row->name, "dirty_bytes");
    row->oldest_dirty_ms = level(picture, REPORT_WRITE_BEHIND, row->name, "oldest_dirty_ms");
    row->quarantine = level(picture, REPORT_WRITE_BEHIND, row->name, "quarantine");
    row->full = level(picture, REPORT_WRITE_BEHIND, row->name, "full");
}

static void fill_copy(const struct picture *picture, struct namespace_row *row) {
    copy_text(picture, REPORT_NAMESPACES, row->name, "copy_state", row->copy);
    double rows = level(picture, REPORT_NAMESPACES, row->name, "copy_rows"),
           all = level(picture, REPORT_NAMESPACES, row->name, "copy_rows_total");
    row->copy_percent = strcmp(row->copy, "complete") == 0 ? 100
                        : all > 0                          ? fmin(100, 100 * rows / all)
                                                           : NAN;
}

static void fill_namespace(const struct picture *picture, const char *name, struct namespace_row *row) {
    snprintf(row->name, sizeof row->name, "%s", name);
    copy_text(picture, REPORT_NAMESPACES, name, "policy", row->policy);
    copy_text(picture, REPORT_NAMESPACES, name, "backend", row->backend);
    row->entries = level(picture, REPORT_NAMESPACES, name, "entries");
    row->bytes = level(picture, REPORT_NAMESPACES, name, "bytes");
    row->hit = quantiles_of(picture, REPORT_FOREBAY, name, "hit");
    row->load = quantiles_of(picture, REPORT_FOREBAY, name, "load");
    row->write = quantiles_of(picture, REPORT_FOREBAY, name, "write");
    row->operations = row->hit.rate + row->load.rate + row->write.rate;
    row->hit_ratio = hit_ratio(model_rate(picture, REPORT_NAMESPACES, name, "get_hits"),
                               model_rate(picture, REPORT_NAMESPACES, name, "get_misses"));
    fill_dirty(picture, row);
    fill_copy(picture, row);
}

/* Sums over the kinds of calls; those that were never made have no lines. */
static void fill_calls(const struct picture *picture, struct backend_row *row) {
    static const char *const kinds[] = {"open", "version",  "load", "apply",
                                        "scan", "maintain", "look", "compare"};
    char name[SAMPLE_NAME_MAX];
    row->calls = row->failures = picture->has_rates ? 0 : NAN;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(name, sizeof name, "%s_failed", kinds[i]);
        double failed = level(picture, REPORT_BACKENDS, row->name, name);
        if (isnan(failed))
            continue;
        row->failed += failed;
        row->calls += quantiles_of(picture, REPORT_BACKENDS, row->name, kinds[i]).rate;
        row->failures += model_rate(picture, REPORT_BACKENDS, row->name, name);
    }
}

/* A namespace that is not write-behind has no lag. */
static void fill_lag(const struct picture *picture, struct backend_row *row) {
    row->dirty_entries = row->lag_ms = NAN;
    for (size_t i = 0; i < picture->namespace_count; i++) {
        const struct namespace_row *space = &picture->namespaces[i];
        if (strcmp(space->backend, row->name) != 0 || isnan(space->dirty_entries))
            continue;
        row->dirty_entries = (isnan(row->dirty_entries) ? 0 : row->dirty_entries) + space->dirty_entries;
        row->lag_ms = fmax(row->lag_ms, space->oldest_dirty_ms);
    }
}

/* Nodes that are masters of nothing any more do not count. A store that has no nodes has no such figures. */
static void fill_masters(const struct picture *picture, struct backend_row *row) {
    char place[SAMPLE_PLACE_MAX], name[SAMPLE_PLACE_MAX + 32];
    row->masters = row->masters_away = NAN;
    for (size_t at = 0; sample_next_node(picture->now, row->name, &at, place);) {
        snprintf(name, sizeof name, "node:%s:slots", place);
        if (!(level(picture, REPORT_BACKENDS, row->name, name) > 0))
            continue;
        snprintf(name, sizeof name, "node:%s:breaker", place);
        const char *breaker = sample_text(picture->now, REPORT_BACKENDS, row->name, name);
        row->masters = isnan(row->masters) ? 1 : row->masters + 1;
        row->masters_away =
            (isnan(row->masters_away) ? 0 : row->masters_away) + (breaker && strcmp(breaker, "open") == 0);
    }
}

static void fill_backend(const struct picture *picture, const char *name, struct backend_row *row) {
    snprintf(row->name, sizeof row->name, "%s", name);
    copy_text(picture, REPORT_BACKENDS, name, "kind", row->kind);
    copy_text(picture, REPORT_BACKENDS, name, "read_breaker", row->reads);
    copy_text(picture, REPORT_BACKENDS, name, "write_breaker", row->writes);
    row->load = quantiles_of(picture, REPORT_BACKENDS, name, "load");
    row->apply = quantiles_of(picture, REPORT_BACKENDS, name, "apply");
    row->waiting = level(picture, REPORT_BACKENDS, name, "reads_waiting");
    copy_text(picture, REPORT_BACKENDS, name, "coherent", row->coherent);
    row->other_nodes = level(picture, REPORT_BACKENDS, name, "other_nodes");
    fill_masters(picture, row);
    fill_calls(picture, row);
    fill_lag(picture, row);
}

/* ---- The rest ---- */

static void fill_journal(const struct picture *picture, struct journal_figures *journal) {
    enum report report = REPORT_WRITE_BEHIND;
    journal->files = level(picture, report, "journal", "files");
    journal->bytes = level(picture, report, "journal", "bytes");
    journal->failures = level(picture, report, "journal", "failures");
    journal->records = model_rate(picture, report, "journal", "written_records");
    journal->written_bytes = model_rate(picture, report, "journal", "written_bytes");
    journal->fsyncs = model_rate(picture, report, "journal", "fsyncs");
    double us = model_rate(picture, report, "journal", "fsync_us");
    journal->fsync_us = journal->fsyncs > 0 ? us / journal->fsyncs : NAN;
}

static double rate(const struct picture *picture, const char *name) {
    return model_rate(picture, REPORT_GENERAL, NULL, name);
}

static void fill_process(const struct picture *picture, struct process_figures *process) {
    copy_text(picture, REPORT_FOREBAY, NULL, "forebay_version", process->version);
    process->uptime_s = level(picture, REPORT_GENERAL, NULL, "uptime");
    process->cpu = 100 * (rate(picture, "rusage_user") + rate(picture, "rusage_system"));
    process->memory = level(picture, REPORT_FOREBAY, NULL, "memory_used");
    process->memory_limit = level(picture, REPORT_GENERAL, NULL, "limit_maxbytes");
    process->connections = level(picture, REPORT_GENERAL, NULL, "curr_connections");
    process->connections_limit = level(picture, REPORT_GENERAL, NULL, "max_connections");
    process->requests = model_rate(picture, REPORT_FOREBAY, NULL, "requests");
    process->gets = rate(picture, "cmd_get");
    process->sets = rate(picture, "cmd_set");
    process->bytes_in = rate(picture, "bytes_read");
    process->bytes_out = rate(picture, "bytes_written");
    process->hit_ratio = hit_ratio(rate(picture, "get_hits"), rate(picture, "get_misses"));
    process->evictions = rate(picture, "evictions");
    process->turns = model_rate(picture, REPORT_FOREBAY, NULL, "turns");
    process->turn_p99_us = level(picture, REPORT_FOREBAY, NULL, "turn_p99_us");
}

/* A server that was started in between counts from 0, which no rate shows. */
static bool is_same_process(const struct sample *now, const struct sample *before) {
    return sample_number(now, REPORT_GENERAL, NULL, "pid") ==
               sample_number(before, REPORT_GENERAL, NULL, "pid") &&
           sample_number(now, REPORT_GENERAL, NULL, "uptime") >=
               sample_number(before, REPORT_GENERAL, NULL, "uptime");
}

void model_picture(const struct sample *now, const struct sample *before, struct picture *ret_picture) {
    *ret_picture = (struct picture){.now = now, .before = before, .interval_s = NAN};
    if (before && is_same_process(now, before) && sample_taken_us(now) > sample_taken_us(before)) {
        ret_picture->has_rates = true;
        ret_picture->interval_s = (double)(sample_taken_us(now) - sample_taken_us(before)) / US_PER_SECOND;
    }
    fill_process(ret_picture, &ret_picture->process);
    fill_journal(ret_picture, &ret_picture->journal);
    ret_picture->namespace_count = sample_owner_count(now, REPORT_NAMESPACES);
    for (size_t i = 0; i < ret_picture->namespace_count; i++)
        fill_namespace(ret_picture, sample_owner(now, REPORT_NAMESPACES, i), &ret_picture->namespaces[i]);
    ret_picture->backend_count = sample_owner_count(now, REPORT_BACKENDS);
    for (size_t i = 0; i < ret_picture->backend_count; i++)
        fill_backend(ret_picture, sample_owner(now, REPORT_BACKENDS, i), &ret_picture->backends[i]);
}
