/* SPDX-License-Identifier: MIT */
/*
 * Group commit: whether to wait a moment for the clients that have just been answered.
 *
 * A client that waits for its answer sends its next change right after it. A commit that begins at once is
 * therefore joined only by those who came during the last one, and the clients split into two halves that
 * take turns. A short pause lets all of them into each commit: nearly twice the changes a second where the
 * sync is what a commit costs, but a third less where the rows are and the halves work while the other one
 * is written. Which it is nobody knows beforehand, so both ways are tried in turns, a few commits each, and
 * the better one is kept for a longer while. (PostgreSQL leaves it to its settings commit_delay and
 * commit_siblings.)
 *
 *     gather_begin   a commit is over: how many were answered, how many more are waiting
 *     gather_enough  worth starting now?
 *     gather_end     the next group is taken
 *
 * A client that is alone never waits: it is itself all that can be waited for. All zero is a fresh start.
 * Pure bookkeeping, the time comes in as a parameter (monotonic us). Not thread-safe: its owner's lock.
 */
#ifndef FOREBAY_POLICIES_WRITE_GATHER_H
#define FOREBAY_POLICIES_WRITE_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GATHER_TRIAL = 12,     /* commits each way that are compared */
    GATHER_KEPT_MIN = 100, /* commits until the next comparison; twice as many each time it ends alike */
    GATHER_KEPT_MAX = 1600,
    GATHER_COMMIT_MIN = 200, /* us: no pause where a commit takes less, timers are not that exact */
    GATHER_PAUSE_MAX = 5000  /* us, and at most half of what the last commit took */
};

enum gather_phase { GATHER_TRY_WITHOUT, GATHER_TRY_WITH, GATHER_KEEP };

struct gather {
    uint64_t until_us; /* the end of the pause, 0: there is none */
    size_t target;     /* this many changes end it */
    enum gather_phase phase;
    unsigned commits; /* in this phase */
    bool pauses;      /* in this phase */
    bool better;      /* with a pause, found the last comparison */
    unsigned kept;    /* commits in GATHER_KEEP */
    uint64_t last_us; /* when the last commit was over */
    struct {
        uint64_t changes, us;
    } seen[2]; /* in the trials, without and with a pause */
};

/* A commit that took commit_us is over and `answered` changes, at least one, were answered; `waiting` came
 * meanwhile. */
void gather_begin(struct gather *gather, size_t answered, size_t waiting, uint64_t commit_us,
                  uint64_t now_us);

static inline bool gather_enough(const struct gather *gather, size_t waiting) {
    return !gather->until_us || waiting >= gather->target;
}

/* The pause, if there was one, is over. */
static inline void gather_end(struct gather *gather) {
    gather->until_us = 0;
}

#endif
