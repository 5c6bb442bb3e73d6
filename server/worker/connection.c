/* SPDX-License-Identifier: MIT */
/*
 * In: read into the worker's shared input when nothing is left over from before, so that an idle connection
 * owns no buffer; the rest of an unfinished (or parked) request is kept in a buffer of its own. Out: sent at
 * once; what the socket does not take is kept, and nothing more is read before it has gone. Little is read of who
 * is known to send more than is served in a turn: the rest would wait here.
 *
 * Memory: the buffers of unfinished requests of all connections, beyond CONNECTION_OWN of each, are counted
 * (server->request_bytes) and held below a limit. A buffer that may not grow makes its parser starved: the value
 * that is under way is refused, and the connection goes on. What was read already is kept in any case. A long answer
 * to a command (a list, a dump) is counted in the same way (server->answer_bytes) until it has gone.
 *
 * States:
 *
 *     OPEN --quit, shutdown, endless line, client's end--> CLOSING    closed after the last reply
 *     OPEN --begin_feed (watch, dumps)--> FED                         the feeds' thread has the socket
 *     FED  --talk_end_feed--> OPEN, or BROKEN when the client has left
 *     any  --the socket failed, no memory, connection_end--> BROKEN   closed at the end of the turn
 *
 * Two flags stop a connection for a while, whatever its state. It is not closed before both are down, unless
 * the worker stops:
 *
 *     parked    from tier_submit until tier_next_ready returns its ticket
 *     held      its replies wait for the disk, its requests for the replies
 *
 * A third stops it while it is OPEN and its client is there: `awaits_check`, until its credential is checked.
 *
 * Before a client has authenticated, its own buffer has room for one credential, AUTH_KEEP bytes; no request that is
 * longer is waited for (AUTH_ITEM_MAX, parser.short_lines, and the parser is starved where the buffer is full).
 */
#include "server/worker/connection.h"
#include "policies/tier.h"
#include "server/admin/feed.h"
#include "server/admin/observe.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/worker/auth.h"
#include "server/worker/internal.h"
#include "server/worker/login.h"
#include "server/worker/tls.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What could not be sent at once: owned bytes and held values, in order. */
struct pending {
    struct pending *next;
    struct cache_large *large;
    const char *data; /* large: into it; else: bytes */
    size_t size, sent;
    char bytes[];
};

