/* SPDX-License-Identifier: MIT */
/* See sampler.h. A second that it misses, as a lock was held or the machine slept, is a gap; rates go on from the
 * last. */
#include "server/http/sampler.h"
#include "cache/base/thread.h"
#include "server/http/figures.h"
#include "server/http/http.h"
#include <stdlib.h>

struct sampler {
    struct server *server;
    struct history *history;
    pthread_t thread;
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t wake;
    bool ends; /* under the lock */
    /* Its thread alone. */
    struct metrics_snapshot last;
    uint64_t last_us; /* 0: there is none */
    struct space_measures total, last_total;
};

/* ---- One second ---- */

static const struct space_measures *find_space(const struct metrics_snapshot *snapshot, const char *name) {
    for (size_t i = 0; i < snapshot->space_count; i++)
        if (strcmp(snapshot->spaces[i].options->name, name) == 0)
            return &snapshot->spaces[i];
    return NULL;
}

static void put_spaces(struct sampler *sampler, const struct metrics_snapshot *now, double seconds) {
    float figures[SPACE_FIGURES_COUNT];
    for (size_t i = 0; i < now->space_count; i++) {
        const struct space_measures *space = &now->spaces[i];
        struct track_label label = {space->options->name, space->policy,
                                    space->backend ? space->backend : ""};
        figures_of_space(find_space(&sampler->last, label.name), space, seconds, figures);
        history_put(sampler->history, TRACK_SPACE, &label, figures);
    }
}

static const struct backend_measures *find_backend(const struct metrics_snapshot *snapshot,
                                                   const char *name) {
    for (size_t i = 0; i < snapshot->backend_count; i++)
        if (strcmp(snapshot->backends[i].name, name) == 0)
            return &snapshot->backends[i];
    return NULL;
}

static const struct backend_node *find_node(const struct backend_measures *backend, const char *name) {
    for (size_t i = 0; backend && i < backend->nodes.count; i++)
        if (strcmp(backend->nodes.list[i].name, name) == 0)
            return &backend->nodes.list[i];
    return NULL;
}

/* Those that are masters of nothing any more are left out. */
static void put_nodes(struct sampler *sampler, const struct backend_measures *before,
                      const struct backend_measures *now, double seconds) {
    float figures[NODE_FIGURES_COUNT];
    for (size_t i = 0; i < now->nodes.count; i++) {
        const struct backend_node *node = &now->nodes.list[i];
        struct track_label label = {node->name, "", now->name};
        if (node->slots == 0)
            continue;
        figures_of_node(find_node(before, node->name), node, seconds, figures);
        history_put(sampler->history, TRACK_NODE, &label, figures);
    }
}

static void put_backends(struct sampler *sampler, const struct metrics_snapshot *now, double seconds) {
    float figures[BACKEND_FIGURES_COUNT];
    for (size_t i = 0; i < now->backend_count; i++) {
        const struct backend_measures *backend = &now->backends[i];
        const struct backend_measures *before = find_backend(&sampler->last, backend->name);
        struct track_label label = {backend->name, backend->kind, ""};
        figures_of_backend(before, backend, seconds, figures);
        history_put(sampler->history, TRACK_BACKEND, &label, figures);
        put_nodes(sampler, before, backend, seconds);
    }
}

static void put_whole(struct sampler *sampler, const struct metrics_snapshot *now, double seconds) {
    static const struct track_label nameless = {"", "", ""};
    float all[SPACE_FIGURES_COUNT], server[SERVER_FIGURES_COUNT];
    bool has_last = sampler->last_us > 0;
    figures_add_spaces(now, &sampler->total);
    figures_of_space(has_last ? &sampler->last_total : NULL, &sampler->total, seconds, all);
    figures_of_server(has_last ? &sampler->last : NULL, now, seconds, server);
    history_put(sampler->history, TRACK_ALL, &nameless, all);
    history_put(sampler->history, TRACK_SERVER, &nameless, server);
    sampler->last_total = sampler->total;
}

static void put(struct sampler *sampler, const struct metrics_snapshot *now, uint64_t now_us) {
    double seconds = (double)(now_us - sampler->last_us) / US_PER_SECOND;
    history_begin(sampler->history, (uint32_t)((now_us - sampler->server->started_us) / US_PER_SECOND));
    put_whole(sampler, now, seconds);
    put_spaces(sampler, now, seconds);
    put_backends(sampler, now, seconds);
    history_end(sampler->history);
}

static void sample(struct sampler *sampler) {
    struct metrics_snapshot now;
    if (!http_has_tier(sampler->server))
        return;
    uint64_t now_us = monotonic_us();
    if (!metrics_snapshot_take(sampler->server, &now)) {
        metrics_snapshot_free(&now);
        return;
    }
    put(sampler, &now, now_us);
    metrics_snapshot_free(&sampler->last);
    sampler->last = now;
    sampler->last_us = now_us;
}

/* ---- The thread ---- */

/* Until the next second of the process begins. False: the end. */
static bool await_second(struct sampler *sampler) {
    uint64_t started_us = sampler->server->started_us;
    uint64_t passed = (monotonic_us() - started_us) / US_PER_SECOND;
    uint64_t until_us = started_us + (passed + 1) * US_PER_SECOND;
    pthread_mutex_lock(&sampler->lock);
    while (!sampler->ends && condition_wait_until(&sampler->wake, &sampler->lock, until_us) == 0)
        continue;
    bool ends = sampler->ends;
    pthread_mutex_unlock(&sampler->lock);
    return !ends;
}

static void *run(void *argument) {
    struct sampler *sampler = argument;
    while (await_second(sampler))
        sample(sampler);
    return NULL;
}

static void free_sampler(struct sampler *sampler) {
    metrics_snapshot_free(&sampler->last);
    history_free(sampler->history);
    pthread_cond_destroy(&sampler->wake);
    pthread_mutex_destroy(&sampler->lock);
    free(sampler);
}

struct sampler *sampler_start(struct server *server) {
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        return NULL;
    sampler->server = server;
    pthread_mutex_init(&sampler->lock, NULL);
    condition_init(&sampler->wake);
    sampler->history = history_create();
    if (sampler->history && thread_start(&sampler->thread, "admin history", run, sampler) == 0)
        return sampler;
    free_sampler(sampler);
    return NULL;
}

void sampler_stop(struct sampler *sampler) {
    if (!sampler)
        return;
    pthread_mutex_lock(&sampler->lock);
    sampler->ends = true;
    pthread_cond_signal(&sampler->wake);
    pthread_mutex_unlock(&sampler->lock);
    pthread_join(sampler->thread, NULL);
    free_sampler(sampler);
}

struct history *sampler_history(struct sampler *sampler) {
    return sampler->history;
}
