/* SPDX-License-Identifier: MIT */
/*
 * What is particular to a Redis Cluster, a file for each subject (redis_cluster/subjects.h): by what it is known that
 * one of its masters has lost something, what replicas have of it, and where versions begin. Watchers, pages and slots
 * that move are in test_redis_cluster_watch.c. What every backend owes is in test_conformance.c; outages under load are
 * in tests/faults/test_cluster.py.
 *
 * It is one program, as its servers take seconds to start.
 */
#include "tests/backends/redis_cluster/steps.h"
#include "tests/backends/redis_cluster/subjects.h"
#include <signal.h>
#include <stdio.h>

static const struct subject *const subjects[] = {
    &about_openings,   &about_losses, &about_replicas,
    &about_promotions, &about_links, /* the last: a master stays away */
};

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    fresh.cluster = true;
    if (!redis_server_start(&fresh) || !redis_server_start_cluster(masters, MASTERS) ||
        !redis_server_start_replica(&replica, &masters[0])) {
        fprintf(stderr, "redis-server (Debian: redis-server) is needed for these tests\n");
        return 1;
    }
    redis_server_join(&fresh, &masters[0]);
    int failed = subjects_run("cluster", subjects, sizeof subjects / sizeof subjects[0], NULL);
    redis_server_stop(&fresh);
    redis_server_stop(&replica);
    for (int i = 0; i < MASTERS; i++)
        redis_server_stop(&masters[i]);
    return failed;
}
