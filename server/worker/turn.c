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
 * what another worker has not written to its journal yet are held in the same way.
 *
 * A request that parks stops its connection: its bytes and all that follow are kept, and when its ticket is
 * back they are parsed and executed again. Of a multi-key line the keys that were answered before are skipped
 * then. A line of any length ("open", server/protocol/parser.h) goes on with the key that parked, as what was
 * before it is not kept. The same keeping serves a connection whose replies are held, and a client that does not read its
 * replies (deferred): the requests wait until the replies are sent.
 *
 * Invariant: slices of the batch point into the worker's input or into a connection's own buffer; neither
 * moves before the batch was executed.
 */
#include "server/worker/turn.h"
#include "server/admin/command.h"
#include "server/admin/feed.h"
#include "server/admin/observe.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/protocol/binary_text.h"
#include "server/protocol/reply.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/login.h"
#include "server/worker/sasl.h"
#include <assert.h>
#include <stdio.h>

enum {
    TURN_AHEAD = 8,        /* requests that are parsed while the bucket of one is on its way */
    TURN_AHEAD_VALUE = 4,  /* requests that are executed while the value of one is on its way */
    TURN_OUTPUT = 1 << 20, /* bytes of replies before a turn writes its journal and sends */
    TEXT_KEEP = 4 << 20,   /* a longer answer's buffer is given back */
    REPLY_COST = 1024,     /* bytes that a reply counts beside its own, where there is a limit */
};

/* For slot.line_key: a key of an open line behind its first. Its `start` is its own. */
#define LINE_KEY_OPEN SIZE_MAX

/* False once nothing more of this connection may be executed in this turn. */
static bool goes_on(const struct connection *connection) {
    return connection->stops == 0;
}

/* ---- Execute ---- */

bool turn_hold_from(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    bool is_open = slot->line_key == LINE_KEY_OPEN; /* parser.run is still that of its line */
    connection->skip_keys = is_open ? 0 : slot->line_key;
    connection->wanted = 0;
    connection->parser.in_run = is_open;
    connection->parser.swallow = 0;
    return connection_keep(connection, slot->start);
}

/* Whether a change may turn out to tell that a quiet lookup failed (tell_untold): one before has, or this one that parks
 * may. It is not done then, so it must not be done ahead. */
static bool may_tell(const struct slot *parked, const struct slot *change) {
    const struct connection *connection = parked->connection;
    bool may_fail = parked->head.quiet && command_row(parked->request.command)->comes_in_runs;
    return connection->protocol == PROTOCOL_BINARY && !change->head.quiet &&
           !command_row(change->request.command)->comes_in_runs && (connection->skip_run || may_fail);
}

/* Not on the path of a key that is answered at once: noinline keeps that short, here and below. */
static __attribute__((noinline)) void park(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    const struct request *request = &worker->slots[i].request;
    for (size_t j = i + 1; j < worker->slot_count; j++) {
        struct slot *next = &worker->slots[j];
        if (next->connection != connection || !command_has_key(next->request.command) ||
            may_tell(&worker->slots[i], next) ||
            !tier_anticipate(worker->tier, connection->ticket, request, &next->request))
            break;
    }
    if (!turn_hold_from(worker, i)) {
        tier_abandon(connection->ticket);
        return;
    }
    connection_set_parked(connection, true);
    worker->parked++;
    tier_submit(worker->tier, connection->ticket);
}

/* Nothing more of it is executed before the journal has what it did or was shown. */
static bool waits_for_disk(const struct connection *connection) {
    return connection->held_number != 0;
}

/* The replies of this part of the turn, of which there may be none, wait for the journal. */
static void hold(struct worker *worker, struct connection *connection) {
    if (connection->held)
        return;
    connection->held = true;
    connection->next_held = worker->undated;
    worker->undated = connection;
}

static bool is_binary(const struct connection *connection) {
    return connection->protocol == PROTOCOL_BINARY;
}

