/* SPDX-License-Identifier: MIT */
/*
 * The writer's thread and its schedule. A pass:
 *
 *     take what workers handed over (one lock) -> write-through groups -> due batches, one per namespace in
 *     turn -> touches -> marked quarantine entries -> barriers -> fullness, those who wait for room
 *     -> low-water version -> upkeep
 *
 * and then it sleeps until the earliest thing is due, or a worker pokes it. Workers poke when something
 * turned dirty and the thread is not `armed` for that namespace, when a batch is full (`urgent`), for
 * write-through changes and barriers. An armed namespace costs its workers no lock and no system call.
 */
#include "cache/base/thread.h"
#include "policies/load/loader.h"
#include "policies/write/internal.h"
#include "policies/write/low_water.h"
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum { RECONNECT_AFTER = 3, OPEN_PATIENCE_US = 3000000, UPKEEP_US = 1000000, PROGRESS_US = 2000000 };

/* ---- Calling the backend ---- */

static void drop_connection(struct writer *writer) {
    if (writer->connection)
        writer->backend->type->close(writer->connection);
    writer->connection = NULL;
}

/* A connection counts only when it has said which versions the store holds: what is written from then on is
 * above them. */
static enum backend_status open_connection(struct writer *writer) {
    const struct backend_type *type = writer->backend->type;
    uint64_t version = 0;
    enum backend_status status =
        type->open(&writer->backend->options.options, BACKEND_WRITER, &writer->connection, &writer->error);
    if (status != BACKEND_OK)
        return status;
    status = type->high_version(writer->connection, &version, &writer->error);
    if (status == BACKEND_OK)
        cache_raise_version(writer->tier->cache, version);
    else
        drop_connection(writer);
    return status;
}

static enum backend_status connect_backend(struct writer *writer) {
    if (writer->connection)
        return BACKEND_OK;
    if (open_connection(writer) != BACKEND_OK)
        return BACKEND_TRANSIENT;
    atomic_fetch_add(&writer->reconnects, 1);
    return BACKEND_OK;
}

static void succeed(struct writer *writer) {
    if (breaker_state(&writer->breaker) != BREAKER_CLOSED)
        service_log(&writer->tier->service, LOG_LEVEL_NOTICE, "backend %s: takes writes again",
                    writer->backend->options.options.name);
    breaker_success(&writer->breaker);
    atomic_store(&writer->retry_at, 0);
    writer->failures = 0;
    if (writer->backend->loader) /* not yet made during the recovery */
        loader_backend_answers(writer->backend->loader);
}

static void fail(struct writer *writer) {
    bool closed = breaker_state(&writer->breaker) == BREAKER_CLOSED;
    breaker_failure(&writer->breaker, monotonic_us());
    atomic_store(&writer->retry_at, writer->breaker.retry_at);
    atomic_fetch_add(&writer->failure_count, 1);
    if (closed && breaker_state(&writer->breaker) == BREAKER_OPEN)
        service_log(&writer->tier->service, LOG_LEVEL_WARNING,
                    "backend %s: writes fail and are tried again: %s", writer->backend->options.options.name,
                    writer->error.message);
    if (++writer->failures >= RECONNECT_AFTER) {
        drop_connection(writer);
        writer->failures = 0;
    }
}

static enum backend_status judged(struct writer *writer, enum backend_status status) {
    if (status == BACKEND_TRANSIENT || status == BACKEND_REFUSED)
        fail(writer);
    else
        succeed(writer);
    return status == BACKEND_REFUSED ? BACKEND_TRANSIENT : status;
}

bool writer_admits(struct writer *writer) {
    return breaker_state(&writer->breaker) == BREAKER_HALF_OPEN ||
           breaker_admits(&writer->breaker, monotonic_us());
}

