/* SPDX-License-Identifier: MIT */
/*
 * Accepting goes in batches: up to ACCEPT_BATCH connections per readiness, then the loop sees to signals and
 * timers.
 *
 * At the connection limit there are two ways, as with memcached: with maxconns_fast (the default) a client is
 * told so and closed; without it the sockets are paused, new clients wait in the backlog, and a timer looks
 * every RESUME_SECONDS whether somebody has left. A process out of descriptors pauses in the same way, until a
 * connection closes, but no longer than STARVED_US: others may have given some back.
 *
 *     created --listener_start--> accepting <--pause/resume--> paused --listener_stop--> stopped
 */
#include "server/listener.h"
#include "cache/base/fit.h"
#include "server/accepted.h"
#include "server/listener_internal.h"
#include "server/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64, STARVED_US = US_PER_SECOND };
static const double RESUME_SECONDS = 0.01;

/* ---- Accepting ---- */

static bool is_full(const struct listener *listener) {
    return atomic_load_explicit(&listener->server->connections, memory_order_relaxed) >=
           listener->settings->max_connections;
}

/* Something was wanting, and nothing tells when it is there again but a connection that closes: else it is tried again
 * once a second. */
static bool is_starved(const struct listener *listener) {
    return listener->starved && monotonic_us() < listener->starved_until_us &&
           atomic_load_explicit(&listener->server->connections, memory_order_relaxed) >= listener->starved_at;
}

static void pause_accepting(struct listener *listener) {
    if (atomic_exchange(&listener->paused, true))
        return;
    for (size_t i = 0; i < listener->count; i++)
        ev_io_stop(listener->loop, &listener->sockets[i].io);
    atomic_fetch_add(&listener->server->listen_disabled, 1);
    listener->paused_at_us = monotonic_us();
    ev_timer_again(listener->loop, &listener->resume);
}

static void resume_accepting(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)events;
    struct listener *listener = timer->data;
    if (is_full(listener) || is_starved(listener))
        return;
    listener->starved = false;
    ev_timer_stop(loop, timer);
    atomic_fetch_add(&listener->server->listen_disabled_us, monotonic_us() - listener->paused_at_us);
    for (size_t i = 0; i < listener->count; i++)
        ev_io_start(loop, &listener->sockets[i].io);
    atomic_store(&listener->paused, false);
}

/* A client that speaks TLS would take the line for a fault of the server's. */
static void reject(struct listener *listener, const struct accepted *accepted) {
    static const char line[] = "ERROR Too many open connections\r\n";
    atomic_fetch_add(&listener->server->connections_rejected, 1);
    if (accepted->tls == ADDRESS_TLS_OFF &&
        send(accepted->fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        server_log_limited(listener->server, LOG_KIND_REJECTED, LOG_LEVEL_DEBUG,
                           "a rejected client left before it was told");
    close(accepted->fd);
}

static void hand_over(struct listener *listener, const struct accepted *accepted) {
    struct server *server = listener->server;
    atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->connections_total, 1, memory_order_relaxed);
    listener->hand(rotation_next(&listener->rotation), accepted);
}

/* What accept4 says besides a descriptor; true: go on with the batch. */
static bool accept_failed(struct listener *listener, int error) {
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        server_log_limited(
            listener->server, LOG_KIND_ACCEPT, LOG_LEVEL_WARNING,
            "cannot accept a connection: %s; waiting until one closes (ulimit -n against -c %u)",
            strerror(error), listener->settings->max_connections);
        listener->starved_at = atomic_load_explicit(&listener->server->connections, memory_order_relaxed);
        listener->starved_until_us = monotonic_us() + STARVED_US;
        listener->starved = true;
        pause_accepting(listener);
        return false;
    case EAGAIN:
        return false;
    default: /* the client was gone before it was accepted */
        return true;
    }
}

/* The kernel does not watch the socket, and libev has given it up: a server that nobody can reach is no server. */
static void give_up(struct listening *socket) {
    server_log(socket->listener->server, LOG_LEVEL_ERROR,
               "%s cannot be watched any more: the system has no memory or no watches left; stopping",
               socket->text);
    socket->listener->server->gave_up = true;
    socket->listener->server->stop(socket->listener->server);
}

