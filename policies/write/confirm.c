/* SPDX-License-Identifier: MIT */
/*
 * See confirm.h. The entry stays what it is, DIRTY or FLUSHING, and what is queued of it stays queued; it may be
 * written once more by its batch, which the version guard takes for a repetition.
 */
#include "policies/write/confirm.h"
#include "policies/write/internal.h"
#include <stdlib.h>

enum {
    BATCH_MAX = 128,
    BATCH_BYTES_MAX = 16 << 20 /* one value more may be above */
};

struct confirm_batch {
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
    const struct tier *tier = request->space->tier;
    struct cache_time now = cache_time_now();
    struct cache_cursor cursor;
    bool copied = true;
    if (!bytes_reserve(&batch->bytes, tier->options.cache.item_max + ENTRY_KEY_MAX))
        return false;
    cache_seek(tier->cache, request->space->number, request->key, request->hash, &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && confirm_is_needed(request->space, &cursor.view)) {
        cursor.view.key = request->key; /* of what is gone the view does not have it */
        copied =
            flusher_describe(request->space, &cursor.view, &batch->bytes, &batch->mutations[batch->count]);
        batch->asked_by[batch->count] = ticket;
        batch->count += copied;
    }
    cache_release(&cursor);
    return copied;
}

static void collect(struct writer *writer, struct confirm_batch *batch) {
    while (writer->confirms && batch->ticket_count < BATCH_MAX && batch->bytes.used < BATCH_BYTES_MAX &&
           (copy_entry(batch, writer->confirms) || batch->ticket_count == 0))
        batch->tickets[batch->ticket_count++] = pop(writer);
}

/* One by one where the store refuses a row; that is left to its batch, and to the quarantine. */
static enum backend_status apply(struct writer *writer, struct confirm_batch *batch, size_t from, size_t to) {
    enum backend_status status =
        from < to ? call_apply(writer, &batch->mutations[from], to - from) : BACKEND_OK;
    if (status == BACKEND_PERMANENT && to - from > 1) {
        status = BACKEND_OK;
        for (size_t i = from; i < to && status != BACKEND_TRANSIENT; i++)
            status = apply(writer, batch, i, i + 1);
        return status;
    }
    for (size_t i = from; status == BACKEND_OK && i < to; i++) {
        const struct request *request = &batch->asked_by[i]->request;
        flusher_settle(request->space, &batch->mutations[i], request->hash);
        count(&writer->counters.confirmed_rows);
    }
    return status;
}

/* Tried again at once, until the breaker says that the store is away. */
static void keep(struct writer *writer, struct confirm_batch *batch) {
    while (batch->ticket_count > 0) {
        struct tier_ticket *ticket = batch->tickets[--batch->ticket_count];
        ticket->next = writer->confirms;
        writer->confirms = ticket;
    }
}

static void run_batch(struct writer *writer, struct confirm_batch *batch) {
    collect(writer, batch);
    bool admitted = call_is_admitted(writer);
    if (admitted && apply(writer, batch, 0, batch->count) == BACKEND_TRANSIENT)
        admitted = false;
    if (!admitted && breaker_state(&writer->breaker) == BREAKER_CLOSED)
        keep(writer, batch);
    for (size_t i = 0; i < batch->ticket_count; i++)
        give_back(batch->tickets[i]);
}

void confirms_run(struct writer *writer) {
    if (!writer->confirms)
        return;
    struct confirm_batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        confirms_give_up(writer);
        return;
    }
    run_batch(writer, batch);
    bytes_free(&batch->bytes);
    free(batch);
}

void confirms_give_up(struct writer *writer) {
    for (struct tier_ticket *ticket; (ticket = pop(writer));)
        give_back(ticket);
}
