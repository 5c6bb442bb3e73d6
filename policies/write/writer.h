/* SPDX-License-Identifier: MIT */
/*
 * The writer of a backend: one thread, one connection with the role BACKEND_WRITER. It takes write-through
 * changes first (group.h), then due batches of its write-behind namespaces (flusher.h), touches of rows that
 * memory does not hold (touches.h), barriers (barrier.h), then upkeep.
 */
#ifndef FOREBAY_POLICIES_WRITE_WRITER_H
#define FOREBAY_POLICIES_WRITE_WRITER_H

#include "cache/base/progress.h"
#include "policies/breaker.h"
#include "policies/tier_parts.h"

/* Begins to open the connection; when it is open, the cache's versions are above the store's. NULL with a sentence in
 * error: there is no memory. */
struct writer *writer_create(struct tier_backend *backend, char *error, size_t error_size);

/* Waits until then (monotonic us) for the connection. A backend that does not answer may come later: the writer goes
 * on trying. False with a sentence in error: it refuses, and the server must not start. */
bool writer_await(struct writer *writer, uint64_t until_us, char *error, size_t error_size);
bool writer_start(struct writer *writer);

/* The thread begins no other pass, and ends when the call is over that it is in. Any thread. */
void writer_ask_to_end(struct writer *writer);

/* Ends the thread. Tickets that still wait are returned as failed. A second time, there is nothing to do. */
void writer_stop(struct writer *writer);
void writer_destroy(struct writer *writer);

/* ---- From workers ---- */

/* Wakes the thread: something is due. */
void writer_poke(struct writer *writer);

/* A write-through change (ticket->request). */
void writer_submit(struct writer *writer, struct tier_ticket *ticket);

/* Is there any hope that a write of this namespace would be committed soon? Any thread. */
bool writer_is_hopeful(const struct writer *writer, const struct space *space);

/* ---- Recovery and drain ---- */

/* Before writer_start: flushes everything of the namespace once, with progress on the log; false: the backend
 * cannot be written to now. */
bool writer_flush_now(struct writer *writer, struct space *space);

/* Before writer_start: tries once what was asked of the namespace's quarantine. */
void writer_retry_quarantine(struct writer *writer, struct space *space);

/* A namespace that holds back is added while the writer runs: from now on it flushes it. One thread at a time. */
void writer_add_space(struct writer *writer, struct space *space);

/* Whether its connection was opened with the table of this namespace. Any thread. */
bool writer_knows_table(const struct writer *writer, const struct space *space);

/* How many touches of rows that memory does not hold are with the writer, of whatever namespaces. Any thread. */
unsigned writer_touches(const struct writer *writer);

/* True when nothing of its namespaces is dirty, queued or in flight. */
bool writer_is_drained(struct writer *writer);

/* Before writer_start: did the backend answer? Waits until it has, or the call has failed. */
bool writer_is_connected(struct writer *writer);

/* What the thread is at, whether the store has been reached since the start (or since it was lost), and whether the
 * last calls failed. Any thread; no lock is taken. */
const struct progress *writer_progress(const struct writer *writer);
bool writer_has_reached(const struct writer *writer);
bool writer_is_cut_off(const struct writer *writer);

/* ---- For whoever judges what memory holds (load/coherence.h). Any thread ---- */

/* A number that is even while the thread makes no pass, and larger after each: what is put into memory after a commit
 * is there when the pass of that commit is over. */
uint64_t writer_passes(const struct writer *writer);

/* Asks for a look at the store. writer_has_looked of what this gives: it was answered by the store that is open, in a
 * pass that began later, which is over; if the store had lost something, it is being written again
 * (writer_rewrites). */
unsigned writer_ask_look(struct writer *writer);
bool writer_has_looked(const struct writer *writer, unsigned look);
bool writer_rewrites(const struct writer *writer);

/* ---- For whoever loads (load/wary.h). Any thread ---- */

/* As writer_has_looked, but parts of the store that are away count as looked at: whoever asks does not get at them
 * either. */
bool writer_has_looked_in_part(const struct writer *writer, unsigned look);

/* How often the store was found to have lost something so far: what is loaded meanwhile may be what it went back to. */
unsigned writer_losses(const struct writer *writer);

/* Whether changes of a key with this hash that the store had acknowledged may have yet to be written to it again. */
bool writer_may_lack(const struct writer *writer, const struct space *space, uint64_t hash);

/* Since when (monotonic us) its thread has not looked at what waits, being at work: what it has not seen is no older.
 * 0: it rests, and is about to see whatever comes. Any thread. */
uint64_t writer_unseen_since(const struct writer *writer);

/* The counters of a writer, under their names in `stats backends` and in that order. */
#define WRITER_COUNTERS(X)                                                                                   \
    X(write_failures)                                                                                        \
    X(write_connects)                                                                                        \
    X(write_through_commits)                                                                                 \
    X(write_through_changes)                                                                                 \
    X(write_through_again)                                                                                   \
    X(write_through_refused)                                                                                 \
    X(apply_us)                                                                                              \
    X(apply_max_us)                                                                                          \
    X(background_touches)                                                                                    \
    X(barriers)                                                                                              \
    X(upkeep_steps)                                                                                          \
    X(confirmed_rows)                                                                                        \
    X(superseded_unexplained)                                                                                \
    X(failovers)                                                                                             \
    X(store_regressions)                                                                                     \
    X(replica_waits)                                                                                         \
    X(replica_short)

struct writer_stats {
#define WRITER_COUNTER(name) uint64_t name;
    WRITER_COUNTERS(WRITER_COUNTER)
#undef WRITER_COUNTER
    uint64_t breaker_opened;
    enum breaker_state breaker;
};
void writer_get_stats(struct writer *writer, struct writer_stats *ret_stats);

#endif
