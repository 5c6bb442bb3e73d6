/* SPDX-License-Identifier: MIT */
/*
 * The worker's thread, loop and timers. What it does in a turn is in turn.c.
 *
 * A worker waits (io.h) for its connections and for a descriptor by which other threads wake it (worker_hand,
 * worker_wake, worker_stop). The libev loop of the worker runs its timers, once a second.
 */
#include "server/worker/worker.h"
#include "cache/base/clock.h"
#include "cache/base/thread.h"
#include "server/admin/feed.h"
#include "server/config/settings.h"
#include "server/worker/auth/guard.h"
#include "server/worker/auth/login.h"
#include "server/worker/connection.h"
#include "server/worker/connection_send.h"
#include "server/worker/internal.h"
#include "server/worker/share.h"
#include "server/worker/talk.h"
#include "server/worker/tls.h"
#include "server/worker/turn.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* To answer parked requests; to send; for the first request of a connection, from its beginning on. */
enum { STOP_SECONDS = 5, STOP_SEND_SECONDS = 1, STOP_FRESH_SECONDS = 1 };

static void take_handed(struct worker *worker) {
    pthread_mutex_lock(&worker->hand_lock);
    struct accepted *handed = worker->handed;
    size_t count = worker->handed_count;
    worker->handed = NULL;
    worker->handed_count = worker->handed_capacity = 0;
    pthread_mutex_unlock(&worker->hand_lock);
    for (size_t i = 0; i < count; i++) {
        if (connection_open(worker, &handed[i]))
            continue;
        close(handed[i].fd);
        atomic_fetch_sub_explicit(&worker->server->connections, 1, memory_order_relaxed);
    }
    free(handed);
}

static bool has_pending(const struct worker *worker) {
    for (const struct connection *connection = worker->connections; connection; connection = connection->next)
        if (connection->pending)
            return true;
    return false;
}

/* A client that connected just before the stop may be about to ask: closed on it, it would take the server for
 * broken. */
static bool has_newcomers(const struct worker *worker) {
    for (const struct connection *connection = worker->connections; connection; connection = connection->next)
        if (connection->fresh &&
            worker->second - atomic_load_explicit(&connection->last_active, memory_order_relaxed) <=
                STOP_FRESH_SECONDS)
            return true;
    return false;
}

/* Ends the loop when every parked request is answered and every reply sent, or after STOP_SECONDS. */
static void try_to_finish(struct worker *worker) {
    uint32_t waited = worker->second - worker->stop_started;
    if (worker->io_type->flush)
        worker->io_type->flush(worker->io);
    bool sent = waited > STOP_SEND_SECONDS || !has_pending(worker);
    if (waited > STOP_SECONDS ||
        (worker->parked == 0 && !worker->held && !worker->undated && !worker->ready.first &&
         !worker->behind.first && !worker->to_send.first && sent && !has_newcomers(worker)))
        worker->finished = true;
}

void worker_wake(struct worker *worker) {
    const uint64_t once = 1;
    while (write(worker->wake, &once, sizeof once) < 0 && errno == EINTR)
        continue;
}

static void on_feed_over(struct feed_owner *self) {
    struct worker *worker = (struct worker *)self;
    atomic_store_explicit(&worker->feed_is_over, true, memory_order_release);
    worker_wake(worker);
}

static void collect_feeds(struct worker *worker) {
    struct feed *feed;
    while ((feed = feeds_collect(worker->server->feeds, &worker->feeds))) {
        talk_end_feed(feed->connection, feed->end);
        feed_free(feed);
    }
}

/* Another thread wants something. */
static void on_wake(struct worker *worker) {
    uint64_t times;
    while (read(worker->wake, &times, sizeof times) < 0 && errno == EINTR)
        continue;
    if (atomic_load_explicit(&worker->stop_asked, memory_order_acquire) && !worker->stopping) {
        worker->stopping = true;
        worker->stop_started = worker->second;
    }
    take_handed(worker);
    login_collect_proofs(worker);
    if (atomic_exchange_explicit(&worker->feed_is_over, false, memory_order_acquire))
        collect_feeds(worker);
}

/* Too much memory is taken by unfinished requests: those that make no progress go even if there is no idle_timeout,
 * so that they do not stand in the way of the others for ever. */
