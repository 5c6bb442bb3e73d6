/* SPDX-License-Identifier: MIT */
/* Flights that are looked up together: how they are taken, and how they land. */
#include "policies/load/internal.h"
#include "policies/write/quarantine.h"

enum { LEAST_SHARE = 8 /* of the timeout: with less than this part of it left no lookup is begun */ };

/* ---- Taking ---- */

bool batch_in_time(const struct loader *loader, uint64_t deadline_us) {
    return monotonic_us() + (uint64_t)loader->backend->timeout_ms * US_PER_MS / LEAST_SHARE < deadline_us;
}

/* Not to its end, whatever happens. */
static bool must_wait(const struct loader *loader, const struct flight *flight) {
    return wary_holds(&loader->wary, flight->space, flight->hash) && !atomic_load(&loader->stop) &&
           batch_in_time(loader, flight->deadline_us);
}

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

bool batch_take(struct loader *loader, struct queue *queue, struct batch *batch) {
    size_t lines = loader->backend->tier->space_count;
    batch->count = 0;
    batch->begun = wary_begin(&loader->wary);
    for (size_t i = 0; i < lines && batch->count == 0; i++) {
        size_t at = (queue->next_line + i) % lines;
        take_from(loader, &queue->lines[at], batch);
        if (batch->count > 0) {
            queue->next_line = (at + 1) % lines;
            return true;
        }
    }
    return false;
}

void batch_put_back(struct loader *loader, struct queue *queue, struct batch *batch) {
    pthread_mutex_lock(&loader->mutex);
    struct line *line = &queue->lines[batch->space->number];
    for (; batch->count > 0; batch->count--) {
        struct flight *flight = batch->flights[batch->count - 1];
        flight->next = line->first;
        if (!line->first)
            line->end = &flight->next;
        line->first = flight;
    }
    pthread_mutex_unlock(&loader->mutex);
}

/* ---- Landing ---- */

/* From here on nobody boards these flights. */
static void close_flights(struct loader *loader, struct batch *batch) {
    pthread_mutex_lock(&loader->mutex);
    for (size_t i = 0; i < batch->count; i++) {
        struct flight **at = loader_table_slot(loader, batch->flights[i]->hash);
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

/* Before anybody is answered: who looks then finds what was loaded for it. */
static void count_landing(const struct batch *batch) {
    uint64_t hits = 0, failures = 0;
    for (size_t i = 0; i < batch->count; i++) {
        bool failed = batch->partial && batch->results[i].failed;
        failures += failed;
        hits += !failed && batch->results[i].found;
    }
    atomic_fetch_add_explicit(&batch->space->loads, batch->count - failures, memory_order_relaxed);
    atomic_fetch_add_explicit(&batch->space->load_errors, failures, memory_order_relaxed);
    atomic_fetch_add_explicit(&batch->space->load_hits, hits, memory_order_relaxed);
}

void batch_fail(struct loader *loader, struct batch *batch) {
    close_flights(loader, batch);
    atomic_fetch_add_explicit(&batch->space->load_errors, batch->count, memory_order_relaxed);
    for (size_t i = 0; i < batch->count; i++)
        flight_end(batch->flights[i], LOAD_FAILED);
    recycle(loader, batch);
}

void batch_land(struct loader *loader, struct batch *batch) {
    struct cache_time now = tier_now(loader->backend->tier);
    close_flights(loader, batch);
    count_landing(batch);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->partial && batch->results[i].failed)
            flight_end(batch->flights[i], LOAD_FAILED);
        else if (batch->results[i].unfit)
            flight_land_unfit(batch->flights[i], &now);
        else if (batch->results[i].found)
            flight_land_found(batch->flights[i], &batch->results[i].entry, &now);
        else
            flight_land_absent(batch->flights[i], &now);
    }
    recycle(loader, batch);
}

void batch_put_off_late(struct loader *loader, struct batch *batch) {
    size_t kept = 0;
    pthread_mutex_lock(&loader->mutex);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->results[i].late) {
            queue_append(&loader->late, batch->flights[i]);
            continue;
        }
        batch->flights[kept] = batch->flights[i];
        batch->results[kept++] = batch->results[i];
    }
    if (kept < batch->count)
        pthread_cond_signal(&loader->late.work);
    batch->count = kept;
    pthread_mutex_unlock(&loader->mutex);
}

/* ---- Sorting out ---- */

uint64_t batch_deadline_us(const struct batch *batch) {
    uint64_t earliest = batch->flights[0]->deadline_us;
    for (size_t i = 1; i < batch->count; i++)
        if (batch->flights[i]->deadline_us < earliest)
            earliest = batch->flights[i]->deadline_us;
    return earliest;
}

void batch_sort_out(struct reader *reader, struct batch *batch) {
    struct loader *loader = reader->loader;
    struct batch done = {.space = batch->space};
    struct cache_time now = tier_now(loader->backend->tier);
    size_t kept = 0;
    bool quarantined = quarantine_count(batch->space->quarantine) > 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct flight *flight = batch->flights[i];
        bool in_time = batch_in_time(loader, flight->deadline_us);
        if (in_time && !quarantined) {
            batch->flights[kept++] = flight;
            continue;
        }
        done.flights[0] = flight;
        done.count = 1;
        if (!in_time) {
            if (!reader_is_patient(reader)) /* else it is a part that is silent */
                loader_doubt(loader);
            batch_fail(loader, &done);
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
