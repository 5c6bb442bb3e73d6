/* SPDX-License-Identifier: MIT */
/*
 * What has waited until all that the journal says of a range is read: touches without a value, and entries whose life
 * is over unless one of these has prolonged it.
 */
#include "policies/write/recovery.h"
#include "policies/write/touches.h"
#include <stdlib.h>

static void seek(const struct recovery *recovery, const struct noted *noted, uint64_t hash,
                 struct cache_cursor *ret_cursor) {
    cache_seek(recovery->tier->cache, noted->space->number, noted_key(noted), hash, &recovery->now,
               ret_cursor);
}

/* A copy of the entry in memory that the touch was made on, or NULL. *ret_settled: nothing is to be done.
 * *ret_kind: how the entry is written, by which the touch of it is. */
static char *touched_value(const struct recovery *recovery, const struct noted *noted, uint64_t hash,
                           struct entry *ret_entry, enum mutation_kind *ret_kind, bool *ret_settled) {
    struct cache_cursor cursor;
    const struct cache_view *view = &cursor.view;
    char *copy = NULL;
    seek(recovery, noted, hash, &cursor);
    *ret_settled = cursor.presence != CACHE_UNKNOWN && view->version >= noted->version;
    if (cursor.presence == CACHE_PRESENT && !*ret_settled && cache_view_cas(view) == noted->client_cas &&
        (copy = malloc(view->value.size + 1))) {
        if (view->value.size)
            memcpy(copy, view->value.data, view->value.size);
        *ret_entry = (struct entry){
            .value = slice_of(copy, view->value.size), .flags = view->flags, .marks = view->marks};
        *ret_kind = view->ttl_only ? MUTATION_TOUCH : MUTATION_PUT;
    }
    cache_release(&cursor);
    return copy;
}

/* in_memory: applies the touch if memory holds what it was made on. Else leaves it to the writer if it is still to be
 * done. */
static bool replay_touch(struct recovery *recovery, const struct noted *noted, bool in_memory) {
    uint64_t hash = cache_hash(recovery->tier->cache, noted_key(noted));
    struct entry entry = {0};
    enum mutation_kind kind = MUTATION_PUT;
    bool settled, fine = true;
    char *copy = touched_value(recovery, noted, hash, &entry, &kind, &settled);
    entry.key = noted_key(noted);
    entry.version = noted->version;
    entry.client_cas = noted->client_cas;
    entry.expires_at = noted->expires_at;
    if (in_memory && copy)
        fine = recover_value(recovery, noted->space, kind, &entry, hash);
    else if (!in_memory && !settled)
        fine = touches_recover(noted->space->backend->writer, noted->space, &entry, noted->first,
                               noted->made_at);
    free(copy);
    return fine || (recovery->error[0] == '\0' && recover_fail_memory(recovery));
}

static bool replay_touches_where(struct recovery *recovery, bool in_memory) {
    for (size_t i = 0; i < recovery->touches.count; i++) {
        const struct noted *noted = recovery->touches.list[i];
        if (!recover_noted_is_beyond(recovery, noted) && !replay_touch(recovery, noted, in_memory))
            return false;
    }
    return true;
}

bool recover_touches(struct recovery *recovery) {
    noted_fold(&recovery->touches);
    return replay_touches_where(recovery, true) && replay_touches_where(recovery, false);
}

/* ---- What has expired ---- */

/* A touch that was made while it lived waits for the row that this entry was flushed to when memory was full. */
static bool row_is_touched(const struct noted *expired, uint64_t hash) {
    struct entry entry = {.key = noted_key(expired),
                          .version = expired->version,
                          .client_cas = expired->client_cas,
                          .expires_at = expired->expires_at};
    return touches_amend(expired->space->backend->writer, expired->space, &entry, hash);
}

/* No touch has prolonged it: its life is over. It may have been flushed as if alive: then its row goes. */
static bool expire(struct recovery *recovery, const struct noted *expired) {
    uint64_t hash = cache_hash(recovery->tier->cache, noted_key(expired));
    if (row_is_touched(expired, hash))
        return true;
    struct cache_cursor cursor;
    enum cache_status status = CACHE_OK;
    seek(recovery, expired, hash, &cursor);
    bool same = cursor.presence == CACHE_UNKNOWN || cursor.view.version == expired->version;
    if (same)
        status = cache_bury(&cursor, expired->version);
    bool queue = same && status == CACHE_OK && cursor.queue;
    cache_release(&cursor);
    if (status == CACHE_OK && (!queue || recover_queue(expired->space, hash)))
        return true;
    return recover_fail_memory(recovery);
}

bool recover_expired(struct recovery *recovery) {
    noted_fold(&recovery->expired);
    for (size_t i = 0; i < recovery->expired.count; i++)
        if (!recover_noted_is_beyond(recovery, recovery->expired.list[i]) &&
            !expire(recovery, recovery->expired.list[i]))
            return false;
    return true;
}