/* The plain system call: see receive_now in io/epoll.c. */
static ssize_t send_now(int fd, const void *data, size_t size) {
#ifdef SYS_sendto
    return syscall(SYS_sendto, fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
#else
    return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
#endif
}

/* What one costs that has not authenticated: itself, the buffer, what io_uring brought last, replies that it does not
 * read, and what malloc takes for each of them. Its proof is the prover's, which has few. */
_Static_assert(sizeof(struct connection) + AUTH_KEEP + AUTH_READ + sizeof(struct pending) + AUTH_ANSWERS +
                       4 * 16 <=
                   AUTH_COST,
               "a stranger costs what the documents say");

/* ---- The own buffer ---- */

/* What a buffer of that size counts. */
static size_t counted_size(size_t capacity) {
    return capacity > CONNECTION_OWN ? capacity - CONNECTION_OWN : 0;
}

/* The buffer is to have that capacity. must: it is counted, but not refused. */
static bool own_count(struct connection *connection, size_t capacity, bool must) {
    struct server *server = connection->worker->server;
    size_t more = counted_size(capacity) - counted_size(connection->own_capacity);
    if (more == 0)
        return true;
    size_t before = atomic_fetch_add_explicit(&server->request_bytes, more, memory_order_relaxed);
    if (must || before + more <= settings_request_memory(server->settings))
        return true;
    atomic_fetch_sub_explicit(&server->request_bytes, more, memory_order_relaxed);
    return false;
}

/* Of that capacity, which was counted, only `less` is there. */
static void own_uncount(struct connection *connection, size_t capacity, size_t less) {
    size_t bytes = counted_size(capacity) - counted_size(less);
    if (bytes > 0)
        atomic_fetch_sub_explicit(&connection->worker->server->request_bytes, bytes, memory_order_relaxed);
}

/* Twice as much as before, but not more than the awaited request and one read behind it take. */
static size_t grown_capacity(const struct connection *connection, size_t need) {
    if (!connection->authenticated)
        return need <= AUTH_READ ? AUTH_READ : AUTH_KEEP;
    size_t capacity =
        connection->own_capacity > CONNECTION_LITTLE ? connection->own_capacity : (size_t)CONNECTION_LITTLE;
    size_t end = connection->wanted + CONNECTION_READ;
    while (capacity < need)
        capacity *= 2;
    return end >= need && end < capacity && end > CONNECTION_OWN ? end : capacity;
}

static bool own_resize(struct connection *connection, size_t capacity, bool must) {
    if (!own_count(connection, capacity, must))
        return false;
    char *own = realloc(connection->own, capacity);
    if (!own) {
        own_uncount(connection, capacity, connection->own_capacity);
        return false;
    }
    connection->own = own;
    connection->own_capacity = capacity;
    return true;
}

/* False: not so far; but what every connection may have is there. */
static bool own_grow(struct connection *connection, size_t need, bool must) {
    if (own_resize(connection, grown_capacity(connection, need), must))
        return true;
    if (connection->authenticated && connection->own_capacity < CONNECTION_OWN)
        own_resize(connection, CONNECTION_OWN, false);
    return false;
}

static size_t own_room(const struct connection *connection) {
    return connection->own_capacity - connection->own_start - connection->own_size;
}

/* Makes that room behind its bytes. False: it may not grow so far; what room there is is behind the bytes. */
static bool own_reserve(struct connection *connection, size_t more, bool must) {
    if (own_room(connection) >= more)
        return true;
    if (connection->own_start) {
        memmove(connection->own, connection->own + connection->own_start, connection->own_size);
        connection->own_start = 0;
    }
    return own_room(connection) >= more || own_grow(connection, connection->own_size + more, must);
}

static char *own_end(const struct connection *connection) {
    return connection->own + connection->own_start + connection->own_size;
}

static void own_free(struct connection *connection) {
    own_uncount(connection, connection->own_capacity, 0);
    free(connection->own);
    connection->own = NULL;
    connection->own_start = connection->own_size = connection->own_capacity = 0;
}

/* ---- Readiness ---- */

void connection_set_sends(struct connection *connection, bool sends) {
    if (connection->sends == sends)
        return;
    connection->sends = sends;
    connection->writable = false;
    if (!connection->worker->io_type->watch_room(connection, sends))
        connection_set_state(connection, CONNECTION_BROKEN);
}

bool connection_is_due(const struct connection *connection) {
    if (connection->sends)
        return connection->writable || connection_reads_ahead(connection);
    return connection->readable && connection_state(connection) == CONNECTION_OPEN;
}

enum connection_state connection_state(const struct connection *connection) {
    return atomic_load_explicit(&connection->state, memory_order_relaxed);
}

void connection_set_state(struct connection *connection, enum connection_state state) {
    atomic_store_explicit(&connection->state, state, memory_order_relaxed);
    connection->stops =
        (uint8_t)((connection->stops & ~STOP_STATE) | (state == CONNECTION_OPEN ? 0 : STOP_STATE));
}

bool connection_is_parked(const struct connection *connection) {
    return atomic_load_explicit(&connection->parked, memory_order_relaxed);
}

void connection_set_parked(struct connection *connection, bool parked) {
    atomic_store_explicit(&connection->parked, parked, memory_order_relaxed);
    connection->stops = (uint8_t)((connection->stops & ~STOP_PARKED) | (parked ? STOP_PARKED : 0));
}

void connection_set_awaits_check(struct connection *connection, bool awaits_check) {
    if (connection->awaits_check == awaits_check)
        return;
    connection->awaits_check = awaits_check;
    if (awaits_check)
        connection->worker->awaiting_check++;
    else
        connection->worker->awaiting_check--;
    connection->stops =
        (uint8_t)((connection->stops & ~STOP_AWAITS_CHECK) | (awaits_check ? STOP_AWAITS_CHECK : 0));
}

void connection_set_ready(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->in_ready)
        return;
    connection->in_ready = true;
    connection->next_ready = NULL;
    *worker->ready_tail = connection;
    worker->ready_tail = &connection->next_ready;
}

