/* SPDX-License-Identifier: MIT */
/* See execute.h. Everything here runs on a worker; between execution_look and execution_done the key's shard
 * is locked, so nothing here blocks, allocates or logs. */
#include "policies/execute.h"
#include "policies/absence.h"
#include "policies/hold.h"
#include "policies/load/loader.h"
#include "policies/row.h"
#include "policies/write/confirm.h"
#include "policies/write/writer.h"
#include <assert.h>

enum { TRIES_MAX = 16 }; /* loads of one key for one request before it is given up */

void outcome_fail_store(struct outcome *outcome, enum cache_status status) {
    if (status == CACHE_TOO_LARGE)
        outcome_fail(outcome, ERROR_TOO_LARGE, REPLY_TOO_LARGE);
    else
        outcome_fail(outcome, ERROR_NO_MEMORY, "SERVER_ERROR out of memory storing object");
}

/* ---- Looking ---- */

void execution_refuse(struct execution *e, enum outcome_error kind, const char *line) {
    cache_release(&e->outcome->cursor);
    outcome_fail(e->outcome, kind, line);
}

static enum look refuse(struct execution *e, enum outcome_error kind, const char *line) {
    execution_refuse(e, kind, line);
    return LOOK_ANSWERED;
}

/* Parks for a load. keep: a copy is wanted even if memory takes the entry, because it did not stay there
 * before. A remembered absence goes first, so that what the backend says can take its place. */
