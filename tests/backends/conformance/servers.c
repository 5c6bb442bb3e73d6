/* SPDX-License-Identifier: MIT */
#include "tests/backends/conformance/servers.h"

struct redis_server redis, sentinel, masters[MASTERS];
struct slot_mover *mover;

static struct redis_server replicas[MASTERS];

static bool start_replicas(void) {
    for (unsigned i = 0; i < MASTERS; i++)
        if (!redis_server_start_replica(&replicas[i], &masters[i]))
            return false;
    return true;
}

bool servers_start(void) {
    bool started = redis_server_start(&redis);
    sentinel.watched_port = redis.port;
    if (!started || !redis_server_start(&sentinel) || !redis_server_start_cluster(masters, MASTERS) ||
        !start_replicas())
        return false;
    mover = slot_mover_create(masters, MASTERS);
    return true;
}

unsigned long servers_stop(void) {
    unsigned long moved = slot_mover_destroy(mover);
    for (unsigned i = 0; i < MASTERS; i++) {
        redis_server_stop(&replicas[i]);
        redis_server_stop(&masters[i]);
    }
    redis_server_stop(&sentinel);
    redis_server_stop(&redis);
    return moved;
}