enum backend_status writer_apply(struct writer *writer, struct mutation *mutations, size_t count_mutations) {
    enum backend_status status = connect_backend(writer);
    uint64_t start = monotonic_us();
    if (status == BACKEND_OK)
        status = writer->backend->type->apply(writer->connection, mutations, count_mutations,
                                              cache_time_now().seconds, &writer->error);
    uint64_t took = monotonic_us() - start;
    atomic_fetch_add(&writer->apply_us, took);
    if (took > atomic_load(&writer->apply_max_us))
        atomic_store(&writer->apply_max_us, took);
    return judged(writer, status);
}

enum backend_status writer_load_at(struct writer *writer, struct space *space, const struct slice *keys,
                                   size_t count_keys, uint32_t now, struct load_result *results) {
    enum backend_status status = connect_backend(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->load(writer->connection, &space->options.table, keys, count_keys, now,
                                             results, &writer->error);
    return judged(writer, status);
}

enum backend_status writer_load(struct writer *writer, struct space *space, const struct slice *keys,
                                size_t count_keys, struct load_result *results) {
    return writer_load_at(writer, space, keys, count_keys, cache_time_now().seconds, results);
}

/* ---- From workers ---- */

void writer_poke(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    writer->poked = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
}

static void add_job(struct writer *writer, struct tier_ticket *ticket, uint64_t deadline_us) {
    ticket->next = NULL;
    ticket->deadline_us = deadline_us;
    *writer->new_jobs_end = ticket;
    writer->new_jobs_end = &ticket->next;
    writer->new_job_count++;
}

void writer_fail_job(const struct writer *writer, struct tier_ticket *ticket) {
    ticket_fail(ticket, ERROR_BACKEND_DOWN, "%s", writer->backend->down);
    ticket_return(ticket);
}

void writer_submit(struct writer *writer, struct tier_ticket *ticket) {
    uint64_t deadline_us = monotonic_us() + (uint64_t)writer->backend->timeout_ms * 1000;
    atomic_store_explicit(&ticket->unanswered, ticket->ahead_count + 1, memory_order_relaxed);
    pthread_mutex_lock(&writer->mutex);
    bool stopped = writer->stop;
    if (!stopped) {
        add_job(writer, ticket, deadline_us);
        for (struct tier_ticket *next = ticket->ahead; next; next = next->following)
            add_job(writer, next, deadline_us);
        if (gather_enough(&writer->gather, writer->new_job_count))
            pthread_cond_signal(&writer->work);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!stopped)
        return;
    for (struct tier_ticket *next = ticket->ahead, *following; next; next = following) {
        following = next->following;
        writer_fail_job(writer, next);
    }
    writer_fail_job(writer, ticket);
}

bool writer_is_hopeful(const struct writer *writer) {
    return breaker_state(&writer->breaker) == BREAKER_CLOSED ||
           monotonic_us() >= atomic_load(&writer->retry_at);
}

/* ---- Touches in the background ---- */

static bool add_touch(struct writer *writer, struct touch_later wanted, struct slice key, bool bounded) {
    struct touch_later *touch = malloc(sizeof *touch);
    if (!touch)
        return false;
    *touch = wanted;
    touch->key_size = (uint8_t)key.size;
    memcpy(touch->key, key.data, key.size);
    pthread_mutex_lock(&writer->mutex);
    bool room = !bounded || atomic_load(&writer->detached) < DETACHED_MAX;
    if (room) {
        struct touch_later **bucket = &writer->pending[touch->hash % TOUCH_BUCKETS];
        touch->next = writer->new_touches;
        writer->new_touches = touch;
        touch->chain = *bucket;
        *bucket = touch;
        atomic_fetch_add(&writer->detached, 1);
        writer->poked = true;
        pthread_cond_signal(&writer->work);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!room)
        free(touch);
    return room;
}

bool writer_touch_later(struct writer *writer, struct space *space, struct slice key, uint64_t hash,
                        uint64_t version, uint32_t expires_at) {
    struct touch_later touch = {.space = space, .hash = hash, .version = version, .expires_at = expires_at};
    return add_touch(writer, touch, key, true);
}

void writer_amend(struct writer *writer, const struct space *space, struct entry *entry, uint64_t hash) {
    uint64_t latest = entry->version;
    if (atomic_load(&writer->detached) == 0)
        return;
    pthread_mutex_lock(&writer->mutex);
    for (const struct touch_later *touch = writer->pending[hash % TOUCH_BUCKETS]; touch; touch = touch->chain)
        if (touch->hash == hash && touch->space == space && touch->version > latest &&
            slice_equal(slice_of(touch->key, touch->key_size), entry->key)) {
            latest = touch->version;
            entry->expires_at = touch->expires_at;
        }
    pthread_mutex_unlock(&writer->mutex);
}

/* ---- Barriers ---- */

/* The writer has to look at this namespace for the barrier. */
static bool concerns(const struct writer *writer, const struct space *space,
                     const struct tier_ticket *ticket) {
    return space->backend == writer->backend && space->policy->holds_back &&
           (!ticket->barrier_space || ticket->barrier_space == space);
}

static uint64_t quarantined_since(const struct writer *writer, const struct tier_ticket *ticket) {
    uint64_t sum = 0;
    for (size_t i = 0; i < writer->tier->space_count; i++)
        if (concerns(writer, &writer->tier->spaces[i], ticket))
            sum += counted(&writer->tier->spaces[i].flushed.quarantined);
    return sum;
}

/* What is queued now at one writer, as a barrier; NULL: nothing, or no memory (then the ticket has failed).
 */
static struct barrier *make_barrier(struct writer *writer, struct tier_ticket *ticket) {
    struct tier *tier = writer->tier;
    unsigned workers = tier->options.workers;
    bool any = false;
    for (size_t i = 0; i < tier->space_count; i++)
        any |= concerns(writer, &tier->spaces[i], ticket);
    if (!any)
        return NULL;
    struct barrier *barrier = calloc(1, sizeof *barrier + tier->space_count * workers * sizeof(uint64_t));
    if (!barrier) {
        atomic_store(&ticket->barrier_failed, true);
        return NULL;
    }
    barrier->ticket = ticket;
    barrier->deadline_us =
        ticket->barrier_timeout ? monotonic_us() + (uint64_t)ticket->barrier_timeout * 1000 : 0;
    barrier->quarantined = quarantined_since(writer, ticket);
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (!concerns(writer, space, ticket))
            continue;
        ticket->barrier_entries += cache_dirty_entries(tier->cache, space->number);
        for (unsigned w = 0; w < workers; w++)
            barrier->targets[i * workers + w] = queue_pushed(&space->queues[w]);
    }
    return barrier;
}