/* Beside each other: what is encrypted has no other way in. */
static bool enter_io(struct connection *connection, enum address_tls tls) {
    if (tls != ADDRESS_TLS_OFF && !tls_enter(connection, tls))
        return false;
    if (connection->worker->io_type->enter(connection))
        return true;
    if (connection->tls)
        tls_leave(connection);
    return false;
}

static void enter_list(struct connection *connection) {
    struct worker *worker = connection->worker;
    pthread_mutex_lock(&worker->list_lock);
    connection->next = worker->connections;
    if (connection->next)
        connection->next->previous = connection;
    worker->connections = connection;
    pthread_mutex_unlock(&worker->list_lock);
}

static void leave_list(struct connection *connection) {
    struct worker *worker = connection->worker;
    pthread_mutex_lock(&worker->list_lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        worker->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&worker->list_lock);
}

struct connection *connection_open(struct worker *worker, int fd, enum address_tls tls) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->worker = worker;
    connection->fresh = true;
    connection->pending_tail = &connection->pending;
    atomic_store_explicit(&connection->last_active, worker->second, memory_order_relaxed);
    bool auth = login_is_asked_for(worker->server);
    connection->authenticated = !auth;
    connection->guarded = auth;
    connection->opened = worker->second;
    parser_init(&connection->parser, auth ? AUTH_ITEM_MAX : worker->server->settings->item_max);
    connection->parser.short_lines = auth;
    connection->ticket = worker->ticket;
    connection->fd = fd;
    if (!enter_io(connection, tls)) {
        free(connection);
        return NULL;
    }
    enter_list(connection);
    worker->strangers += auth;
    observe_connection(worker->server, fd, NULL);
    return connection;
}

