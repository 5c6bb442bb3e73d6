/* SPDX-License-Identifier: MIT */
/*
 * A worker's turn: everything that became ready while the loop slept, served in stages.
 *
 *     read       each ready connection once, into one buffer (turn_read.c, as what follows)
 *     parse      all that is complete, up to TURN_BATCH requests; each is hashed and its bucket prefetched
 *     execute    the batch in order; replies go into one buffer (turn_execute.c, output.c)
 *     journal    tier_turn_end: once (turn_send.c, as what follows)
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
 * had its share of the turn (share.h): they wait until others were served. Where a turn has sent much, large values
 * wait to be sent, which are kept in the same way as what a socket does not take.
 *
 * Invariant: slices of the batch point into the worker's input or into a connection's own buffer; neither
 * moves before the batch was executed.
 */
#include "server/worker/turn.h"
#include "server/admin/observe.h"
#include "server/config/settings.h"
#include "server/worker/connection.h"
#include "server/worker/held.h"
#include "server/worker/internal.h"
#include "server/worker/parked.h"
#include "server/worker/share.h"
#include "server/worker/tls.h"
#include "server/worker/turn_execute.h"
#include "server/worker/turn_read.h"
#include "server/worker/turn_send.h"

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
    if (connection->waits_to_send && !connection->held) {
        share_let_wait_to_send(connection);
        return;
    }
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
        next = connection->next_queued;
        if (is_over(connection)) {
            connection->next_queued = ended;
            ended = connection;
            continue;
        }
        connection->is_queued = false;
        settle(connection);
    }
    for (struct connection *connection = ended; connection; connection = next) {
        next = connection->next_queued;
        connection->is_queued = false;
        connection_close(connection);
    }
}

static void note_duration(struct worker *worker, uint64_t began_us) {
    uint64_t now_us = monotonic_us();
    tier_time_end(worker->tier, now_us);
    histogram_add(&worker->turn_times, now_us - began_us, 1);
}

static void begin(struct worker *worker, uint64_t began_us) {
    worker->input_used = worker->said = worker->sent = worker->executed = 0;
    worker->send_limit = worker->to_send.first ? SHARE_TURN - SHARE_TO_SEND : SHARE_TURN;
    worker->is_full = false;
    share_set(worker, 0);
    tier_time_begin(worker->tier, began_us);
    worker->observes = observe_turn(&worker->observer) || worker->server->settings->reply_limit > 0;
    tier_turn_begin(worker->tier, &worker->now);
}

/* Whatever the turn has sent before; and what the others may be sent of it stays the same. */
static void serve_those_to_send(struct worker *worker, struct connection_queue *served) {
    size_t sent = worker->sent, limit = worker->send_limit;
    struct connection *connection;
    worker->send_limit = sent + SHARE_TO_SEND;
    worker->unserved = 1;
    while (!share_is_sent(worker) && (connection = connection_queue_pop(&worker->to_send))) {
        connection_queue_append(served, connection);
        turn_serve(worker, connection);
    }
    worker->send_limit = limit + worker->sent - sent;
}

void turn_run(struct worker *worker) {
    struct connection_queue served;
    parked_collect(worker);
    if (worker->held)
        held_collect(worker);
    share_admit(worker);
    connection_queue_move(&worker->ready, &served);
    /* Some wait for a turn that is written to the journal, or the journal does: nobody else may come and make one,
     * where what sends requests here has seen that changes are refused. */
    if (!served.first && !worker->to_send.first && !worker->undated && !tier_has_unwritten(worker->tier))
        return;
    uint64_t began_us = monotonic_us();
    begin(worker, began_us);
    worker->unserved = served.count;
    for (struct connection *connection = served.first; connection; connection = connection->next_queued) {
        turn_serve(worker, connection);
        worker->unserved--;
    }
    if (worker->to_send.first)
        serve_those_to_send(worker, &served);
    turn_execute_batch(worker);
    turn_journal_and_send(worker, true);
    count_add(&worker->full_turns, worker->is_full);
    note_duration(worker, began_us);
    settle_all(served.first);
}