static bool hand_barrier(struct writer *writer, struct barrier *barrier) {
    pthread_mutex_lock(&writer->mutex);
    bool stopped = writer->stop;
    if (!stopped) {
        barrier->next = writer->new_barriers;
        writer->new_barriers = barrier;
        writer->poked = true;
        pthread_cond_signal(&writer->work);
    }
    pthread_mutex_unlock(&writer->mutex);
    return !stopped;
}

/* One writer's part is over; the last one makes the answer. */
static void barrier_done(struct tier_ticket *ticket) {
    if (atomic_fetch_sub_explicit(&ticket->pending, 1, memory_order_acq_rel) != 1)
        return;
    if (atomic_load(&ticket->barrier_failed)) {
        ticket_fail(ticket, ERROR_UNCONFIRMED, "SERVER_ERROR %s",
                    ticket->barrier_holds_outcome ? "kept, but the backend has not confirmed it in time"
                                                  : "not all is in the backend");
    } else if (!ticket->barrier_holds_outcome) {
        memset(&ticket->outcome, 0, sizeof ticket->outcome);
        ticket->outcome.status = OUTCOME_NUMBER;
        ticket->outcome.number = ticket->barrier_entries;
        ticket->has_outcome = true;
    }
    ticket_return(ticket);
}

void writer_barrier(struct tier *tier, struct tier_ticket *ticket) {
    atomic_store(&ticket->barrier_failed, false);
    atomic_store(&ticket->pending, 1);
    ticket->barrier_entries = 0;
    for (size_t i = 0; i < tier->backend_count; i++) {
        struct writer *writer = tier->backends[i].writer;
        struct barrier *barrier = make_barrier(writer, ticket);
        if (!barrier)
            continue;
        atomic_fetch_add(&ticket->pending, 1);
        atomic_fetch_add(&writer->barrier_count, 1);
        if (!hand_barrier(writer, barrier)) {
            free(barrier);
            atomic_store(&ticket->barrier_failed, true);
            atomic_fetch_sub(&ticket->pending, 1);
        }
    }
    barrier_done(ticket);
}