static void uncount_answer(struct connection *connection, size_t size) {
    if (__builtin_expect(size == 0, true))
        return;
    atomic_fetch_sub_explicit(&connection->worker->server->answer_bytes, size, memory_order_relaxed);
    connection->counted_answer -= size;
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

/* What is queued of it may still be waiting to be sent. It is not served again, whatever is told of it now. */
static void flush_before_end(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (!worker->io_type->flush)
        return;
    connection->in_ready = true;
    worker->io_type->flush(worker->io);
    connection->in_ready = false;
}

void connection_close(struct connection *connection) {
    struct worker *worker = connection->worker;
    assert(!connection_is_parked(connection) && !connection->in_ready);
    static const char *const reasons[] = {"error", "normal", "idle_timeout", "shutdown"};
    flush_before_end(connection);
    if (connection->feed)
        feeds_abandon(worker->server->feeds, connection->feed);
    observe_connection(worker->server, connection->fd, reasons[connection->closed_by]);
    leave_list(connection);
    connection_set_awaits_check(connection, false);
    worker->strangers -= !connection->authenticated;
    login_drop_proof(connection);
    atomic_fetch_sub_explicit(&worker->server->connections, 1, memory_order_relaxed);
    connection_drop_pending(connection);
    if (connection->ticket != worker->ticket)
        tier_ticket_destroy(connection->ticket);
    own_free(connection);
    if (connection->tls)
        tls_leave(connection);
    worker->io_type->leave(connection);
}

void connection_end(struct connection *connection, enum close_reason reason) {
    connection->closed_by = reason;
    if (connection->in_ready || connection->held)
        connection_set_state(connection, CONNECTION_BROKEN);
    else
        connection_close(connection);
}

/* ---- In ---- */

static void note_kept(struct connection *connection) {
    bool awaits_value = connection->own && connection->wanted > connection->own_size;
    if (atomic_load_explicit(&connection->awaits_value, memory_order_relaxed) != awaits_value)
        atomic_store_explicit(&connection->awaits_value, awaits_value, memory_order_relaxed);
}

/* ---- Signs of life ---- */

void connection_note_active(struct connection *connection) {
    connection->moved = 0;
    connection->fresh = false;
    atomic_store_explicit(&connection->last_active, connection->worker->second, memory_order_relaxed);
}

bool connection_is_between_requests(const struct connection *connection) {
    return !connection->own && !connection->parser.swallow && !connection->parser.in_run;
}

bool connection_moves(const struct connection *connection) {
    unsigned timeout = connection->worker->server->settings->idle_timeout;
    return connection->moved >= (size_t)CONNECTION_RATE * (timeout ? timeout : CONNECTION_PATIENCE);
}

static void set_region(struct connection *connection, const char *data, size_t size, bool is_own) {
    connection->region = data;
    connection->region_is_own = is_own;
    connection->region_size = size;
    connection->region_at = 0;
}

/* Before a client has authenticated: never more is kept than a credential needs. */
static size_t auth_read_size(const struct connection *connection) {
    assert(connection->own_size <= AUTH_KEEP);
    size_t room = AUTH_KEEP - connection->own_size;
    return room < AUTH_READ ? room : AUTH_READ;
}

/* How much to ask the socket for: up to the end of the value that is awaited, growing with what really came.
 */
static size_t read_size(const struct connection *connection) {
    if (!connection->authenticated)
        return auth_read_size(connection);
    size_t missing =
        connection->wanted > connection->own_size ? connection->wanted - connection->own_size : 0;
    size_t trusted = connection->own_size > CONNECTION_READ ? connection->own_size : CONNECTION_READ;
    size_t least = connection_read_usual(connection);
    if (missing > trusted)
        return trusted;
    return missing > least ? missing : least;
}

/* Of `size` bytes that were asked for. */
static bool received(struct connection *connection, ssize_t got, size_t size) {
    if (got > 0) {
        if ((size_t)got < size)
            connection->sends_ahead = false;
        count_add(&connection->worker->bytes_read, (uint64_t)got);
        connection->moved += (size_t)got;
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (got == 0)
        connection->closed_by = CLOSED_BY_CLIENT;
    connection_set_state(connection, got == 0 ? CONNECTION_CLOSING : CONNECTION_BROKEN);
    return false;
}

static bool read_shared(struct connection *connection) {
    struct worker *worker = connection->worker;
    const char *at;
    size_t size = connection_read_usual(connection);
    ssize_t got = __builtin_expect(connection->tls != NULL, false)
                      ? tls_take(connection, size, &at)
                      : worker->io_type->take(connection, size, &at);
    if (!received(connection, got, size))
        return false;
    set_region(connection, at, (size_t)got, false);
    return true;
}

/* Behind what it has in its own buffer, which then is not counted yet. */
static ssize_t ask_for_own(struct connection *connection, size_t size) {
    return connection->tls ? tls_receive(connection, own_end(connection), size)
                           : connection->worker->io_type->receive(connection, own_end(connection), size);
}

static bool take_own(struct connection *connection, ssize_t got, size_t size) {
    if (!received(connection, got, size))
        return false;
    connection->own_size += (size_t)got;
    return true;
}

static bool read_own(struct connection *connection) {
    size_t size = read_size(connection);
    if (!own_reserve(connection, size, false) && own_room(connection) < size)
        size = own_room(connection);
    connection->parser.starved = size == 0;
    if (size == 0)
        count(&connection->worker->requests_starved);
    return size == 0 || take_own(connection, ask_for_own(connection, size), size);
}

bool connection_read(struct connection *connection) {
    bool kept_whole = connection->resumed; /* requests wait in the own buffer: the socket comes later */
    connection->resumed = false;
    if (!connection->own)
        return !kept_whole && read_shared(connection);
    if (!kept_whole && !read_own(connection))
        return false;
    if (connection->own_size < connection->wanted && !connection->parser.starved)
        return false; /* the value is still on its way: parsing again would find that out the slow way */
    set_region(connection, connection->own + connection->own_start, connection->own_size, true);
    return true;
}

bool connection_could_read_ahead(const struct connection *connection) {
    bool is_open =
        connection->parser.in_run && connection->parser.run.left == 0; /* of others, all has come */
    return is_open && !connection->ahead_is_full && !(connection->stops & ~STOP_DEFERRED);
}

bool connection_reads_ahead(const struct connection *connection) {
    return connection->readable && connection_could_read_ahead(connection);
}

/* What came before an end is answered before the end is taken notice of, by a read that is not ahead. */
void connection_read_ahead(struct connection *connection) {
    size_t most = settings_request_memory(connection->worker->server->settings) / 2;
    size_t more = connection->own_size / 2 > CONNECTION_READ ? connection->own_size / 2 : CONNECTION_READ;
    if (own_room(connection) < CONNECTION_READ &&
        (connection->own_size + more > most || !own_reserve(connection, more, false))) {
        connection->ahead_is_full = true;
        return;
    }
    size_t size = own_room(connection);
    ssize_t got = ask_for_own(connection, size);
    if (got == 0)
        connection->readable = connection->ahead_is_full = true;
    else if (take_own(connection, got, size))
        connection->resumed = true;
}

bool connection_keep(struct connection *connection, const char *from) {
    const char *end = connection->region + connection->region_size;
    size_t left = (size_t)(end - from);
    if (connection->region_is_own) {
        connection->own_start = (size_t)(from - connection->own);
        connection->own_size = left;
        if (left == 0)
            own_free(connection);
        note_kept(connection);
        return true;
    }
    if (connection->own)
        own_free(connection);
    if (left == 0)
        return true;
    if (!own_reserve(connection, left, true)) {
        server_log_limited(connection->worker->server, LOG_KIND_REQUEST_MEMORY, LOG_LEVEL_WARNING,
                           "connection %d closed: no memory for %zu bytes of a request", connection->fd,
                           left);
        connection_set_state(connection, CONNECTION_BROKEN);
        return false;
    }
    memcpy(connection->own, from, left);
    connection->own_size = left;
    note_kept(connection);
    return true;
}

/* ---- Out ---- */

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

static void note_sent(struct connection *connection, size_t sent) {
    count_add(&connection->worker->bytes_written, sent);
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
    else if (!connection->held && !connection->pending)
        sent = send_pieces(connection, base, pieces, count);
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
    else if (!connection->held) {
        connection->room = 0;
        connection_set_sends(connection, true);
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

bool connection_send_pending(struct connection *connection) {
    while (connection->pending) {
        struct pending *first = connection->pending;
        struct piece rest = {.offset = first->sent, .size = first->size - first->sent};
        ssize_t sent = send_pieces(connection, first->data, &rest, 1);
        if (sent < 0) {
            connection_set_state(connection, CONNECTION_BROKEN);
            return false;
        }
        note_sent(connection, (size_t)sent);
        first->sent += (size_t)sent;
        count_add(&connection->worker->unsent_bytes, -(uint64_t)sent);
        if (first->sent < first->size) {
            connection->room = 0;
            connection_set_sends(connection, true);
            connection->writable = sent > 0; /* once it takes nothing, an edge tells when it does */
            return false;
        }
        drop_first(connection);
    }
    uncount_answer(connection, connection->counted_answer);
    connection_set_sends(connection, false);
    return true;
}
