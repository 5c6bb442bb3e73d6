/* SPDX-License-Identifier: MIT */
/*
 * What the files behind call.h share: call.c (the calls for namespaces), call_connect.c (the connection), call_look.c
 * (what is asked of the store itself), call_verdict.c (how a call ended), call_superseded.c (what the store had newer).
 */
#ifndef FOREBAY_POLICIES_WRITE_CALL_INTERNAL_H
#define FOREBAY_POLICIES_WRITE_CALL_INTERNAL_H

#include "policies/write/internal.h"

static inline const char *call_backend_name(const struct writer *writer) {
    return writer->backend->options.store.name;
}

/* What the connection says of the store's own log, for statistics. */
static inline void call_note_log(struct writer *writer) {
    atomic_store_explicit(&writer->backend->calls.log_bytes, writer->session.connection->log_bytes,
                          memory_order_relaxed);
}

/* ---- call_connect.c ---- */

/* Has a connection, the one there is or another. Begins every call. */
enum backend_status call_connect_again(struct writer *writer);

/* The store was reached late, and is ahead of what this server draws from its clock: another server's clock is ahead,
 * or this one's has been set back. */
void call_tell_ahead(struct writer *writer);

/* ---- call_verdict.c ---- */

/* A call has ended: breakers, statistics, log and readers are told. space: whose it was; NULL: of several, or of none.
 * Returns what is to be told of it. */
enum backend_status call_judged(struct writer *writer, struct space *space, enum backend_status status);

/* The same where a part that is away is not held against the others: whoever asks tries again later. */
enum backend_status call_judged_by_part(struct writer *writer, struct space *space,
                                        enum backend_status status);

/* Where the store was found elsewhere, readers go as well. */
void call_follow(struct writer *writer);

/* Readers close their connections, and have open what is there when they load next. */
void call_let_readers_go(struct writer *writer);

/* Writes or loads have failed, and nothing has worked since. */
bool call_is_doubted(const struct writer *writer);

/* ---- call_superseded.c ---- */

/* What another node's clock, or this one's before it was set back, is ahead by: what is written from now on is
 * newer. */
void call_catch_up(struct writer *writer, const struct mutation *mutations, size_t count);

/* Counts and tells what nothing explains. */
void call_note_superseded(struct writer *writer, const struct mutation *mutations, size_t count);

#endif