static bool is_reached(const struct writer *writer, const struct barrier *barrier,
                       const struct flusher *flusher) {
    unsigned workers = writer->tier->options.workers;
    const uint64_t *targets = &barrier->targets[(size_t)flusher->space->number * workers];
    for (unsigned w = 0; w < workers; w++)
        if (targets[w] > flusher->space->queues[w].popped)
            return false;
    bool waited_for = false;
    for (unsigned w = 0; w < workers; w++)
        waited_for |= targets[w] > 0;
    return !waited_for || (flusher->count == 0 && flusher->again_count == 0);
}

static bool is_satisfied(const struct writer *writer, const struct barrier *barrier) {
    if (touches_wait(writer, barrier->ticket->barrier_space))
        return false;
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (!is_reached(writer, barrier, &writer->flushers[i]))
            return false;
    return true;
}

/* A namespace that a barrier waits for is flushed at once. */
static bool is_awaited(const struct writer *writer, const struct flusher *flusher) {
    for (const struct barrier *barrier = writer->barriers; barrier; barrier = barrier->next)
        if (!is_reached(writer, barrier, flusher))
            return true;
    return false;
}

static void check_barriers(struct writer *writer, uint64_t now_us, bool fail_all) {
    for (struct barrier **at = &writer->barriers; *at;) {
        struct barrier *barrier = *at;
        bool late = fail_all || (barrier->deadline_us && now_us >= barrier->deadline_us);
        bool satisfied = is_satisfied(writer, barrier);
        if (!satisfied && !late) {
            at = &barrier->next;
            continue;
        }
        if (!satisfied || quarantined_since(writer, barrier->ticket) != barrier->quarantined)
            atomic_store(&barrier->ticket->barrier_failed, true);
        *at = barrier->next;
        barrier_done(barrier->ticket);
        free(barrier);
    }
}

/* ---- A pass ---- */

static bool is_draining(const struct writer *writer) {
    return atomic_load(&writer->tier->draining);
}

static void flush_due(struct writer *writer, uint64_t now_us) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[(writer->next_flusher + i) % writer->flusher_count];
        atomic_exchange(&flusher->space->urgent, false);
        bool forced = is_draining(writer) || is_awaited(writer, flusher);
        if (flusher_due(flusher, now_us, forced) != 0)
            continue;
        if (!writer_admits(writer))
            break;
        if (flusher_flush(writer, flusher))
            atomic_store(&flusher->space->starved, false);
    }
    writer->next_flusher++;
}

static void retry_quarantines(struct writer *writer) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (quarantine_count(writer->flushers[i].space->quarantine) && writer_admits(writer))
            flusher_retry_quarantine(writer, &writer->flushers[i]);
}

static void look_after_fullness(struct writer *writer, uint64_t now_us, uint64_t *wake_at) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[i];
        struct space *space = flusher->space;
        uint64_t since = flusher_since(flusher);
        atomic_store(&space->oldest_since, since == UINT64_MAX ? 0 : since);
        if (cache_dirty_entries(space->tier->cache, space->number) == 0)
            atomic_store(&space->starved, false); /* it is not for want of flushing */
        space_judge_full(space, flusher_age(flusher, now_us));
        uint64_t next = space_release_waiting(space, now_us);
        if (next && next < *wake_at)
            *wake_at = next;
    }
}

