/* SPDX-License-Identifier: MIT */
/*
 * Tickets: what a connection brings along when its request has to wait, and what comes back with it.
 *
 *                      tier_submit, tier_turn_end
 *     the worker's  --------------------------------->  a loader's or a writer's, or waiting for room
 *                   <---------------------------------
 *                      ticket_return: by way of the worker's ready stack
 *
 * Loads of several keys, changes that go ahead, and barriers at several writers count down; the last one
 * returns the ticket.
 */
#include "policies/ticket.h"
#include "cache/base/fit.h"
#include "policies/evaluate.h"
#include "policies/tier_parts.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

enum {
    LOADS_KEPT = 8,
    BYTES_KEPT = 64 << 10,
    SPARE_BYTES_KEPT = 4 << 10, /* by one that nobody has */
};

struct tier_ticket *tier_ticket_create(struct tier_worker *worker, void *owner) {
    struct tier_ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket)
        return NULL;
    ticket->worker = worker;
    ticket->owner = owner;
    return ticket;
}

void tier_ticket_destroy(struct tier_ticket *ticket) {
    if (!ticket)
        return;
    while (ticket->spares) {
        struct tier_ticket *spare = ticket->spares;
        ticket->spares = spare->next;
        tier_ticket_destroy(spare);
    }
    ticket_clear_loads(ticket);
    ticket_clear_ahead(ticket);
    free(ticket->loads.list);
    free(ticket->bytes);
    free(ticket);
}

void *tier_ticket_owner(const struct tier_ticket *ticket) {
    return ticket->owner;
}

/* Room for size bytes in ticket->bytes (what was there is lost), or NULL. */
static char *make_room(struct tier_ticket *ticket, size_t size) {
    if (ticket->bytes && ticket->bytes_capacity >= size && ticket->bytes_capacity <= BYTES_KEPT)
        return ticket->bytes;
    if (ticket->bytes_capacity < size || size < BYTES_KEPT / 2) {
        free(ticket->bytes);
        size_t capacity = size < 512 ? 512 : size;
        ticket->bytes = malloc(capacity);
        ticket->bytes_capacity = ticket->bytes ? capacity : 0;
    }
    return ticket->bytes;
}

/* ---- Common tickets ---- */

/* Beside its buffers, which stay with it, it is as new. */
static void make_new(struct tier_ticket *ticket) {
    struct ticket_loads loads = {.list = ticket->loads.list, .capacity = ticket->loads.capacity};
    *ticket = (struct tier_ticket){.worker = ticket->worker,
                                   .spares = ticket->spares,
                                   .spare_count = ticket->spare_count,
                                   .loads = loads,
                                   .bytes = ticket->bytes,
                                   .bytes_capacity = ticket->bytes_capacity};
}

static void put_spare(struct tier_ticket *common, struct tier_ticket *spare) {
    spare->next = common->spares;
    common->spares = spare;
    common->spare_count++;
}

static bool has_spare(struct tier_ticket *common) {
    if (!common->spares) {
        struct tier_ticket *spare = tier_ticket_create(common->worker, NULL);
        if (!spare)
            return false;
        put_spare(common, spare);
    }
    return true;
}

bool ticket_reserve(struct tier_ticket *ticket, size_t size) {
    return (ticket->owner || has_spare(ticket)) && make_room(ticket, size);
}

struct tier_ticket *tier_ticket_take(struct tier_ticket *common, void *owner) {
    assert(!common->owner && owner && common->park != PARK_NONE && !common->ahead.list);
    if (!has_spare(common)) {
        tier_abandon(common);
        return NULL;
    }
    struct tier_ticket *ticket = common->spares, spare = *ticket;
    struct tier_ticket *spares = spare.next;
    *ticket = *common;
    ticket->owner = owner;
    ticket->spares = NULL;
    ticket->spare_count = 0;
    for (unsigned i = 0; i < ticket->loads.count; i++)
        ticket->loads.list[i].ticket = ticket;
    common->spares = spares; /* and the buffers of the spare one are the common one's */
    common->spare_count--;
    common->loads.list = spare.loads.list;
    common->loads.capacity = spare.loads.capacity;
    common->bytes = spare.bytes;
    common->bytes_capacity = spare.bytes_capacity;
    make_new(common);
    return ticket;
}

