/* SPDX-License-Identifier: MIT */
/*
 * A worker's turn, as the tier sees it: execute requests, then hand over in one go what has to wait.
 *
 * Tickets that were submitted in a turn leave it together at its end, so that misses of many connections
 * reach the loader, and changes of many connections the writer, as one group and under one lock.
 */
#include "policies/turn.h"
#include "policies/absence.h"
#include "policies/execute.h"
#include "policies/hold.h"
#include "policies/latency.h"
#include "policies/load/loader.h"
#include "policies/tier_stats.h"
#include "policies/write/barrier.h"
#include "policies/write/confirm.h"
#include "policies/write/low_water.h"
#include "policies/write/writer.h"
#include <assert.h>

/* ---- The turn ---- */

static void wait_for_reload(struct tier *tier) {
    pthread_mutex_lock(&tier->halt_mutex);
    while (map_is_halted(atomic_load(&tier->map_serial)))
        pthread_cond_wait(&tier->halt_over, &tier->halt_mutex);
    pthread_mutex_unlock(&tier->halt_mutex);
}

static __attribute__((noinline)) bool follow_map(struct tier_worker *worker, const struct cache_time *now) {
    struct tier *tier = worker->tier;
    uint64_t serial;
    while (map_is_halted(serial = atomic_load(&tier->map_serial))) {
        low_water_leave(worker);
        wait_for_reload(tier);
        low_water_enter(worker, now);
    }
    bool changed = serial != worker->map_serial;
    worker->map_serial = serial;
    return changed;
}

/* A reload that changes the map sets map_serial, then looks for turns that are under way (reload.c); a worker first
 * enters its turn, then looks at map_serial; all of it sequentially consistent. So either this one sees it, and waits
 * outside, or it is waited for. */
bool tier_turn_begin(struct tier_worker *worker, const struct cache_time *now) {
    low_water_enter(worker, now);
    if (__builtin_expect(atomic_load(&worker->tier->map_serial) == worker->map_serial, true))
        return false;
    return follow_map(worker, now);
}

/* False: records, of this turn or an earlier one, are not in the file. They stay in the journal's buffer and are
 * written by a later turn; until then no turn appends any. */
static bool write_journal(struct tier_worker *worker, uint64_t *ret_position) {
    *ret_position = 0;
    if (!worker->journal)
        return true;
    bool written = journal_write(worker->journal, ret_position) == JOURNAL_OK;
    atomic_store_explicit(&worker->journal_stuck, !written, memory_order_relaxed);
    return written;
}

bool tier_has_unwritten(const struct tier_worker *worker) {
    return atomic_load_explicit(&worker->journal_stuck, memory_order_relaxed);
}

static void wait_in_space(struct tier_ticket *ticket) {
    struct space *space = ticket->request.space;
    if (ticket->deadline_us == 0)
        ticket->deadline_us = monotonic_us() + (uint64_t)space->backend->timeout_ms * 1000;
    fullness_wait(&space->fullness, ticket);
    writer_poke(space->backend->writer);
}

/* Sends a ticket to whom it waits for. */
static void dispatch(struct tier_worker *worker, struct tier_ticket *ticket) {
    enum park park = ticket->park;
    ticket->park = PARK_NONE;
    switch (park) {
    case PARK_LOADS:
        count_add(&worker->counters.loads, ticket->loads.count);
        ticket->loads.arrived = true;
        loader_submit(ticket);
        break;
    case PARK_WRITE:
        writer_submit(ticket->request.space->backend->writer, ticket);
        break;
    case PARK_ROOM:
        wait_in_space(ticket);
        break;
    case PARK_CONFIRM:
        confirm_submit(ticket);
        break;
    case PARK_BARRIER:
        barrier_submit(worker->tier, ticket);
        break;
    case PARK_NONE:
        assert(false);
        break;
    }
}

static void wake_writers(struct tier_worker *worker) {
    struct tier *tier = worker->tier;
    for (uint64_t queued = worker->queued_spaces; queued; queued &= queued - 1) {
        struct space *space = &tier->spaces[__builtin_ctzll(queued)];
        bool due = !atomic_load(&space->armed);
        if (!due && (cache_dirty_entries(tier->cache, space->number) >= space->options.flush_batch ||
                     cache_dirty_bytes(tier->cache, space->number) >= space->flush_bytes))
            due = !atomic_exchange(&space->urgent, true);
        if (due)
            writer_poke(space->backend->writer);
    }
    worker->queued_spaces = 0;
}

