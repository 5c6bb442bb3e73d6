/* SPDX-License-Identifier: MIT */
/*
 * The writer's thread and its schedule. A pass:
 *
 *     take what workers handed over (one lock) -> errands of other writers -> rows that readers wait for after a recovery ->
 *     write-through groups -> due batches, one per namespace in turn -> touches -> quarantine entries to be
 *     retried -> rewriting -> a step of each copy -> barriers -> fullness, those who wait for room -> low-water versions -> upkeep
 *
 * and then it sleeps until the earliest thing is due, or a worker pokes it. Workers poke when something
 * turned dirty and the thread is not `armed` for that namespace, when a batch is full (`urgent`), for
 * write-through changes and barriers. An armed namespace costs its workers no lock and no system call.
 */
#include "policies/write/writer.h"
#include "cache/base/fit.h"
#include "cache/base/thread.h"
#include "policies/store.h"
#include "policies/write/copy.h"
#include "policies/write/internal.h"
#include "policies/write/low_water.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include "policies/write/regress.h"
#include "policies/write/retry.h"
#include "policies/write/store_note.h"
#include <stdlib.h>

enum {
    RECONNECT_AFTER = 3,    /* failures in a row */
    POLL_US = 1000000,      /* the thread looks around at least that often */
    LOOK_AGAIN_US = 100000, /* for a part of the store that is away, while nobody asks anew */
};

/* ---- From workers ---- */

void writer_poke(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    writer_rouse(writer);
    pthread_mutex_unlock(&writer->mutex);
}

static void add_job(struct writer *writer, struct tier_ticket *ticket, uint64_t deadline_us) {
    ticket->next = NULL;
    ticket->deadline_us = deadline_us;
    *writer->new_jobs_end = ticket;
    writer->new_jobs_end = &ticket->next;
    writer->new_job_count++;
}

void writer_submit(struct writer *writer, struct tier_ticket *ticket) {
    uint64_t deadline_us = monotonic_us() + (uint64_t)writer->backend->timeout_ms * 1000;
    atomic_store_explicit(&ticket->ahead.unanswered, ticket->ahead.count + 1, memory_order_relaxed);
    pthread_mutex_lock(&writer->mutex);
    bool stopped = writer->stop;
    if (!stopped) {
        add_job(writer, ticket, deadline_us);
        for (struct tier_ticket *next = ticket->ahead.list; next; next = next->following)
            add_job(writer, next, deadline_us);
        if (gather_enough(&writer->gather, writer->new_job_count))
            pthread_cond_signal(&writer->work);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!stopped)
        return;
    for (struct tier_ticket *next = ticket->ahead.list, *following; next; next = following) {
        following = next->following;
        group_fail_job(writer, next);
    }
    group_fail_job(writer, ticket);
}

static bool is_hopeful(const struct breaker *breaker) {
    return breaker_state(breaker) == BREAKER_CLOSED || monotonic_us() >= breaker_retry_at(breaker);
}

bool writer_is_hopeful(const struct writer *writer, const struct space *space) {
    return is_hopeful(&writer->breaker) && is_hopeful(&space->write_breaker);
}

/* ---- A pass ---- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static bool is_draining(const struct writer *writer) {
    return atomic_load(&writer->tier->draining);
}

static void flush_due(struct writer *writer, uint64_t now_us) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[(writer->next_flusher + i) % writer->flusher_count];
        atomic_exchange(&flusher->space->urgent, false);
        bool forced = is_draining(writer) || barriers_await(writer, flusher);
        if (flusher_due(flusher, now_us, forced) != 0)
            continue;
        if (!call_is_admitted_for(writer, flusher->space))
            continue;
        if (flusher_flush(writer, flusher))
            fullness_relieve(&flusher->space->fullness);
    }
    writer->next_flusher++;
}

static void retry_quarantines(struct writer *writer) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct space *space = writer->flushers[i].space;
        if (retry_due(&writer->flushers[i]) == 0 && call_is_admitted_for(writer, space))
            retry_run(writer, &writer->flushers[i]);
        flusher_tell_refused(&writer->flushers[i], monotonic_us());
        flusher_watch_quarantine(&writer->flushers[i], monotonic_us());
    }
}

static void watch_recoveries(struct writer *writer, uint64_t now_us) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        flusher_watch_recovery(&writer->flushers[i], now_us);
}

static void look_after_fullness(struct writer *writer, uint64_t now_us, uint64_t *wake_at) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[i];
        struct space *space = flusher->space;
        bool waits = flusher_since(flusher) != UINT64_MAX;
        uint64_t age = flusher_age(flusher, now_us);
        atomic_store(&space->oldest_us, waits ? now_us - age : 0);
        if (cache_dirty_entries(space->tier->cache, space->number) == 0)
            fullness_relieve(&space->fullness); /* it is not for want of flushing */
        flusher_judge_fullness(flusher, age);
        uint64_t next = fullness_release(&space->fullness, now_us);
        if (next)
            *wake_at = earlier(*wake_at, next);
    }
    atomic_store(&writer->unseen_since_us, now_us);
}

