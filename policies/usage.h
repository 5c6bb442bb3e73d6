/* SPDX-License-Identifier: MIT */
/*
 * What was asked of a namespace by way of one worker, what became of it, and how long it took: one struct for each
 * worker and namespace, written by that worker alone, read and added up by whoever asks. Nothing is counted twice:
 * memcached's counters are sums over these (tier_stats.c).
 */
#ifndef FOREBAY_POLICIES_USAGE_H
#define FOREBAY_POLICIES_USAGE_H

#include "cache/base/histogram.h"
#include "policies/request.h"

/* The commands with a key; a meta command that counts as another one with some of its flags has two rows. */
enum operation {
    OPERATION_META_GET_TOUCHING = COMMANDS_WITH_KEY_COUNT, /* mg with T */
    OPERATION_META_SET_COMPARING,                          /* ms with C */
    OPERATION_META_DECREMENT,                              /* ma with MD */
    OPERATIONS
};

enum { OUTCOMES = OUTCOME_ERROR + 1, OUTCOME_ERRORS = ERROR_UNCONFIRMED + 1 };

/* Whose times are told apart. */
enum usage_kind {
    USAGE_HIT,  /* a read that memory alone has answered */
    USAGE_LOAD, /* a read that has waited for the backend, by itself or for one before it on its connection */
    USAGE_WRITE, /* whatever changes an entry, with what it had to wait for */
    USAGE_KINDS
};

struct usage {
    /* What most requests write comes first, and lies together. */
    uint32_t answered[USAGE_KINDS]; /* in this turn, and not held: its worker's alone (latency.c) */
    counter operations[OPERATIONS][OUTCOMES];
    counter errors[OUTCOME_ERRORS]; /* of OUTCOME_ERROR, what they were about */
    struct histogram latency[USAGE_KINDS];
};

/* Read, and added up. */
struct usage_sum {
    uint64_t operations[OPERATIONS][OUTCOMES];
    uint64_t errors[OUTCOME_ERRORS];
    struct histogram_sum latency[USAGE_KINDS];
};

enum operation usage_meta_operation(const struct request *request);

static inline enum operation usage_operation(const struct request *request) {
    return __builtin_expect(request->meta == 0, true) ? (enum operation)request->command
                                                      : usage_meta_operation(request);
}

/* Its worker: a request was answered. */
static inline void usage_count(struct usage *usage, const struct request *request,
                               const struct outcome *outcome) {
    count(&usage->operations[usage_operation(request)][outcome->status]);
    if (__builtin_expect(outcome->status == OUTCOME_ERROR, false))
        count(&usage->errors[outcome->error_kind]);
}

/* Any thread. */
void usage_collect(struct usage_sum *sum, const struct usage *usage);

/* The command whose word an operation has. */
enum command usage_command(enum operation operation);

/* How statistics and metrics call them: "hit", "miss"; "backend_down"; "hit", "load", "write". */
const char *usage_outcome_name(enum outcome_status status);
const char *usage_error_name(enum outcome_error error);
const char *usage_kind_name(enum usage_kind kind);

#endif
