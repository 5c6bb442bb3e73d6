/* SPDX-License-Identifier: MIT */
/*
 * write-behind: a change is made in memory (and noted in the journal) and answered; the backend's writer
 * takes it there later, in batches (flusher.c).
 *
 * The order on the worker, under the shard's lock: is there room (else wait, refuse, or write through), is
 * there place in the dirty queue and in the journal (else refuse: nothing has changed yet), change memory,
 * queue the entry if it turned dirty, note it in the journal. So whatever was acknowledged is in memory, in
 * the queue and in the journal.
 */
#include "policies/execute.h"
#include "policies/hold.h"
#include "policies/write/concern.h"
#include "policies/write/queue.h"
#include "policies/write/touches.h"
#include "policies/write/writer.h"
#include <assert.h>

static const char error_full[] = "SERVER_ERROR too many writes wait for the backend";
static const char error_journal[] = "SERVER_ERROR out of journal space";

static const char error_quarantine[] = "SERVER_ERROR too many writes are in quarantine";

static enum tier_status refuse(struct execution *e, enum outcome_error kind, const char *line) {
    execution_refuse(e, kind, line);
    return TIER_DONE;
}

/* A placeholder (mg N) does not concern the backend; but where a delete still waits to be written, memory can
 * hold only one of the two, and the placeholder takes the tombstone's place. */
static bool concerns_backend(const struct execution *e) {
    const struct cache_cursor *cursor = &e->outcome->cursor;
    if (e->change.kind == CHANGE_VIVIFY)
        return cursor->presence == CACHE_GONE && cursor->view.state != CACHE_CLEAN;
    return change_concerns_backend(e->space, e->base, &e->change);
}

/* Nothing may be held back: another server may be asked for the key next. */
static bool hands_over(const struct execution *e) {
    return atomic_load_explicit(&e->worker->tier->hands_over, memory_order_relaxed);
}

/* ---- Room ---- */

static enum tier_status refuse_full(struct execution *e) {
    struct fullness *fullness = &e->space->fullness;
    count_shared(&fullness->rejects);
    return refuse(e, ERROR_FULL, fullness_is_crowded(fullness) ? error_quarantine : error_full);
}

/* Whoever tries again, and has to wait again, is not counted again. */
static enum tier_status wait_for_room(struct execution *e) {
    struct tier_ticket *ticket = e->ticket;
    if (ticket->room_denied)
        return refuse_full(e);
    if (ticket->deadline_us == 0)
        count_shared(&e->space->fullness.waits);
    cache_release(&e->outcome->cursor);
    ticket->park = PARK_ROOM; /* its deadline is set when it is handed over, the first time */
    return TIER_PARKED;
}

static bool anything_dirty(const struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (cache_dirty_entries(tier->cache, (int)i) > 0)
            return true;
    return false;
}

/* The cache could not take it. That is fullness too, if flushing can make room. */
static enum tier_status no_memory(struct execution *e) {
    struct space *space = e->space;
    if (!anything_dirty(e->worker->tier) || space->options.on_full != FULL_WAIT) {
        cache_release(&e->outcome->cursor);
        outcome_fail_store(e->outcome, CACHE_NO_MEMORY);
        return TIER_DONE;
    }
    fullness_starve(&space->fullness);
    return wait_for_room(e);
}

/* What is done where the namespace is full. What a full quarantine might have to take is not let through. */
static enum on_full means(const struct space *space) {
    return space->options.on_full == FULL_WRITE_THROUGH && fullness_is_crowded(&space->fullness)
               ? FULL_REJECT
               : space->options.on_full;
}

/* Its answer will be held until it is committed. False: it is refused, as the backend cannot be asked. */
static bool goes_through(struct execution *e, enum tier_status *ret_status) {
    const struct space *space = e->space;
    bool hopeful = writer_is_hopeful(space->backend->writer, space);
    if (!hopeful)
        *ret_status = refuse(e, ERROR_BACKEND_DOWN, space->backend->down);
    return hopeful;
}

/* True: the change may be made; *ret_through: and its answer is held until it is committed. */
static bool has_room(struct execution *e, bool *ret_through, enum tier_status *ret_status) {
    struct space *space = e->space;
    *ret_through = hands_over(e);
    if (!fullness_is_full(&space->fullness))
        return !*ret_through || goes_through(e, ret_status);
    switch (means(space)) {
    case FULL_WRITE_THROUGH:
        if (!goes_through(e, ret_status))
            return false;
        count_shared(&space->fullness.throughs);
        *ret_through = true;
        return true;
    case FULL_REJECT:
        *ret_status = refuse_full(e);
        return false;
    case FULL_WAIT:
        break;
    }
    *ret_status = wait_for_room(e);
    return false;
}

