/* SPDX-License-Identifier: MIT */
/*
 * See metrics.h. The two formats differ in little: OpenMetrics names a family without the suffix that its samples have
 * (_total, _info), tells units and the type info, and ends with a line.
 */
#include "server/admin/metrics.h"
#include "server/accept_header.h"
#include "server/admin/metrics_table.h"
#include <stdio.h>

/* ---- What a client accepts ---- */

enum metrics_format metrics_format_accepted(const char *accept) {
    double open = accept_header_weight(accept, "application/openmetrics-text");
    return open > 0 && open >= accept_header_weight(accept, "text/plain") ? METRICS_OPENMETRICS
                                                                          : METRICS_PROMETHEUS;
}

const char *metrics_content_type(enum metrics_format format) {
    return format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                         : "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- The head of a family ---- */

static const char *const type_names[] = {[METRIC_COUNTER] = "counter",
                                         [METRIC_GAUGE] = "gauge",
                                         [METRIC_HISTOGRAM] = "histogram",
                                         [METRIC_INFO] = "info"};

static void write_prometheus_head(struct metric_page *page) {
    const struct metric *metric = page->metric;
    const char *type = metric->type == METRIC_INFO ? "gauge" : type_names[metric->type];
    buffer_print(page->out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, type);
}

static void write_openmetrics_head(struct metric_page *page) {
    const struct metric *metric = page->metric;
    const char *suffix = metric->type == METRIC_COUNTER ? "_total"
                         : metric->type == METRIC_INFO  ? "_info"
                                                        : "";
    int size = (int)(strlen(metric->name) - strlen(suffix));
    buffer_print(page->out, "# TYPE %.*s %s\n", size, metric->name, type_names[metric->type]);
    if (*metric->unit)
        buffer_print(page->out, "# UNIT %.*s %s\n", size, metric->name, metric->unit);
    buffer_print(page->out, "# HELP %.*s %s.\n", size, metric->name, metric->help);
}

/* ---- Samples ---- */

/* Its name and labels: "name_bucket{namespace="x",call="load",le="0.5"". */
static void begin_sample(struct metric_page *page, const char *suffix, const char *labels, const char *last) {
    const char *owner = page->owner;
    bool any = *owner || *labels || *last;
    if (!page->has_head)
        page->head(page);
    page->has_head = true;
    buffer_append_text(page->out, page->metric->name);
    buffer_append_text(page->out, suffix);
    buffer_append_text(page->out, any ? "{" : "");
    buffer_append_text(page->out, owner);
    buffer_append_text(page->out, *owner && *labels ? "," : "");
    buffer_append_text(page->out, labels);
    buffer_append_text(page->out, (*owner || *labels) && *last ? "," : "");
    buffer_append_text(page->out, last);
    buffer_append_text(page->out, any ? "} " : " ");
}

static void print_seconds(struct buffer *out, uint64_t us) {
    buffer_print(out, "%llu.%06u\n", (unsigned long long)us / US_PER_SECOND, (unsigned)(us % US_PER_SECOND));
}

static void print_value(struct metric_page *page, uint64_t value) {
    if (strcmp(page->metric->unit, "seconds") == 0)
        print_seconds(page->out, value);
    else
        buffer_print(page->out, "%llu\n", (unsigned long long)value);
}

void metric_sample(struct metric_page *page, const char *labels, uint64_t value) {
    begin_sample(page, "", labels, "");
    print_value(page, value);
}

static void print_count(struct metric_page *page, const char *suffix, const char *labels, const char *last,
                        uint64_t count) {
    begin_sample(page, suffix, labels, last);
    buffer_print(page->out, "%llu\n", (unsigned long long)count);
}

void metric_histogram(struct metric_page *page, const char *labels, const struct histogram_sum *sum) {
    uint64_t count = 0;
    unsigned bucket = 0;
    const unsigned char *bound = page->has_few_bounds ? page->metric->few_bounds : page->metric->bounds;
    for (; *bound; bound++) {
        char last[40];
        uint64_t us = UINT64_C(1) << *bound;
        while (bucket <= *bound)
            count += sum->buckets[bucket++];
        snprintf(last, sizeof last, "le=\"%u.%06u\"", (unsigned)(us / US_PER_SECOND),
                 (unsigned)(us % US_PER_SECOND));
        print_count(page, "_bucket", labels, last, count);
    }
    while (bucket < HISTOGRAM_BUCKETS)
        count += sum->buckets[bucket++];
    print_count(page, "_bucket", labels, "le=\"+Inf\"", count);
    begin_sample(page, "_sum", labels, "");
    print_seconds(page->out, sum->sum_us);
    print_count(page, "_count", labels, "", count);
}

/* ---- A family ---- */

static void write_owned(struct metric_page *page, const void *measures) {
    const struct metric *metric = page->metric;
    const char *value = (const char *)measures + metric->offset;
    if (metric->write)
        metric->write(page, measures);
    else if (metric->type == METRIC_HISTOGRAM)
        metric_histogram(page, "", (const struct histogram_sum *)(const void *)value);
    else
        metric_sample(page, "", *(const uint64_t *)(const void *)value);
}

static bool concerns(const struct metric *metric, const struct space_measures *space) {
    switch (metric->scope) {
    case METRIC_OF_SPACE:
        return true;
    case METRIC_OF_BACKED_SPACE:
        return space->backend != NULL;
    case METRIC_OF_WRITE_BEHIND:
        return space->holds_back;
    case METRIC_OF_FILTER:
        return space->has_filter;
    case METRIC_OF_COPY:
        return space->is_copied;
    case METRIC_OF_SERVER:
    case METRIC_OF_JOURNAL:
    case METRIC_OF_BACKEND:
    case METRIC_OF_COHERENT:
        break;
    }
    return false;
}

/* Names of namespaces and backends are letters, digits, "_" and "-": nothing in them is to be escaped. */
static void write_spaces(struct metric_page *page, const struct metrics_snapshot *snapshot) {
    for (size_t i = 0; i < snapshot->space_count; i++) {
        const struct space_measures *space = &snapshot->spaces[i];
        snprintf(page->owner, sizeof page->owner, "namespace=\"%s\"", space->options->name);
        if (concerns(page->metric, space))
            write_owned(page, space);
    }
}

static void write_backends(struct metric_page *page, const struct metrics_snapshot *snapshot) {
    for (size_t i = 0; i < snapshot->backend_count; i++) {
        snprintf(page->owner, sizeof page->owner, "backend=\"%s\"", snapshot->backends[i].name);
        if (page->metric->scope == METRIC_OF_BACKEND || snapshot->backends[i].is_coherent)
            write_owned(page, &snapshot->backends[i]);
    }
}

static void write_family(struct metric_page *page, const struct metrics_snapshot *snapshot) {
    page->has_head = false;
    page->owner[0] = '\0';
    switch (page->metric->scope) {
    case METRIC_OF_JOURNAL:
        if (!snapshot->has_journal)
            return;
        write_owned(page, snapshot);
        return;
    case METRIC_OF_SERVER:
        write_owned(page, snapshot);
        return;
    case METRIC_OF_BACKEND:
    case METRIC_OF_COHERENT:
        write_backends(page, snapshot);
        return;
    case METRIC_OF_SPACE:
    case METRIC_OF_BACKED_SPACE:
    case METRIC_OF_WRITE_BEHIND:
    case METRIC_OF_FILTER:
    case METRIC_OF_COPY:
        write_spaces(page, snapshot);
        return;
    }
}

void metrics_write(struct server *server, struct metrics_health health, enum metrics_format format,
                   struct buffer *out) {
    struct metrics_snapshot snapshot;
    size_t count;
    const struct metric *metrics = metrics_table(&count);
    bool is_open = format == METRICS_OPENMETRICS;
    struct metric_page page = {.out = out, .head = is_open ? write_openmetrics_head : write_prometheus_head};
    if (!metrics_snapshot_take(server, &snapshot))
        out->failed = true;
    snapshot.health = health;
    page.has_few_bounds = snapshot.space_count > METRICS_SPACES_FINE;
    for (size_t i = 0; i < count && !out->failed; i++) {
        page.metric = &metrics[i];
        write_family(&page, &snapshot);
    }
    if (is_open)
        buffer_print(out, "# EOF\n");
    metrics_snapshot_free(&snapshot);
}
