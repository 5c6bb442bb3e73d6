/* SPDX-License-Identifier: MIT */
/* See turn_execute.h. */
#include "server/worker/turn_execute.h"
#include "server/admin/observe.h"
#include "server/protocol/reply.h"
#include "server/worker/auth/guard.h"
#include "server/worker/connection_read.h"
#include "server/worker/held.h"
#include "server/worker/parked.h"
#include "server/worker/reply_limit.h"
#include "server/worker/share.h"
#include "server/worker/talk.h"
#include "server/worker/turn_send.h"
#include "server/worker/untold.h"

enum {
    AHEAD_VALUE = 4,       /* requests that are executed while the value of one is on its way */
    PART_OUTPUT = 1 << 20, /* bytes of replies before a turn writes its journal and sends */
};

/* Whether parser.run is still that of the key's line, so that this can go on with the key, and be opened there. Else it
 * is parsed again from its beginning, as its other keys of the batch are. */
static bool is_kept_by_key(const struct connection *connection, const struct slot *slot) {
    return slot->line_key == LINE_KEY_OPEN ||
           (slot->line_key > 0 && connection->parser.in_run && slot->start == connection->line_start);
}

bool turn_hold_from(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    bool by_key = is_kept_by_key(connection, slot);
    connection->skip_keys = by_key ? 0 : slot->line_key;
    connection->wanted = 0;
    connection->parser.swallow = 0;
    connection->parser.in_run = by_key;
    if (by_key)
        parser_open_run(&connection->parser);
    bool is_behind_first = by_key && slot->line_key != LINE_KEY_OPEN;
    return connection_keep(connection, is_behind_first ? slot->request.key.data : slot->start);
}

/* This request and all that follow are executed when its replies have gone, or it has a share again. */
static __attribute__((noinline)) void defer(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    if (connection->stops == STOP_SHARE)
        connection->behind = true;
    connection->sends_ahead |= connection->stops == STOP_SHARE || !connection->held;
    connection->stops |= STOP_DEFERRED;
    connection->resumed = true;
    turn_hold_from(worker, i);
}

/* Nothing more of it is executed before the journal has what it did or was shown. */
static bool waits_for_disk(const struct connection *connection) {
    return connection->held_number != 0;
}

/* Room for an answer. NULL: no memory, the connection is broken. */
static inline char *reserve_reply(struct worker *worker, struct connection *connection,
                                  const struct outcome *outcome) {
    size_t copied = 0;
    if (__builtin_expect(outcome->view.value.size > CACHE_LARGE_VALUE, false) &&
        outcome->status == OUTCOME_HIT && !outcome->view.large)
        copied = outcome->view.value.size;
    char *out = output_reserve(&worker->output, copied);
    if (!out)
        connection_set_state(connection, CONNECTION_BROKEN);
    return out;
}

static inline void commit_reply(struct worker *worker, struct connection *connection, char *end,
                                const struct outcome *outcome, char *value_at) {
    struct output *output = &worker->output;
    if (__builtin_expect(value_at != NULL, false)) {
        output_commit(output, connection, value_at);
        if (!output_large(output, connection, &outcome->view))
            connection_set_state(connection, CONNECTION_BROKEN);
    }
    output_commit(output, connection, end);
}

static __attribute__((noinline)) void write_binary(struct worker *worker, const struct slot *slot,
                                                   const struct outcome *outcome) {
    char *out = reserve_reply(worker, slot->connection, outcome), *value_at;
    if (!out)
        return;
    char *end = binary_reply(out, &slot->head, &slot->request, outcome, &value_at);
    commit_reply(worker, slot->connection, end, outcome, value_at);
}

static inline void write_text(struct worker *worker, struct connection *connection,
                              const struct request *request, const struct outcome *outcome) {
    char *out = reserve_reply(worker, connection, outcome), *value_at;
    if (!out)
        return;
    char *end = reply_write(out, request, outcome, &value_at);
    commit_reply(worker, connection, end, outcome, value_at);
}

/* After an error of a lookup. False: the request is to be served all the same. */
static __attribute__((noinline)) bool skips(struct worker *worker, const struct slot *slot) {
    if (connection_is_binary(slot->connection))
        return untold_tell(worker, slot);
    slot->connection->run_failed = !slot->request.ends_run;
    return true;
}

/* What an error means for what comes behind it. False: it is not told, or not here. Where the namespace wants that, no
 * error of a read is: what was answered before it is sent, and then the connection is closed. */
static __attribute__((noinline)) bool tells_failure(const struct slot *slot, const struct outcome *outcome) {
    struct connection *connection = slot->connection;
    const struct request *request = &slot->request;
    if (outcome->error_kind != ERROR_FORBIDDEN && tier_closes_on_error(request)) {
        connection_set_state(connection, CONNECTION_CLOSING);
        return false;
    }
    if (connection_is_binary(connection))
        return !untold_keep(slot, binary_status_of_error(outcome->error_kind));
    connection->run_failed = command_comes_in_runs(request->command) && !request->ends_run;
    return true;
}

