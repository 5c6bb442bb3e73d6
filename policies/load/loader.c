/* SPDX-License-Identifier: MIT */
/*
 * See loader.h. A flight goes through these states, all under loader.mutex:
 *
 *     submitted --(no flight of the key)--> QUEUED --take_batch--> FLYING --land--> gone
 *         |                            ^---put_back---'
 *         `-------(one exists)-----> joins it, in either state
 *
 * The cache is filled after the flight has left the table, with the stamp of its first passenger: if the key
 * changed between that miss and the fill, the cache refuses and every passenger asks again. If it did not,
 * what was loaded was current at a moment after every passenger had boarded.
 *
 * A passenger is answered within the backend's timeout, whatever part of that he has waited for a reader: a lookup
 * ends at the earliest deadline of its flights.
 *
 * Where the store went back to what it was, flights may have to wait, queued, until it is safe to look them up, or their time
 * is over; those that were looked up meanwhile are queued again (wary.h).
 *
 * Two breakers decide whether the backend is asked: its own, and that of the namespace, for what is its table's
 * fault alone. A row that cannot be read counts for neither.
 */
#include "policies/load/loader.h"
#include "cache/base/progress.h"
#include "cache/base/thread.h"
#include "policies/absence.h"
#include "policies/load/absence_build.h"
#include "policies/load/flight.h"
#include "policies/load/preload.h"
#include "policies/load/wary.h"
#include "policies/session.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/quarantine.h"
#include "policies/write/touches.h"
#include <stdlib.h>

enum {
    BATCH_KEYS = 128,
    TABLE_BUCKETS = 4096,
    RECONNECT_AFTER = 2,
    LEAST_SHARE = 8 /* of the timeout: with less than this part of it left no lookup is begun */
};

struct batch {
    struct flight *flights[BATCH_KEYS];
    struct slice keys[BATCH_KEYS];
    struct load_result results[BATCH_KEYS];
    size_t count;
    struct space *space;
    bool partial;  /* a part of the store is away: results say which could not be looked up */
    uint32_t then; /* the second at which the rows have to be alive; 0: now */
};

struct reader {
    struct loader *loader;
    pthread_t thread;
    bool started;
    struct progress progress;
    struct session session;
    unsigned followed;  /* the moves of the store that it has gone after */
    struct batch batch; /* in hand; here, because without it a reader could not even fail its loads */
};

struct line {
    struct flight *first, **end;
};

struct loader {
    struct tier_backend *backend;
    struct reader *readers;
    unsigned reader_count;
    pthread_t preloader; /* ends when all is preloaded */
    bool wants_preload, preload_waits, preloads;
    pthread_t builder; /* of absent filters */
    bool builds;
    atomic_bool stop;
    atomic_bool in_doubt; /* the last call of the backend failed, or there was none yet */

    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct flight *table[TABLE_BUCKETS];
    struct line *lines; /* per namespace of the tier: flights not yet taken */
    size_t next_line;   /* where the search for work goes on: namespaces take turns */
    struct flight *unused;
    struct breaker breaker;
    struct breaker part_breaker; /* of the backend's parts: what it tells, it keeps nobody off */
    struct loader_stats stats;
    struct log_limit outage_lines; /* of the log, any thread */
    struct wary wary;              /* any thread */
};

/* ---- Boarding: workers ---- */

static struct flight **table_slot(struct loader *loader, uint64_t hash) {
    return &loader->table[(hash >> 16) % TABLE_BUCKETS];
}

static struct flight *find_flight(struct loader *loader, const struct load *load) {
    for (struct flight *flight = *table_slot(loader, load->hash); flight; flight = flight->chain)
        if (flight->hash == load->hash && flight->space == load->space &&
            flight->key_size == load->key_size && memcmp(flight->key, load->key, load->key_size) == 0)
            return flight;
    return NULL;
}

