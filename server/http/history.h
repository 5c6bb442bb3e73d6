/* SPDX-License-Identifier: MIT */
/*
 * The figures of the last ten minutes, second by second: a track for the server, for all namespaces together, and for
 * each namespace and backend. A second is counted from the start of the process, the first is 1; one in which nothing
 * was put, or that a track has not seen, is a gap. Of the nodes of a store that has several, the last second alone is
 * kept.
 *
 * Memory: HISTORY_SECONDS rows a track, 63 KiB for a namespace, 35 KiB for a backend, 33 KiB for the server; 2 KiB for
 * a node. A track goes when a second passes without it. Any thread; the lock is held while a second is put, and while
 * it is read.
 */
#ifndef FOREBAY_SERVER_HTTP_HISTORY_H
#define FOREBAY_SERVER_HTTP_HISTORY_H

#include "server/buffer.h"
#include <stdbool.h>
#include <stdint.h>

enum { HISTORY_SECONDS = 600 };

enum track_kind { TRACK_SERVER, TRACK_ALL, TRACK_SPACE, TRACK_BACKEND, TRACK_NODE, TRACK_KINDS };

/* Of a namespace its policy and backend, of a backend its kind, of a node its backend; else empty. */
struct track_label {
    const char *name, *kind, *backend;
};

struct history;

struct history *history_create(void); /* NULL: no memory */
void history_free(struct history *history);

/* Puts a second, later than the last: begin, the figures of each track, end. What finds no memory is left out. */
void history_begin(struct history *history, uint32_t second);
void history_put(struct history *history, enum track_kind kind, const struct track_label *label,
                 const float *figures);
void history_end(struct history *history);

struct history_question {
    uint32_t since;     /* the first second that is wanted; the oldest that there is, if there is none such */
    struct slice space; /* the namespace whose figures are wanted; empty: all of them together */
    const char *version; /* of the program */
    uint64_t started_us; /* wall clock, names this life of the process */
    uint64_t now_us;     /* wall clock */
    uint64_t running_us; /* since the start */
};

/* Appends the answer as JSON (docs/operating.md). False: there is no such namespace, and nothing is appended. */
bool history_write(struct history *history, const struct history_question *question, struct buffer *out);

#endif
