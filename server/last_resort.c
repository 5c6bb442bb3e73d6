/* SPDX-License-Identifier: MIT */
#include "server/last_resort.h"
#include "cache/base/clock.h"
#include "cache/base/thread.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_until(uint64_t until_us) {
    for (uint64_t now_us; (now_us = monotonic_us()) < until_us;) {
        uint64_t left_us = until_us - now_us;
        struct timespec rest = {.tv_sec = (time_t)(left_us / 1000000),
                                .tv_nsec = (long)(left_us % 1000000) * 1000};
        nanosleep(&rest, NULL);
    }
}

struct deadline {
    const struct server *server;
    uint64_t limit_ms;
};

/* Takes no lock and flushes no stream: the thread that hangs may have it. */
static void *run(void *argument) {
    const struct deadline *deadline = argument;
    char error[200];
    wait_until(monotonic_us() + deadline->limit_ms * US_PER_MS);
    snprintf(
        error, sizeof error,
        "the stop has not ended after %llu ms and is cut off, as by kill -9; what the journal holds is replayed by the next start",
        (unsigned long long)deadline->limit_ms);
    server_complain(deadline->server, error);
    _exit(EXIT_FAILURE);
}

bool last_resort_start(const struct server *server, uint64_t limit_ms) {
    pthread_t thread;
    struct deadline *kept = malloc(sizeof *kept); /* until the end of the process */
    if (!kept)
        return false;
    *kept = (struct deadline){server, limit_ms};
    if (thread_start(&thread, "last resort", run, kept) == 0) {
        pthread_detach(thread);
        return true;
    }
    free(kept);
    return false;
}