static struct flight *open_flight(struct loader *loader, const struct load *load, uint64_t deadline_us) {
    struct flight *flight = loader->unused;
    if (flight)
        loader->unused = flight->next;
    else if (!(flight = malloc(sizeof *flight)))
        return NULL;
    flight->passengers = NULL;
    flight->next = NULL;
    flight->space = load->space;
    flight->hash = load->hash;
    flight->stamp = load->stamp;
    flight->deadline_us = deadline_us;
    flight->key_size = load->key_size;
    memcpy(flight->key, load->key, load->key_size);
    struct flight **slot = table_slot(loader, flight->hash);
    flight->chain = *slot;
    *slot = flight;
    struct line *line = &loader->lines[flight->space->number];
    *line->end = flight;
    line->end = &flight->next;
    loader->stats.in_flight++;
    return flight;
}

/* With the mutex: is there any use in asking for keys of this namespace? */
static bool is_hopeful(const struct loader *loader, const struct space *space, uint64_t now_us) {
    return breaker_hopeful(&loader->breaker, now_us) && breaker_hopeful(&space->read_breaker, now_us);
}

/* False: the load cannot be done (breaker open, stopped, no memory). */
static bool board(struct loader *loader, struct load *load, uint64_t now_us) {
    if (atomic_load(&loader->stop))
        return false;
    struct flight *flight = find_flight(loader, load);
    if (flight) {
        loader->stats.joined++;
    } else {
        if (!is_hopeful(loader, load->space, now_us))
            return false;
        flight = open_flight(loader, load, now_us + (uint64_t)loader->backend->timeout_ms * 1000);
    }
    if (!flight)
        return false;
    load->next = flight->passengers;
    flight->passengers = load;
    return true;
}

