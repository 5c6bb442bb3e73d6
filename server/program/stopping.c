/* SPDX-License-Identifier: MIT */
/* STOPPING: the workers end, each with its last replies, and what is dirty is drained. */
#include "server/last_resort.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/manager.h"
#include "server/program/program.h"
#include "server/reload.h"
#include "server/worker/worker.h"
#include <stdlib.h>
#include <unistd.h>

enum { STOP_GRACE_MS = 20000, MANAGER_GRACE_MS = 5000 }; /* the manager's own last resort comes after ours */

static void *stop_one_worker(void *worker) {
    worker_stop(worker);
    return NULL;
}

/* All at once: each may take seconds for clients that read slowly. */
void program_stop_workers(struct server *server) {
    pthread_t *threads = calloc(server->worker_count, sizeof *threads);
    bool *started = calloc(server->worker_count, sizeof *started);
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (!server->workers[i])
            continue;
        if (threads && started)
            started[i] = pthread_create(&threads[i], NULL, stop_one_worker, server->workers[i]) == 0;
        if (!started || !started[i])
            worker_stop(server->workers[i]);
    }
    for (unsigned i = 0; threads && started && i < server->worker_count; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
    free(threads);
    free(started);
}

static size_t count_dirty(struct tier *tier) {
    size_t dirty = 0;
    for (size_t i = 0; i < tier_space_count(tier); i++)
        dirty += cache_dirty_entries(tier_cache(tier), (int)i);
    return dirty;
}

static void *stop_and_drain(void *argument) {
    struct program *program = argument;
    reload_close(program->server.reload);
    program_stop_workers(&program->server);
    program->drain.before = count_dirty(program->server.tier);
    program->drain.left = tier_drain(program->server.tier, &program->drain.journaled);
    program_helper_ends(program);
    return NULL;
}

unsigned program_longest_timeout_ms(const struct tier_options *tier) {
    unsigned timeout_ms = 0;
    for (size_t i = 0; i < tier->backend_count; i++)
        if (tier->backends[i].store.timeout_ms > timeout_ms)
            timeout_ms = tier->backends[i].store.timeout_ms;
    return timeout_ms;
}

/* Well above what freeing takes that does not hang. */
static uint64_t free_limit_ms(const struct tier_options *tier) {
    return STOP_GRACE_MS + program_longest_timeout_ms(tier);
}

/* And a stop. */
static uint64_t stop_limit_ms(const struct tier_options *tier) {
    return (uint64_t)tier->drain_timeout + free_limit_ms(tier);
}

void program_begin_stop(struct program *program, const char *why) {
    if (program->server.phase == SERVER_STARTING) {
        server_log(&program->server, LOG_LEVEL_NOTICE, "%s: stopped before the start was complete", why);
        _exit(EXIT_SUCCESS); /* journals and backends are made for that */
    }
    if (program->server.phase == SERVER_STOPPING) {
        server_log_limited(&program->server, LOG_KIND_SIGNAL, LOG_LEVEL_NOTICE, "%s: draining is ended", why);
        tier_stop_draining(program->server.tier);
        return;
    }
    server_log(&program->server, LOG_LEVEL_NOTICE, "%s: stopping, draining for at most %u ms", why,
               program->settings.tier.drain_timeout);
    program->server.phase = SERVER_STOPPING;
    manager_stopping(program->manager, stop_limit_ms(&program->settings.tier) + MANAGER_GRACE_MS);
    program->last_resort = last_resort_start(&program->server, stop_limit_ms(&program->settings.tier));
    ev_timer_stop(program->loop, &program->ready_timer);
    listener_stop(program->server.listener);
    if (!program_run_helper(program, stop_and_drain))
        stop_and_drain(program);
}

/* A drain may have taken all the time that a stop has, and what comes now neither loses nor saves anything. */
static void grant_freeing(struct program *program) {
    uint64_t limit_ms = free_limit_ms(&program->settings.tier);
    manager_stopping(program->manager, limit_ms + MANAGER_GRACE_MS);
    last_resort_freeing(program->last_resort, limit_ms, program_status(program));
}

void program_end(struct program *program) {
    size_t left = program->drain.left, before = program->drain.before;
    size_t drained = before > left ? before - left : 0;
    if (left == 0)
        server_log(&program->server, LOG_LEVEL_NOTICE, "stopped; %zu entries drained, nothing left", drained);
    else if (program->drain.journaled >= left)
        server_log(
            &program->server, LOG_LEVEL_NOTICE,
            "stopped; %zu entries drained, %zu left, all of them in the journal: the next start replays them",
            drained, left);
    else
        server_log(
            &program->server, LOG_LEVEL_ERROR,
            "stopped; %zu entries drained, %zu left, of which the journal holds %zu: the other %zu are lost",
            drained, left, program->drain.journaled, left - program->drain.journaled);
    program->server.phase = SERVER_STOPPED;
    grant_freeing(program);
    ev_break(program->loop, EVBREAK_ALL);
}
