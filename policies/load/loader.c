/* SPDX-License-Identifier: MIT */
/*
 * See loader.h; the parts are in internal.h. A flight goes through these states, all under loader.mutex:
 *
 *     submitted --(no flight of the key)--> QUEUED --batch_take--> FLYING --land--> gone
 *         |                            ^--batch_put_back--'        |    ^
 *         `-------(one exists)-----> joins it, in any state        |    |
 *                                                                  |    `--batch_take by the patient reader
 *                                    its part is silent            `-> LATE
 *
 * The cache is filled after the flight has left the table, with the stamp of its first passenger: if the key
 * changed between that miss and the fill, the cache refuses and every passenger asks again. If it did not,
 * what was loaded was current at a moment after every passenger had boarded.
 *
 * Where the store went back to what it was, flights may have to wait, queued, until it is safe to look them up, or
 * their time is over; those that were looked up meanwhile are queued again (wary.h).
 */
#include "policies/load/loader.h"
#include "cache/base/thread.h"
#include "policies/absence.h"
#include "policies/load/absence_build.h"
#include "policies/load/internal.h"
#include "policies/load/preload.h"
#include "policies/store.h"
#include <stdlib.h>

enum { RECONNECT_AFTER = 2 };

/* ---- Threads ---- */

static void *preload_main(void *argument) {
    struct loader *loader = argument;
    preload_run(loader->backend, loader->preload_waits, &loader->stop);
    return NULL;
}

static void *builder_main(void *argument) {
    struct loader *loader = argument;
    absence_build_run(loader->backend, &loader->stop);
    return NULL;
}

/* With the mutex, which is let go meanwhile. Where the store has been found, or found elsewhere, a reader goes there at
 * once: later, nobody may be able to say where it is. False: it did so before. */
static bool follow(struct reader *reader) {
    unsigned moves = store_moves(reader->loader->backend->store);
    if (reader->followed == moves)
        return false;
    reader->followed = moves;
    pthread_mutex_unlock(&reader->loader->mutex);
    session_open(&reader->session, 0);
    pthread_mutex_lock(&reader->loader->mutex);
    return true;
}

/* With the mutex. */
static bool any_waits(const struct loader *loader, const struct queue *queue) {
    bool waits = false;
    for (size_t i = 0; i < loader->backend->tier->space_count && !waits; i++)
        waits = queue->lines[i].first != NULL;
    return waits;
}

/* With the mutex, which is let go meanwhile. */
static void await_work(struct loader *loader, struct queue *queue) {
    if (!any_waits(loader, queue)) {
        pthread_cond_wait(&queue->work, &loader->mutex);
        return;
    }
    condition_wait_until(&queue->work, &loader->mutex, monotonic_us() + WARY_POLL_US);
    pthread_mutex_unlock(&loader->mutex);
    wary_urge(&loader->wary);
    pthread_mutex_lock(&loader->mutex);
}

static void *reader_main(void *argument) {
    struct reader *reader = argument;
    struct loader *loader = reader->loader;
    struct batch *batch = &reader->batch;
    pthread_mutex_lock(&loader->mutex);
    while (!atomic_load(&loader->stop)) {
        if (session_is_open(&reader->session) && store_is_lost(loader->backend->store)) {
            pthread_mutex_unlock(&loader->mutex);
            session_close(&reader->session);
            pthread_mutex_lock(&loader->mutex);
            continue;
        }
        if (!batch_take(loader, reader->queue, batch)) {
            if (!follow(reader))
                await_work(loader, reader->queue);
            continue;
        }
        pthread_mutex_unlock(&loader->mutex);
        batch_look_up(reader, batch);
        progress_note(&reader->progress, PROGRESS_IDLE);
        pthread_mutex_lock(&loader->mutex);
    }
    pthread_mutex_unlock(&loader->mutex);
    session_close(&reader->session);
    return NULL;
}

/* False: no memory. */
static bool make_queue(struct queue *queue) {
    condition_init(&queue->work);
    queue->lines = calloc(CACHE_SPACES_MAX, sizeof *queue->lines);
    for (size_t i = 0; queue->lines && i < CACHE_SPACES_MAX; i++)
        queue->lines[i].end = &queue->lines[i].first;
    return queue->lines != NULL;
}

static void end_queue(struct queue *queue) {
    pthread_cond_destroy(&queue->work);
    free(queue->lines);
}

static void init_reader(struct loader *loader, struct reader *reader, struct queue *queue) {
    reader->loader = loader;
    reader->queue = queue;
    session_init(&reader->session, loader->backend, BACKEND_READER, RECONNECT_AFTER);
}