/* All loads of the ticket from index on that go to the same loader; returns the first that does not. */
static unsigned board_run(struct tier_ticket *ticket, unsigned from, unsigned *failed, uint64_t now_us) {
    struct loader *loader = ticket->loads.list[from].space->backend->loader;
    unsigned i = from, boarded = 0;
    pthread_mutex_lock(&loader->mutex);
    for (; i < ticket->loads.count && ticket->loads.list[i].space->backend->loader == loader; i++) {
        if (board(loader, &ticket->loads.list[i], now_us)) {
            boarded++;
        } else {
            ticket->loads.list[i].result = LOAD_FAILED;
            *failed += 1;
        }
    }
    if (boarded > BATCH_KEYS)
        pthread_cond_broadcast(&loader->work);
    else if (boarded)
        pthread_cond_signal(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    return i;
}

void loader_submit(struct tier_ticket *ticket) {
    uint64_t now_us = monotonic_us();
    unsigned failed = 1; /* one for this function: the ticket must not return while it is being submitted */
    unsigned count_all = ticket->loads.count;
    atomic_store(&ticket->loads.pending, count_all + 1);
    for (unsigned i = 0; i < count_all;)
        i = board_run(ticket, i, &failed, now_us);
    if (atomic_fetch_sub_explicit(&ticket->loads.pending, failed, memory_order_acq_rel) == failed)
        ticket_return(ticket);
}

/* ---- A batch ---- */

/* Is there time left to look anything up? */
static bool is_in_time(const struct loader *loader, uint64_t deadline_us) {
    return monotonic_us() + (uint64_t)loader->backend->timeout_ms * US_PER_MS / LEAST_SHARE < deadline_us;
}

/* Not to its end, whatever happens. */
static bool must_wait(const struct loader *loader, const struct flight *flight) {
    return wary_holds(&loader->wary, flight->space, flight->hash) && !atomic_load(&loader->stop) &&
           is_in_time(loader, flight->deadline_us);
}

/* Up to BATCH_KEYS that need not wait. */
static void take_from(const struct loader *loader, struct line *line, struct batch *batch) {
    struct flight **at = &line->first;
    while (*at && batch->count < BATCH_KEYS) {
        struct flight *flight = *at;
        if (must_wait(loader, flight)) {
            at = &flight->next;
            continue;
        }
        batch->space = flight->space;
        batch->flights[batch->count++] = flight;
        *at = flight->next;
    }
    if (!*at)
        line->end = at;
}

/* Under the mutex: queued flights of one namespace. They stay in the table. */
static bool take_batch(struct loader *loader, struct batch *batch) {
    size_t lines = loader->backend->tier->space_count;
    batch->count = 0;
    for (size_t i = 0; i < lines && batch->count == 0; i++) {
        size_t at = (loader->next_line + i) % lines;
        take_from(loader, &loader->lines[at], batch);
        if (batch->count > 0) {
            loader->next_line = (at + 1) % lines;
            return true;
        }
    }
    return false;
}

/* Before those that came later. */
static void put_back(struct loader *loader, struct batch *batch) {
    pthread_mutex_lock(&loader->mutex);
    struct line *line = &loader->lines[batch->space->number];
    for (; batch->count > 0; batch->count--) {
        struct flight *flight = batch->flights[batch->count - 1];
        flight->next = line->first;
        if (!line->first)
            line->end = &flight->next;
        line->first = flight;
    }
    pthread_mutex_unlock(&loader->mutex);
}

/* With the mutex. */
static bool any_waits(const struct loader *loader) {
    bool waits = false;
    for (size_t i = 0; i < loader->backend->tier->space_count && !waits; i++)
        waits = loader->lines[i].first != NULL;
    return waits;
}

/* With the mutex, which is let go meanwhile. */
static void await_work(struct loader *loader) {
    if (!any_waits(loader)) {
        pthread_cond_wait(&loader->work, &loader->mutex);
        return;
    }
    condition_wait_until(&loader->work, &loader->mutex, monotonic_us() + WARY_POLL_US);
    pthread_mutex_unlock(&loader->mutex);
    wary_urge(&loader->wary);
    pthread_mutex_lock(&loader->mutex);
}

/* From here on nobody boards these flights. */
static void close_flights(struct loader *loader, struct batch *batch) {
    pthread_mutex_lock(&loader->mutex);
    for (size_t i = 0; i < batch->count; i++) {
        struct flight **at = table_slot(loader, batch->flights[i]->hash);
        while (*at != batch->flights[i])
            at = &(*at)->chain;
        *at = batch->flights[i]->chain;
    }
    pthread_mutex_unlock(&loader->mutex);
}

static void recycle(struct loader *loader, struct batch *batch) {
    pthread_mutex_lock(&loader->mutex);
    for (size_t i = 0; i < batch->count; i++) {
        batch->flights[i]->next = loader->unused;
        loader->unused = batch->flights[i];
    }
    loader->stats.in_flight -= batch->count;
    pthread_mutex_unlock(&loader->mutex);
}

static void fail_batch(struct loader *loader, struct batch *batch) {
    close_flights(loader, batch);
    for (size_t i = 0; i < batch->count; i++)
        flight_end(batch->flights[i], LOAD_FAILED);
    atomic_fetch_add_explicit(&batch->space->load_errors, batch->count, memory_order_relaxed);
    recycle(loader, batch);
}

static void land_batch(struct loader *loader, struct batch *batch) {
    struct cache_time now = tier_now(loader->backend->tier);
    uint64_t hits = 0, failures = 0;
    close_flights(loader, batch);
    for (size_t i = 0; i < batch->count; i++) {
        bool failed = batch->partial && batch->results[i].failed;
        failures += failed;
        if (failed)
            flight_end(batch->flights[i], LOAD_FAILED);
        else if (batch->results[i].unfit)
            flight_land_unfit(batch->flights[i], &now);
        else if (batch->results[i].found)
            flight_land_found(batch->flights[i], &batch->results[i].entry, &now);
        else
            flight_land_absent(batch->flights[i], &now);
        hits += !failed && batch->results[i].found;
    }
    atomic_fetch_add_explicit(&batch->space->loads, batch->count - failures, memory_order_relaxed);
    atomic_fetch_add_explicit(&batch->space->load_errors, failures, memory_order_relaxed);
    atomic_fetch_add_explicit(&batch->space->load_hits, hits, memory_order_relaxed);
    recycle(loader, batch);
}

/* A fresh connection begins with all the patience there is. */
static enum backend_status connect_reader(struct session *session, uint64_t until_us) {
    if (session_is_open(session) && !session_is_outdated(session))
        return BACKEND_OK;
    enum backend_status status = session_open(session, until_us);
    if (status == BACKEND_OK)
        session_worked(session);
    return status == BACKEND_REFUSED ? BACKEND_TRANSIENT : status;
}

static uint64_t earliest_deadline_us(const struct batch *batch) {
    uint64_t earliest = batch->flights[0]->deadline_us;
    for (size_t i = 1; i < batch->count; i++)
        if (batch->flights[i]->deadline_us < earliest)
            earliest = batch->flights[i]->deadline_us;
    return earliest;
}

/* One call of the backend for all flights of the batch. */
static enum backend_status look_up(struct reader *reader, struct batch *batch) {
    struct session *session = &reader->session;
    progress_note(&reader->progress, PROGRESS_CALLS);
    uint64_t until_us = earliest_deadline_us(batch);
    enum backend_status status = connect_reader(session, until_us);
    batch->partial = false;
    if (status != BACKEND_OK)
        return status;
    session->connection->call_until_us = until_us;
    for (size_t i = 0; i < batch->count; i++)
        batch->keys[i] = slice_of(batch->flights[i]->key, batch->flights[i]->key_size);
    status = session_load(session, batch->space, batch->keys, batch->count,
                          batch->then ? batch->then : tier_now(batch->space->tier).seconds, batch->results);
    batch->partial = status == BACKEND_TRANSIENT && session->connection->partial;
    if (batch->partial)
        return BACKEND_OK;
    if (status == BACKEND_REPLACED) {
        session_close(session); /* the writer finds it out as well, and opens what is there now first */
        wary_suspect(&reader->loader->wary);
    }
    return status;
}

/* Once more on a new connection, if there is reason to think that it is only the old one, and time. */
static enum backend_status look_up_patiently(struct reader *reader, struct batch *batch) {
    enum backend_status status = look_up(reader, batch);
    if (status == BACKEND_TRANSIENT && session_failed(&reader->session) &&
        is_in_time(reader->loader, earliest_deadline_us(batch))) {
        status = look_up(reader, batch);
        if (status == BACKEND_TRANSIENT)
            session_failed(&reader->session);
    }
    if (status != BACKEND_TRANSIENT)
        session_worked(&reader->session);
    return status;
}

static bool passes(struct breaker *breaker, uint64_t now_us) {
    return breaker_state(breaker) == BREAKER_CLOSED || breaker_admits(breaker, now_us);
}

/* True: the loader may ask its backend for keys of this namespace now. Neither breaker is asked to pass a probe
 * before both are hopeful: a probe that is not made would never end. */
static bool admitted(struct loader *loader, struct space *space) {
    uint64_t now_us = monotonic_us();
    pthread_mutex_lock(&loader->mutex);
    bool admits = is_hopeful(loader, space, now_us) && passes(&loader->breaker, now_us) &&
                  passes(&space->read_breaker, now_us);
    pthread_mutex_unlock(&loader->mutex);
    return admits;
}

enum turn_of_breaker { BREAKER_STAYS, BREAKER_TELLS, BREAKER_CLOSES };

/* With the mutex. What the answer means for the breaker of the backend. */
static enum turn_of_breaker judge_store(struct loader *loader, enum backend_status status,
                                        const char *reason) {
    loader->stats.loads++;
    bool failed = status == BACKEND_TRANSIENT || status == BACKEND_TABLE_FAILED;
    loader->stats.failures += failed;
    atomic_store_explicit(&loader->in_doubt, failed, memory_order_relaxed);
    if (status == BACKEND_TRANSIENT)
        return breaker_failure_is_news(&loader->breaker, reason, monotonic_us()) ? BREAKER_TELLS
                                                                                 : BREAKER_STAYS;
    breaker_success(&loader->breaker);
    return BREAKER_STAYS;
}

/* And for that of the namespace. Where the store itself failed, its probe has learnt nothing. */
static enum turn_of_breaker judge_table(struct space *space, enum backend_status status, const char *reason) {
    struct breaker *breaker = &space->read_breaker;
    if (status == BACKEND_TABLE_FAILED)
        return breaker_failure_is_news(breaker, reason, monotonic_us()) ? BREAKER_TELLS : BREAKER_STAYS;
    if (status != BACKEND_TRANSIENT)
        return breaker_success(breaker) ? BREAKER_CLOSES : BREAKER_STAYS;
    if (breaker_state(breaker) == BREAKER_HALF_OPEN)
        breaker_failure(breaker, monotonic_us());
    return BREAKER_STAYS;
}

static void tell_reads_again(struct space *space) {
    tell_of_space(space, &space->backend->loader->outage_lines, LOG_LEVEL_NOTICE,
                  "namespace %s, keys \"%s*\": reads are answered again", space->options.name,
                  space->options.prefix);
}

static void report(struct reader *reader, struct space *space, enum backend_status status) {
    struct loader *loader = reader->loader;
    const char *name = loader->backend->options.store.name, *reason = reader->session.error.message;
    pthread_mutex_lock(&loader->mutex);
    enum turn_of_breaker store = judge_store(loader, status, reason),
                         table = judge_table(space, status, reason);
    pthread_mutex_unlock(&loader->mutex);
    if (status == BACKEND_TRANSIENT)
        atomic_store_explicit(&loader->backend->failed_us, monotonic_us(), memory_order_relaxed);
    if (store == BREAKER_TELLS)
        tell_of_backend(loader->backend, &loader->outage_lines, LOG_LEVEL_WARNING,
                        "backend %s: reads fail and are refused for a while: %s", name, reason);
    if (table == BREAKER_TELLS)
        tell_of_space(
            space, &loader->outage_lines, LOG_LEVEL_WARNING,
            "namespace %s, keys \"%s*\": reads fail and are refused for a while, the rest of backend %s is read: %s",
            space->options.name, space->options.prefix, name, reason);
    if (table == BREAKER_CLOSES)
        tell_reads_again(space);
}

/* What a failure of a part of the store alone means: it is told. */
static void report_parts(struct reader *reader, const struct batch *batch, enum backend_status status) {
    struct loader *loader = reader->loader;
    const char *name = loader->backend->options.store.name, *reason = reader->session.error.message;
    bool news = false, all_again = false;
    if (status != BACKEND_OK)
        return;
    pthread_mutex_lock(&loader->mutex);
    if (batch->partial)
        news = breaker_failure_is_news(&loader->part_breaker, reason, monotonic_us());
    else if (reader->session.connection->parts_away == 0 && loader->part_breaker.failures > 0)
        all_again = breaker_success(&loader->part_breaker);
    pthread_mutex_unlock(&loader->mutex);
    if (news)
        tell_of_backend(loader->backend, &loader->outage_lines, LOG_LEVEL_WARNING,
                        "backend %s: reads from a part of it fail, the rest is read: %s", name, reason);
    if (all_again)
        tell_of_backend(loader->backend, &loader->outage_lines, LOG_LEVEL_NOTICE,
                        "backend %s: reads from all parts of it are answered", name);
}

bool loader_is_in_doubt(const struct loader *loader) {
    return atomic_load_explicit(&loader->in_doubt, memory_order_relaxed);
}

void loader_doubt(struct loader *loader) {
    atomic_store_explicit(&loader->in_doubt, true, memory_order_relaxed);
}

static bool is_closed(const struct breaker *breaker) {
    return breaker_state(breaker) == BREAKER_CLOSED;
}

void loader_backend_answers(struct loader *loader, struct space *space) {
    bool closed = false;
    atomic_store_explicit(&loader->in_doubt, false, memory_order_relaxed);
    if (is_closed(&loader->breaker) && (!space || is_closed(&space->read_breaker)))
        return;
    pthread_mutex_lock(&loader->mutex);
    breaker_success(&loader->breaker);
    if (space)
        closed = breaker_success(&space->read_breaker);
    pthread_mutex_unlock(&loader->mutex);
    if (closed)
        tell_reads_again(space);
}

void loader_let_go(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
}

/* Takes the flights out of the batch that need no backend, or for which it is too late. */
static void sort_out(struct loader *loader, struct batch *batch) {
    struct batch done = {.space = batch->space};
    struct cache_time now = tier_now(loader->backend->tier);
    size_t kept = 0;
    bool quarantined = quarantine_count(batch->space->quarantine) > 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct flight *flight = batch->flights[i];
        bool in_time = is_in_time(loader, flight->deadline_us);
        if (in_time && !quarantined) {
            batch->flights[kept++] = flight;
            continue;
        }
        done.flights[0] = flight;
        done.count = 1;
        if (!in_time) {
            loader_doubt(loader);
            fail_batch(loader, &done);
        } else if (!quarantine_has(batch->space->quarantine, slice_of(flight->key, flight->key_size))) {
            batch->flights[kept++] = flight;
        } else {
            close_flights(loader, &done);
            if (!flight_land_quarantined(flight, &now)) /* dropped just now */
                flight_end(flight, LOAD_CHANGED);
            recycle(loader, &done);
        }
    }
    batch->count = kept;
}