/* Over the time for which files are kept, MARKS_MAX of them. */
static void note_marks(struct writer *writer, struct flusher *flusher) {
    uint64_t keep_us = (uint64_t)writer->tier->options.journal_keep * US_PER_MS;
    if (!writer->owes && writer->store_applied)
        marks_note(&flusher->marks, atomic_load(&flusher->space->low_water), writer->store_applied,
                   keep_us / (MARKS_MAX / 2));
}

/* Each namespace by itself, so that one whose backend is away holds back no other. */
static void pass_what_is_written(struct writer *writer) {
    uint64_t bound = low_water_bound(writer->tier), mark = rewrite_mark(writer);
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[i];
        uint64_t waiting = earlier(flusher_since(flusher), touches_bound(writer, flusher->space));
        low_water_pass(flusher->space, earlier(bound, waiting), mark);
        note_marks(writer, flusher);
    }
}

/* When something that could not be done, or is to be done at once, is to be tried: when its namespace's breaker lets
 * it; UINT64_MAX: there is nothing. */
static uint64_t pending_since(const struct writer *writer, uint64_t now_us) {
    if (writer->jobs || writer->group.count || writer->touches.more)
        return now_us;
    uint64_t pending = confirms_retry_at(writer);
    if (writer->touches.retry_us)
        pending = earlier(pending, writer->touches.retry_us);
    return later(pending, now_us);
}

/* Arms the namespaces and finds out when the next thing is due. Arming comes before looking: what is pushed
 * after the look finds the namespace unarmed and pokes. */
static uint64_t next_due(struct writer *writer, uint64_t now_us) {
    uint64_t due = now_us + POLL_US, pending = pending_since(writer, now_us);
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct flusher *flusher = &writer->flushers[i];
        struct space *space = flusher->space;
        atomic_exchange(&space->armed, false);
        uint64_t at = flusher_due(flusher, now_us, is_draining(writer) || barriers_await(writer, flusher));
        uint64_t retry_at = retry_due(flusher);
        if (retry_at != UINT64_MAX)
            pending =
                earlier(pending, later(later(breaker_retry_at(&space->write_breaker), retry_at), now_us));
        if (at == UINT64_MAX)
            continue;
        atomic_exchange(&space->armed, true);
        if (at)
            due = earlier(due, at);
        else
            pending = earlier(pending, later(breaker_retry_at(&space->write_breaker), now_us));
    }
    if (!writer->reached || call_wants_renewal(writer))
        pending = earlier(pending, now_us);
    if (pending != UINT64_MAX) /* nothing else is due before the breaker of the backend lets it */
        due = later(breaker_retry_at(&writer->breaker), earlier(due, pending));
    due = earlier(due, barriers_deadline(writer));
    for (const struct tier_ticket *job = writer->jobs; job; job = job->next)
        due = earlier(due, job->deadline_us);
    return writer->group.count ? earlier(due, writer->group.deadline_us) : due;
}

static void wake_stuck_workers(const struct tier *tier) {
    for (unsigned i = 0; i < tier->options.workers; i++)
        if (atomic_load_explicit(&tier->workers[i].journal_stuck, memory_order_relaxed))
            service_wake(&tier->service, i);
}

/* Those that were asked for by now, if the store answers; or the parts of it that are there. */
static void answer_looks(struct writer *writer, unsigned wanted) {
    bool done_in_part = wanted == atomic_load(&writer->looks_done_in_part);
    if (wanted == atomic_load(&writer->looks_done) ||
        (done_in_part && monotonic_us() < writer->look_again_us))
        return;
    bool saw_all = call_see(writer);
    if (saw_all)
        atomic_store(&writer->looks_done, wanted);
    if (saw_all || writer->seen_in_part)
        atomic_store(&writer->looks_done_in_part, wanted);
    writer->look_again_us = monotonic_us() + LOOK_AGAIN_US;
}