/* ---- The journal ---- */

static enum journal_mode journal_mode(const struct execution *e) {
    return e->worker->journal ? e->space->options.journal : JOURNAL_OFF;
}

/* What is DIRTY has its value in the journal: in the record that made it so. A touch of anything else takes the
 * value along, as the row may be gone when the touch is recovered, or even before it is written: its old life may be
 * over by then. That is once for each time the entry is flushed, and no more than the flush itself writes. */
static bool touches_whole(const struct execution *e) {
    const struct cache_view *view = &e->outcome->cursor.view;
    return e->change.kind == CHANGE_TOUCH && (e->base != view || view->state != CACHE_DIRTY);
}

/* whole: a touch that takes the value along. */
static bool reserve_journal(struct execution *e, bool whole) {
    if (journal_mode(e) == JOURNAL_OFF)
        return true;
    size_t value = e->change.kind == CHANGE_PUT ? e->change.value.size : whole ? e->base->value.size : 0;
    return journal_reserve(e->worker->journal, e->request->key.size + value + JOURNAL_RECORD_OVERHEAD);
}

static void append(struct execution *e, enum journal_kind kind, const struct entry *entry) {
    journal_append(e->worker->journal, journal_mode(e), e->space->journal_number, kind, entry);
    e->worker->appended = true;
    hold_changed(e->worker, e->request->hash);
}

/* touch_cas: of the entry before, which a touch keeps. There is a journal. */
static void append_change(struct execution *e, uint64_t touch_cas) {
    const struct change *change = &e->change;
    struct entry entry = {.key = e->request->key, .version = e->outcome->cursor.view.version};
    enum journal_kind kind = JOURNAL_DELETE;
    if (change->kind != CHANGE_DELETE) {
        kind = change->kind == CHANGE_TOUCH ? JOURNAL_TOUCH : JOURNAL_PUT;
        entry.expires_at = change->expires_at;
        entry.client_cas = change->kind == CHANGE_TOUCH ? touch_cas : change->client_cas;
        entry.flags = change->flags;
        entry.marks = change->marks;
        if (change->kind == CHANGE_PUT)
            entry.value = change->value;
    }
    append(e, kind, &entry);
}

/* The entry as the touch has left it, under the shard's lock. Where a put of it was on its way to the backend, or
 * memory did not have it, it is written as a put, and recovered as one. */
static void append_touched(struct execution *e) {
    const struct cache_view *view = &e->outcome->cursor.view;
    struct entry entry = {.key = e->request->key,
                          .value = view->value,
                          .version = view->version,
                          .client_cas = view->client_cas,
                          .flags = view->flags,
                          .expires_at = view->expires_at,
                          .marks = view->marks};
    append(e, view->ttl_only ? JOURNAL_TOUCH_WHOLE : JOURNAL_PUT, &entry);
}

static void note_in_journal(struct execution *e, bool whole, uint64_t touch_cas) {
    if (whole)
        append_touched(e);
    else
        append_change(e, touch_cas);
}

/* The answer of a change that is in the journal's buffer. */
static enum tier_status noted(const struct execution *e) {
    return e->held || journal_mode(e) == JOURNAL_ALWAYS ? TIER_HELD : TIER_DONE;
}

/* ---- The change ---- */

static void queue_entry(struct execution *e) {
    struct tier_worker *worker = e->worker;
    struct space *space = e->space;
    count(&space->by_worker[worker->index].changes);
    if (e->outcome->cursor.queue)
        queue_push(&space->queues[worker->index], (struct dirty){e->request->hash, worker->turn_floor});
    else
        count(&space->by_worker[worker->index].coalesced);
    worker->queued_spaces |= 1ull << space->number;
    fullness_note(&space->fullness, &space->options, cache_dirty_bytes(worker->tier->cache, space->number));
}

/* The answer stands, but may go out only when it is committed. */
static enum tier_status wait_for_commit(struct execution *e) {
    struct tier_ticket *ticket = e->ticket;
    bool kept = ticket_keep_outcome(ticket, e->outcome);
    assert(kept); /* its bytes were reserved before the change */
    (void)kept;
    ticket->park = PARK_BARRIER;
    ticket->barrier.space = e->space;
    ticket->barrier.holds_outcome = true;
    ticket->barrier.timeout_ms = e->space->backend->timeout_ms;
    return TIER_PARKED;
}