bool tier_turn_end(struct tier_worker *worker, uint64_t *ret_hold) {
    uint64_t position;
    bool written = write_journal(worker, &position), kept = written || !worker->appended;
    uint64_t hold = hold_turn_end(worker, written, position);
    if (hold)
        latency_note_hold(worker, hold);
    worker->appended = false;
    low_water_leave(worker); /* a full barrier */
    hold_wake_written(worker);
    if (worker->queued_spaces)
        wake_writers(worker);
    struct tier_ticket *ticket = worker->submitted, *next;
    worker->submitted = NULL;
    worker->submitted_end = &worker->submitted;
    for (; ticket; ticket = next) {
        next = ticket->next;
        dispatch(worker, ticket);
    }
    if (ret_hold)
        *ret_hold = hold;
    return kept;
}

uint64_t tier_released(struct tier_worker *worker) {
    return hold_released(worker);
}

/* ---- Requests ---- */

/* inline: its caller is in another file, and calls it for every request. */
inline const void *tier_prepare(struct tier_worker *worker, struct request *request) {
    const void *bucket;
    request->space = space_of_key(worker->tier, request->key);
    request->hash = cache_hash_and_prefetch(worker->tier->cache, request->key, &bucket);
    return bucket;
}

enum tier_status tier_execute(struct tier_worker *worker, struct tier_ticket *ticket, struct request *request,
                              struct outcome *ret_outcome) {
    enum tier_status status = TIER_DONE;
    enum usage_kind kind = USAGE_WRITE;
    if (__builtin_expect(ticket->has_outcome, false)) {
        ticket_take_outcome(ticket, ret_outcome);
    } else if (request->command == COMMAND_GET || evaluate_is_read(request)) { /* most are gets */
        kind = USAGE_HIT;
        status = execution_read(worker, ticket, request, ret_outcome);
    } else {
        ret_outcome->holds_lock = ret_outcome->hit = false;
        status = request->space->policy->change(worker, ticket, request, ret_outcome);
    }
    if (__builtin_expect(status != TIER_PARKED, true)) {
        struct usage *usage = &worker->usage[request->space->number];
        count_outcome(worker, usage, request, ret_outcome);
        latency_add(worker, usage, ticket, request, kind, status);
        return status;
    }
    latency_note_parked(worker, ticket);
    ticket->request.space = request->space;
    count(&worker->counters.parked);
    return TIER_PARKED;
}

bool tier_has_answer(const struct tier_ticket *ticket) {
    return ticket->has_outcome;
}

void tier_release(struct outcome *outcome) {
    assert(outcome->holds_lock);
    if (outcome->hit)
        cache_hit(&outcome->cursor);
    cache_release(&outcome->cursor);
    outcome->holds_lock = false;
}

bool tier_closes_on_error(const struct request *request) {
    return request->space->options.on_backend_down == DOWN_CLOSE && command_is_lookup(request->command);
}

static void anticipate_read(struct tier_worker *worker, struct tier_ticket *ticket,
                            const struct request *request) {
    struct cache_cursor cursor;
    const struct space *space = request->space;
    if (!space->backend || ticket->loads.count == TICKET_LOADS_MAX || !space_has_key(space, request->key))
        return;
    enum cache_presence presence =
        cache_seek(worker->tier->cache, space->number, request->key, request->hash, &worker->now, &cursor);
    cache_release(&cursor);
    if (presence == CACHE_UNKNOWN && !absence_excludes(space, request->hash))
        ticket_want(ticket, request, cursor.stamp, false);
}

/* A get that waits to be loaded does not mind what other gets bring. A read behind a change would. */
static bool is_plain_read(const struct request *request) {
    return command_kind(request->command) == KIND_READ && evaluate_is_read(request);
}

/* Changes that the writer of the parked one evaluates as well: in their order, so that each sees what those
 * before it did. Left out are gat (a line of many keys may end early) and mg (it may have to load first). */
static bool anticipate_change(struct tier_ticket *ticket, const struct request *request) {
    const struct space *space = request->space, *first = ticket->request.space;
    switch (command_kind(request->command)) {
    case KIND_STORE:
    case KIND_DELETE:
    case KIND_COUNT:
    case KIND_TOUCH:
        return space->policy == first->policy && space->backend == first->backend &&
               space_has_key(space, request->key) && ticket_add_ahead(ticket, request);
    case KIND_READ:
    case KIND_READ_AND_TOUCH:
    case KIND_INSPECT:
    case KIND_TALK:
        break;
    }
    return false;
}

bool tier_anticipate(struct tier_worker *worker, struct tier_ticket *ticket, const struct request *parked,
                     const struct request *request) {
    bool goes_along = ticket->park == PARK_LOADS && is_plain_read(parked) && is_plain_read(request);
    if (ticket->park == PARK_WRITE)
        goes_along = anticipate_change(ticket, request);
    else if (goes_along)
        anticipate_read(worker, ticket, request);
    ticket->riders += goes_along;
    return goes_along;
}