static bool is_short_of_memory(const struct worker *worker) {
    size_t taken = atomic_load_explicit(&worker->server->request_bytes, memory_order_relaxed);
    return taken > settings_request_memory(worker->server->settings) / 2;
}

/* Seconds that it may go without progress. */
static unsigned patience_with(const struct worker *worker, const struct connection *connection) {
    unsigned timeout = worker->server->settings->idle_timeout;
    if (timeout)
        return timeout;
    return connection->own.capacity > CONNECTION_OWN ? CONNECTION_PATIENCE : UINT32_MAX;
}

static void kick_idle(struct worker *worker) {
    struct connection *next;
    for (struct connection *connection = worker->connections; connection; connection = next) {
        next = connection->next;
        uint32_t last = atomic_load_explicit(&connection->last_active, memory_order_relaxed);
        if (connection_is_parked(connection) || connection->held || connection->is_queued ||
            connection->awaits_check || connection_state(connection) == CONNECTION_FED ||
            (uint64_t)last + patience_with(worker, connection) >= worker->second)
            continue;
        count(&worker->idle_kicks);
        connection->closed_by = CLOSED_IDLE;
        connection_close(connection);
    }
}

static void on_second(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)loop;
    (void)events;
    struct worker *worker = timer->data;
    if (worker->server->settings->idle_timeout || is_short_of_memory(worker))
        kick_idle(worker);
    if (worker->handshakes > 0)
        tls_end_slow(worker);
    login_admit_waiting(worker);
    if (worker->strangers > 0)
        login_end_strangers(worker);
    guard_look_after_feeds(worker);
}

/* Milliseconds until the next second begins. */
static int rest_of_second(const struct worker *worker) {
    return 1000 - (int)((uint32_t)(worker->now.us - worker->second_began_us) / 1000);
}

static __attribute__((noinline)) void read_other_clocks(struct worker *worker) {
    worker->now = tier_now(worker->server->tier);
    worker->second_began_us = worker->now.us - worker->now.us % US_PER_SECOND;
    worker->second = monotonic_seconds();
    atomic_store_explicit(&worker->last_turn, worker->second, memory_order_relaxed);
}

/* Reads the clock; once a second, and whatever the wall clock does, the others that go on by seconds. True: they were
 * read. */
static inline bool read_clocks(struct worker *worker) {
    worker->now.us = wall_us();
    if (__builtin_expect(worker->now.us - worker->second_began_us < US_PER_SECOND, true))
        return false;
    read_other_clocks(worker);
    return true;
}

/* Waits until there is something to do, and puts the connections concerned into worker->ready. */
static void gather(struct worker *worker) {
    bool waits = !worker->ready.first && !worker->behind.first && !worker->to_send.first;
    bool woken = worker->io_type->wait(worker->io, waits ? rest_of_second(worker) : 0);
    bool is_new_second = read_clocks(worker);
    if (woken)
        on_wake(worker);
    if (is_new_second)
        ev_run(worker->loop, EVRUN_NOWAIT);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    const struct io_type *io_type = worker->io_type;
    if (io_type->begin)
        io_type->begin(worker->io);
    while (!worker->finished) {
        gather(worker);
        turn_run(worker);
        if (worker->stopping)
            try_to_finish(worker);
    }
    if (io_type->end)
        io_type->end(worker->io);
    return NULL;
}

void worker_free(struct worker *worker) {
    while (worker->connections) { /* those whose tickets never came back */
        struct connection *first = worker->connections;
        connection_set_parked(first, false);
        connection_close(first);
    }
    login_collect_proofs(worker); /* of connections that are gone */
    if (worker->loop)
        ev_loop_destroy(worker->loop);
    if (worker->io)
        worker->io_type->close(worker->io);
    if (worker->wake >= 0)
        close(worker->wake);
    output_free(&worker->output);
    buffer_free(&worker->text);
    buffer_free(&worker->packets);
    free(worker->input);
    free(worker->slots);
    free(worker->key_buffers);
    tier_ticket_destroy(worker->ticket);
    free(worker->handed);
    pthread_mutex_destroy(&worker->list_lock);
    pthread_mutex_destroy(&worker->hand_lock);
    free(worker);
}