void tier_ticket_give_back(struct tier_ticket *common, struct tier_ticket *ticket) {
    tier_abandon(ticket);
    if (common->spare_count == TICKET_SPARES_MAX || ticket->bytes_capacity > SPARE_BYTES_KEPT) {
        tier_ticket_destroy(ticket);
        return;
    }
    put_spare(common,
              ticket); /* beside its buffers nothing of it counts: whoever takes it overwrites the rest */
}

/* ---- What goes along ---- */

static struct slice put_bytes(char **at, struct slice slice) {
    char *start = *at;
    if (slice.size)
        memcpy(start, slice.data, slice.size);
    *at += slice.size;
    return slice_of(start, slice.size);
}

bool ticket_keep_request(struct tier_ticket *ticket, const struct request *request) {
    bool has_flags = command_is_meta(request->command); /* which mean something in their order */
    struct slice flags = has_flags ? request->meta_flags : slice_of("", 0);
    char *at = make_room(ticket, request->key.size + request->value.size + flags.size);
    if (!at)
        return false;
    ticket->request = *request;
    ticket->request.key = put_bytes(&at, request->key);
    ticket->request.value = put_bytes(&at, request->value);
    ticket->request.meta_flags = put_bytes(&at, flags);
    ticket->request.raw_key = ticket->request.argument = slice_of("", 0);
    return true;
}

bool ticket_keep_key(struct tier_ticket *ticket, const struct request *request) {
    char *at = make_room(ticket, request->key.size);
    if (!at)
        return false;
    ticket->request = (struct request){.space = request->space, .hash = request->hash};
    ticket->request.key = put_bytes(&at, request->key);
    return true;
}

bool ticket_keep_outcome(struct tier_ticket *ticket, const struct outcome *outcome) {
    struct slice value = outcome->status == OUTCOME_HIT ? outcome->view.value : slice_of("", 0);
    char *at = make_room(ticket, value.size);
    if (!at)
        return false;
    ticket->outcome = *outcome;
    ticket->outcome.view.key = slice_of("", 0);
    ticket->outcome.view.value = put_bytes(&at, value);
    if (outcome->status != OUTCOME_HIT) /* ms tells the size of what it stored, and nothing more of it */
        ticket->outcome.view.value = slice_of(NULL, outcome->view.value.size);
    ticket->outcome.view.large = NULL;
    ticket->outcome.holds_lock = ticket->outcome.hit = false;
    ticket->has_outcome = true;
    return true;
}

void ticket_fail(struct tier_ticket *ticket, enum outcome_error kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(ticket->error, sizeof ticket->error, format, arguments);
    va_end(arguments);
    for (char *c = ticket->error; *c; c++) /* a reply line stays one line, whatever a backend said */
        if ((unsigned char)*c < ' ')
            *c = ' ';
    memset(&ticket->outcome, 0, sizeof ticket->outcome);
    outcome_fail(&ticket->outcome, kind, ticket->error);
    ticket->has_outcome = true;
}

/* ---- Changes that go ahead ---- */

bool ticket_add_ahead(struct tier_ticket *ticket, const struct request *request) {
    if (ticket->ahead.count == TICKET_AHEAD_MAX)
        return false;
    struct tier_ticket *next = tier_ticket_create(ticket->worker, ticket->owner);
    if (!next || !ticket_keep_request(next, request)) {
        tier_ticket_destroy(next);
        return false;
    }
    next->first = ticket;
    if (!ticket->ahead.list)
        ticket->ahead.end = &ticket->ahead.list;
    *ticket->ahead.end = next;
    ticket->ahead.end = &next->following;
    ticket->ahead.count++;
    return true;
}

static void drop_taken(struct tier_ticket *ticket) {
    tier_ticket_destroy(ticket->ahead.taken);
    ticket->ahead.taken = NULL;
}

void ticket_take_outcome(struct tier_ticket *ticket, struct outcome *ret_outcome) {
    drop_taken(ticket);
    if (!ticket->ahead.begun) {
        *ret_outcome = ticket->outcome;
        ticket->ahead.begun = true;
    } else {
        ticket->ahead.taken = ticket->ahead.list;
        ticket->ahead.list = ticket->ahead.taken->following;
        ticket->ahead.count--;
        *ret_outcome = ticket->ahead.taken->outcome;
    }
    if (!ticket->ahead.list)
        ticket->has_outcome = ticket->ahead.begun = false;
}