/* After this the bound holds for ever: see low_water.c. */
static void publish_bound(struct writer *writer) {
    uint64_t bound = low_water_bound(writer->tier);
    for (size_t i = 0; i < writer->flusher_count; i++) {
        uint64_t since = flusher_since(&writer->flushers[i]);
        if (since < bound)
            bound = since;
    }
    uint64_t touches = touches_bound(writer);
    if (touches < bound)
        bound = touches;
    if (bound > atomic_load(&writer->bound))
        atomic_store(&writer->bound, bound);
    low_water_advance(writer->tier);
}

static bool upkeep_due(struct writer *writer, uint64_t now_us) {
    bool more = false;
    if (now_us < writer->upkeep_at || !writer->connection ||
        breaker_state(&writer->breaker) != BREAKER_CLOSED)
        return false;
    enum backend_status status =
        writer->backend->type->maintain(writer->connection, cache_time_now().seconds, &more, &writer->error);
    atomic_fetch_add(&writer->upkeep, 1);
    writer->upkeep_at = monotonic_us() + (status == BACKEND_OK && more ? 0 : UPKEEP_US);
    return status == BACKEND_OK && more;
}

static bool has_busy_work(const struct writer *writer) {
    return writer->jobs || writer->group.count || writer->touches_failed;
}

/* Arms the namespaces and finds out when the next thing is due. Arming comes before looking: what is pushed
 * after the look finds the namespace unarmed and pokes. */
static uint64_t next_due(struct writer *writer, uint64_t now_us) {
    uint64_t due = now_us + POLL_US;
    bool pending = has_busy_work(writer);
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[i];
        atomic_exchange(&flusher->space->armed, false);
        uint64_t at = flusher_due(flusher, now_us, is_draining(writer) || is_awaited(writer, flusher));
        if (at == UINT64_MAX)
            continue;
        atomic_exchange(&flusher->space->armed, true);
        pending |= at == 0;
        if (at && at < due)
            due = at;
    }
    if (pending) /* at once, or when the breaker lets it */
        due = writer->breaker.retry_at > now_us ? writer->breaker.retry_at : now_us;
    for (const struct barrier *barrier = writer->barriers; barrier; barrier = barrier->next)
        if (barrier->deadline_us && barrier->deadline_us < due)
            due = barrier->deadline_us;
    for (const struct tier_ticket *job = writer->jobs; job; job = job->next)
        if (job->deadline_us < due)
            due = job->deadline_us;
    if (writer->group.count && writer->group.deadline_us < due)
        due = writer->group.deadline_us;
    return due;
}

static void wake_stuck_workers(const struct tier *tier) {
    for (unsigned i = 0; i < tier->options.workers; i++)
        if (atomic_load_explicit(&tier->workers[i].journal_stuck, memory_order_relaxed))
            service_wake(&tier->service, i);
}

static uint64_t pass(struct writer *writer) {
    uint64_t now_us = monotonic_us(), wake_at = UINT64_MAX;
    group_run(writer);
    flush_due(writer, now_us);
    writer->touches_failed = !touches_run(writer);
    retry_quarantines(writer);
    now_us = monotonic_us();
    check_barriers(writer, now_us, false);
    look_after_fullness(writer, now_us, &wake_at);
    publish_bound(writer);
    wake_stuck_workers(writer->tier);
    if (upkeep_due(writer, now_us))
        return now_us;
    uint64_t due = next_due(writer, now_us);
    return due < wake_at ? due : wake_at;
}

/* ---- The thread ---- */

static void take_jobs(struct writer *writer) {
    gather_end(&writer->gather);
    writer->new_job_count = 0;
    if (!writer->new_jobs)
        return;
    *writer->jobs_end = writer->new_jobs;
    writer->jobs_end = writer->new_jobs_end;
    writer->new_jobs = NULL;
    writer->new_jobs_end = &writer->new_jobs;
}

