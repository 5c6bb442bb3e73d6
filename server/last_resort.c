/* SPDX-License-Identifier: MIT */
#include "server/last_resort.h"
#include "cache/base/clock.h"
#include "cache/base/thread.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct last_resort {
    const struct server *server;
    pthread_mutex_t mutex;
    pthread_cond_t moved; /* the moment is another */
    uint64_t until_us;    /* monotonic */
    uint64_t limit_ms;    /* what it came from */
    bool freeing;
    int status;
};

/* What it was when it was over. */
static struct last_resort wait_for_end(struct last_resort *resort) {
    pthread_mutex_lock(&resort->mutex);
    while (monotonic_us() < resort->until_us)
        condition_wait_until(&resort->moved, &resort->mutex, resort->until_us);
    struct last_resort end = {.server = resort->server,
                              .limit_ms = resort->limit_ms,
                              .freeing = resort->freeing,
                              .status = resort->status};
    pthread_mutex_unlock(&resort->mutex);
    return end;
}

/* Takes no lock of others and flushes no stream: the thread that hangs may have it. */
static void *run(void *argument) {
    struct last_resort end = wait_for_end(argument);
    char error[200];
    snprintf(
        error, sizeof error,
        end.freeing
            ? "the process has not ended %llu ms after the stop and is cut off; what the stop came to is told above"
            : "the stop has not ended after %llu ms and is cut off, as by kill -9; what the journal holds is replayed by the next start",
        (unsigned long long)end.limit_ms);
    server_complain(end.server, error);
    _exit(end.status);
}

struct last_resort *last_resort_start(const struct server *server, uint64_t limit_ms) {
    pthread_t thread;
    struct last_resort *resort = malloc(sizeof *resort); /* until the end of the process */
    if (!resort)
        return NULL;
    *resort = (struct last_resort){.server = server,
                                   .mutex = PTHREAD_MUTEX_INITIALIZER,
                                   .until_us = monotonic_us() + limit_ms * US_PER_MS,
                                   .limit_ms = limit_ms,
                                   .status = EXIT_FAILURE};
    condition_init(&resort->moved);
    if (thread_start(&thread, "last resort", run, resort) == 0) {
        pthread_detach(thread);
        return resort;
    }
    free(resort);
    return NULL;
}

void last_resort_freeing(struct last_resort *resort, uint64_t limit_ms, int status) {
    if (!resort)
        return;
    pthread_mutex_lock(&resort->mutex);
    resort->until_us = monotonic_us() + limit_ms * US_PER_MS;
    resort->limit_ms = limit_ms;
    resort->freeing = true;
    resort->status = status;
    pthread_cond_signal(&resort->moved);
    pthread_mutex_unlock(&resort->mutex);
}
