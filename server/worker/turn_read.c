/* SPDX-License-Identifier: MIT */
/* See turn_read.h. */
#include "server/worker/turn_read.h"
#include "server/worker/answer.h"
#include "server/worker/connection.h"
#include "server/worker/connection_read.h"
#include "server/worker/connection_send.h"
#include "server/worker/internal.h"
#include "server/worker/protocol.h"
#include "server/worker/share.h"
#include "server/worker/turn_execute.h"

static void refuse_protocol(struct worker *worker, struct connection *connection,
                            const struct request *request) {
    turn_execute_batch(worker); /* what came before is answered before */
    if (!turn_goes_on(connection))
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
        turn_prefetch_entry(worker, worker->slot_count - TURN_AHEAD);
    worker->slot_count++;
    /* The keys of an open line are executed before another one can begin: turn_hold_from goes by parser.run. */
    bool ends_open = continues_open && !connection->parser.in_run;
    if (worker->slot_count == TURN_BATCH || !connection->authenticated || ends_open)
        turn_execute_batch(worker);
    return true;
}

/* What a connection may still have of this turn. */
struct portion {
    int64_t keys;         /* below zero: some that were answered before */
    int64_t requests;     /* counted at their ends; of no account unless */
    bool counts_requests; /* there are fewer than keys: with -R, or before it has authenticated */
    bool is_whole;        /* as much as a turn takes of one, not less because of others */
};

static struct portion portion_of(const struct worker *worker, const struct connection *connection) {
    int64_t requests = worker->most_requests;
    if (__builtin_expect(!connection->authenticated, false) && requests > AUTH_REQUESTS)
        requests = AUTH_REQUESTS;
    int64_t keys = share_keys(worker->executed, worker->unserved);
    return (struct portion){keys, requests, requests < keys, keys == SHARE_KEYS};
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
    while (turn_goes_on(connection) && connection->region_at < connection->region_size) {
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
        turn_execute_batch(worker); /* keeping may free the bytes that the batch points into */
    if ((connection->stops & ~STOP_SHARE) ||
        !connection_keep(connection, connection->region + connection->region_at))
        return moves;
    connection->resumed = connection->behind = yields;
    bool has_less = portion->keys <= 0 && !portion->is_whole; /* it is others who ask for much */
    worker->is_full |= yields && has_less;
    connection->sends_ahead |= yields && !has_less;
    if (yields && connection->parser.in_run)
        parser_open_run(&connection->parser);
    return moves;
}

/* Whether its replies have gone, so that it may go on. */
static bool sends_all(struct worker *worker, struct connection *connection) {
    if (connection->held)
        return false;
    if (!connection->pending)
        return true;
    connection->waits_to_send = share_is_sent(worker) && connection_has_much_to_send(connection);
    if (connection->waits_to_send) {
        worker->is_full = true;
        return false;
    }
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
    turn_execute_batch(worker);
    return turn_goes_on(connection) && !connection->resumed;
}

void turn_serve(struct worker *worker, struct connection *connection) {
    bool was_slow = connection->pending != NULL;
    if (!sends_all(worker, connection))
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
        turn_execute_batch(worker);
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
