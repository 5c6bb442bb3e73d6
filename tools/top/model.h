/* SPDX-License-Identifier: MIT */
/*
 * What two samples in a row mean: levels as they are now, rates and quantiles of the time in between. All that is shown
 * is worked out here; NAN is what is not known (a rate after one sample, a hit ratio without reads, the lag of what has
 * none).
 *
 * A counter that is less than before was reset, and counts from 0. A server that was started anew since the sample
 * before has no rates for once. One thread.
 */
#ifndef FOREBAY_TOOLS_TOP_MODEL_H
#define FOREBAY_TOOLS_TOP_MODEL_H

#include "tools/top/sample.h"

/* How long something took, in microseconds. */
struct quantiles {
    double rate; /* so many a second */
    double p50_us, p99_us, p999_us;
};

struct namespace_row {
    char name[SAMPLE_NAME_MAX], policy[SAMPLE_NAME_MAX], backend[SAMPLE_NAME_MAX];
    double entries, bytes;
    double operations; /* a second, with a key, of all kinds */
    double hit_ratio;  /* percent of the reads */
    struct quantiles hit, load, write;
    double dirty_entries, dirty_bytes, oldest_dirty_ms, quarantine; /* write-behind */
    double full;                                                    /* 1: no room for more that is dirty */
    char copy[SAMPLE_NAME_MAX]; /* of copy_to: "counting", "complete", ...; "": none */
    double copy_percent;
};

struct backend_row {
    char name[SAMPLE_NAME_MAX], kind[SAMPLE_NAME_MAX];
    char reads[SAMPLE_NAME_MAX], writes[SAMPLE_NAME_MAX]; /* breakers: "closed", "open", "half-open" */
    double calls, failures;                               /* a second, of all kinds */
    double failed;                                        /* since the start */
    struct quantiles load, apply;
    double waiting;                 /* loads under way */
    double dirty_entries, lag_ms;   /* of its namespaces: all that is dirty, the age of the oldest */
    char coherent[SAMPLE_NAME_MAX]; /* "yes", "blind"; "": it is not */
    double other_nodes;             /* servers over the same store */
    double masters, masters_away;   /* of a cluster: that have slots; of those, that do not serve */
};

struct journal_figures { /* NAN: there is none */
    double files, bytes;
    double records, written_bytes, fsyncs; /* a second */
    double fsync_us;                       /* an fsync, on average */
    double failures;                       /* since the start */
};

struct process_figures {
    char version[SAMPLE_NAME_MAX];
    double uptime_s;
    double cpu; /* percent of one */
    double memory, memory_limit, connections, connections_limit;
    double requests, gets, sets, bytes_in, bytes_out; /* a second */
    double hit_ratio, evictions;
    double turns, turn_p99_us; /* a second; since the start or a reset */
};

struct picture {
    bool has_rates;
    double interval_s; /* between the two samples */
    struct process_figures process;
    struct journal_figures journal;
    struct namespace_row namespaces[SAMPLE_OWNERS_MAX];
    struct backend_row backends[SAMPLE_OWNERS_MAX];
    size_t namespace_count, backend_count;
    const struct sample *now, *before; /* before NULL: there is none */
};

/* before may be NULL. Both have to stay as long as the picture is used. */
void model_picture(const struct sample *now, const struct sample *before, struct picture *ret_picture);

/* The increase of a counter, by the second; NAN. */
double model_rate(const struct picture *picture, enum report report, const char *owner, const char *name);

#endif