void ticket_clear_ahead(struct tier_ticket *ticket) {
    drop_taken(ticket);
    while (ticket->ahead.list) {
        struct tier_ticket *next = ticket->ahead.list;
        ticket->ahead.list = next->following;
        tier_ticket_destroy(next);
    }
    ticket->ahead.count = 0;
    ticket->ahead.begun = false;
}

/* ---- Loads ---- */

void ticket_clear_loads(struct tier_ticket *ticket) {
    for (unsigned i = 0; i < ticket->loads.count; i++)
        entry_copy_drop(ticket->loads.list[i].copy);
    ticket->loads.count = ticket->loads.at = 0;
    ticket->loads.arrived = false;
    if (ticket->loads.capacity > LOADS_KEPT) {
        free(ticket->loads.list);
        ticket->loads.list = NULL;
        ticket->loads.capacity = 0;
    }
}

static bool grow_loads(struct tier_ticket *ticket) {
    unsigned capacity = ticket->loads.capacity ? ticket->loads.capacity * 4 : 1;
    if (capacity > TICKET_LOADS_MAX)
        capacity = TICKET_LOADS_MAX;
    struct load *list = realloc(ticket->loads.list, capacity * sizeof *list);
    if (!list)
        return false;
    ticket->loads.list = list;
    ticket->loads.capacity = capacity;
    return true;
}

bool ticket_want(struct tier_ticket *ticket, const struct request *request, uint64_t stamp, bool keep) {
    if (ticket->park != PARK_LOADS) { /* a new round: what was not taken of the last is outdated */
        ticket_clear_loads(ticket);
        ticket->park = PARK_LOADS;
    }
    if (ticket->loads.count == TICKET_LOADS_MAX ||
        (ticket->loads.count == ticket->loads.capacity && !grow_loads(ticket))) {
        if (ticket->loads.count == 0)
            ticket->park = PARK_NONE;
        return false;
    }
    struct load *load = &ticket->loads.list[ticket->loads.count++];
    load->ticket = ticket;
    load->next = NULL;
    load->space = request->space;
    load->hash = request->hash;
    load->stamp = stamp;
    load->copy = NULL;
    load->result = LOAD_WAITING;
    load->keep = keep;
    load->for_read = evaluate_is_read(request);
    load->key_size = (uint8_t)request->key.size;
    memcpy(load->key, request->key.data, request->key.size);
    return true;
}

static bool load_is_for(const struct load *load, const struct request *request) {
    return load->hash == request->hash && load->space == request->space &&
           slice_equal(slice_of(load->key, load->key_size), request->key);
}

/* Loads were wanted in the order of their requests and are executed in that order, so the search goes forward
 * from the last one taken, and in the common case finds its own at once. */
struct load *ticket_take_load(struct tier_ticket *ticket, const struct request *request) {
    for (unsigned i = ticket->loads.at; i < ticket->loads.count; i++) {
        if (!load_is_for(&ticket->loads.list[i], request))
            continue;
        ticket->loads.at = i + 1;
        return &ticket->loads.list[i];
    }
    if (ticket->loads.at == ticket->loads.count)
        ticket_clear_loads(ticket);
    return NULL;
}

/* ---- The way back ---- */

static void wake_waiter(struct ticket_waiter *waiter) {
    pthread_mutex_lock(&waiter->mutex);
    waiter->returned = true;
    pthread_cond_signal(&waiter->back);
    pthread_mutex_unlock(&waiter->mutex);
}

void ticket_return(struct tier_ticket *ticket) {
    if (ticket->is_changing)
        atomic_fetch_sub(&ticket->request.space->changing, 1);
    ticket->is_changing = false;
    struct tier_worker *worker = ticket->worker;
    if (ticket->waiter) {
        wake_waiter(ticket->waiter);
        return;
    }
    if (ticket->first)
        ticket = ticket->first;
    if (ticket->ahead.list &&
        atomic_fetch_sub_explicit(&ticket->ahead.unanswered, 1, memory_order_acq_rel) != 1)
        return;
    struct tier_ticket *first = atomic_load_explicit(&worker->ready, memory_order_relaxed);
    do {
        ticket->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&worker->ready, &first, ticket, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (!first) /* else whoever made it non-empty has woken the worker, and it has not looked yet */
        service_wake(&worker->tier->service, worker->index);
}

void ticket_load_done(struct tier_ticket *ticket) {
    if (atomic_fetch_sub_explicit(&ticket->loads.pending, 1, memory_order_acq_rel) == 1)
        ticket_return(ticket);
}
