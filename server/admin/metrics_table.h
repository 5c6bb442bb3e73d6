/* SPDX-License-Identifier: MIT */
/*
 * The metrics, in one table: what each is called, counts and means, and where its value lies in a snapshot. What is
 * told, and docs/metrics.md, go by it (tests/protocol/test_metrics.py). Adding one: a member of what is measured
 * (policies/tier_measure.h, metrics_snapshot.h), a row here, a row in docs/metrics.md.
 */
#ifndef FOREBAY_SERVER_ADMIN_METRICS_TABLE_H
#define FOREBAY_SERVER_ADMIN_METRICS_TABLE_H

#include "server/admin/metrics_snapshot.h"
#include "server/buffer.h"

enum metric_type {
    METRIC_COUNTER,   /* its name ends with _total */
    METRIC_GAUGE,     /* goes up and down */
    METRIC_HISTOGRAM, /* of times */
    METRIC_INFO,      /* always 1, its labels tell; its name ends with _info */
};

/* What there is one sample of, or one for each. */
enum metric_scope {
    METRIC_OF_SERVER,       /* struct metrics_snapshot */
    METRIC_OF_JOURNAL,      /* struct metrics_snapshot, where there is a journal */
    METRIC_OF_SPACE,        /* struct space_measures */
    METRIC_OF_BACKED_SPACE, /* those that have a backend */
    METRIC_OF_WRITE_BEHIND,
    METRIC_OF_FILTER,
    METRIC_OF_COPY,     /* of namespaces that are copied */
    METRIC_OF_BACKEND,  /* struct backend_measures */
    METRIC_OF_COHERENT, /* those that are */
};

/* Up to so many namespaces have all buckets of their histograms. */
enum { METRICS_SPACES_FINE = 16 };

/* Where samples go. */
struct metric_page {
    struct buffer *out;
    const struct metric *metric;
    void (*head)(struct metric_page *page); /* writes what comes before the first sample */
    bool has_head, has_few_bounds;
    char owner[160]; /* label of the namespace or backend at hand, or "" */
};

struct metric {
    const char *name;
    enum metric_type type;
    const char *unit; /* "seconds", "bytes" or "": as the name says */
    const char *help; /* one sentence without its full stop */
    enum metric_scope scope;
    /* Where the value lies: uint64_t, or a struct histogram_sum. Those in seconds are microseconds there. */
    size_t offset;
    /* Of a histogram: exponents of two, in microseconds, ended by 0; and those that are told where there are more than
     * METRICS_SPACES_FINE namespaces. */
    const unsigned char *bounds, *few_bounds;
    /* Or what writes the samples, of the struct that the scope names; then offset means nothing. */
    void (*write)(struct metric_page *page, const void *measures);
};

/* In order; *ret_count rows. */
const struct metric *metrics_table(size_t *ret_count);

/* One sample. labels: more of them, "command=\"get\"", or "". */
void metric_sample(struct metric_page *page, const char *labels, uint64_t value);
void metric_histogram(struct metric_page *page, const char *labels, const struct histogram_sum *sum);

#endif
