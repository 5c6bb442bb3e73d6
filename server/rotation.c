/* SPDX-License-Identifier: MIT */
#include "server/rotation.h"
#include "cache/base/clock.h"
#include "server/server.h"

/* A change is told: who gave more threads than processors may not know that the others rest. */
static void set_width(struct server *server, unsigned width) {
    unsigned before = atomic_load_explicit(&server->workers_in_rotation, memory_order_relaxed);
    if (width == before)
        return;
    if (width > atomic_load_explicit(&server->workers_used, memory_order_relaxed))
        atomic_store_explicit(&server->workers_used, width, memory_order_relaxed);
    atomic_store_explicit(&server->workers_in_rotation, width, memory_order_relaxed);
    if (width < server->worker_count)
        server_log(server, LOG_LEVEL_NOTICE,
                   "new connections go to %u of the %u threads, as there are processors for no more", width,
                   server->worker_count);
    else if (before > 0)
        server_log(server, LOG_LEVEL_NOTICE, "new connections go to all %u threads", width);
}

static void look(struct rotation *rotation) {
    struct server *server = rotation->server;
    unsigned processors = rotation->processors(server);
    rotation->looked_us = monotonic_us();
    set_width(server,
              processors > 0 && processors < server->worker_count ? processors : server->worker_count);
}

void rotation_start(struct rotation *rotation, struct server *server, rotation_processors *processors) {
    *rotation = (struct rotation){.server = server, .processors = processors};
    look(rotation);
}

struct worker *rotation_next(struct rotation *rotation) {
    struct server *server = rotation->server;
    if (monotonic_us() >= rotation->looked_us + US_PER_SECOND)
        look(rotation);
    unsigned chosen =
        rotation->next % atomic_load_explicit(&server->workers_in_rotation, memory_order_relaxed);
    rotation->next = chosen + 1;
    return server->workers[chosen];
}