/* The answer to one key. connection: that of the slot, which is at hand and need not be looked up again. */
static inline void answer_key(struct worker *worker, struct connection *connection, const struct slot *slot,
                              const struct outcome *outcome) {
    if (__builtin_expect(outcome->status == OUTCOME_ERROR, false) && !tells_failure(slot, outcome))
        return;
    if (__builtin_expect(connection_is_binary(connection), false))
        write_binary(worker, slot, outcome);
    else
        write_text(worker, connection, &slot->request, outcome);
}

void turn_fail(struct worker *worker, size_t i, enum outcome_error kind, const char *line) {
    const struct slot *slot = &worker->slots[i];
    struct outcome outcome = {0};
    if (slot->connection->run_failed && skips(worker, slot))
        return;
    if (kind == ERROR_FORBIDDEN)
        count(&worker->forbidden);
    outcome_fail(&outcome, kind, line);
    answer_key(worker, slot->connection, slot, &outcome);
}

/* What is to be noted of a key before it is executed, where that is asked for (worker->observes). False: it is not
 * executed. */
static __attribute__((noinline)) bool observe_key(struct worker *worker, const struct slot *slot,
                                                  struct observed *ret_observed) {
    if (!reply_limit_lets(worker, slot))
        return false;
    observe_before(&worker->observer, &slot->request, ret_observed);
    return true;
}

static __attribute__((noinline)) void observe_answer(struct worker *worker, const struct slot *slot,
                                                     const struct outcome *outcome,
                                                     const struct observed *observed) {
    observe_after(&worker->observer, slot->connection->fd, &slot->request, outcome, observed);
}

/* always_inline, here and below: of all that a batch calls, these alone are called for every request. */
static inline __attribute__((always_inline)) void execute_key(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    struct outcome outcome;
    struct observed observed;
    bool observes = worker->observes;
    if (__builtin_expect(connection->run_failed, false) && skips(worker, slot)) /* a key before it failed */
        return;
    if (__builtin_expect(observes, false) && !observe_key(worker, slot, &observed))
        return;
    enum tier_status status = tier_execute(worker->tier, connection->ticket, &slot->request, &outcome);
    if (__builtin_expect(status == TIER_PARKED, false)) {
        parked_add(worker, i);
        return;
    }
    if (__builtin_expect(status == TIER_HELD, false))
        held_add(worker, connection);
    answer_key(worker, connection, slot, &outcome);
    if (__builtin_expect(observes, false))
        observe_answer(worker, slot, &outcome, &observed);
    if (outcome.holds_lock)
        tier_release(&outcome);
}

static inline __attribute__((always_inline)) void execute_slot(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    const struct request *request = &worker->slots[i].request;
    if (__builtin_expect(connection->guarded, false) && guard_stops(worker, i))
        return;
    if (__builtin_expect(command_has_key(request->command), true))
        execute_key(worker, i);
    else
        talk_execute(worker, i);
}

void turn_prefetch_entry(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    if (__builtin_expect(slot->near != NULL, true))
        slot->near = cache_prefetch_entry_of(worker->cache, slot->near, slot->request.hash);
}

/* The entries of the last requests of a batch, and the values of the first. Of a single one nothing: nothing is
 * executed while it would be on its way. */
static void prefetch_edges(struct worker *worker) {
    size_t count = worker->slot_count;
    if (count <= 1)
        return;
    for (size_t i = count > TURN_AHEAD ? count - TURN_AHEAD : 0; i < count; i++)
        turn_prefetch_entry(worker, i);
    for (size_t i = 0; i < count && i < AHEAD_VALUE; i++)
        cache_prefetch_value(worker->slots[i].near);
}

/* Much has been said in this turn, the last of it to this connection. */
static __attribute__((noinline)) void weigh_output(struct worker *worker, struct connection *connection) {
    if (share_is_used(&worker->output, connection))
        connection->stops |= STOP_SHARE;
    if (output_said(&worker->output) > PART_OUTPUT)
        turn_send_part(worker);
}

void turn_execute_batch(struct worker *worker) {
    prefetch_edges(worker);
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct connection *connection = worker->slots[i].connection;
        if (i + AHEAD_VALUE < worker->slot_count)
            cache_prefetch_value(worker->slots[i + AHEAD_VALUE].near);
        if (!turn_goes_on(connection)) {
            if (connection->stops == STOP_SHARE)
                defer(worker, i);
            continue;
        }
        if (connection->pending || waits_for_disk(connection)) {
            defer(worker, i);
            continue;
        }
        execute_slot(worker, i);
        if (__builtin_expect(worker->output.size > worker->output.mark, false))
            weigh_output(worker, connection);
    }
    count_add(&worker->requests, worker->slot_count);
    worker->executed += worker->slot_count;
    worker->slot_count = 0;
}
