/* SPDX-License-Identifier: MIT */
/* See connection_send.h. */
#include "server/worker/connection_send.h"
#include "server/config/settings.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/share.h"
#include "server/worker/tls.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PENDING_PIECES = 8 }; /* of one send: a large value with what is before and behind it, twice */

/* What could not be sent at once: owned bytes and held values, in order. */
struct pending {
    struct pending *next;
    struct cache_large *large;
    const char *data; /* large: into it; else: bytes */
    size_t size, sent;
    char bytes[];
};

/* What one costs that has not authenticated: itself, the buffer, what io_uring brought last, replies that it does not
 * read, and what malloc takes for each of them. Its proof is the prover's, which has few. */
_Static_assert(sizeof(struct connection) + AUTH_KEEP + AUTH_READ + sizeof(struct pending) + AUTH_ANSWERS +
                       4 * 16 <=
                   AUTH_COST,
               "a stranger costs what the documents say");

/* ---- Answers that are counted ---- */

static void uncount_answer(struct connection *connection, size_t size) {
    if (__builtin_expect(size == 0, true))
        return;
    atomic_fetch_sub_explicit(&connection->worker->server->answer_bytes, size, memory_order_relaxed);
    connection->counted_answer -= size;
}

bool connection_count_answer(struct connection *connection, size_t size) {
    struct server *server = connection->worker->server;
    if (size <= CONNECTION_ANSWER)
        return true;
    size_t others = atomic_fetch_add_explicit(&server->answer_bytes, size, memory_order_relaxed);
    connection->counted_answer += size;
    if (others == 0 || others + size <= settings_request_memory(server->settings))
        return true;
    uncount_answer(connection, size);
    return false;
}

/* ---- What is kept ---- */

static void keep_piece(struct connection *connection, const char *data, size_t size,
                       struct cache_large *large) {
    struct pending *pending = malloc(sizeof *pending + (large ? 0 : size));
    if (!pending) {
        if (large)
            cache_large_drop(large);
        connection_set_state(connection, CONNECTION_BROKEN);
        return;
    }
    *pending = (struct pending){.large = large, .size = size};
    if (!large)
        memcpy(pending->bytes, data, size);
    pending->data = large ? data : pending->bytes;
    if (!connection->pending)
        count(&connection->worker->slow_readers);
    count_add(&connection->worker->unsent_bytes, size);
    *connection->pending_tail = pending;
    connection->pending_tail = &pending->next;
}

/* The first of what is pending has gone, or will not. */
static void drop_first(struct connection *connection) {
    struct pending *first = connection->pending;
    count_add(&connection->worker->unsent_bytes, -(uint64_t)(first->size - first->sent));
    connection->pending = first->next;
    if (first->large)
        cache_large_drop(first->large);
    free(first);
    if (connection->pending)
        return;
    connection->pending_tail = &connection->pending;
    count_add(&connection->worker->slow_readers, -(uint64_t)1);
}

void connection_drop_pending(struct connection *connection) {
    uncount_answer(connection, connection->counted_answer);
    while (connection->pending)
        drop_first(connection);
}

/* ---- Sending ---- */

/* The socket is watched for room, or no longer. */
static void set_sends(struct connection *connection, bool sends) {
    if (connection->sends == sends)
        return;
    connection->sends = sends;
    connection->writable = false;
    if (!connection->worker->io_type->watch_room(connection, sends))
        connection_set_state(connection, CONNECTION_BROKEN);
}

