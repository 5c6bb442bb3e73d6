/* SPDX-License-Identifier: MIT */
/*
 * Asking the backend for a batch. A passenger is answered within the backend's timeout, whatever part of that he has
 * waited for a reader: a lookup ends at the earliest deadline of its flights.
 *
 * Where a store has parts, a part that is silent would keep a reader from all others for the timeout, and soon each of
 * them. So readers are hasty: they go on without it, and what they have asked of it is for the patient reader, who
 * waits.
 */
#include "policies/load/internal.h"
#include "policies/write/touches.h"
#include <stdlib.h>

/* ---- One call ---- */

/* A fresh connection begins with all the patience there is. */
static enum backend_status connect_reader(struct session *session, uint64_t until_us) {
    if (session_is_open(session) && !session_is_outdated(session))
        return BACKEND_OK;
    enum backend_status status = session_open(session, until_us);
    if (status == BACKEND_OK)
        session_worked(session);
    return status == BACKEND_REFUSED ? BACKEND_TRANSIENT : status;
}

/* A probe has to end by itself. */
static enum backend_patience patience_of(const struct reader *reader, const struct batch *batch) {
    if (reader_is_patient(reader))
        return BACKEND_PATIENT;
    return reader->session.connection->has_parts && verdict_is_good(reader->loader, batch->space) &&
                   loader_has_patience(reader->loader)
               ? BACKEND_HASTY
               : BACKEND_ORDINARY;
}

/* One call of the backend for all flights of the batch. Those of parts that are silent leave it. */
static enum backend_status look_up(struct reader *reader, struct batch *batch) {
    struct session *session = &reader->session;
    progress_note(&reader->progress, PROGRESS_CALLS);
    uint64_t until_us = batch_deadline_us(batch);
    enum backend_status status = connect_reader(session, until_us);
    batch->partial = false;
    if (status != BACKEND_OK)
        return status;
    session->connection->call_until_us = until_us;
    session->connection->patience = patience_of(reader, batch);
    for (size_t i = 0; i < batch->count; i++)
        batch->keys[i] = slice_of(batch->flights[i]->key, batch->flights[i]->key_size);
    status = session_load(session, batch->space, batch->keys, batch->count,
                          batch->then ? batch->then : tier_now(batch->space->tier).seconds, batch->results);
    batch->partial = status == BACKEND_TRANSIENT && session->connection->partial;
    if (batch->partial && session->connection->patience == BACKEND_HASTY)
        batch_put_off_late(reader->loader, batch);
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
        batch_in_time(reader->loader, batch_deadline_us(batch))) {
        status = look_up(reader, batch);
        if (status == BACKEND_TRANSIENT)
            session_failed(&reader->session);
    }
    if (status != BACKEND_TRANSIENT)
        session_worked(&reader->session);
    return status;
}

/* ---- A batch ---- */

/* Of a flight that was looked up alone. */
static void land_one(struct reader *reader, struct batch *one, enum backend_status status) {
    if (status == BACKEND_OK) {
        batch_land(reader->loader, one);
        return;
    }
    const struct flight *flight = one->flights[0];
    if (status == BACKEND_PERMANENT)
        space_note_unreadable(one->space, slice_of(flight->key, flight->key_size),
                              reader->session.error.message);
    batch_fail(reader->loader, one);
}

/* May what it brought be what the store went back to? */
static bool is_distrusted(const struct loader *loader, enum backend_status status,
                          const struct batch *batch) {
    return status == BACKEND_OK && wary_distrusts(&loader->wary, batch->begun);
}

/* Looks up the only flight of a batch; false: it has left that, or is queued again, as are all behind it if
 * *ret_again. */
static bool look_up_one(struct reader *reader, struct batch *one, enum backend_status *ret_status,
                        bool *ret_again) {
    enum backend_status status = look_up(reader, one);
    bool replaced = status == BACKEND_REPLACED;
    *ret_status = status = replaced ? BACKEND_OK : status;
    if (one->count == 0)
        return false; /* put off: nothing is known yet */
    verdict_note(reader, one->space, status);
    *ret_again = replaced || is_distrusted(reader->loader, status, one);
    return !*ret_again;
}

/* A row that cannot be read fails alone. Once the store or the table has failed, those that are left fail too. */
static void run_one_by_one(struct reader *reader, struct batch *batch) {
    struct batch *one = calloc(1, sizeof *one);
    enum backend_status status = BACKEND_OK;
    bool again = false;
    if (!one) {
        batch_fail(reader->loader, batch);
        return;
    }
    for (size_t i = 0; i < batch->count; i++) {
        bool asks = !again && (status == BACKEND_OK || status == BACKEND_PERMANENT);
        one->space = batch->space;
        one->begun = batch->begun;
        one->flights[0] = batch->flights[i];
        one->count = 1;
        batch_sort_out(reader, one);
        if (one->count > 0 && (!asks || look_up_one(reader, one, &status, &again)) && !again)
            land_one(reader, one, status);
        else
            batch_put_back(reader->loader, reader->queue, one); /* unless it has left it */
    }
    free(one);
}

/* What was sorted out before. */
static void run_sorted(struct reader *reader, struct batch *batch) {
    struct loader *loader = reader->loader;
    if (batch->count == 0)
        return;
    if (!verdict_admits(loader, batch->space)) {
        batch_fail(loader, batch);
        return;
    }
    enum backend_status status = look_up_patiently(reader, batch);
    bool replaced = status == BACKEND_REPLACED;
    if (batch->count == 0) /* all are put off */
        return;
    verdict_note(reader, batch->space, replaced ? BACKEND_OK : status); /* it is there, and answers */
    if (replaced || is_distrusted(loader, status, batch)) {
        batch_put_back(loader, reader->queue, batch);
        return;
    }
    verdict_note_parts(reader, batch, status);
    if (batch->count == 1)
        land_one(reader, batch, status);
    else if (status == BACKEND_OK)
        batch_land(loader, batch);
    else if (status == BACKEND_PERMANENT)
        run_one_by_one(reader, batch);
    else
        batch_fail(loader, batch);
}

/* A row that a touch has yet to reach is looked up by itself, as of that touch. */
static void run_touched(struct reader *reader, struct batch *batch) {
    struct writer *writer = reader->loader->backend->writer;
    struct batch one = {.space = batch->space, .begun = batch->begun};
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
        batch_sort_out(reader, &one); /* those before have taken their time */
        run_sorted(reader, &one);
    }
    batch->count = kept;
    batch_sort_out(reader, batch);
}

void batch_look_up(struct reader *reader, struct batch *batch) {
    batch_sort_out(reader, batch);
    if (touches_are_waiting(reader->loader->backend->writer))
        run_touched(reader, batch);
    run_sorted(reader, batch);
}