/* Of a flight that was looked up alone. */
static void land_one(struct reader *reader, struct batch *one, enum backend_status status) {
    if (status == BACKEND_OK) {
        land_batch(reader->loader, one);
        return;
    }
    const struct flight *flight = one->flights[0];
    if (status == BACKEND_PERMANENT)
        space_note_unreadable(one->space, slice_of(flight->key, flight->key_size),
                              reader->session.error.message);
    fail_batch(reader->loader, one);
}

/* A row that cannot be read fails alone. Once the store or the table has failed, those that are left fail too. */
static void run_one_by_one(struct reader *reader, struct batch *batch) {
    struct batch *one = calloc(1, sizeof *one);
    enum backend_status status = BACKEND_OK;
    if (!one) {
        fail_batch(reader->loader, batch);
        return;
    }
    for (size_t i = 0; i < batch->count; i++) {
        one->space = batch->space;
        one->flights[0] = batch->flights[i];
        one->count = 1;
        sort_out(reader->loader, one);
        if (one->count == 0)
            continue;
        if (status == BACKEND_OK || status == BACKEND_PERMANENT) {
            status = look_up(reader, one);
            status = status == BACKEND_REPLACED ? BACKEND_TRANSIENT : status;
            report(reader, batch->space, status);
        }
        land_one(reader, one, status);
    }
    free(one);
}