/* What it needs whatever its io_type is. */
static bool worker_allocate(struct worker *worker) {
    worker->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    worker->wake = worker->loop ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    worker->input = malloc(TURN_INPUT);
    worker->slots = aligned_alloc(_Alignof(struct slot), TURN_BATCH * sizeof *worker->slots);
    if (worker->slots)
        memset(worker->slots, 0, TURN_BATCH * sizeof *worker->slots);
    worker->key_buffers = calloc(TURN_BATCH, sizeof *worker->key_buffers);
    worker->ticket = tier_ticket_create(worker->tier, NULL);
    return output_init(&worker->output) && worker->wake >= 0 && worker->input && worker->slots &&
           worker->key_buffers && worker->ticket;
}

static bool worker_open_io(struct worker *worker) {
    worker->io = worker->io_type->open(worker);
    return worker->io != NULL;
}

static void start_timer(struct worker *worker) {
    ev_timer_init(&worker->every_second, on_second, 1., 1.);
    worker->every_second.data = worker;
    ev_timer_start(worker->loop, &worker->every_second);
}

struct worker *worker_create(struct server *server, const struct io_type *io_type, unsigned index,
                             bool *ret_lacks_io) {
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->feeds.feed_is_over = on_feed_over;
    worker->feeds.send = connection_send_some;
    worker->server = server;
    worker->index = index;
    worker->tier = tier_get_worker(server->tier, index);
    worker->cache = tier_cache(server->tier);
    worker->most_requests =
        server->settings->limits_requests ? server->settings->requests_per_event : (unsigned)SHARE_KEYS;
    connection_queue_init(&worker->ready);
    connection_queue_init(&worker->behind);
    connection_queue_init(&worker->to_send);
    worker->held_tail = &worker->held;
    worker->io_type = io_type;
    worker->wake = -1;
    read_clocks(worker);
    worker->observer = (struct observer){.server = server, .now = &worker->now};
    gate_init(&worker->gate);
    pthread_mutex_init(&worker->list_lock, NULL);
    pthread_mutex_init(&worker->hand_lock, NULL);
    bool allocated = worker_allocate(worker);
    if (!allocated || !worker_open_io(worker)) {
        int error = errno;
        *ret_lacks_io = allocated;
        worker_free(worker);
        errno = error;
        return NULL;
    }
    start_timer(worker);
    return worker;
}

bool worker_run(struct worker *worker) {
    char name[THREAD_NAME_MAX + 1];
    snprintf(name, sizeof name, "worker %u", worker->index);
    worker->runs = thread_start(&worker->thread, name, worker_main, worker) == 0;
    return worker->runs;
}

static bool hand_over(struct worker *worker, const struct accepted *accepted) {
    if (worker->handed_count == worker->handed_capacity) {
        size_t capacity = worker->handed_capacity ? worker->handed_capacity * 2 : 16;
        struct accepted *handed = realloc(worker->handed, capacity * sizeof *handed);
        if (!handed)
            return false;
        worker->handed = handed;
        worker->handed_capacity = capacity;
    }
    worker->handed[worker->handed_count++] = *accepted;
    return true;
}

void worker_hand(struct worker *worker, const struct accepted *accepted) {
    pthread_mutex_lock(&worker->hand_lock);
    bool taken = hand_over(worker, accepted);
    pthread_mutex_unlock(&worker->hand_lock);
    if (taken) {
        worker_wake(worker);
        return;
    }
    close(accepted->fd);
    atomic_fetch_sub_explicit(&worker->server->connections, 1, memory_order_relaxed);
}

/* A connection whose ticket has not come back in time is left to worker_free: until the tier is destroyed it
 * may write to the ticket. */
static void close_all(struct worker *worker) {
    struct connection *next;
    for (struct connection *connection = worker->connections; connection; connection = next) {
        next = connection->next;
        connection->is_queued = false;
        if (connection_is_parked(connection))
            connection_drop_pending(connection);
        else
            connection_close(connection);
    }
}

void worker_stop(struct worker *worker) {
    if (!worker->runs)
        return;
    atomic_store_explicit(&worker->stop_asked, true, memory_order_release);
    worker_wake(worker);
    pthread_join(worker->thread, NULL);
    worker->runs = false;
    close_all(worker);
}
