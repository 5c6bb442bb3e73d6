/* SPDX-License-Identifier: MIT */
#include "server/worker/worker_stats.h"
#include "server/config/address.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include <stdio.h>

void worker_add_stats(struct worker *worker, struct worker_stats *sum) {
    sum->bytes_read += counted(&worker->bytes_read);
    sum->bytes_written += counted(&worker->bytes_written);
    sum->requests += counted(&worker->requests);
    sum->yields += counted(&worker->yields);
    sum->full_turns += counted(&worker->full_turns);
    histogram_collect(&sum->turn_times, &worker->turn_times);
    sum->replies_refused += counted(&worker->replies_refused);
    sum->requests_starved += counted(&worker->requests_starved);
    sum->idle_kicks += counted(&worker->idle_kicks);
    sum->auth_commands += counted(&worker->auth_commands);
    sum->auth_errors += counted(&worker->auth_errors);
    sum->unsent_bytes += counted(&worker->unsent_bytes);
    sum->slow_readers += counted(&worker->slow_readers);
    sum->auth_timeouts += counted(&worker->auth_timeouts);
    sum->forbidden += counted(&worker->forbidden);
    sum->aside_bytes += counted(&worker->aside_bytes);
    sum->aside_strains += counted(&worker->aside_strains);
    sum->tls_handshakes += counted(&worker->tls_handshakes);
    sum->tls_resumed += counted(&worker->tls_resumed);
    sum->tls_handshake_errors += counted(&worker->tls_handshake_errors);
    sum->tls_errors += counted(&worker->tls_errors);
}

uint32_t worker_last_turn(const struct worker *worker) {
    return atomic_load_explicit(&worker->last_turn, memory_order_relaxed);
}

const char *worker_io_name(const struct worker *worker) {
    return worker->io_type->name;
}

void worker_reset_stats(struct worker *worker) {
    counter *counters[] = {&worker->bytes_read,
                           &worker->bytes_written,
                           &worker->turn_times.sum_us,
                           &worker->requests,
                           &worker->yields,
                           &worker->full_turns,
                           &worker->idle_kicks,
                           &worker->replies_refused,
                           &worker->auth_commands,
                           &worker->auth_errors,
                           &worker->auth_timeouts,
                           &worker->forbidden,
                           &worker->requests_starved,
                           &worker->aside_strains,
                           &worker->tls_handshakes,
                           &worker->tls_resumed,
                           &worker->tls_handshake_errors,
                           &worker->tls_errors};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        atomic_store_explicit(counters[i], 0, memory_order_relaxed);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&worker->turn_times.buckets[i], 0, memory_order_relaxed);
}

/* Names that memcached has for what it does. */
static const char *state_name(const struct worker *worker, const struct connection *connection) {
    if (atomic_load_explicit(&worker->commanding, memory_order_relaxed) == connection)
        return "conn_parse_cmd";
    if (connection_is_parked(connection))
        return "conn_io_queue";
    if (connection_state(connection) == CONNECTION_FED)
        return "conn_watch";
    if (connection_state(connection) != CONNECTION_OPEN)
        return "conn_closing";
    bool awaits_value = atomic_load_explicit(&connection->awaits_value, memory_order_relaxed);
    return awaits_value ? "conn_nread" : "conn_read";
}

typedef int name_of_socket(int fd, struct sockaddr *address, socklen_t *size); /* getpeername, getsockname */

static void name_socket(int fd, name_of_socket *ask, char *ret_text, size_t size) {
    struct sockaddr_storage address = {0};
    socklen_t address_size = sizeof address;
    if (ask(fd, (struct sockaddr *)&address, &address_size) != 0)
        address_size = 0;
    address_name(&address, address_size, ret_text, size);
}

/* The path of a Unix socket is not kept, and not forgotten. */
static void stat_addresses(struct stat_sink *sink, const struct connection *connection) {
    char line[48], text[128];
    if (connection->peer.family == AF_UNIX)
        name_socket(connection->fd, getpeername, text, sizeof text);
    else
        peer_name(&connection->peer, text);
    snprintf(line, sizeof line, "%d:addr", connection->fd);
    sink->line(sink, line, text);
    name_socket(connection->fd, getsockname, text, sizeof text);
    snprintf(line, sizeof line, "%d:listen_addr", connection->fd);
    sink->line(sink, line, text);
}

void worker_stat_connections(struct worker *worker, struct stat_sink *sink) {
    pthread_mutex_lock(&worker->list_lock);
    uint32_t now = monotonic_seconds();
    for (const struct connection *connection = worker->connections; connection;
         connection = connection->next) {
        char name[48], value[32];
        stat_addresses(sink, connection);
        snprintf(name, sizeof name, "%d:state", connection->fd);
        sink->line(sink, name, state_name(worker, connection));
        uint32_t last = atomic_load_explicit(&connection->last_active, memory_order_relaxed);
        snprintf(name, sizeof name, "%d:secs_since_last_cmd", connection->fd);
        snprintf(value, sizeof value, "%u", now > last ? now - last : 0);
        sink->line(sink, name, value);
    }
    pthread_mutex_unlock(&worker->list_lock);
}