static void note_changing(struct tier_ticket *ticket) {
    ticket->is_changing = true;
    atomic_fetch_add(&ticket->request.space->changing, 1);
}

/* Its changes are with the writer until ticket_return. Counted in the turn, which a reload waits for. */
static void count_changing(struct tier_ticket *ticket) {
    note_changing(ticket);
    for (struct tier_ticket *ahead = ticket->ahead.list; ahead; ahead = ahead->following)
        note_changing(ahead);
}

void tier_submit(struct tier_worker *worker, struct tier_ticket *ticket) {
    assert(ticket->park != PARK_NONE);
    if (ticket->park == PARK_WRITE)
        count_changing(ticket);
    ticket->next = NULL;
    *worker->submitted_end = ticket;
    worker->submitted_end = &ticket->next;
}

/* ---- The way back ---- */

/* Empties the ready stack into `returned`, oldest first. At most turns it is empty already, and a look costs less than
 * an exchange. Whoever puts the first ticket there wakes the worker afterwards. */
static void take_ready(struct tier_worker *worker) {
    if (!atomic_load_explicit(&worker->ready, memory_order_relaxed))
        return;
    struct tier_ticket *stack = atomic_exchange_explicit(&worker->ready, NULL, memory_order_acq_rel);
    while (stack) {
        struct tier_ticket *next = stack->next;
        stack->next = worker->returned;
        worker->returned = stack;
        stack = next;
    }
}

struct tier_ticket *tier_next_ready(struct tier_worker *worker) {
    if (!worker->returned)
        take_ready(worker);
    struct tier_ticket *ticket = worker->returned;
    if (ticket) {
        worker->returned = ticket->next;
        ticket->is_back = true;
    }
    return ticket;
}

void tier_abandon(struct tier_ticket *ticket) {
    ticket_clear_loads(ticket);
    ticket_clear_ahead(ticket);
    ticket->park = PARK_NONE;
    ticket->has_outcome = ticket->room_denied = ticket->confirmed = false;
    ticket->deadline_us = 0;
    ticket->tries = 0;
    ticket->riders = 0;
}

/* ---- Commands about the whole ---- */

enum tier_status tier_sync(struct tier_worker *worker, struct tier_ticket *ticket, struct slice space,
                           uint32_t timeout_ms, struct outcome *ret_outcome) {
    memset(ret_outcome, 0, sizeof *ret_outcome);
    if (ticket->has_outcome) {
        ticket_take_outcome(ticket, ret_outcome);
        return TIER_DONE;
    }
    ticket->barrier.space = NULL;
    if (space.size && !(ticket->barrier.space = space_by_name(worker->tier, space))) {
        outcome_fail(ret_outcome, ERROR_NO_NAMESPACE, "CLIENT_ERROR no such namespace");
        return TIER_DONE;
    }
    ticket->barrier.timeout_ms = timeout_ms;
    ticket->barrier.holds_outcome = false;
    ticket->park = PARK_BARRIER;
    ticket->riders = 0;
    count(&worker->counters.parked);
    return TIER_PARKED;
}

enum tier_forgetting tier_forget(struct tier_worker *worker, struct slice key,
                                 const struct space_options **ret_space) {
    const struct space *space = space_of_key(worker->tier, key);
    uint64_t hash = cache_hash(worker->tier->cache, key);
    struct cache_cursor cursor;
    enum tier_forgetting answer = TIER_FORGOTTEN;
    enum cache_presence presence =
        cache_seek(worker->tier->cache, space->number, key, hash, &worker->now, &cursor);
    *ret_space = &space->options;
    absence_tell(space, hash); /* a row that somebody has written, perhaps the first one of its key */
    if (presence == CACHE_UNKNOWN && !cursor.stale)
        answer = TIER_KNEW_NOTHING;
    if (presence != CACHE_UNKNOWN && cursor.view.state != CACHE_CLEAN)
        answer = TIER_HOLDS_BACK;
    else
        cache_forget(&cursor); /* also where there is nothing: what is being loaded was read before this */
    cache_release(&cursor);
    return answer;
}

void tier_flush_all(struct tier_worker *worker, uint32_t at) {
    cache_flush_all(worker->tier->cache, CACHE_ALL_SPACES, at, &worker->now);
    tier_count_flush(worker);
}

void tier_count_flush(struct tier_worker *worker) {
    count(&worker->counters.cmd_flush);
}
