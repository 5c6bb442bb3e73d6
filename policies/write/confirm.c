/* SPDX-License-Identifier: MIT */
/*
 * See confirm.h. The entry stays what it is, DIRTY or FLUSHING, and what is queued of it stays queued; it may be
 * written once more by its batch, which the version guard takes for a repetition.
 */
#include "policies/write/confirm.h"
#include "policies/write/collect.h"
#include "policies/write/internal.h"
#include <stdlib.h>

enum {
    BATCH_MAX = 128,
    BATCH_BYTES_MAX = 16 << 20 /* one value more may be above */
};

/* Of one namespace, so that none waits for the table of another. */
struct confirm_batch {
    struct space *space;
    struct tier_ticket *tickets[BATCH_MAX];
    size_t ticket_count;
    struct mutation mutations[BATCH_MAX];
    const struct tier_ticket *asked_by[BATCH_MAX]; /* by mutation */
    size_t count;
    struct bytes bytes;
};

/* ---- Workers ---- */

static void give_back(struct tier_ticket *ticket) {
    ticket->confirmed = true;
    ticket_return(ticket);
}

void confirm_submit(struct tier_ticket *ticket) {
    struct writer *writer = ticket->request.space->backend->writer;
    pthread_mutex_lock(&writer->mutex);
    bool stopped = writer->stop;
    if (!stopped) {
        ticket->next = writer->new_confirms;
        writer->new_confirms = ticket;
        writer_rouse(writer);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (stopped)
        give_back(ticket);
}

/* ---- Writer thread ---- */

void confirms_take(struct writer *writer) {
    struct tier_ticket **end = &writer->confirms, *list = NULL;
    while (writer->new_confirms) { /* into their order */
        struct tier_ticket *ticket = writer->new_confirms;
        writer->new_confirms = ticket->next;
        ticket->next = list;
        list = ticket;
    }
    while (*end)
        end = &(*end)->next;
    *end = list;
}

static struct tier_ticket *pop(struct writer *writer) {
    struct tier_ticket *ticket = writer->confirms;
    if (ticket)
        writer->confirms = ticket->next;
    return ticket;
}

/* Copies what memory holds of the key, unless the store has seen that meanwhile. False: no memory. */
static bool copy_entry(struct confirm_batch *batch, const struct tier_ticket *ticket) {
    const struct request *request = &ticket->request;
    const struct tier *tier = batch->space->tier;
    struct cache_time now = tier_now(batch->space->tier);
    struct cache_cursor cursor;
    bool copied = true;
    if (!bytes_reserve(&batch->bytes, tier->options.cache.item_max + ENTRY_KEY_MAX))
        return false;
    cache_seek(tier->cache, batch->space->number, request->key, request->hash, &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && confirm_is_needed(batch->space, &cursor.view)) {
        cursor.view.key = request->key; /* of what is gone the view does not have it */
        copied = collect_describe(batch->space, &cursor.view, &batch->bytes, &batch->mutations[batch->count]);
        batch->asked_by[batch->count] = ticket;
        batch->count += copied;
    }
    cache_release(&cursor);
    return copied;
}

/* Those of the batch's namespace, in their order. */
static void collect(struct writer *writer, struct confirm_batch *batch) {
    struct tier_ticket **at = &writer->confirms;
    while (*at && batch->ticket_count < BATCH_MAX && batch->bytes.used < BATCH_BYTES_MAX) {
        struct tier_ticket *ticket = *at;
        if (ticket->request.space != batch->space) {
            at = &ticket->next;
            continue;
        }
        if (!copy_entry(batch, ticket) && batch->ticket_count > 0)
            return;
        batch->tickets[batch->ticket_count++] = ticket;
        *at = ticket->next;
    }
}

static bool may_be_tried_again(enum backend_status status) {
    return status == BACKEND_TRANSIENT || status == BACKEND_TABLE_FAILED;
}

/* One by one where the store refuses a row; that is left to its batch, and to the quarantine. Of a part of the store
 * that is away the journal counts, as where all of it is. */
static enum backend_status apply(struct writer *writer, struct confirm_batch *batch, size_t from, size_t to) {
    bool partial = false;
    enum backend_status status =
        from < to ? call_apply_parts(writer, batch->space, &batch->mutations[from], to - from, &partial)
                  : BACKEND_OK;
    if (status == BACKEND_PERMANENT && to - from > 1) {
        status = BACKEND_OK;
        for (size_t i = from; i < to && !may_be_tried_again(status); i++)
            status = apply(writer, batch, i, i + 1);
        return status;
    }
    for (size_t i = from; (status == BACKEND_OK || partial) && i < to; i++) {
        if (partial && !batch->mutations[i].done)
            continue;
        flusher_settle(batch->space, &batch->mutations[i], batch->asked_by[i]->request.hash);
        count(&writer->counters.confirmed_rows);
    }
    return partial ? BACKEND_OK : status;
}

/* Tried again as soon as the breakers let it, until one says that the store or the table is away. */
static void keep(struct writer *writer, struct confirm_batch *batch) {
    while (batch->ticket_count > 0) {
        struct tier_ticket *ticket = batch->tickets[--batch->ticket_count];
        ticket->next = writer->confirms;
        writer->confirms = ticket;
    }
}

static void run_batch(struct writer *writer, struct confirm_batch *batch) {
    collect(writer, batch);
    bool admitted = call_is_admitted_for(writer, batch->space);
    if (admitted && may_be_tried_again(apply(writer, batch, 0, batch->count)))
        admitted = false;
    if (!admitted && breaker_state(&writer->breaker) == BREAKER_CLOSED &&
        breaker_state(&batch->space->write_breaker) == BREAKER_CLOSED)
        keep(writer, batch);
    for (size_t i = 0; i < batch->ticket_count; i++)
        give_back(batch->tickets[i]);
}

static bool is_asked_for(const struct writer *writer, const struct space *space) {
    const struct tier_ticket *ticket = writer->confirms;
    while (ticket && ticket->request.space != space)
        ticket = ticket->next;
    return ticket != NULL;
}

/* False: no memory. */
static bool run_space(struct writer *writer, struct space *space) {
    struct confirm_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return false;
    batch->space = space;
    run_batch(writer, batch);
    bytes_free(&batch->bytes);
    free(batch);
    return true;
}

void confirms_run(struct writer *writer) {
    for (size_t i = 0; i < writer->flusher_count; i++) {
        struct space *space = writer->flushers[i].space;
        if (is_asked_for(writer, space) && !run_space(writer, space))
            confirms_give_up(writer);
    }
}

uint64_t confirms_retry_at(const struct writer *writer) {
    uint64_t at = UINT64_MAX;
    for (const struct tier_ticket *ticket = writer->confirms; ticket; ticket = ticket->next) {
        uint64_t retry_at = breaker_retry_at(&ticket->request.space->write_breaker);
        at = retry_at < at ? retry_at : at;
    }
    return at;
}

void confirms_give_up(struct writer *writer) {
    for (struct tier_ticket *ticket; (ticket = pop(writer));)
        give_back(ticket);
}
