/* SPDX-License-Identifier: MIT */
/* See barrier.h. */
#include "policies/write/barrier.h"
#include "policies/write/internal.h"
#include "policies/write/queue.h"
#include <stdlib.h>

struct barrier {
    struct barrier *next;
    struct tier_ticket *ticket;
    uint64_t deadline_us; /* monotonic, 0: none */
    uint64_t quarantined; /* count_quarantined when it began */
    size_t space_count;   /* of the tier then */
    /* per namespace of the tier and worker: queue_pushed when it began, 0: not waited for */
    uint64_t targets[];
};

/* ---- Making ---- */

/* Does the writer have to look at this namespace for the barrier? */
static bool concerns(const struct writer *writer, const struct space *space,
                     const struct tier_ticket *ticket) {
    return space->backend == writer->backend && space->policy->holds_back &&
           (!ticket->barrier.space || ticket->barrier.space == space);
}

/* Entries ever quarantined in the namespaces that it concerns. */
static uint64_t count_quarantined(const struct writer *writer, const struct tier_ticket *ticket) {
    uint64_t sum = 0;
    for (size_t i = 0; i < writer->tier->space_count; i++)
        if (concerns(writer, &writer->tier->spaces[i], ticket))
            sum += counted(&writer->tier->spaces[i].flushed.quarantined);
    return sum;
}

static void set_targets(struct barrier *barrier, const struct writer *writer) {
    struct tier *tier = writer->tier;
    unsigned workers = tier->options.workers;
    for (size_t i = 0; i < barrier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (!concerns(writer, space, barrier->ticket))
            continue;
        barrier->ticket->barrier.entries += cache_dirty_entries(tier->cache, space->number);
        for (unsigned w = 0; w < workers; w++)
            barrier->targets[i * workers + w] = queue_pushed(&space->queues[w]);
    }
}

/* What is queued now at one writer; NULL: nothing, or no memory (then the ticket has failed). */
static struct barrier *make_barrier(struct writer *writer, struct tier_ticket *ticket) {
    struct tier *tier = writer->tier;
    bool any = false;
    size_t count = tier->space_count;
    for (size_t i = 0; i < count; i++)
        any |= concerns(writer, &tier->spaces[i], ticket);
    if (!any)
        return NULL;
    struct barrier *barrier = calloc(1, sizeof *barrier + count * tier->options.workers * sizeof(uint64_t));
    if (!barrier) {
        atomic_store(&ticket->barrier.failed, true);
        return NULL;
    }
    barrier->ticket = ticket;
    barrier->space_count = count;
    if (ticket->barrier.timeout_ms)
        barrier->deadline_us = monotonic_us() + (uint64_t)ticket->barrier.timeout_ms * US_PER_MS;
    barrier->quarantined = count_quarantined(writer, ticket);
    set_targets(barrier, writer);
    return barrier;
}

/* False: the writer has ended. */
static bool hand_over(struct writer *writer, struct barrier *barrier) {
    pthread_mutex_lock(&writer->mutex);
    bool stopped = writer->stop;
    if (!stopped) {
        barrier->next = writer->new_barriers;
        writer->new_barriers = barrier;
        writer_rouse(writer);
    }
    pthread_mutex_unlock(&writer->mutex);
    return !stopped;
}

/* One writer's part is over; the last one makes the answer. */
static void part_done(struct tier_ticket *ticket) {
    if (atomic_fetch_sub_explicit(&ticket->barrier.pending, 1, memory_order_acq_rel) != 1)
        return;
    if (atomic_load(&ticket->barrier.failed)) {
        ticket_fail(ticket, ERROR_UNCONFIRMED, "SERVER_ERROR %s",
                    ticket->barrier.holds_outcome ? "kept, but the backend has not confirmed it in time"
                                                  : "not all is in the backend");
    } else if (!ticket->barrier.holds_outcome) {
        memset(&ticket->outcome, 0, sizeof ticket->outcome);
        ticket->outcome.status = OUTCOME_NUMBER;
        ticket->outcome.number = ticket->barrier.entries;
        ticket->has_outcome = true;
    }
    ticket_return(ticket);
}

void barrier_submit(struct tier *tier, struct tier_ticket *ticket) {
    atomic_store(&ticket->barrier.failed, false);
    atomic_store(&ticket->barrier.late, false);
    atomic_store(&ticket->barrier.given_up, false);
    atomic_store(&ticket->barrier.pending, 1); /* one for this function */
    ticket->barrier.entries = 0;
    for (size_t i = 0; i < tier->backend_count; i++) {
        struct writer *writer = tier->backends[i].writer;
        struct barrier *barrier = make_barrier(writer, ticket);
        if (!barrier)
            continue;
        atomic_fetch_add(&ticket->barrier.pending, 1);
        count_shared(&writer->counters.barriers);
        if (!hand_over(writer, barrier)) {
            free(barrier);
            atomic_store(&ticket->barrier.failed, true);
            atomic_fetch_sub(&ticket->barrier.pending, 1);
        }
    }
    part_done(ticket);
}

/* ---- Writer thread ---- */

void barriers_take(struct writer *writer) {
    while (writer->new_barriers) {
        struct barrier *barrier = writer->new_barriers;
        writer->new_barriers = barrier->next;
        barrier->next = writer->barriers;
        writer->barriers = barrier;
    }
}

static bool is_reached(const struct writer *writer, const struct barrier *barrier,
                       const struct flusher *flusher) {
    size_t number = (size_t)flusher->space->number, first = number * writer->tier->options.workers;
    return number >= barrier->space_count || flusher_has_written(flusher, &barrier->targets[first]);
}

static bool is_satisfied(struct writer *writer, const struct barrier *barrier) {
    if (rewrite_is_running(writer) || touches_wait(writer, barrier->ticket->barrier.space))
        return false;
    for (size_t i = 0; i < writer->flusher_count; i++)
        if (!is_reached(writer, barrier, &writer->flushers[i]))
            return false;
    /* All was written: to what is still the store? If it is an older copy, the rewriting begins here. */
    return call_look(writer) && !rewrite_is_running(writer);
}

bool barriers_await(const struct writer *writer, const struct flusher *flusher) {
    for (const struct barrier *barrier = writer->barriers; barrier; barrier = barrier->next)
        if (!is_reached(writer, barrier, flusher))
            return true;
    return false;
}

void barriers_check(struct writer *writer, uint64_t now_us, bool fail_all) {
    for (struct barrier **at = &writer->barriers; *at;) {
        struct barrier *barrier = *at;
        bool late = fail_all ||
                    atomic_load_explicit(&barrier->ticket->barrier.given_up, memory_order_relaxed) ||
                    (barrier->deadline_us && now_us >= barrier->deadline_us);
        bool satisfied = is_satisfied(writer, barrier);
        if (!satisfied && !late) {
            at = &barrier->next;
            continue;
        }
        if (!satisfied)
            atomic_store(&barrier->ticket->barrier.late, true);
        if (!satisfied || count_quarantined(writer, barrier->ticket) != barrier->quarantined)
            atomic_store(&barrier->ticket->barrier.failed, true);
        *at = barrier->next;
        part_done(barrier->ticket);
        free(barrier);
    }
}

uint64_t barriers_deadline(const struct writer *writer) {
    uint64_t earliest = UINT64_MAX;
    for (const struct barrier *barrier = writer->barriers; barrier; barrier = barrier->next)
        if (barrier->deadline_us && barrier->deadline_us < earliest)
            earliest = barrier->deadline_us;
    return earliest;
}
