/* SPDX-License-Identifier: MIT */
/*
 * A worker's turn: everything that became ready while the loop slept, served in stages.
 *
 *     read       each ready connection once, into one buffer
 *     parse      all that is complete, up to TURN_BATCH requests; each is hashed and its bucket prefetched
 *     execute    the batch in order; replies go into one buffer (output.c)
 *     journal    tier_turn_end: once
 *     send       once per connection; not at all if the journal could not be written
 *
 * Under journal = always the changes of a turn share a sync: the replies of connections that made some are
 * held until it is done, and then sent; nothing more of these connections is executed before. Replies that show
 * what another worker has not written to its journal yet are held in the same way (held.h).
 *
 * A request that parks stops its connection: its bytes and all that follow are kept, and when its ticket is back they
 * are parsed and executed again. Of a multi-key line the keys that were answered before are skipped then. An open line
 * (server/protocol/parser.h: one too long to be kept, or of which a share was served) goes on with the key that parked,
 * as what was before it is not kept. The same keeping serves a connection whose replies are held, and a client that
 * does not read its replies (deferred): the requests wait until the replies are sent. So do those of a client that has
 * had its share of the turn (share.h): they wait until others were served.
 *
 * Invariant: slices of the batch point into the worker's input or into a connection's own buffer; neither
 * moves before the batch was executed.
 */
#include "server/worker/turn.h"
#include "server/admin/observe.h"
#include "server/config/settings.h"
#include "server/protocol/reply.h"
#include "server/worker/answer.h"
#include "server/worker/connection.h"
#include "server/worker/connection_read.h"
#include "server/worker/connection_send.h"
#include "server/worker/guard.h"
#include "server/worker/held.h"
#include "server/worker/internal.h"
#include "server/worker/parked.h"
#include "server/worker/protocol.h"
#include "server/worker/reply_limit.h"
#include "server/worker/share.h"
#include "server/worker/talk.h"
#include "server/worker/tls.h"
#include "server/worker/untold.h"
#include <assert.h>

enum {
    TURN_AHEAD = 8,        /* requests that are parsed while the bucket of one is on its way */
    TURN_AHEAD_VALUE = 4,  /* requests that are executed while the value of one is on its way */
    TURN_OUTPUT = 1 << 20, /* bytes of replies before a turn writes its journal and sends */
};

/* For slot.line_key: a key of an open line behind the first since it was opened. Its `start` is its own. */
#define LINE_KEY_OPEN SIZE_MAX

/* False once nothing more of this connection may be executed in this turn. */
static bool goes_on(const struct connection *connection) {
    return connection->stops == 0;
}

/* ---- Execute ---- */

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

/* The stages "journal" and "send", of a part of the turn or (ends) its last. When the journal cannot be written,
 * changes of this turn are not safe from a kill -9, and their replies would promise that they are: the connections are
 * closed without any, except those whose replies are held. */
static void journal_and_send(struct worker *worker, bool ends) {
    uint64_t hold;
    bool kept = tier_turn_end(worker->tier, &hold);
    held_date(worker, hold);
    if (!kept)
        output_break(&worker->output);
    if (ends)
        output_hand_over(&worker->output, worker->io_type);
    else
        output_send(&worker->output);
    reply_limit_reset(worker);
}

