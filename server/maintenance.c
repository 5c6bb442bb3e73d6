/* SPDX-License-Identifier: MIT */
#include "server/maintenance.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { PERIOD_NS = 100 * 1000 * 1000 };

struct maintenance {
    struct cache *cache;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under lock */
};

static struct cache_time read_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return cache_time_from_us((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

static bool stop_was_asked(struct maintenance *maintenance) {
    pthread_mutex_lock(&maintenance->lock);
    bool stopping = maintenance->stopping;
    pthread_mutex_unlock(&maintenance->lock);
    return stopping;
}

static void pause_a_moment(struct maintenance *maintenance) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PERIOD_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&maintenance->lock);
    if (!maintenance->stopping)
        pthread_cond_timedwait(&maintenance->wake, &maintenance->lock, &until);
    pthread_mutex_unlock(&maintenance->lock);
}

static void *run(void *argument) {
    struct maintenance *maintenance = argument;
    while (!stop_was_asked(maintenance)) {
        struct cache_time now = read_clock();
        if (!cache_maintain(maintenance->cache, &now))
            pause_a_moment(maintenance);
    }
    return NULL;
}

static void free_maintenance(struct maintenance *maintenance) {
    pthread_cond_destroy(&maintenance->wake);
    pthread_mutex_destroy(&maintenance->lock);
    free(maintenance);
}

struct maintenance *maintenance_start(struct cache *cache) {
    struct maintenance *maintenance = calloc(1, sizeof *maintenance);
    pthread_condattr_t clock;
    if (!maintenance)
        return NULL;
    maintenance->cache = cache;
    pthread_mutex_init(&maintenance->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&maintenance->wake, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&maintenance->thread, NULL, run, maintenance) == 0) {
        pthread_setname_np(maintenance->thread, "maintenance");
        return maintenance;
    }
    free_maintenance(maintenance);
    return NULL;
}

void maintenance_stop(struct maintenance *maintenance) {
    if (!maintenance)
        return;
    pthread_mutex_lock(&maintenance->lock);
    maintenance->stopping = true;
    pthread_cond_signal(&maintenance->wake);
    pthread_mutex_unlock(&maintenance->lock);
    pthread_join(maintenance->thread, NULL);
    free_maintenance(maintenance);
}
