/* SPDX-License-Identifier: MIT */
/* Workers: loads board flights, which are opened where there is none of their key. */
#include "policies/load/internal.h"
#include <stdlib.h>

static struct flight *find_flight(struct loader *loader, const struct load *load) {
    for (struct flight *flight = *loader_table_slot(loader, load->hash); flight; flight = flight->chain)
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
    flight->space = load->space;
    flight->hash = load->hash;
    flight->stamp = load->stamp;
    flight->deadline_us = deadline_us;
    flight->key_size = load->key_size;
    memcpy(flight->key, load->key, load->key_size);
    struct flight **slot = loader_table_slot(loader, flight->hash);
    flight->chain = *slot;
    *slot = flight;
    queue_append(&loader->queue, flight);
    loader->stats.in_flight++;
    return flight;
}

/* False: the load cannot be done (breaker open, stopped, no memory). */
static bool board(struct loader *loader, struct load *load, uint64_t now_us) {
    if (atomic_load(&loader->stop))
        return false;
    struct flight *flight = find_flight(loader, load);
    if (flight) {
        loader->stats.joined++;
    } else {
        if (!verdict_is_hopeful(loader, load->space, now_us))
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
        pthread_cond_broadcast(&loader->queue.work);
    else if (boarded)
        pthread_cond_signal(&loader->queue.work);
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
