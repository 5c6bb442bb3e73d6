/* SPDX-License-Identifier: MIT */
/*
 * What the page draws, one number each for a second: made of two snapshots that are about a second apart. Pure.
 *
 * Rates are per second, times in microseconds, memory in bytes. NAN: there is none, such as a rate before there are
 * two snapshots, the time of requests where there were none, or the rate of a counter that was taken back.
 * Quantiles are those of Prometheus' histogram_quantile: linear within a bucket.
 */
#ifndef FOREBAY_SERVER_HTTP_FIGURES_H
#define FOREBAY_SERVER_HTTP_FIGURES_H

#include "server/admin/metrics_snapshot.h"

/* Of a namespace, or of all. A _p50 and its _p99 follow each other. */
#define SPACE_FIGURES(X)                                                                                     \
    X(operations)                                                                                            \
    X(hits)                                                                                                  \
    X(misses)                                                                                                \
    X(changes)                                                                                               \
    X(errors)                                                                                                \
    X(hit_p50)                                                                                               \
    X(hit_p99)                                                                                               \
    X(load_p50)                                                                                              \
    X(load_p99)                                                                                              \
    X(write_p50)                                                                                             \
    X(write_p99)                                                                                             \
    X(entries)                                                                                               \
    X(memory)                                                                                                \
    X(evictions)                                                                                             \
    X(expirations)                                                                                           \
    X(loads)                                                                                                 \
    X(dirty)                                                                                                 \
    X(dirty_bytes)                                                                                           \
    X(dirty_limit)                                                                                           \
    X(lag)                                                                                                   \
    X(accepted)                                                                                              \
    X(rows)                                                                                                  \
    X(retries)                                                                                               \
    X(quarantine)                                                                                            \
    X(copy_stage)                                                                                            \
    X(copy_percent)

#define BACKEND_FIGURES(X)                                                                                   \
    X(calls)                                                                                                 \
    X(failures)                                                                                              \
    X(load_p50)                                                                                              \
    X(load_p99)                                                                                              \
    X(apply_p50)                                                                                             \
    X(apply_p99)                                                                                             \
    X(read_breaker)                                                                                          \
    X(write_breaker)                                                                                         \
    X(waiting)                                                                                               \
    X(others)                                                                                                \
    X(believes)                                                                                              \
    X(heard)                                                                                                 \
    X(compared)                                                                                              \
    X(forgotten)

/* Of a node of a store that has several. */
#define NODE_FIGURES(X)                                                                                      \
    X(up)                                                                                                    \
    X(slots)                                                                                                 \
    X(commands)                                                                                              \
    X(errors)                                                                                                \
    X(exchange)

#define SERVER_FIGURES(X)                                                                                    \
    X(cpu)                                                                                                   \
    X(resident)                                                                                              \
    X(memory_used)                                                                                           \
    X(memory_limit)                                                                                          \
    X(connections)                                                                                           \
    X(received)                                                                                              \
    X(sent)                                                                                                  \
    X(turn_p50)                                                                                              \
    X(turn_p99)                                                                                              \
    X(journal_bytes)                                                                                         \
    X(journal_lag)                                                                                           \
    X(fsync_p50)                                                                                             \
    X(fsync_p99)

enum space_figure {
#define SPACE_FIGURE(name) SPACE_FIGURE_##name,
    SPACE_FIGURES(SPACE_FIGURE)
#undef SPACE_FIGURE
        SPACE_FIGURES_COUNT
};

enum backend_figure {
#define BACKEND_FIGURE(name) BACKEND_FIGURE_##name,
    BACKEND_FIGURES(BACKEND_FIGURE)
#undef BACKEND_FIGURE
        BACKEND_FIGURES_COUNT
};

enum node_figure {
#define NODE_FIGURE(name) NODE_FIGURE_##name,
    NODE_FIGURES(NODE_FIGURE)
#undef NODE_FIGURE
        NODE_FIGURES_COUNT
};

enum server_figure {
#define SERVER_FIGURE(name) SERVER_FIGURE_##name,
    SERVER_FIGURES(SERVER_FIGURE)
#undef SERVER_FIGURE
        SERVER_FIGURES_COUNT
};

/* seconds: between the two. before NULL: there is none, and so no rates and no times. */
void figures_of_space(const struct space_measures *before, const struct space_measures *now, double seconds,
                      float ret_figures[static SPACE_FIGURES_COUNT]);
void figures_of_backend(const struct backend_measures *before, const struct backend_measures *now,
                        double seconds, float ret_figures[static BACKEND_FIGURES_COUNT]);
void figures_of_node(const struct backend_node *before, const struct backend_node *now, double seconds,
                     float ret_figures[static NODE_FIGURES_COUNT]);
void figures_of_server(const struct metrics_snapshot *before, const struct metrics_snapshot *now,
                       double seconds, float ret_figures[static SERVER_FIGURES_COUNT]);

/* All namespaces as if they were one: sums, and the age of the oldest of all changes. */
void figures_add_spaces(const struct metrics_snapshot *snapshot, struct space_measures *ret_total);

/* What lasted longer than this share (0 to 1) of all, in microseconds; NAN: there is nothing. */
double figures_quantile_us(const struct histogram_sum *sum, double share);

#endif