/* The plain system call: see receive_now in io/epoll.c. */
static ssize_t send_now(int fd, const void *data, size_t size) {
#ifdef SYS_sendto
    return syscall(SYS_sendto, fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
#else
    return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
#endif
}

ssize_t connection_send_some(struct connection *connection, const char *data, size_t size) {
    return connection->tls ? tls_send(connection, data, size) : send_now(connection->fd, data, size);
}

/* Apart, as the message would make the frame of every send large. */
static __attribute__((noinline)) ssize_t send_several(struct connection *connection, const char *base,
                                                      const struct piece *pieces, size_t count) {
    struct piece_message message;
    return sendmsg(connection->fd, piece_message(&message, base, pieces, count), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns the bytes taken, or -1 when the socket is broken. */
static ssize_t send_pieces(struct connection *connection, const char *base, const struct piece *pieces,
                           size_t count) {
    if (__builtin_expect(connection->tls != NULL, false))
        return tls_send_pieces(connection, base, pieces, count);
    ssize_t sent = count == 1 ? send_now(connection->fd, piece_data(pieces, base), pieces->size)
                              : send_several(connection, base, pieces, count);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

static void note_sent(struct connection *connection, size_t sent) {
    count_add(&connection->worker->bytes_written, sent);
    connection->worker->sent += sent;
    connection->moved += sent;
    connection->room -= (int64_t)sent;
}

bool connection_sends_freely(const struct connection *connection) {
    return connection_state(connection) == CONNECTION_OPEN && !connection->held && !connection->pending &&
           !connection->tls;
}

void connection_send(struct connection *connection, const char *base, struct piece *pieces, size_t count) {
    ssize_t sent = 0;
    if (connection_state(connection) == CONNECTION_BROKEN)
        sent = -1;
    else if (!connection->held && !connection->pending) {
        connection->waits_to_send = share_keeps_from_sending(connection->worker, pieces, count);
        if (!connection->waits_to_send)
            sent = send_pieces(connection, base, pieces, count);
    }
    connection_sent(connection, base, pieces, count, sent);
}

/* Whatever did not go whole, or was more than one piece of bytes. */
static __attribute__((noinline)) void account_for(struct connection *connection, const char *base,
                                                  struct piece *pieces, size_t count, ssize_t sent) {
    bool broken = sent < 0;
    size_t offset = broken ? 0 : (size_t)sent, i = 0;
    note_sent(connection, offset);
    while (i < count && offset >= pieces[i].size) {
        offset -= pieces[i].size;
        if (pieces[i].large)
            cache_large_drop(pieces[i].large);
        i++;
    }
    if (broken)
        connection_set_state(connection, CONNECTION_BROKEN);
    for (; i < count; i++, offset = 0) { /* a short send, or more pieces than one call takes */
        const char *data = piece_data(&pieces[i], base) + offset;
        if (!broken)
            keep_piece(connection, data, pieces[i].size - offset, pieces[i].large);
        else if (pieces[i].large)
            cache_large_drop(pieces[i].large);
    }
    if (!connection->pending)
        uncount_answer(connection, connection->counted_answer);
    else if (!connection->held && !connection->waits_to_send) {
        connection->room = 0;
        set_sends(connection, true);
    }
}

void connection_sent(struct connection *connection, const char *base, struct piece *pieces, size_t count,
                     ssize_t sent) {
    bool is_whole = count == 1 && sent == (ssize_t)pieces->size && !pieces->large;
    if (__builtin_expect(!is_whole || connection->pending, false)) {
        account_for(connection, base, pieces, count, sent);
        return;
    }
    note_sent(connection, (size_t)sent);
    uncount_answer(connection, connection->counted_answer);
}

bool connection_has_much_to_send(const struct connection *connection) {
    size_t size = 0;
    for (const struct pending *one = connection->pending; one && size <= SHARE_LEAST; one = one->next)
        size += one->size - one->sent;
    return size > SHARE_LEAST;
}

/* The first of what is pending, as one send takes it. Returns how many they are. */
static size_t pieces_of_pending(const struct connection *connection, struct piece *pieces) {
    size_t count = 0;
    for (const struct pending *one = connection->pending; one && count < PENDING_PIECES; one = one->next)
        pieces[count++] = (struct piece){.data = one->data + one->sent, .size = one->size - one->sent};
    return count;
}

/* So many bytes of what is pending have gone. True: all of these pieces. */
static bool note_pending_sent(struct connection *connection, size_t count, size_t sent) {
    note_sent(connection, sent);
    count_add(&connection->worker->unsent_bytes, -(uint64_t)sent);
    for (; count > 0; count--) {
        struct pending *first = connection->pending;
        size_t part = first->size - first->sent < sent ? first->size - first->sent : sent;
        first->sent += part;
        sent -= part;
        if (first->sent < first->size)
            return false;
        drop_first(connection);
    }
    return true;
}

bool connection_send_pending(struct connection *connection) {
    struct piece pieces[PENDING_PIECES];
    while (connection->pending) {
        size_t count = pieces_of_pending(connection, pieces);
        ssize_t sent = send_pieces(connection, NULL, pieces, count);
        if (sent < 0) {
            connection_set_state(connection, CONNECTION_BROKEN);
            return false;
        }
        if (!note_pending_sent(connection, count, (size_t)sent)) {
            connection->room = 0;
            set_sends(connection, true);
            connection->writable = sent > 0; /* once it takes nothing, an edge tells when it does */
            return false;
        }
    }
    uncount_answer(connection, connection->counted_answer);
    set_sends(connection, false);
    return true;
}