/* What sort_out has left of it. */
static void run_sorted(struct reader *reader, struct batch *batch) {
    struct loader *loader = reader->loader;
    if (batch->count == 0)
        return;
    if (!admitted(loader, batch->space)) {
        fail_batch(loader, batch);
        return;
    }
    unsigned begun = wary_begin(&loader->wary);
    enum backend_status status = look_up_patiently(reader, batch);
    bool replaced = status == BACKEND_REPLACED;
    report(reader, batch->space, replaced ? BACKEND_OK : status); /* it is there, and answers */
    if (replaced || (status == BACKEND_OK && wary_distrusts(&loader->wary, begun))) {
        put_back(loader, batch);
        return;
    }
    report_parts(reader, batch, status);
    if (batch->count == 1)
        land_one(reader, batch, status);
    else if (status == BACKEND_OK)
        land_batch(loader, batch);
    else if (status == BACKEND_PERMANENT)
        run_one_by_one(reader, batch);
    else
        fail_batch(loader, batch);
}

/* A row that a touch has yet to reach is looked up by itself, as of that touch. */
static void run_touched(struct reader *reader, struct batch *batch) {
    struct writer *writer = reader->loader->backend->writer;
    struct batch one = {.space = batch->space};
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct flight *flight = batch->flights[i];
        one.then =
            touches_made_at(writer, flight->space, slice_of(flight->key, flight->key_size), flight->hash);
        one.flights[0] = flight;
        one.count = 1;
        if (!one.then) {
            batch->flights[kept++] = flight;
            continue;
        }
        sort_out(reader->loader, &one); /* those before have taken their time */
        run_sorted(reader, &one);
    }
    batch->count = kept;
    sort_out(reader->loader, batch);
}