static enum look ask(struct execution *e) {
    struct tier_ticket *ticket = e->ticket;
    uint8_t tries = e->load ? (uint8_t)(ticket->tries + 1) : 0;
    if (tries >= TRIES_MAX)
        return refuse(e, ERROR_TOO_BUSY, "SERVER_ERROR the key is changing too fast, try again");
    if (cache_is_absence(&e->outcome->cursor))
        cache_forget(&e->outcome->cursor);
    if (!ticket_want(ticket, e->request, e->outcome->cursor.stamp, tries > 0))
        return refuse(e, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
    ticket->tries = tries;
    cache_release(&e->outcome->cursor);
    return LOOK_PARKED;
}

/* The backend cannot be asked: unknown is not a miss, unless the namespace says so. What has outstayed its
 * residency is shown to reads alone: a change over it would be made on old grounds. */
static enum look backend_down(struct execution *e) {
    const struct space *space = e->space;
    if (space->options.on_backend_down == DOWN_STALE && e->outcome->cursor.stale &&
        evaluate_is_read(e->request)) {
        e->base = &e->outcome->cursor.view;
        return LOOK_READY;
    }
    if (space->options.on_backend_down != DOWN_MISS || !command_is_lookup(e->request->command))
        return refuse(e, ERROR_BACKEND_DOWN, space->backend->down);
    e->unknown = true;
    return LOOK_READY;
}

/* A copy that came with the ticket was current when it was loaded, that is after the request arrived: right
 * for a read. A change needs what is current now: then the key must not have changed since. */
static bool load_is_current(const struct execution *e) {
    return evaluate_is_read(e->request) || e->load->stamp == e->outcome->cursor.stamp;
}

/* Enough for a command that asks no more than whether the row is there. */
static enum look use_unfit(struct execution *e) {
    if (!row_can_be_unfit(e->request))
        return refuse(e, ERROR_ROW_UNFIT, row_unfit_line);
    e->loaded_view = row_unfit_view(e->request, e->worker->now.seconds);
    e->base = &e->loaded_view;
    return LOOK_READY;
}

static enum look use_load(struct execution *e) {
    struct load *load = e->load;
    if (load->result == LOAD_FAILED)
        return backend_down(e);
    if (load->result == LOAD_CHANGED || !load_is_current(e))
        return ask(e);
    if (load->result == LOAD_ABSENT)
        return LOOK_READY;
    if (load->result == LOAD_UNFIT)
        return use_unfit(e);
    if (!load->copy)
        return ask(e);
    e->loaded_view = view_of_entry(&load->copy->entry, e->worker->now.seconds);
    if (e->loaded_view.expires_at == 0 || e->loaded_view.expires_at > e->worker->now.seconds)
        e->base = &e->loaded_view;
    return LOOK_READY;
}

/* Whether an answer that shows this entry, or that it was deleted, is held. */
static inline bool shows(struct tier_worker *worker, const struct request *request,
                         const struct cache_view *view) {
    return view->state != CACHE_CLEAN && hold_shown(worker, request->space, view->version, request->hash);
}

/* A set, say, is answered alike whatever there was. */
static inline bool answer_shows(const struct execution *e) {
    return command_row(e->request->command)->need != NEED_NOTHING &&
           evaluate_need(e->request) != NEED_NOTHING &&
           shows(e->worker, e->request, &e->outcome->cursor.view);
}

static bool is_known_to_answer(const struct space *space) {
    return !loader_is_in_doubt(space->backend->loader) &&
           breaker_state(&space->read_breaker) == BREAKER_CLOSED;
}

/* What overwrites needs to know nothing of the row. But where the namespace says so, and there is reason to think that
 * the backend is away, it is asked all the same, and if it cannot be, the store is refused: a client may have taken its
 * failed read for a miss. */
static bool may_stay_unknown(const struct execution *e) {
    const struct space_options *options = &e->space->options;
    enum need need = evaluate_need(e->request);
    if (need == NEED_ENTRY || (need == NEED_EXISTENCE && options->existence == EXISTENCE_BACKEND))
        return false;
    return options->unknown_set == UNKNOWN_SET_ACCEPT || command_kind(e->request->command) != KIND_STORE ||
           is_known_to_answer(e->space);
}

/* By the namespace's filter. Changes ask the store all the same, as over a remembered absence. */
static bool is_known_absent(const struct execution *e) {
    return !e->load && evaluate_is_read(e->request) && !cache_is_absence(&e->outcome->cursor) &&
           absence_answers(e->worker, e->space, e->request->hash);
}

/* Memory alone does not know enough of the key for this request. */
static enum look look_further(struct execution *e) {
    if (!e->space->backend || is_known_absent(e))
        return LOOK_READY;
    if (!space_has_key(e->space, e->request->key))
        return refuse(e, ERROR_KEY_UNFIT, REPLY_KEY_UNFIT);
    if (may_stay_unknown(e)) {
        e->unknown = true;
        return LOOK_READY;
    }
    return e->load ? use_load(e) : ask(e);
}

/* The store is to see what was recovered before anyone does, if it can be asked. */
static bool has_to_confirm(const struct execution *e) {
    return confirm_is_needed(e->space, &e->outcome->cursor.view) && !e->confirmed &&
           evaluate_need(e->request) != NEED_NOTHING &&
           writer_is_hopeful(e->space->backend->writer, e->space);
}

static enum look ask_to_confirm(struct execution *e) {
    cache_release(&e->outcome->cursor);
    if (!ticket_keep_key(e->ticket, e->request)) {
        outcome_fail(e->outcome, ERROR_NO_MEMORY, REPLY_NO_MEMORY);
        return LOOK_ANSWERED;
    }
    e->ticket->park = PARK_CONFIRM;
    return LOOK_PARKED;
}

enum look execution_look(struct execution *e) {
    struct cache_cursor *cursor = &e->outcome->cursor;
    enum cache_presence presence = cache_seek(e->worker->tier->cache, e->space->number, e->request->key,
                                              e->request->hash, &e->worker->now, cursor);
    if (presence != CACHE_UNKNOWN && has_to_confirm(e))
        return ask_to_confirm(e);
    switch (presence) {
    case CACHE_PRESENT:
        e->base = &cursor->view;
        e->held = answer_shows(e);
        return LOOK_READY;
    case CACHE_GONE: /* others may have inserted the row since its absence was seen: a read alone may be that late */
        e->held = answer_shows(e);
        if (!cache_is_absence(cursor) || evaluate_is_read(e->request))
            return LOOK_READY;
        break;
    case CACHE_UNKNOWN:
        break;
    }
    return look_further(e);
}

/* ---- Evaluating and changing ---- */

void execution_evaluate(struct execution *e) {
    struct evaluate_context context = {.now = e->worker->now,
                                       .default_ttl = e->space->options.ttl,
                                       .item_max = e->worker->tier->options.cache.item_max,
                                       .scratch = e->worker->scratch,
                                       .unknown = e->unknown};
    evaluate(e->request, e->base, &context, e->outcome, &e->change);
    e->outcome->holds_lock = e->outcome->hit = false;
}

static bool in_cache(const struct execution *e) {
    return e->base == &e->outcome->cursor.view;
}

/* A copy in the worker's scratch of a value that lies in the cache, which the change may move. */
static struct slice out_of_cache(struct execution *e, struct slice value) {
    assert(value.size <= e->worker->scratch_size);
    if (value.size)
        memcpy(e->worker->scratch, value.data, value.size);
    return slice_of(e->worker->scratch, value.size);
}

static enum cache_status store(struct execution *e, bool dirty, struct slice value, uint64_t client_cas,
                               uint32_t flags) {
    struct cache_write write = {.value = value,
                                .client_cas = client_cas,
                                .flags = flags,
                                .expires_at = e->change.expires_at,
                                .marks = e->change.marks,
                                .dirty = dirty};
    return cache_store(&e->outcome->cursor, &write);
}

static enum cache_status put(struct execution *e, bool dirty) {
    struct slice value = e->change.value;
    enum cache_status status = store(e, dirty, value, e->change.client_cas, e->change.flags);
    if (status == CACHE_OK)
        e->outcome->view.version = e->outcome->cursor.view.version;
    return status;
}

/* Where the entry came with the ticket, because memory would not take it, a touch stores it whole. */
static enum cache_status touch(struct execution *e, bool dirty) {
    if (in_cache(e)) {
        uint8_t marks = e->base->marks | e->change.marks, old = e->base->marks;
        enum cache_status status = cache_touch(&e->outcome->cursor, e->change.expires_at, dirty);
        if (status == CACHE_OK && marks != old)
            cache_set_marks(&e->outcome->cursor, marks);
        return status;
    }
    e->change.marks |= e->base->marks;
    return store(e, dirty, e->base->value, cache_view_cas(e->base), e->base->flags);
}

static enum cache_status bury_or_forget(struct execution *e, bool dirty) {
    if (dirty)
        return cache_bury(&e->outcome->cursor, 0);
    cache_forget(&e->outcome->cursor);
    return CACHE_OK;
}

static enum cache_status change_memory(struct execution *e, bool dirty) {
    switch (e->change.kind) {
    case CHANGE_NONE:
        return CACHE_OK;
    case CHANGE_PUT:
    case CHANGE_VIVIFY:
        return put(e, dirty);
    case CHANGE_TOUCH:
        return touch(e, dirty);
    case CHANGE_DELETE:
        return bury_or_forget(e, dirty);
    case CHANGE_MARKS:
        if (e->outcome->cursor.presence == CACHE_PRESENT && e->base && in_cache(e))
            cache_set_marks(&e->outcome->cursor, e->change.marks);
        return CACHE_OK;
    }
    return CACHE_OK;
}

enum cache_status execution_change(struct execution *e, bool dirty) {
    struct outcome *outcome = e->outcome;
    if (outcome->status == OUTCOME_HIT && e->change.kind != CHANGE_NONE && e->base && in_cache(e)) {
        outcome->view.value = out_of_cache(e, outcome->view.value);
        outcome->view.large = NULL;
    }
    enum cache_status status = change_memory(e, dirty);
    if (status != CACHE_OK)
        outcome_fail_store(outcome, status);
    return status;
}

enum tier_status execution_done(struct execution *e) {
    struct outcome *outcome = e->outcome;
    enum tier_status status = e->held ? TIER_HELD : TIER_DONE;
    bool in_memory = e->base && in_cache(e);
    if (outcome->status == OUTCOME_HIT && e->change.kind == CHANGE_NONE && in_memory) {
        outcome->holds_lock = true; /* the reply copies the value, then tier_release counts the access */
        outcome->hit = e->change.hit;
        return status;
    }
    if (e->change.hit && e->change.kind != CHANGE_DELETE && outcome->cursor.presence == CACHE_PRESENT)
        cache_hit(&outcome->cursor);
    cache_release(&outcome->cursor);
    return status;
}

enum tier_status execution_in_memory(struct execution *e) {
    enum look look = execution_look(e);
    if (look != LOOK_READY)
        return look_status(look);
    execution_evaluate(e);
    if (e->change.kind != CHANGE_NONE && execution_change(e, false) != CACHE_OK &&
        command_row(e->request->command)->overwrites) {
        cache_forget(&e->outcome->cursor);
        e->base = NULL;
    }
    return execution_done(e);
}

/* ---- Reading ---- */

static void answer_get(struct outcome *outcome, const struct tier_worker *worker,
                       enum outcome_status status) {
    outcome->status = status;
    outcome->won = outcome->stale = outcome->lost = false;
    outcome->ttl_now = worker->now.seconds;
}

/* Plain get of an entry in memory, without any evaluation. What the reply says is in the view, and the shard is
 * locked. */
static void answer_hit(struct outcome *outcome, const struct tier_worker *worker) {
    answer_get(outcome, worker, OUTCOME_HIT);
    outcome->holds_lock = outcome->hit = true;
}

/* The same of the entry under the cursor. */
static void hit(struct outcome *outcome, const struct tier_worker *worker) {
    outcome->view = outcome->cursor.view;
    answer_hit(outcome, worker);
}

static enum tier_status status_of_shown(struct tier_worker *worker, const struct request *request,
                                        const struct cache_view *view) {
    return shows(worker, request, view) ? TIER_HELD : TIER_DONE;
}

/* False: the backend has to be asked. */
static bool miss(struct tier_worker *worker, const struct request *request, struct outcome *outcome,
                 bool is_unknown) {
    const struct space *space = request->space;
    if (is_unknown && space->backend && !absence_answers(worker, space, request->hash))
        return false;
    outcome->holds_lock = outcome->hit = false;
    answer_get(outcome, worker, OUTCOME_MISS);
    return true;
}

/* What is no plain value: a large one, a tombstone, an absence, one that is over. noinline, here and below: compiled
 * into the path of a hit, this would push out what every hit needs. */
static __attribute__((noinline)) bool read_closely(struct tier_worker *worker, const struct request *request,
                                                   struct outcome *outcome, enum tier_status *ret_status) {
    struct cache_cursor *cursor = &outcome->cursor;
    enum cache_presence presence = cache_seek(worker->tier->cache, request->space->number, request->key,
                                              request->hash, &worker->now, cursor);
    *ret_status = presence == CACHE_UNKNOWN ? TIER_DONE : status_of_shown(worker, request, &cursor->view);
    if (presence == CACHE_PRESENT) {
        hit(outcome, worker);
        return true;
    }
    cache_release(cursor);
    return miss(worker, request, outcome, presence == CACHE_UNKNOWN);
}

/* The path of most requests: a get that memory alone can answer. */
static inline bool read_quickly(struct tier_worker *worker, const struct request *request,
                                struct outcome *outcome, enum tier_status *ret_status) {
    switch (cache_glance(worker->tier->cache, request->key, request->hash, worker->now.seconds,
                         &outcome->view, &outcome->cursor)) {
    case GLANCE_VALUE:
        *ret_status = status_of_shown(worker, request, &outcome->view);
        answer_hit(outcome, worker);
        return true;
    case GLANCE_NOTHING:
        *ret_status = TIER_DONE;
        return miss(worker, request, outcome, true);
    case GLANCE_CLOSER:
        break;
    }
    return read_closely(worker, request, outcome, ret_status);
}

static __attribute__((noinline)) enum tier_status read_slowly(struct tier_worker *worker,
                                                              struct tier_ticket *ticket,
                                                              struct request *request,
                                                              struct outcome *ret_outcome) {
    struct execution e;
    execution_init(&e, worker, ticket, request, ret_outcome);
    if (request->command != COMMAND_GET)
        return execution_in_memory(&e);
    enum look look = execution_look(&e);
    if (look != LOOK_READY)
        return look_status(look);
    enum tier_status status = e.held ? TIER_HELD : TIER_DONE;
    if (e.base && in_cache(&e)) {
        hit(ret_outcome, worker);
        return status;
    }
    if (e.base)
        ret_outcome->view = *e.base;
    answer_get(ret_outcome, worker, e.base ? OUTCOME_HIT : OUTCOME_MISS);
    cache_release(&ret_outcome->cursor);
    return status;
}

enum tier_status execution_read(struct tier_worker *worker, struct tier_ticket *ticket,
                                struct request *request, struct outcome *ret_outcome) {
    enum tier_status status;
    if (request->command == COMMAND_GET && !ticket->loads.arrived &&
        !atomic_load_explicit(&request->space->unconfirmed, memory_order_acquire) &&
        read_quickly(worker, request, ret_outcome, &status))
        return status;
    return read_slowly(worker, ticket, request, ret_outcome);
}