static uint64_t pass(struct writer *writer) {
    uint64_t now_us = monotonic_us(), wake_at = UINT64_MAX;
    unsigned looks_wanted = atomic_load(&writer->looks_wanted);
    call_reach(writer);
    call_renew(writer);
    errands_run(writer);
    watch_recoveries(writer, now_us);
    confirms_run(writer);
    group_run(writer);
    flush_due(writer, now_us);
    touches_run(writer);
    retry_quarantines(writer);
    bool rewrites = rewrite_run(writer);
    rewrite_halt_keeping(writer);
    wake_at = copies_run(writer);
    if (is_draining(writer)) {
        call_look(writer);
        atomic_store(&writer->looked, true);
    }
    now_us = monotonic_us();
    watch_recoveries(writer, now_us);
    barriers_check(writer, now_us, false);
    look_after_fullness(writer, now_us, &wake_at);
    pass_what_is_written(writer);
    wake_stuck_workers(writer->tier);
    call_probe(writer);
    answer_looks(writer, looks_wanted);
    if (call_upkeep(writer, now_us) || rewrites)
        return now_us;
    wake_at = earlier(wake_at, rewrite_rests_until(writer));
    return earlier(earlier(next_due(writer, now_us), wake_at), writer->upkeep_at);
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
    confirms_take(writer);
    barriers_take(writer);
    touches_take(writer);
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
    progress_note(&writer->progress, PROGRESS_CALLS);
    atomic_store(&writer->unseen_since_us, monotonic_us());
    call_end_first(writer);
    regress_look_back(writer);
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        progress_note(&writer->progress, PROGRESS_IDLE);
        atomic_store(&writer->unseen_since_us, 0);
        sleep_until(writer, due_us);
        atomic_store(&writer->unseen_since_us, monotonic_us());
        progress_note(&writer->progress, PROGRESS_WORKS);
        if (writer->stop)
            break;
        take_work(writer);
        pthread_mutex_unlock(&writer->mutex);
        atomic_fetch_add(&writer->passes, 1);
        due_us = pass(writer);
        atomic_fetch_add(&writer->passes, 1);
        pthread_mutex_lock(&writer->mutex);
        if (writer->group.answered)
            gather_begin(&writer->gather, writer->group.answered, writer->new_job_count,
                         writer->group.commit_us, monotonic_us());
    }
    take_work(writer);
    errands_refuse(writer);
    pthread_mutex_unlock(&writer->mutex);
    pass_what_is_written(writer);
    group_fail_all(writer);
    confirms_give_up(writer);
    barriers_check(writer, monotonic_us(), true);
    copies_end(writer);
    rewrite_end(writer);
    at_risk_end(writer);
    return NULL;
}

static bool init_flushers(struct writer *writer) {
    struct tier *tier = writer->tier;
    writer->flushers = calloc(CACHE_SPACES_MAX, sizeof *writer->flushers);
    if (!writer->flushers)
        return false;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend == writer->backend && space->policy->holds_back)
            flusher_init(&writer->flushers[writer->flusher_count++], space);
    }
    return true;
}

struct writer *writer_create(struct tier_backend *backend, char *error, size_t error_size) {
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        fit_print(error, error_size, "Out of memory.");
        return NULL;
    }
    writer->backend = backend;
    writer->tier = backend->tier;
    writer->jobs_end = &writer->jobs;
    writer->new_jobs_end = &writer->new_jobs;
    pthread_mutex_init(&writer->mutex, NULL);
    condition_init(&writer->work);
    condition_init(&writer->errand_done);
    breaker_init(&writer->breaker, monotonic_us());
    breaker_init(&writer->part_breaker, monotonic_us());
    session_init(&writer->session, backend, BACKEND_WRITER, RECONNECT_AFTER);
    bool ready = init_flushers(writer) && touches_init(writer) &&
                 group_init(&writer->group, writer->tier->options.cache.item_max);
    if (!ready) {
        fit_print(error, error_size, "Out of memory.");
        writer_destroy(writer);
        return NULL;
    }
    call_begin_first(writer);
    return writer;
}