static void run_batch(struct reader *reader, struct batch *batch) {
    sort_out(reader->loader, batch);
    if (touches_are_waiting(reader->loader->backend->writer))
        run_touched(reader, batch);
    run_sorted(reader, batch);
}

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
        if (!take_batch(loader, batch)) {
            if (!follow(reader))
                await_work(loader);
            continue;
        }
        pthread_mutex_unlock(&loader->mutex);
        run_batch(reader, batch);
        progress_note(&reader->progress, PROGRESS_IDLE);
        pthread_mutex_lock(&loader->mutex);
    }
    pthread_mutex_unlock(&loader->mutex);
    session_close(&reader->session);
    return NULL;
}

struct loader *loader_create(struct tier_backend *backend) {
    struct loader *loader = calloc(1, sizeof *loader);
    size_t lines = CACHE_SPACES_MAX;
    if (!loader)
        return NULL;
    loader->backend = backend;
    loader->wary.backend = backend;
    loader->reader_count = backend->options.readers;
    loader->readers = calloc(loader->reader_count, sizeof *loader->readers);
    loader->lines = calloc(lines, sizeof *loader->lines);
    pthread_mutex_init(&loader->mutex, NULL);
    condition_init(&loader->work);
    breaker_init(&loader->breaker, monotonic_us());
    breaker_init(&loader->part_breaker, monotonic_us());
    atomic_init(&loader->in_doubt, true);
    if (!loader->readers || !loader->lines) {
        loader_destroy(loader);
        return NULL;
    }
    for (size_t i = 0; i < lines; i++)
        loader->lines[i].end = &loader->lines[i].first;
    for (unsigned i = 0; i < loader->reader_count; i++) {
        loader->readers[i].loader = loader;
        session_init(&loader->readers[i].session, backend, BACKEND_READER, RECONNECT_AFTER);
    }
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

bool loader_start(struct loader *loader) {
    unsigned started = 0;
    for (unsigned i = 0; i < loader->reader_count; i++) {
        struct reader *reader = &loader->readers[i];
        reader->started = start(loader, &reader->thread, "reader", reader_main, reader);
        started += reader->started;
    }
    if (loader->wants_preload)
        loader->preloads = start(loader, &loader->preloader, "preload", preload_main, loader);
    bool builds = absence_is_wanted(loader->backend);
    if (builds)
        loader->builds = start(loader, &loader->builder, "absences", builder_main, loader);
    return started == loader->reader_count && loader->preloads == loader->wants_preload &&
           loader->builds == builds;
}

void loader_stop(struct loader *loader) {
    struct batch *batch = &loader->readers[0].batch;
    pthread_mutex_lock(&loader->mutex);
    atomic_store(&loader->stop, true);
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    for (unsigned i = 0; i < loader->reader_count; i++)
        if (loader->readers[i].started)
            pthread_join(loader->readers[i].thread, NULL);
    if (loader->preloads)
        pthread_join(loader->preloader, NULL);
    if (loader->builds)
        pthread_join(loader->builder, NULL);
    loader->preloads = loader->builds = false;
    pthread_mutex_lock(&loader->mutex);
    while (take_batch(loader, batch)) {
        pthread_mutex_unlock(&loader->mutex);
        fail_batch(loader, batch);
        pthread_mutex_lock(&loader->mutex);
    }
    pthread_mutex_unlock(&loader->mutex);
}

void loader_destroy(struct loader *loader) {
    if (!loader)
        return;
    for (struct flight *flight = loader->unused, *next; flight; flight = next) {
        next = flight->next;
        free(flight);
    }
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->mutex);
    free(loader->readers);
    free(loader->lines);
    free(loader);
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
