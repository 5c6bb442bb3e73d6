/* SPDX-License-Identifier: MIT */
/*
 * The writer of a backend: one thread, one connection with the role BACKEND_WRITER. It takes write-through
 * changes first (group.c), then due batches of its write-behind namespaces (flusher.c), then upkeep.
 */
#ifndef FOREBAY_POLICIES_WRITER_H
#define FOREBAY_POLICIES_WRITER_H

#include "policies/breaker.h"
#include "policies/tier_parts.h"

/* Opens the connection, and lifts the cache's versions above the store's. NULL with a sentence in error when
 * the backend refuses, or is not there after a few seconds and cannot be expected to come (a locked file). */
struct writer *writer_create(struct tier_backend *backend, char *error, size_t error_size);
bool writer_start(struct writer *writer);

/* Ends the thread. Tickets that still wait are returned as failed. */
void writer_stop(struct writer *writer);
void writer_destroy(struct writer *writer);

/* ---- From workers ---- */

/* Wakes the thread: something is due. */
void writer_poke(struct writer *writer);

/* A write-through change (ticket->request). */
void writer_submit(struct writer *writer, struct tier_ticket *ticket);

/* A barrier, at all writers that it concerns. */
void writer_barrier(struct tier *tier, struct tier_ticket *ticket);

/* A touch of a row that memory does not hold, in the background, with the version of its journal record.
 * False: too many wait already, or no memory. */
bool writer_touch_later(struct writer *writer, struct space *space, struct slice key, uint64_t hash,
                        uint64_t version, uint32_t expires_at);

/* A row as it was loaded, with the expiry of a touch that has yet to reach it. Any thread; costs a load when
 * none waits. */
void writer_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash);

/* Is there any hope that a write would be committed soon? */
bool writer_is_hopeful(const struct writer *writer);

/* ---- Recovery and drain ---- */

/* Before writer_start, on the caller's thread. A recovered touch: its version and client_cas are given. */
bool writer_recover_touch(struct writer *writer, struct space *space, const struct entry *entry);

/* Before writer_start: flushes everything of the namespace once, with progress on the log; false: the backend
 * cannot be written to now. */
bool writer_flush_now(struct writer *writer, struct space *space);

/* Before writer_start: applies recovered touches; those that fail now are tried again by the thread. */
void writer_settle_touches(struct writer *writer);

/* True when nothing of its namespaces is dirty, queued or in flight. */
bool writer_is_drained(struct writer *writer);

/* Before writer_start: was the backend there? */
bool writer_is_connected(const struct writer *writer);

/* The bound of low_water.c over what this writer has yet to write. */
uint64_t writer_bound(struct writer *writer);

struct writer_stats {
    uint64_t groups, grouped, group_refused, failures, reconnects, breaker_opened, upkeep, touches, barriers;
    uint64_t apply_us, apply_max_us;
    enum breaker_state breaker;
};
void writer_get_stats(struct writer *writer, struct writer_stats *ret_stats);

#endif