struct loader *loader_create(struct tier_backend *backend) {
    struct loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return NULL;
    loader->backend = backend;
    loader->wary.backend = backend;
    loader->reader_count = backend->options.readers;
    loader->readers = calloc(loader->reader_count, sizeof *loader->readers);
    pthread_mutex_init(&loader->mutex, NULL);
    bool queues = make_queue(&loader->queue), more = make_queue(&loader->late);
    breaker_init(&loader->breaker, monotonic_us());
    breaker_init(&loader->part_breaker, monotonic_us());
    atomic_init(&loader->in_doubt, true);
    if (!loader->readers || !queues || !more) {
        loader_destroy(loader);
        return NULL;
    }
    for (unsigned i = 0; i < loader->reader_count; i++)
        init_reader(loader, &loader->readers[i], &loader->queue);
    init_reader(loader, &loader->patient, &loader->late);
    return loader;
}

bool loader_preload(struct loader *loader, bool waits) {
    bool first = waits && !loader->preload_waits;
    loader->wants_preload = true;
    loader->preload_waits |= waits;
    return first;
}

static bool start(struct loader *loader, pthread_t *ret_thread, const char *role, void *(*run)(void *),
                  void *argument) {
    return service_start_thread(ret_thread, role, loader->backend->options.store.name, run, argument) == 0;
}

static bool start_reader(struct reader *reader) {
    reader->started = start(reader->loader, &reader->thread, "reader", reader_main, reader);
    return reader->started;
}

bool loader_has_patience(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    bool has = loader->patient.started || (!atomic_load(&loader->stop) && start_reader(&loader->patient));
    pthread_mutex_unlock(&loader->mutex);
    return has;
}

bool loader_start(struct loader *loader) {
    unsigned started = 0;
    for (unsigned i = 0; i < loader->reader_count; i++)
        started += start_reader(&loader->readers[i]);
    if (loader->wants_preload)
        loader->preloads = start(loader, &loader->preloader, "preload", preload_main, loader);
    bool builds = absence_is_wanted(loader->backend);
    if (builds)
        loader->builds = start(loader, &loader->builder, "absences", builder_main, loader);
    return started == loader->reader_count && loader->preloads == loader->wants_preload &&
           loader->builds == builds;
}

static void rouse(struct loader *loader) {
    pthread_cond_broadcast(&loader->queue.work);
    pthread_cond_broadcast(&loader->late.work);
}

static void join_reader(struct reader *reader) {
    if (reader->started)
        pthread_join(reader->thread, NULL);
    reader->started = false;
}

static void fail_queue(struct loader *loader, struct queue *queue) {
    struct batch *batch = &loader->readers[0].batch;
    pthread_mutex_lock(&loader->mutex);
    while (batch_take(loader, queue, batch)) {
        pthread_mutex_unlock(&loader->mutex);
        batch_fail(loader, batch);
        pthread_mutex_lock(&loader->mutex);
    }
    pthread_mutex_unlock(&loader->mutex);
}

void loader_ask_to_end(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    atomic_store(&loader->stop, true);
    rouse(loader);
    pthread_mutex_unlock(&loader->mutex);
}

/* The others may put flights off, and start the patient one, to the end. */
void loader_stop(struct loader *loader) {
    loader_ask_to_end(loader);
    for (unsigned i = 0; i < loader->reader_count; i++)
        join_reader(&loader->readers[i]);
    join_reader(&loader->patient);
    if (loader->preloads)
        pthread_join(loader->preloader, NULL);
    if (loader->builds)
        pthread_join(loader->builder, NULL);
    loader->preloads = loader->builds = false;
    fail_queue(loader, &loader->queue);
    fail_queue(loader, &loader->late);
}

void loader_destroy(struct loader *loader) {
    if (!loader)
        return;
    for (struct flight *flight = loader->unused, *next; flight; flight = next) {
        next = flight->next;
        free(flight);
    }
    end_queue(&loader->queue);
    end_queue(&loader->late);
    pthread_mutex_destroy(&loader->mutex);
    free(loader->readers);
    free(loader);
}

void loader_let_go(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    rouse(loader);
    pthread_mutex_unlock(&loader->mutex);
}

uint64_t loader_stuck_us(const struct loader *loader, uint64_t now_us) {
    uint64_t least_us = UINT64_MAX;
    for (unsigned i = 0; i < loader->reader_count; i++) {
        uint64_t stuck_us = progress_at_us(&loader->readers[i].progress, PROGRESS_CALLS, now_us);
        least_us = stuck_us < least_us ? stuck_us : least_us;
    }
    return least_us;
}

bool loader_is_cut_off(const struct loader *loader) {
    return breaker_state(&loader->breaker) != BREAKER_CLOSED;
}

void loader_get_stats(struct loader *loader, struct loader_stats *ret_stats) {
    pthread_mutex_lock(&loader->mutex);
    *ret_stats = loader->stats;
    pthread_mutex_unlock(&loader->mutex);
    ret_stats->breaker = breaker_state(&loader->breaker);
    ret_stats->breaker_opened = counted(&loader->breaker.opened);
}