static enum tier_status change_dirty(struct execution *e) {
    enum tier_status status;
    bool through;
    if (!has_room(e, &through, &status))
        return status;
    if (through &&
        !ticket_reserve(e->ticket, e->outcome->status == OUTCOME_HIT ? e->outcome->view.value.size : 0))
        return refuse(e, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
    if (!queue_reserve(&e->space->queues[e->worker->index]))
        return refuse(e, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
    bool whole = touches_whole(e);
    if (!reserve_journal(e, whole))
        return refuse(e, ERROR_JOURNAL_FULL, error_journal);
    uint64_t touch_cas = e->change.kind == CHANGE_TOUCH ? cache_view_cas(e->base) : 0;
    enum cache_status stored = execution_change(e, true);
    if (stored == CACHE_NO_MEMORY)
        return no_memory(e);
    if (stored != CACHE_OK) {
        cache_release(&e->outcome->cursor);
        return TIER_DONE;
    }
    queue_entry(e);
    if (journal_mode(e) != JOURNAL_OFF)
        note_in_journal(e, whole, touch_cas);
    execution_done(e);
    return through ? wait_for_commit(e) : noted(e);
}

/* existence = memory, and memory does not know the key: it is answered as absent, and the backend learns of
 * the change nevertheless. A delete becomes a tombstone; true: a touch, for which the row has to be read
 * first. */
static bool change_blindly(struct execution *e) {
    if (!e->unknown || e->change.kind != CHANGE_NONE || evaluate_need(e->request) != NEED_EXISTENCE)
        return false;
    if (evaluate_is_plain_delete(e->request))
        e->change.kind = CHANGE_DELETE;
    return command_kind(e->request->command) == KIND_TOUCH;
}

/* The touch of a row that nobody has looked at: noted in the journal, done by the writer. What memory has
 * kept of it (stale), or is being loaded, has the old expiry. */
static enum tier_status touch_blindly(struct execution *e) {
    struct tier_worker *worker = e->worker;
    const struct request *request = e->request;
    bool through = hands_over(e);
    enum tier_status status;
    if (fullness_is_crowded(&e->space->fullness))
        return refuse_full(e);
    if (through && !goes_through(e, &status))
        return status;
    if (through && !ticket_reserve(e->ticket, 0))
        return refuse(e, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
    if (!reserve_journal(e, false))
        return refuse(e, ERROR_JOURNAL_FULL, error_journal);
    cache_forget(&e->outcome->cursor);
    cache_release(&e->outcome->cursor);
    struct entry entry = {
        .key = request->key,
        .version = cache_next_version(worker->tier->cache, request->hash, &worker->now),
        .flags = worker->now.seconds, /* when it was made: see touches.h */
        .expires_at = evaluate_expiry(request->exptime, e->space->options.ttl, worker->now.lives_from)};
    if (!touches_add(e->space->backend->writer, e->space, &entry, request->hash)) {
        count_shared(&e->space->fullness.rejects);
        outcome_fail(e->outcome, ERROR_FULL, error_full);
        return TIER_DONE;
    }
    if (journal_mode(e) != JOURNAL_OFF)
        append(e, JOURNAL_TOUCH, &entry);
    return through ? wait_for_commit(e) : noted(e);
}

static enum tier_status change_ready(struct execution *e) {
    execution_evaluate(e);
    bool touches_row = change_blindly(e);
    if (concerns_backend(e))
        return change_dirty(e);
    if (touches_row)
        return touch_blindly(e);
    change_stay_in_memory(&e->change, e->base);
    if (e->change.kind != CHANGE_NONE)
        execution_change(e, false);
    return execution_done(e);
}

static enum tier_status change(struct tier_worker *worker, struct tier_ticket *ticket,
                               struct request *request, struct outcome *ret_outcome) {
    struct execution e;
    execution_init(&e, worker, ticket, request, ret_outcome);
    enum look look = execution_look(&e);
    enum tier_status status = look == LOOK_READY ? change_ready(&e) : look_status(look);
    if (status != TIER_PARKED) {
        ticket->room_denied = false;
        ticket->deadline_us = 0;
    }
    return status;
}

const struct policy policy_write_behind = {
    .name = "write-behind",
    .needs_backend = true,
    .holds_back = true,
    .change = change,
};