/* Room for an answer. NULL: no memory, the connection is broken. */
static inline char *reserve_reply(struct worker *worker, struct connection *connection,
                                  const struct outcome *outcome) {
    bool copied_whole = !outcome->view.large && outcome->view.value.size > CACHE_LARGE_VALUE;
    size_t size = outcome->status == OUTCOME_HIT && copied_whole ? outcome->view.value.size : 0;
    char *out = output_reserve(&worker->output, size);
    if (!out)
        connection_set_state(connection, CONNECTION_BROKEN);
    return out;
}

static inline void commit_reply(struct worker *worker, struct connection *connection, char *end,
                                const struct outcome *outcome, char *value_at) {
    struct output *output = &worker->output;
    if (value_at) {
        output_commit(output, connection, value_at);
        if (!output_large(output, connection, &outcome->view))
            connection_set_state(connection, CONNECTION_BROKEN);
    }
    output_commit(output, connection, end);
}

_Static_assert(offsetof(struct slot, request) == 0, "slot_of_request");
static const struct slot *slot_of_request(const struct request *request) {
    return (const struct slot *)request;
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

void turn_answer_line(struct worker *worker, struct connection *connection, const char *line) {
    output_append(&worker->output, connection, line, strlen(line));
    output_append(&worker->output, connection, "\r\n", 2);
}

void turn_answer_status(struct worker *worker, const struct slot *slot, enum binary_status status,
                        const char *line) {
    char *out = output_reserve(&worker->output, 0);
    if (!out) {
        connection_set_state(slot->connection, CONNECTION_BROKEN);
        return;
    }
    char *end = line ? binary_reply_error(out, &slot->head, status, line)
                     : binary_reply_status(out, &slot->head, status);
    output_commit(&worker->output, slot->connection, end);
}

/* There is no memory for the answer proper. */
static void answer_no_room(struct worker *worker, const struct slot *slot, const char *line) {
    if (is_binary(slot->connection))
        turn_answer_status(worker, slot, BINARY_NO_MEMORY, line);
    else
        turn_answer_line(worker, slot->connection, line);
}

static void answer_binary_without_key(struct worker *worker, const struct slot *slot) {
    bool is_bad = slot->request.command == COMMAND_BAD;
    turn_answer_status(worker, slot, is_bad ? slot->head.status : BINARY_SUCCESS,
                       is_bad ? slot->request.error : NULL);
    if (is_bad && slot->head.closes)
        connection_set_state(slot->connection, CONNECTION_CLOSING);
}

static void answer_without_key(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    if (is_binary(connection)) {
        answer_binary_without_key(worker, slot);
        return;
    }
    char *out = output_reserve(&worker->output, 0);
    if (out)
        output_commit(&worker->output, connection, reply_write_without_key(out, &slot->request));
    else
        connection_set_state(connection, CONNECTION_BROKEN);
}

/* The keys of a line of gets come one by one. */
static bool is_in_run(const struct request *request) {
    return command_row(request->command)->comes_in_runs;
}

/* Clients that ask for several keys send quiet lookups and something loud behind them, and some lose step at an error in
 * between: they take it for the end, and what follows for the answer to their next request, which may be about another
 * key. So an error of a quiet lookup is kept, and told instead of the answer to the next loud request, which is not done:
 * if that were answered as ever, the lookup would read as a miss, and a session that is there would be begun anew. */
static bool leave_untold(const struct slot *slot, enum binary_status status) {
    struct connection *connection = slot->connection;
    if (!is_binary(connection) || !slot->head.quiet || !is_in_run(&slot->request))
        return false;
    connection->untold = (uint8_t)status;
    connection->skip_run = true;
    return true;
}

/* Whether nothing more may be answered behind a request, whatever its answer is. */
static bool ends_connection(const struct slot *slot) {
    enum command command = slot->request.command;
    return command == COMMAND_QUIT || (command == COMMAND_BAD && slot->head.closes);
}

/* False: there is nothing to tell, or not to this one. */
static bool tell_untold(struct worker *worker, const struct slot *slot) {
    struct connection *connection = slot->connection;
    if (!connection->skip_run || slot->head.quiet)
        return false;
    connection->skip_run = false;
    turn_answer_status(worker, slot, connection->untold, "a quiet lookup before this one failed");
    if (ends_connection(slot))
        connection_set_state(connection, CONNECTION_CLOSING);
    return true;
}

/* After an error of a lookup. False: the request is to be served all the same. */
static __attribute__((noinline)) bool skips(struct worker *worker, const struct slot *slot) {
    if (is_binary(slot->connection))
        return tell_untold(worker, slot);
    slot->connection->skip_run = !slot->request.ends_run;
    return true;
}

/* -o read_buf_mem_limit: replies that are not sent yet may take this much memory, and each counts REPLY_COST
 * beside its bytes, as with memcached. Where they would take more, a get line is answered by an error alone;
 * other requests cannot be told apart by their answers, so the connection is closed without any. */
static __attribute__((noinline)) bool has_room_for_reply(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    struct output *output = &worker->output;
    size_t share = worker->server->settings->reply_limit / worker->server->settings->threads;
    if (share == 0)
        return true;
    if (slot->line_key == 0 ||
        worker->line_owner != connection) { /* or what was said of it before has gone */
        worker->line_owner = connection;
        worker->line_output = output_here(output);
        worker->line_replies = worker->replies;
    }
    bool fits = ++worker->replies * REPLY_COST + output->size <= share;
    if (fits || tier_has_answer(connection->ticket)) /* what was done is told */
        return true;
    count(&worker->replies_refused);
    if (!is_in_run(&slot->request) || tier_closes_on_error(&slot->request) ||
        !output_cut(output, &worker->line_output)) {
        connection_set_state(connection, CONNECTION_BROKEN);
        return false;
    }
    worker->replies = worker->line_replies;
    if (leave_untold(slot, BINARY_NO_MEMORY))
        return false;
    answer_no_room(worker, slot, "SERVER_ERROR out of memory writing get response");
    connection->skip_run = !slot->request.ends_run;
    return false;
}

/* The answer to one key. Where the namespace wants that, an error of a read is not told: what was answered before it is
 * sent, and then the connection is closed. */
static inline void answer_key(struct worker *worker, struct connection *connection, struct request *request,
                              struct outcome *outcome) {
    bool failed = outcome->status == OUTCOME_ERROR;
    if (__builtin_expect(failed, false) && tier_closes_on_error(request)) {
        connection_set_state(connection, CONNECTION_CLOSING);
        return;
    }
    if (__builtin_expect(failed, false) &&
        leave_untold(slot_of_request(request), binary_status_of_error(outcome->error_kind)))
        return;
    if (__builtin_expect(is_binary(connection), false))
        write_binary(worker, slot_of_request(request), outcome);
    else
        write_text(worker, connection, request, outcome);
    if (__builtin_expect(failed, false) && !is_binary(connection))
        connection->skip_run = is_in_run(request) && !request->ends_run;
}

static inline void execute_key(struct worker *worker, size_t i, bool observes) {
    struct connection *connection = worker->slots[i].connection;
    struct request *request = &worker->slots[i].request;
    struct outcome outcome;
    struct observed observed;
    if (connection->skip_run && skips(worker, &worker->slots[i])) /* a key before it failed */
        return;
    if (observes && !has_room_for_reply(worker, i))
        return;
    if (observes)
        observe_before(&worker->observer, request, &observed);
    enum tier_status status = tier_execute(worker->tier, connection->ticket, request, &outcome);
    if (status == TIER_PARKED) {
        park(worker, i);
        return;
    }
    if (status == TIER_HELD)
        hold(worker, connection);
    answer_key(worker, connection, request, &outcome);
    if (observes)
        observe_after(&worker->observer, connection->fd, request, &outcome, &observed);
    if (outcome.holds_lock)
        tier_release(&outcome);
}

static void execute_sync(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    struct request *request = &worker->slots[i].request;
    struct outcome outcome = {0};
    uint32_t timeout = worker->server->settings->sync_timeout;
    if (!worker->server->settings->allow_sync) {
        turn_answer_line(worker, connection, "CLIENT_ERROR sync not allowed");
        return;
    }
    if (tier_sync(worker->tier, connection->ticket, request->argument, timeout, &outcome) == TIER_PARKED) {
        park(worker, i);
        return;
    }
    if (outcome.status == OUTCOME_ERROR) {
        turn_answer_line(worker, connection, outcome.error);
        return;
    }
    char line[64];
    snprintf(line, sizeof line, "SYNCED %llu", (unsigned long long)outcome.number);
    turn_answer_line(worker, connection, line);
}

/* ---- Execute, without a key ---- */

/* Keeps what the client sent behind slot i, and leaves the connection to the feed's thread. */
static void begin_feed(struct worker *worker, size_t i, struct feed *feed) {
    struct connection *connection = worker->slots[i].connection;
    bool kept = i + 1 < worker->slot_count && worker->slots[i + 1].connection == connection
                    ? turn_hold_from(worker, i + 1)
                    : connection_keep(connection, connection->region + connection->region_at);
    if (!kept || !feeds_begin(worker->server->feeds, feed, &worker->feeds, connection, connection->fd)) {
        feed_free(feed);
        connection_set_state(connection, CONNECTION_BROKEN);
        return;
    }
    connection->feed = feed;
    connection_set_state(connection, CONNECTION_FED);
}

void turn_end_feed(struct connection *connection, enum feed_end end) {
    connection->feed = NULL;
    connection->closed_by = end == FEED_IS_UNREAD ? CLOSED_IDLE : CLOSED_BY_CLIENT;
    if (end == FEED_IS_UNREAD)
        count(&connection->worker->idle_kicks);
    connection_set_state(connection, end == FEED_IS_TOLD ? CONNECTION_OPEN : CONNECTION_BROKEN);
    connection->resumed = connection->own != NULL;
    connection->readable = true;
    connection_set_ready(connection);
}

/* Sends worker->text, in the words of the connection's protocol. */
static void answer_text(struct worker *worker, const struct slot *slot) {
    struct buffer *text = &worker->text, *packets = &worker->packets;
    struct buffer *answer = is_binary(slot->connection) ? packets : text;
    packets->size = 0;
    if (answer == packets)
        binary_text(packets, &slot->head, &slot->request, slice_of(text->data, text->size));
    if (text->failed || packets->failed || !connection_count_answer(slot->connection, answer->size))
        answer_no_room(worker, slot, "SERVER_ERROR out of memory writing the answer");
    else
        output_append(&worker->output, slot->connection, answer->data, answer->size);
    text->failed = packets->failed = false;
    if (text->capacity > TEXT_KEEP)
        buffer_free(text);
    if (packets->capacity > TEXT_KEEP)
        buffer_free(packets);
}

/* A command that is not about the connection itself: command.c answers it. */
static void run_command(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    const struct request *request = &worker->slots[i].request;
    struct command_place place = {.behind_replies = worker->output.owner == connection || connection->held};
    worker->text.size = 0;
    atomic_store_explicit(&worker->commanding, connection, memory_order_relaxed);
    enum command_result result =
        command_run(worker->server, worker->tier, request, &worker->now, &place, &worker->text);
    atomic_store_explicit(&worker->commanding, NULL, memory_order_relaxed);
    if (result == COMMAND_CLOSE) {
        connection->closed_by = CLOSED_BY_SHUTDOWN;
        connection_set_state(connection, CONNECTION_CLOSING);
    }
    if (result == COMMAND_FEED) {
        begin_feed(worker, i, place.feed);
        return;
    }
    answer_text(worker, &worker->slots[i]);
}

static void execute_quit(struct worker *worker, const struct slot *slot) {
    if (is_binary(slot->connection) && !slot->head.quiet)
        turn_answer_status(worker, slot, BINARY_SUCCESS, NULL);
    slot->connection->closed_by = CLOSED_BY_CLIENT;
    connection_set_state(slot->connection, CONNECTION_CLOSING);
}

static void execute_command(struct worker *worker, size_t i) {
    const struct slot *slot = &worker->slots[i];
    struct connection *connection = slot->connection;
    if (is_binary(connection) && tell_untold(worker, slot))
        return;
    switch (slot->request.command) {
    case COMMAND_BAD:
        if (connection->skip_run && !is_binary(connection)) { /* the rest of a line answered by an error */
            connection->skip_run = false;
            return;
        }
        answer_without_key(worker, slot);
        return;
    case COMMAND_META_NOOP:
        answer_without_key(worker, slot);
        return;
    case COMMAND_QUIT:
        execute_quit(worker, slot);
        return;
    case COMMAND_SASL:
        sasl_execute(worker, i);
        return;
    case COMMAND_SYNC:
        execute_sync(worker, i);
        return;
    default:
        run_command(worker, i);
    }
}

/* Lets those go on whose replies may be sent now. */
static void collect_held(struct worker *worker) {
    struct connection *connection;
    while ((connection = worker->held) && connection->held_number <= tier_released(worker->tier)) {
        worker->held = connection->next_held;
        if (!worker->held)
            worker->held_tail = &worker->held;
        connection->held = false;
        connection->held_number = 0;
        connection_set_ready(connection);
    }
}

/* The number of the hold of this part of the turn; 0: its changes could not be written yet. */
static void date_held(struct worker *worker, uint64_t number) {
    struct connection *next;
    for (struct connection *connection = worker->undated; connection; connection = next) {
        next = connection->next_held;
        connection->held_number = number ? number : UINT64_MAX;
        if (!number)
            continue;
        connection->next_held = NULL;
        *worker->held_tail = connection;
        worker->held_tail = &connection->next_held;
    }
    if (number)
        worker->undated = NULL;
    if (worker->held)
        collect_held(worker); /* it may be over already */
}

/* The stages "journal" and "send". When the journal cannot be written, changes of this turn are not safe from
 * a kill -9, and their replies would promise that they are: the connections are closed without any, except
 * those whose replies are held. */
static void journal_and_send(struct worker *worker) {
    uint64_t hold;
    bool kept = tier_turn_end(worker->tier, &hold);
    date_held(worker, hold);
    if (!kept)
        output_break(&worker->output);
    output_send(&worker->output);
    worker->replies = 0;
    worker->line_owner = NULL;
}

/* Ends one part of the turn and begins the next. */
static void send_output(struct worker *worker) {
    journal_and_send(worker);
    if (!tier_turn_begin(worker->tier, &worker->now))
        return;
    for (size_t i = 0; i < worker->slot_count; i++)
        if (command_has_key(worker->slots[i].request.command))
            tier_prepare(worker->tier, &worker->slots[i].request);
}

static void execute_slot(struct worker *worker, size_t i) {
    struct connection *connection = worker->slots[i].connection;
    const struct request *request = &worker->slots[i].request;
    if (!connection->authenticated && !login_lets(&worker->slots[i]))
        login_execute(worker, i);
    else if (!command_has_key(request->command))
        execute_command(worker, i);
    else if (__builtin_expect(worker->observes, false))
        execute_key(worker, i, true);
    else
        execute_key(worker, i, false);
}

/* By now the bucket that tier_prepare asked for is near: ask for the entry it points to. */
static void prefetch_entry(struct worker *worker, size_t i) {
    struct slot *slot = &worker->slots[i];
    slot->entry = command_has_key(slot->request.command)
                      ? cache_prefetch_entry(worker->cache, slot->request.hash)
                      : NULL;
}

/* The entries of the last requests of a batch, and the values of the first. */
static void prefetch_edges(struct worker *worker) {
    size_t count = worker->slot_count;
    for (size_t i = count > TURN_AHEAD ? count - TURN_AHEAD : 0; i < count; i++)
        prefetch_entry(worker, i);
    for (size_t i = 0; i < count && i < TURN_AHEAD_VALUE; i++)
        cache_prefetch_value(worker->slots[i].entry);
}

static void execute_batch(struct worker *worker) {
    prefetch_edges(worker);
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct connection *connection = worker->slots[i].connection;
        if (i + TURN_AHEAD_VALUE < worker->slot_count)
            cache_prefetch_value(worker->slots[i + TURN_AHEAD_VALUE].entry);
        if (!goes_on(connection))
            continue;
        if (connection->pending || waits_for_disk(connection)) {
            connection->stops |= STOP_DEFERRED;
            connection->resumed = true;
            turn_hold_from(worker, i);
            continue;
        }
        execute_slot(worker, i);
        if (worker->output.size > TURN_OUTPUT)
            send_output(worker);
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
        turn_answer_line(worker, connection, request->error);
    connection_set_state(connection, CONNECTION_CLOSING);
}

/* Notes where the line of a request begins, and which of its keys this is. True if it was answered before. */
static bool note_line(struct connection *connection, struct slot *slot, const char *start, bool continues) {
    if (continues && connection->parser.run.is_open) {
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

/* Its keys are executed before another such line can begin: turn_hold_from goes by parser.run. */
static bool ends_open_line(const struct connection *connection, const struct slot *slot) {
    return slot->line_key == LINE_KEY_OPEN && !connection->parser.in_run;
}

/* -B ascii: a binary client is told so, as soon as it has said which answer it waits for. */
static enum parse_status refuse_binary(struct slot *slot, size_t there, enum parse_status status,
                                       size_t *ret_consumed) {
    if (status == PARSE_MORE && there < BINARY_HEADER)
        return PARSE_MORE;
    request_begin(&slot->request, COMMAND_BAD);
    slot->request.error = "this server speaks memcached's text protocol alone: set the client to it";
    slot->head.status = BINARY_NOT_SUPPORTED;
    slot->head.closes = true;
    *ret_consumed = there;
    return PARSE_OK;
}

/* The first byte of a connection says what it speaks. */
static void choose_protocol(struct worker *worker, struct connection *connection) {
    enum protocols protocols = worker->server->settings->protocols;
    bool is_binary = (uint8_t)connection->region[connection->region_at] == BINARY_REQUEST;
    connection->protocol = is_binary || protocols == PROTOCOLS_BINARY ? PROTOCOL_BINARY : PROTOCOL_TEXT;
    if (is_binary && protocols == PROTOCOLS_ASCII)
        server_log_limited(
            worker->server, LOG_KIND_PROTOCOL, LOG_LEVEL_WARNING,
            "connection %d closed: it speaks memcached's binary protocol, which -B ascii refuses; set the client to the text (ASCII) protocol, or leave -B out",
            connection->fd);
    if (!is_binary && protocols == PROTOCOLS_BINARY)
        server_log_limited(
            worker->server, LOG_KIND_PROTOCOL, LOG_LEVEL_WARNING,
            "connection %d closed: it speaks memcached's text protocol, which -B binary or -S refuses; set the client to the binary protocol, or leave them out",
            connection->fd);
}

static __attribute__((noinline)) enum parse_status parse_binary(struct worker *worker,
                                                                struct connection *connection,
                                                                const char *start, size_t there,
                                                                size_t *ret_consumed, size_t *ret_wanted) {
    struct slot *slot = &worker->slots[worker->slot_count];
    enum parse_status status =
        binary_parse(&connection->parser, start, there, worker->key_buffers[worker->slot_count],
                     &slot->request, &slot->head, ret_consumed, ret_wanted);
    if (worker->server->settings->protocols == PROTOCOLS_ASCII)
        return refuse_binary(slot, there, status, ret_consumed);
    return status;
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
        __builtin_expect(is_binary(connection), false)
            ? parse_binary(worker, connection, start, there, &consumed, &wanted)
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
    if (note_line(connection, slot, start, continues))
        return true;
    slot->connection = connection;
    if (command_has_key(slot->request.command))
        tier_prepare(worker->tier, &slot->request);
    if (worker->slot_count >= TURN_AHEAD)
        prefetch_entry(worker, worker->slot_count - TURN_AHEAD);
    worker->slot_count++;
    if (worker->slot_count == TURN_BATCH || !connection->authenticated || ends_open_line(connection, slot))
        execute_batch(worker);
    return true;
}

/* Up to the end of what was read, or, where -R was given, until the connection had its requests of this turn:
 * the rest waits in its own buffer until the others have been served. True: there is such a rest. */
static bool parse_requests(struct worker *worker, struct connection *connection) {
    const struct settings *settings = worker->server->settings;
    uint64_t requests = 0, limit = settings->limits_requests ? settings->requests_per_event : UINT64_MAX;
    while (goes_on(connection) && connection->region_at < connection->region_size) {
        bool continues = connection->parser.in_run;
        if (!continues && requests == limit)
            return true;
        if (!parse_one(worker, connection))
            break;
        requests += !continues;
    }
    return false;
}

static void parse_region(struct worker *worker, struct connection *connection) {
    uint64_t swallow = connection->parser.swallow;
    bool is_open = connection->parser.in_run;
    connection->wanted = 0;
    if (__builtin_expect(connection->protocol == PROTOCOL_UNKNOWN, false))
        choose_protocol(worker, connection);
    bool yields = parse_requests(worker, connection);
    connection->parser.starved = false;
    if (connection->region_at > swallow && !(is_open && connection->parser.in_run))
        connection_note_active(connection);
    if (connection->region_is_own)
        execute_batch(worker); /* keeping may free the bytes that the batch points into */
    if (!goes_on(connection) || !connection_keep(connection, connection->region + connection->region_at))
        return;
    connection->resumed = yields;
    if (yields)
        count(&worker->yields);
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

static void serve(struct worker *worker, struct connection *connection) {
    if (!sends_all(connection))
        return;
    connection->ahead_is_full = false;
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
    bool begins = connection_is_between_requests(connection);
    if (connection_read(connection))
        parse_region(worker, connection);
    if (begins || connection_moves(connection))
        connection_note_active(connection);
}

/* ---- The turn ---- */

static void collect_tickets(struct worker *worker) {
    struct tier_ticket *ticket;
    while ((ticket = tier_next_ready(worker->tier))) {
        struct connection *connection = tier_ticket_owner(ticket);
        assert(connection_is_parked(connection));
        worker->parked--;
        connection->resumed = true;
        connection_set_parked(connection, false);
        if (connection_state(connection) != CONNECTION_OPEN)
            tier_abandon(ticket);
        connection_set_ready(connection);
    }
}

/* Requests of it that it had to leave for the next turn. */
static bool has_rest(const struct connection *connection) {
    return connection->resumed && !connection->pending && connection_state(connection) == CONNECTION_OPEN;
}

/* Replies that were held while this turn went on, and are held no longer. */
static bool has_unsent(const struct connection *connection) {
    return connection->pending && !connection->sends;
}

static void settle(struct connection *connection) {
    enum connection_state state = connection_state(connection);
    if (connection_is_parked(connection) || connection->held)
        return;
    if (state == CONNECTION_BROKEN || (state == CONNECTION_CLOSING && !connection->pending) ||
        (connection->awaits_check && connection->hung_up))
        connection_close(connection);
    else if (connection->awaits_check)
        return;
    else if (has_rest(connection) || has_unsent(connection) ||
             (connection_is_due(connection) && !connection->worker->stopping))
        connection_set_ready(connection);
}

static void note_duration(struct worker *worker, uint64_t began_us) {
    uint64_t now_us = monotonic_us();
    tier_time_end(worker->tier, now_us);
    histogram_add(&worker->turn_times, now_us - began_us, 1);
}

void turn_run(struct worker *worker) {
    collect_tickets(worker);
    if (worker->held)
        collect_held(worker);
    struct connection *first = worker->ready;
    /* Some wait for a turn that is written to the journal, or the journal does: nobody else may come and make one, where
     * what sends requests here has seen that changes are refused. */
    if (!first && !worker->undated && !tier_has_unwritten(worker->tier))
        return;
    uint64_t began_us = monotonic_us();
    worker->ready = NULL;
    worker->ready_tail = &worker->ready;
    worker->input_used = 0;
    tier_time_begin(worker->tier, began_us);
    worker->observes = observe_turn(&worker->observer) || worker->server->settings->reply_limit > 0;
    tier_turn_begin(worker->tier, &worker->now);
    for (struct connection *connection = first; connection; connection = connection->next_ready)
        serve(worker, connection);
    execute_batch(worker);
    journal_and_send(worker);
    note_duration(worker, began_us);
    while (first) {
        struct connection *next = first->next_ready;
        first->in_ready = false;
        settle(first);
        first = next;
    }
}