/* Whatever else is due may be done while more changes are waited for. */
static void take_work(struct writer *writer) {
    if (gather_enough(&writer->gather, writer->new_job_count) || monotonic_us() >= writer->gather.until_us ||
        writer->stop)
        take_jobs(writer);
    while (writer->new_barriers) {
        struct barrier *barrier = writer->new_barriers;
        writer->new_barriers = barrier->next;
        barrier->next = writer->barriers;
        writer->barriers = barrier;
    }
    while (writer->new_touches) {
        struct touch_later *touch = writer->new_touches;
        writer->new_touches = touch->next;
        touch->next = writer->touches;
        writer->touches = touch;
    }
    writer->poked = false;
}

/* With the lock. */
static bool has_new_jobs(const struct writer *writer) {
    return writer->new_job_count > 0 && gather_enough(&writer->gather, writer->new_job_count);
}

static void sleep_until(struct writer *writer, uint64_t due_us) {
    if (writer->gather.until_us && writer->gather.until_us < due_us)
        due_us = writer->gather.until_us;
    while (!writer->poked && !writer->stop && !has_new_jobs(writer))
        if (condition_wait_until(&writer->work, &writer->mutex, due_us) != 0)
            return;
}

static void *writer_main(void *argument) {
    struct writer *writer = argument;
    uint64_t due_us = 0;
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        sleep_until(writer, due_us);
        if (writer->stop)
            break;
        take_work(writer);
        pthread_mutex_unlock(&writer->mutex);
        due_us = pass(writer);
        pthread_mutex_lock(&writer->mutex);
        if (writer->group.answered)
            gather_begin(&writer->gather, writer->group.answered, writer->new_job_count,
                         writer->group.commit_us, monotonic_us());
    }
    take_work(writer);
    pthread_mutex_unlock(&writer->mutex);
    publish_bound(writer);
    group_fail_all(writer);
    check_barriers(writer, monotonic_us(), true);
    return NULL;
}

static bool init_flushers(struct writer *writer) {
    struct tier *tier = writer->tier;
    writer->flushers = calloc(tier->space_count, sizeof *writer->flushers);
    if (!writer->flushers)
        return false;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend == writer->backend && space->policy->holds_back &&
            !flusher_init(&writer->flushers[writer->flusher_count++], space))
            return false;
    }
    return true;
}

/* The first connection. A backend that refuses ends the start. One that does not answer now is waited for a
 * little; then the server goes on without it, and this thread goes on trying. */
static bool open_first(struct writer *writer, char *error, size_t error_size) {
    const char *name = writer->backend->options.options.name;
    uint64_t until = monotonic_us() + OPEN_PATIENCE_US;
    enum backend_status status;
    while ((status = open_connection(writer)) == BACKEND_TRANSIENT && monotonic_us() < until)
        usleep(100000);
    if (status == BACKEND_TRANSIENT)
        service_log(&writer->tier->service, LOG_LEVEL_WARNING, "backend %s: not available yet: %s", name,
                    writer->error.message);
    if (status == BACKEND_OK || status == BACKEND_TRANSIENT)
        return true;
    snprintf(error, error_size, "Backend \"%s\": %s", name, writer->error.message);
    return false;
}

struct writer *writer_create(struct tier_backend *backend, char *error, size_t error_size) {
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        snprintf(error, error_size, "Out of memory.");
        return NULL;
    }
    writer->backend = backend;
    writer->tier = backend->tier;
    writer->jobs_end = &writer->jobs;
    writer->new_jobs_end = &writer->new_jobs;
    pthread_mutex_init(&writer->mutex, NULL);
    condition_init(&writer->work);
    breaker_init(&writer->breaker, monotonic_us());
    bool ready = init_flushers(writer) && group_init(&writer->group, writer->tier->options.cache.item_max);
    if (!ready)
        snprintf(error, error_size, "Out of memory.");
    if (!ready || !open_first(writer, error, error_size)) {
        writer_destroy(writer);
        return NULL;
    }
    return writer;
}