void writer_add_space(struct writer *writer, struct space *space) {
    flusher_init(&writer->flushers[writer->flusher_count], space);
    writer->flusher_count++; /* last: its thread looks at as many */
}

bool writer_knows_table(const struct writer *writer, const struct space *space) {
    return space->options.table.index < writer->tables_known;
}

unsigned writer_touches(const struct writer *writer) {
    return atomic_load(&writer->touches.waiting);
}

bool writer_await(struct writer *writer, uint64_t until_us, char *error, size_t error_size) {
    return call_await_first(writer, until_us, error, error_size);
}

bool writer_start(struct writer *writer) {
    writer->started = service_start_thread(&writer->thread, "writer", writer->backend->options.store.name,
                                           writer_main, writer) == 0;
    return writer->started;
}

void writer_ask_to_end(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    writer->stop = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
}

void writer_stop(struct writer *writer) {
    writer_ask_to_end(writer);
    if (writer->started)
        pthread_join(writer->thread, NULL);
    writer->started = false;
}

void writer_destroy(struct writer *writer) {
    if (!writer)
        return;
    call_end_first(writer);
    session_close(&writer->session);
    store_note_end(writer);
    for (size_t i = 0; i < writer->flusher_count; i++)
        flusher_free(&writer->flushers[i]);
    free(writer->flushers);
    group_free(&writer->group);
    touches_free(writer);
    at_risk_free(writer);
    pthread_cond_destroy(&writer->work);
    pthread_cond_destroy(&writer->errand_done);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

/* ---- Recovery, drain, statistics ---- */

bool writer_flush_now(struct writer *writer, struct space *space) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (writer->flushers[i].space == space)
            return flusher_flush_all(writer, &writer->flushers[i]);
    return true;
}

void writer_retry_quarantine(struct writer *writer, struct space *space) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        while (writer->flushers[i].space == space && quarantine_retries(space->quarantine))
            if (!retry_run(writer, &writer->flushers[i]))
                return;
}

bool writer_is_connected(struct writer *writer) {
    call_end_first(writer);
    writer->reached = session_is_open(&writer->session);
    return writer->reached;
}

bool writer_is_drained(struct writer *writer) {
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (cache_dirty_entries(writer->tier->cache, writer->flushers[i].space->number) > 0)
            return false;
    if (writer->started && (!atomic_load(&writer->looked) || store_is_lost(writer->backend->store)))
        return false;
    return !rewrite_is_running(writer) && !touches_are_waiting(writer);
}

const struct progress *writer_progress(const struct writer *writer) {
    return &writer->progress;
}

uint64_t writer_passes(const struct writer *writer) {
    return atomic_load(&writer->passes);
}

unsigned writer_ask_look(struct writer *writer) {
    unsigned look = atomic_fetch_add(&writer->looks_wanted, 1) + 1;
    writer_poke(writer);
    return look;
}

bool writer_has_looked(const struct writer *writer, unsigned look) {
    return (int)(atomic_load(&writer->looks_done) - look) >= 0;
}

bool writer_has_looked_in_part(const struct writer *writer, unsigned look) {
    return (int)(atomic_load(&writer->looks_done_in_part) - look) >= 0;
}

unsigned writer_losses(const struct writer *writer) {
    return atomic_load(&writer->at_risk.losses);
}

bool writer_may_lack(const struct writer *writer, const struct space *space, uint64_t hash) {
    return at_risk_has(writer, space, hash);
}

bool writer_rewrites(const struct writer *writer) {
    return rewrite_is_running(writer);
}

uint64_t writer_unseen_since(const struct writer *writer) {
    return atomic_load(&writer->unseen_since_us);
}

bool writer_has_reached(const struct writer *writer) {
    return atomic_load_explicit(&writer->reached, memory_order_relaxed);
}

bool writer_is_cut_off(const struct writer *writer) {
    return breaker_state(&writer->breaker) != BREAKER_CLOSED;
}

void writer_get_stats(struct writer *writer, struct writer_stats *ret_stats) {
#define COPY(name) ret_stats->name = counted(&writer->counters.name);
    WRITER_COUNTERS(COPY)
#undef COPY
    ret_stats->breaker_opened = counted(&writer->breaker.opened);
    ret_stats->breaker = breaker_state(&writer->breaker);
}
