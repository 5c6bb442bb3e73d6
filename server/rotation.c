/* SPDX-License-Identifier: MIT */
#include "server/rotation.h"
#include "cache/base/clock.h"
#include "server/server.h"

static unsigned width_of(const struct server *server) {
    return atomic_load_explicit(&server->workers_in_rotation, memory_order_relaxed);
}

void rotation_tell_rest(struct server *server, enum log_kind kind) {
    if (width_of(server) < server->worker_count)
        server_log_limited(
            server, kind, LOG_LEVEL_NOTICE,
            "new connections go to %u of the %u threads (-t, threads): the server may keep no more processors busy, by its affinity or by cpu.max of its control group; --use-threads all (use_threads) gives them to all",
            width_of(server), server->worker_count);
}

static void set_width(struct server *server, unsigned width) {
    if (width > atomic_load_explicit(&server->workers_used, memory_order_relaxed))
        atomic_store_explicit(&server->workers_used, width, memory_order_relaxed);
    atomic_store_explicit(&server->workers_in_rotation, width, memory_order_relaxed);
}

static void look(struct rotation *rotation) {
    struct server *server = rotation->server;
    unsigned processors = rotation->processors(server);
    if (processors == ROTATION_UNKNOWN) /* 0 before the first look */
        processors = width_of(server);
    rotation->looked_us = monotonic_us();
    set_width(server,
              processors > 0 && processors < server->worker_count ? processors : server->worker_count);
}

/* Whoever takes processors from the server, or gives it some, is told what comes of it. */
static void tell_change(struct server *server) {
    if (width_of(server) == server->worker_count)
        server_log_limited(server, LOG_KIND_ROTATION, LOG_LEVEL_NOTICE,
                           "new connections go to all %u threads", server->worker_count);
    rotation_tell_rest(server, LOG_KIND_ROTATION);
}

void rotation_start(struct rotation *rotation, struct server *server, rotation_processors *processors) {
    *rotation = (struct rotation){.server = server, .processors = processors};
    look(rotation);
}

struct worker *rotation_next(struct rotation *rotation) {
    struct server *server = rotation->server;
    unsigned before = width_of(server);
    if (monotonic_us() >= rotation->looked_us + US_PER_SECOND)
        look(rotation);
    if (width_of(server) != before)
        tell_change(server);
    unsigned chosen = rotation->next % width_of(server);
    rotation->next = chosen + 1;
    return server->workers[chosen];
}