static void accept_some(struct ev_loop *loop, ev_io *io, int events) {
    (void)loop;
    struct listening *socket = (struct listening *)io;
    struct listener *listener = socket->listener;
    if (events & EV_ERROR) {
        give_up(socket);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (!listener->settings->maxconns_fast && is_full(listener)) {
            pause_accepting(listener);
            return;
        }
        struct accepted accepted;
        if (accepted_take(socket->fd, socket->tls, &accepted) < 0) {
            if (!accept_failed(listener, errno))
                return;
        } else if (is_full(listener)) {
            reject(listener, &accepted);
        } else {
            hand_over(listener, &accepted);
        }
    }
}

/* ---- From its first to its last ---- */

static bool listen_all(struct listener *listener, char *ret_error, size_t error_size) {
    for (size_t i = 0; i < listener->count; i++) {
        struct listening *socket = &listener->sockets[i];
        if (listen(socket->fd, (int)listener->settings->backlog) != 0) {
            fit_print(ret_error, error_size, "cannot listen on %s: %s; %s", socket->text, strerror(errno),
                      listener_remedy(errno));
            return false;
        }
    }
    return true;
}

bool listener_start(struct listener *listener, struct ev_loop *loop, struct server *server,
                    listener_hand *hand, rotation_processors *processors, char *ret_error,
                    size_t error_size) {
    if (!listener->adopted && !listen_all(listener, ret_error, error_size))
        return false;
    listener->hand = hand;
    listener->loop = loop;
    listener->server = server;
    rotation_start(&listener->rotation, server, processors);
    ev_init(&listener->resume, resume_accepting);
    listener->resume.repeat = RESUME_SECONDS;
    listener->resume.data = listener;
    for (size_t i = 0; i < listener->count; i++) {
        struct listening *socket = &listener->sockets[i];
        ev_io_init(&socket->io, accept_some, socket->fd, EV_READ);
        ev_io_start(loop, &socket->io);
    }
    listener->started = true;
    return true;
}

static void close_socket(struct listening *socket) {
    if (socket->fd >= 0)
        close(socket->fd);
    socket->fd = -1;
}

/* An adopted socket lives on in the manager, and so in the loop's epoll set: libev takes it out when a client comes, by
 * its number, which must not be that of another file by then. */
void listener_stop(struct listener *listener) {
    if (listener->started) {
        ev_timer_stop(listener->loop, &listener->resume);
        for (size_t i = 0; i < listener->count; i++)
            ev_io_stop(listener->loop, &listener->sockets[i].io);
        listener->started = false;
    }
    for (size_t i = 0; i < listener->count && !listener->adopted; i++) {
        struct listening *socket = &listener->sockets[i];
        if (socket->fd < 0)
            continue;
        if (socket->is_unix)
            unlink(socket->text + strlen("unix:"));
        close_socket(socket);
    }
}

void listener_free(struct listener *listener) {
    if (!listener)
        return;
    listener_stop(listener);
    for (size_t i = 0; i < listener->count; i++)
        close_socket(&listener->sockets[i]);
    free(listener);
}

/* ---- What it tells of itself ---- */

static const char *bare_text(const struct listening *socket) {
    return socket->is_unix ? socket->text : strchr(socket->text, ':') + 1;
}

void listener_describe(const struct listener *listener, char *ret_text, size_t size) {
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < listener->count && used < size; i++)
        used += (size_t)snprintf(
            ret_text + used, size - used, "%s%s%s", i ? ", " : "",
            listener->sockets[i].tls == ADDRESS_TLS_OFF ? "" : "tls:", bare_text(&listener->sockets[i]));
}

void listener_print_ports(const struct listener *listener, FILE *out) {
    for (size_t i = 0; i < listener->count; i++) {
        const char *text = listener->sockets[i].text;
        if (!listener->sockets[i].is_unix)
            fprintf(out, "TCP %s: %s\n", strncmp(text, "tcp6", 4) == 0 ? "INET6" : "INET",
                    strrchr(text, ':') + 1);
    }
}

bool listener_is_accepting(const struct listener *listener) {
    return !atomic_load(&listener->paused);
}

void listener_stat(const struct listener *listener, struct stat_sink *sink) {
    for (size_t i = 0; i < listener->count; i++) {
        const struct listening *socket = &listener->sockets[i];
        char name[48];
        snprintf(name, sizeof name, "%d:addr", socket->fd);
        sink->line(sink, name, socket->text);
        snprintf(name, sizeof name, "%d:state", socket->fd);
        sink->line(sink, name, "conn_listening");
    }
}