bool writer_start(struct writer *writer) {
    writer->started = service_start_thread(&writer->thread, "writer", writer->backend->options.options.name,
                                           writer_main, writer) == 0;
    return writer->started;
}

void writer_stop(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    writer->stop = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
    if (writer->started)
        pthread_join(writer->thread, NULL);
    writer->started = false;
}

void writer_destroy(struct writer *writer) {
    if (!writer)
        return;
    drop_connection(writer);
    for (size_t i = 0; i < writer->flusher_count; i++)
        flusher_free(&writer->flushers[i]);
    free(writer->flushers);
    group_free(&writer->group);
    touches_free(writer->touches);
    touches_free(writer->new_touches);
    pthread_cond_destroy(&writer->work);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

/* ---- Recovery, drain, statistics ---- */

bool writer_recover_touch(struct writer *writer, struct space *space, const struct entry *entry) {
    struct touch_later touch = {.space = space,
                                .hash = cache_hash(entry->key),
                                .version = entry->version,
                                .client_cas = entry->client_cas,
                                .expires_at = entry->expires_at};
    return add_touch(writer, touch, entry->key, false);
}

/* A long recovery says what it is doing. */
static uint64_t tell_progress(const struct writer *writer, const struct space *space, uint64_t told_us) {
    uint64_t now_us = monotonic_us();
    if (now_us - told_us < PROGRESS_US)
        return told_us;
    service_log(&writer->tier->service, LOG_LEVEL_NOTICE,
                "journal: recovering, %zu entries of namespace %s have yet to be written to backend %s",
                cache_dirty_entries(writer->tier->cache, space->number), space->options.name,
                writer->backend->options.options.name);
    return now_us;
}

/* How much has ever left the queues: where nothing does, there is no memory for a batch. */
static uint64_t taken(const struct flusher *flusher) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < flusher->space->tier->options.workers; i++)
        sum += flusher->space->queues[i].popped;
    return sum - flusher->again_count;
}

bool writer_flush_now(struct writer *writer, struct space *space) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[i];
        if (flusher->space != space)
            continue;
        uint64_t told_us = monotonic_us();
        while (flusher_has_work(flusher)) {
            uint64_t before = taken(flusher);
            bool held = flusher->count > 0;
            if (!flusher_flush(writer, flusher) ||
                (!held && taken(flusher) == before && flusher_has_work(flusher)))
                return false;
            told_us = tell_progress(writer, space, told_us);
        }
    }
    return true;
}

bool writer_is_connected(const struct writer *writer) {
    return writer->connection != NULL;
}

void writer_settle_touches(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    take_work(writer);
    pthread_mutex_unlock(&writer->mutex);
    touches_run(writer);
}

bool writer_is_drained(struct writer *writer) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (cache_dirty_entries(writer->tier->cache, writer->flushers[i].space->number) > 0)
            return false;
    return atomic_load(&writer->detached) == 0;
}

uint64_t writer_bound(struct writer *writer) {
    return atomic_load(&writer->bound);
}

void writer_get_stats(struct writer *writer, struct writer_stats *ret_stats) {
    ret_stats->groups = counted(&writer->groups);
    ret_stats->grouped = counted(&writer->grouped);
    ret_stats->group_refused = counted(&writer->group_refused);
    ret_stats->failures = counted(&writer->failure_count);
    ret_stats->reconnects = counted(&writer->reconnects);
    ret_stats->breaker_opened = counted(&writer->breaker.opened);
    ret_stats->upkeep = counted(&writer->upkeep);
    ret_stats->touches = counted(&writer->touched);
    ret_stats->barriers = counted(&writer->barrier_count);
    ret_stats->apply_us = counted(&writer->apply_us);
    ret_stats->apply_max_us = counted(&writer->apply_max_us);
    ret_stats->breaker = breaker_state(&writer->breaker);
}
