/* SPDX-License-Identifier: MIT */
#include "server/maintenance.h"
#include "cache/base/thread.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { PERIOD_US = 100 * 1000 };

struct maintenance {
    struct tier *tier;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under lock */
    atomic_uint_fast64_t turned_us;
};

static bool stop_was_asked(struct maintenance *maintenance) {
    pthread_mutex_lock(&maintenance->lock);
    bool stopping = maintenance->stopping;
    pthread_mutex_unlock(&maintenance->lock);
    return stopping;
}

static void pause_a_moment(struct maintenance *maintenance) {
    uint64_t until_us = monotonic_us() + PERIOD_US;
    pthread_mutex_lock(&maintenance->lock);
    if (!maintenance->stopping)
        condition_wait_until(&maintenance->wake, &maintenance->lock, until_us);
    pthread_mutex_unlock(&maintenance->lock);
}

static void *run(void *argument) {
    struct maintenance *maintenance = argument;
    while (!stop_was_asked(maintenance)) {
        atomic_store_explicit(&maintenance->turned_us, monotonic_us(), memory_order_relaxed);
        if (!tier_maintain(maintenance->tier))
            pause_a_moment(maintenance);
    }
    return NULL;
}

static void free_maintenance(struct maintenance *maintenance) {
    pthread_cond_destroy(&maintenance->wake);
    pthread_mutex_destroy(&maintenance->lock);
    free(maintenance);
}

struct maintenance *maintenance_start(struct tier *tier) {
    struct maintenance *maintenance = calloc(1, sizeof *maintenance);
    if (!maintenance)
        return NULL;
    maintenance->tier = tier;
    atomic_init(&maintenance->turned_us, monotonic_us());
    pthread_mutex_init(&maintenance->lock, NULL);
    condition_init(&maintenance->wake);
    if (thread_start(&maintenance->thread, "maintenance", run, maintenance) == 0)
        return maintenance;
    free_maintenance(maintenance);
    return NULL;
}

uint64_t maintenance_turned_us(const struct maintenance *maintenance) {
    return atomic_load_explicit(&maintenance->turned_us, memory_order_relaxed);
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
