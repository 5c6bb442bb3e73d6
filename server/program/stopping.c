/* SPDX-License-Identifier: MIT */
/* STOPPING: the workers end, each with its last replies, what is dirty is drained, and the tier ends its threads. */
#include "cache/base/count_text.h"
#include "server/buffer.h"
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
    tier_drain(program->server.tier, &program->drain.left);
    tier_stop(program->server.tier);
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
    if (program->server.phase == SERVER_STARTING || program->server.phase == SERVER_LOADING) {
        server_log_last(&program->server, LOG_LEVEL_NOTICE, "%s: stopped before the start was complete", why);
        _exit(EXIT_SUCCESS); /* journals and backends are made for that, and nobody was served */
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

/* Of the namespaces of which something is in quarantine, how much, and the files. */
static void name_quarantines(struct tier *tier, struct buffer *text) {
    const char *path;
    for (size_t i = 0; i < tier_space_count(tier); i++) {
        size_t count = tier_quarantined(tier, i, &path);
        if (count > 0)
            buffer_print(text, "%s%zu in %s", text->size ? ", " : "", count,
                         path ? path : "memory, which are lost");
    }
    buffer_append(text, "", 1);
}

/* What no store has beside the entries that are left. */
static void describe_debts(struct tier *tier, const struct tier_left *left, struct buffer *text) {
    struct buffer files = {0};
    if (left->touches > 0)
        buffer_print(text, "; %s of rows that memory does not hold left to the journal",
                     count_text(left->touches, "touch", "touches").text);
    if (left->lacking > 0)
        buffer_print(text, "; %s yet to be given again what the store has lost",
                     count_text(left->lacking, "backend has", "backends have").text);
    name_quarantines(tier, &files);
    if (left->quarantined > 0)
        buffer_print(text, "; %s that backends refuse %s in quarantine (%s)",
                     count_text(left->quarantined, "change", "changes").text,
                     left->quarantined == 1 ? "is" : "are",
                     files.failed ? "no memory to say where" : files.data);
    buffer_append(text, "", 1);
    buffer_free(&files);
}

/* Whether something that was acknowledged goes with the process. */
static bool loses(struct tier *tier, const struct tier_left *left) {
    const char *path;
    bool lost = left->journaled < left->entries;
    for (size_t i = 0; i < tier_space_count(tier) && !lost; i++)
        lost = tier_quarantined(tier, i, &path) > 0 && !path;
    return lost;
}

#define ENTRIES(count) count_text(count, "entry", "entries").text

static void tell_end(struct program *program) {
    struct server *server = &program->server;
    const struct tier_left *left = &program->drain.left;
    size_t before = program->drain.before, drained = before > left->entries ? before - left->entries : 0;
    bool has_debts = left->touches + left->lacking + left->quarantined > 0;
    struct buffer text = {0};
    describe_debts(server->tier, left, &text);
    const char *debts = text.failed ? "; no memory to say what else is" : text.data;
    enum log_level level = loses(server->tier, left) ? LOG_LEVEL_ERROR
                           : has_debts               ? LOG_LEVEL_WARNING
                                                     : LOG_LEVEL_NOTICE;
    server_log_left_out(server);
    if (left->entries == 0 && !has_debts)
        server_log_last(server, level, "stopped; %s drained, nothing left", ENTRIES(drained));
    else if (left->entries == 0)
        server_log_last(server, level, "stopped; %s drained, none left%s", ENTRIES(drained), debts);
    else if (left->journaled >= left->entries)
        server_log_last(
            server, level,
            "stopped; %s drained, %zu left, all of them in the journal: the next start replays them%s",
            ENTRIES(drained), left->entries, debts);
    else
        server_log_last(
            server, level,
            "stopped; %s drained, %zu left, of which the journal holds %zu: the other %zu are lost%s",
            ENTRIES(drained), left->entries, left->journaled, left->entries - left->journaled, debts);
    buffer_free(&text);
}

void program_end(struct program *program) {
    tell_end(program);
    program->server.phase = SERVER_STOPPED;
    grant_freeing(program);
    ev_break(program->loop, EVBREAK_ALL);
}