/* Ends one part of the turn and begins the next. */
static void send_output(struct worker *worker) {
    worker->said += output_said(&worker->output);
    journal_and_send(worker, false);
    share_set(worker, worker->said);
    if (!tier_turn_begin(worker->tier, &worker->now))
        return;
    for (size_t i = 0; i < worker->slot_count; i++)
        if (command_has_key(worker->slots[i].request.command))
            tier_prepare(worker->tier, &worker->slots[i].request);
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

/* By now the bucket that tier_prepare asked for is near: ask for the entry it points to. */
static void prefetch_entry(struct worker *worker, size_t i) {
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
        prefetch_entry(worker, i);
    for (size_t i = 0; i < count && i < TURN_AHEAD_VALUE; i++)
        cache_prefetch_value(worker->slots[i].near);
}

/* Much has been said in this turn, the last of it to this connection. */
static __attribute__((noinline)) void weigh_output(struct worker *worker, struct connection *connection) {
    if (share_is_used(&worker->output, connection))
        connection->stops |= STOP_SHARE;
    if (output_said(&worker->output) > TURN_OUTPUT)
        send_output(worker);
}

static void execute_batch(struct worker *worker) {
    prefetch_edges(worker);
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct connection *connection = worker->slots[i].connection;
        if (i + TURN_AHEAD_VALUE < worker->slot_count)
            cache_prefetch_value(worker->slots[i + TURN_AHEAD_VALUE].near);
        if (!goes_on(connection)) {
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
    worker->slot_count = 0;
}

/* ---- Read and parse ---- */

static void refuse_protocol(struct worker *worker, struct connection *connection,
                            const struct request *request) {
    execute_batch(worker); /* what came before is answered before */
    if (!goes_on(connection))
        return;
    if (connection->parser.close_reason == CLOSE_ENDLESS_LINE && request->error)
        answer_line(worker, connection, request->error);
    connection_set_state(connection, CONNECTION_CLOSING);
}

/* Notes where the line of a request begins, and which of its keys this is. True if it was answered before. */
static bool note_line(struct connection *connection, struct slot *slot, const char *start, bool continues,
                      bool continues_open) {
    if (continues_open) {
        slot->start = start;
        slot->line_key = LINE_KEY_OPEN;
        return false;
    }
    connection->line_key = continues ? connection->line_key + 1 : 0;
    connection->line_start = continues ? connection->line_start : start;
    slot->start = connection->line_start;
    slot->line_key = connection->line_key;
    if (slot->line_key < connection->skip_keys)
        return true;
    connection->skip_keys = 0;
    return false;
}

/* Parses one request into the batch. False: the region holds no further one. */
static bool parse_one(struct worker *worker, struct connection *connection) {
    struct slot *slot = &worker->slots[worker->slot_count];
    const char *start = connection->region + connection->region_at;
    size_t there = connection->region_size - connection->region_at;
    bool continues = connection->parser.in_run;
    bool swallows = connection->parser.swallow > 0;
    size_t consumed = 0, wanted = 0;
    enum parse_status status =
        __builtin_expect(connection_is_binary(connection), false)
            ? protocol_parse_binary(worker, connection, start, there, &consumed, &wanted)
            : parse(&connection->parser, start, there, worker->key_buffers[worker->slot_count],
                    &slot->request, &consumed, &wanted);
    start += swallows ? connection->parser.skipped : 0; /* what was swallowed is no part of this request */
    connection->region_at += consumed;
    if (status == PARSE_MORE) {
        connection->wanted = wanted;
        return false;
    }
    if (status == PARSE_CLOSE) {
        refuse_protocol(worker, connection, &slot->request);
        return false;
    }
    bool continues_open = __builtin_expect(continues, false) && connection->parser.run.is_open;
    if (note_line(connection, slot, start, continues, continues_open))
        return true;
    slot->connection = connection;
    slot->near = command_has_key(slot->request.command) ? tier_prepare(worker->tier, &slot->request) : NULL;
    if (worker->slot_count >= TURN_AHEAD)
        prefetch_entry(worker, worker->slot_count - TURN_AHEAD);
    worker->slot_count++;
    /* The keys of an open line are executed before another one can begin: turn_hold_from goes by parser.run. */
    bool ends_open = continues_open && !connection->parser.in_run;
    if (worker->slot_count == TURN_BATCH || !connection->authenticated || ends_open)
        execute_batch(worker);
    return true;
}

/* What a connection may still have of this turn. */
struct portion {
    int64_t keys;         /* below zero: some that were answered before */
    int64_t requests;     /* counted at their ends; of no account unless */
    bool counts_requests; /* there are fewer than keys: with -R, or before it has authenticated */
};

static struct portion portion_of(const struct worker *worker, const struct connection *connection) {
    int64_t requests = worker->most_requests;
    if (__builtin_expect(!connection->authenticated, false) && requests > AUTH_REQUESTS)
        requests = AUTH_REQUESTS;
    return (struct portion){SHARE_KEYS, requests, requests < SHARE_KEYS};
}

/* One key less. The last request takes the keys that are left with it. inline, as what follows: it counts in
 * registers. */
static inline void use_up(struct portion *portion, const struct connection *connection) {
    portion->keys--;
    if (__builtin_expect(portion->counts_requests, false) && !connection->parser.in_run &&
        --portion->requests <= 0)
        portion->keys = 0;
}

/* Up to the end of what was read, or until the connection had its portion. True: there is a rest, which waits in its
 * own buffer until the others have been served. Keys that were answered before are not left in the middle, as an open
 * line does not skip them. */
static inline bool parse_requests(struct worker *worker, struct connection *connection,
                                  struct portion *portion) {
    struct portion left = *portion;
    bool has_rest = false;
    while (goes_on(connection) && connection->region_at < connection->region_size) {
        has_rest = __builtin_expect(left.keys <= 0, false) && connection->skip_keys == 0;
        if (has_rest || !parse_one(worker, connection))
            break;
        use_up(&left, connection);
    }
    *portion = left;
    return has_rest || (connection->stops == STOP_SHARE && connection->region_at < connection->region_size);
}

/* True: that was progress (connection_note_active). */
static bool parse_region(struct worker *worker, struct connection *connection, struct portion *portion) {
    uint64_t swallow = connection->parser.swallow;
    bool is_open = connection->parser.in_run;
    connection->wanted = 0;
    if (__builtin_expect(connection->protocol == PROTOCOL_UNKNOWN, false))
        protocol_choose(worker, connection);
    bool yields = parse_requests(worker, connection, portion);
    connection->parser.starved = false;
    bool moves = connection->region_at > swallow && !(is_open && connection->parser.in_run);
    if (connection->region_is_own)
        execute_batch(worker); /* keeping may free the bytes that the batch points into */
    if ((connection->stops & ~STOP_SHARE) ||
        !connection_keep(connection, connection->region + connection->region_at))
        return moves;
    connection->resumed = connection->behind = yields;
    connection->sends_ahead |= yields;
    if (yields && connection->parser.in_run)
        parser_open_run(&connection->parser);
    return moves;
}

/* Whether its replies have gone, so that it may go on. */
static bool sends_all(struct connection *connection) {
    if (connection->held)
        return false;
    if (!connection->pending)
        return true;
    bool sent = connection_send_pending(connection);
    if (!sent && connection_reads_ahead(connection))
        connection_read_ahead(connection);
    if (sent || connection_moves(connection))
        connection_note_active(connection);
    return sent;
}

/* Whether more that has come already is served in this turn: what one read would have brought, and the rest of a long
 * value. What was parsed is executed before, as its bytes may have to be kept from there on. */
static bool reads_on(struct worker *worker, const struct connection *connection, size_t read) {
    if (!connection->link.first || (read >= CONNECTION_READ && !connection_awaits_much(connection)))
        return false;
    execute_batch(worker);
    return goes_on(connection) && !connection->resumed;
}

static void serve(struct worker *worker, struct connection *connection) {
    bool was_slow = connection->pending != NULL;
    if (!sends_all(connection))
        return;
    if (was_slow && connection->resumed) { /* what it has asked for besides comes when others were served */
        connection->behind = true;
        return;
    }
    connection->ahead_is_full = connection->behind = false;
    if (connection_is_parked(connection)) /* it sends while it waits: look again when its ticket is back */
        return;
    if (connection_state(connection) != CONNECTION_OPEN)
        return;
    if (connection->awaits_check)
        return;
    connection->stops &= (uint8_t)~STOP_DEFERRED;
    if (!connection->resumed && ((worker->stopping && !connection->fresh) || !connection->readable))
        return;
    if (worker->input_used + CONNECTION_READ > TURN_INPUT) {
        execute_batch(worker);
        worker->input_used = 0;
    }
    bool moves = connection_is_between_requests(connection);
    size_t read = 0;
    struct portion portion = portion_of(worker, connection);
    while (connection_read(connection)) {
        read += connection->region_size;
        moves |= parse_region(worker, connection, &portion);
        if (!reads_on(worker, connection, read))
            break;
    }
    if (moves || connection_moves(connection))
        connection_note_active(connection);
}

/* ---- The turn ---- */

/* Requests of it that it had to leave for the next turn. */
static bool has_rest(const struct connection *connection) {
    return connection->resumed && !connection->pending && connection_state(connection) == CONNECTION_OPEN;
}

/* Replies that were held while this turn went on, and are held no longer. */
static bool has_unsent(const struct connection *connection) {
    return connection->pending && !connection->sends;
}

/* A turn goes on with few handshakes. Who waits for the others has had nothing yet. */
static bool begins_encryption(const struct connection *connection) {
    return connection->tls && tls_begins(connection);
}

/* What is there of it to be served waits behind others: a turn has taken of it what it takes of one. With replies that
 * are still to be sent it was not served in this one. */
static bool has_more_than_its_share(const struct connection *connection, bool is_due) {
    if (has_rest(connection))
        return connection->behind;
    return is_due && !connection->pending && !begins_encryption(connection);
}

static bool is_over(const struct connection *connection) {
    enum connection_state state = connection_state(connection);
    if (connection_is_parked(connection) || connection->held)
        return false;
    return state == CONNECTION_BROKEN || (state == CONNECTION_CLOSING && !connection->pending) ||
           (connection->awaits_check && connection->hung_up);
}

static void settle(struct connection *connection) {
    const struct io_type *io_type = connection->worker->io_type;
    connection->stops &= (uint8_t)~STOP_SHARE;
    if (connection->ticket != connection->worker->ticket)
        parked_settle(connection);
    if (io_type->settle)
        io_type->settle(connection);
    if (connection_is_parked(connection) || connection->held || connection->awaits_check)
        return;
    bool is_due = connection_is_due(connection) && !connection->worker->stopping;
    if (has_more_than_its_share(connection, is_due))
        share_let_wait(connection);
    else if (has_rest(connection) || has_unsent(connection) || is_due)
        connection_set_ready(connection);
}

/* Those that go are closed when all others are settled: a close looks what has come meanwhile, and for whom. */
static void settle_all(struct connection *first) {
    struct connection *ended = NULL, *next;
    for (struct connection *connection = first; connection; connection = next) {
        next = connection->next_ready;
        if (is_over(connection)) {
            connection->next_ready = ended;
            ended = connection;
            continue;
        }
        connection->in_ready = false;
        settle(connection);
    }
    for (struct connection *connection = ended; connection; connection = next) {
        next = connection->next_ready;
        connection->in_ready = false;
        connection_close(connection);
    }
}

static void note_duration(struct worker *worker, uint64_t began_us) {
    uint64_t now_us = monotonic_us();
    tier_time_end(worker->tier, now_us);
    histogram_add(&worker->turn_times, now_us - began_us, 1);
}

void turn_run(struct worker *worker) {
    parked_collect(worker);
    if (worker->held)
        held_collect(worker);
    share_admit(worker);
    struct connection *first = worker->ready;
    /* Some wait for a turn that is written to the journal, or the journal does: nobody else may come and make one,
     * where what sends requests here has seen that changes are refused. */
    if (!first && !worker->undated && !tier_has_unwritten(worker->tier))
        return;
    uint64_t began_us = monotonic_us();
    worker->ready = NULL;
    worker->ready_tail = &worker->ready;
    worker->input_used = worker->said = 0;
    share_set(worker, 0);
    tier_time_begin(worker->tier, began_us);
    worker->observes = observe_turn(&worker->observer) || worker->server->settings->reply_limit > 0;
    tier_turn_begin(worker->tier, &worker->now);
    for (struct connection *connection = first; connection; connection = connection->next_ready)
        serve(worker, connection);
    execute_batch(worker);
    journal_and_send(worker, true);
    note_duration(worker, began_us);
    settle_all(first);
}
