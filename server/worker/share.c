/* SPDX-License-Identifier: MIT */
#include "server/worker/share.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/output.h"
#include <assert.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

/* What is known of a socket's room goes by bytes, of which the kernel keeps more than their size. */
enum { ROOM_DOUBT = 64 << 10 };

/* Bytes that the last pieces, those of this connection, hold. */
static size_t size_of_last(const struct output *output, const struct connection *connection) {
    size_t size = 0;
    for (size_t i = output->piece_count; i > 0 && output->pieces[i - 1].connection == connection; i--) {
        const struct piece *piece = &output->pieces[i - 1];
        bool grows =
            output->owner && i == output->piece_count; /* its size is not known before it is closed */
        size += grows ? output->size - piece->offset : piece->size;
    }
    return size;
}

static size_t share_now(struct worker *worker, size_t said) {
    size_t unsent = counted(&worker->unsent_bytes);
    if (said >= SHARE_TURN)
        return SHARE_LEAST;
    if (unsent < SHARE_UNSENT)
        return SHARE_OUTPUT;
    size_t share = SHARE_OUTPUT / (1 + unsent / SHARE_UNSENT);
    return share > SHARE_LEAST ? share : SHARE_LEAST;
}

void share_set(struct worker *worker, size_t said) {
    assert(output_said(&worker->output) == 0);
    worker->output.share = share_now(worker, said);
    worker->output.mark = SHARE_LOOK;
}

/* What its socket takes now, more or less: the kernel counts what it spends on the bytes as well. */
static int64_t room_of(const struct connection *connection) {
    uint32_t memory[SK_MEMINFO_VARS];
    socklen_t size = sizeof memory;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_MEMINFO, memory, &size) != 0)
        return SHARE_OUTPUT;
    uint32_t tcp = memory[SK_MEMINFO_WMEM_QUEUED], other = memory[SK_MEMINFO_WMEM_ALLOC];
    return (int64_t)memory[SK_MEMINFO_SNDBUF] - (tcp > other ? tcp : other);
}

/* Of a connection to which so much was said in this part of the turn: how much that may be. */
static size_t limit_of(const struct output *output, struct connection *connection, size_t said) {
    bool is_first_look = said < 2 * SHARE_LOOK;
    size_t enough = said + (is_first_look ? output->share + ROOM_DOUBT : (size_t)SHARE_LOOK);
    if (connection->room < (int64_t)enough)
        connection->room = room_of(connection);
    if (connection->room >= (int64_t)output->share)
        return output->share;
    return connection->room > 0 ? (size_t)connection->room : 0;
}

bool share_is_used(struct output *output, struct connection *connection) {
    size_t size = size_of_last(output, connection), left = SHARE_LOOK - size;
    bool is_used = false;
    if (size >= SHARE_LOOK) {
        size_t limit = limit_of(output, connection, size);
        is_used = size >= limit;
        left = is_used || limit - size > SHARE_LOOK ? SHARE_LOOK : limit - size;
    }
    output->mark = output->size + left;
    return is_used;
}

void share_let_wait(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->is_queued)
        return;
    count(&worker->yields);
    connection->behind = true;
    connection_queue_append(&worker->behind, connection);
}

void share_admit(struct worker *worker) {
    struct connection *first;
    for (int i = 0; i < SHARE_BEHIND && (first = connection_queue_pop(&worker->behind)); i++)
        connection_set_ready(first);
}

/* ---- What a turn sends ---- */

bool share_is_sent(const struct worker *worker) {
    return worker->sent >= worker->send_limit;
}

static bool has_large(const struct piece *pieces, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (pieces[i].large)
            return true;
    return false;
}

bool share_keeps_from_sending(struct worker *worker, const struct piece *pieces, size_t count) {
    bool keeps = __builtin_expect(share_is_sent(worker), false) && has_large(pieces, count);
    worker->is_full |= keeps;
    return keeps;
}

void share_let_wait_to_send(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->is_queued)
        return;
    count(&worker->yields);
    connection_queue_append(&worker->to_send, connection);
}
