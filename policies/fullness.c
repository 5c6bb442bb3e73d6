/* SPDX-License-Identifier: MIT */
/* See fullness.h. */
#include "policies/fullness.h"
#include "policies/ticket.h"

enum { STARVED_PAUSE_US = 50000 }; /* those whom the cache refused try again that often */

void fullness_init(struct fullness *fullness) {
    pthread_mutex_init(&fullness->mutex, NULL);
}

void fullness_destroy(struct fullness *fullness) {
    pthread_mutex_destroy(&fullness->mutex);
}

/* ---- When ---- */

static bool judge_quarantine(struct fullness *fullness, size_t bytes, size_t limit) {
    if (bytes >= limit)
        atomic_store(&fullness->crowded, true);
    else if (bytes < limit / 4 * 3)
        atomic_store(&fullness->crowded, false);
    return atomic_load(&fullness->crowded);
}

void fullness_judge(struct fullness *fullness, const struct space_options *options, size_t dirty_bytes,
                    size_t quarantined_bytes, uint64_t oldest_age_us) {
    size_t limit = options->dirty_limit;
    uint64_t age_limit = (uint64_t)options->dirty_age_limit * US_PER_MS;
    bool crowded = judge_quarantine(fullness, quarantined_bytes, options->quarantine_limit);
    if (crowded || dirty_bytes >= limit || (age_limit && oldest_age_us >= age_limit))
        atomic_store(&fullness->full, true);
    else if (dirty_bytes < limit / 4 * 3 && (!age_limit || oldest_age_us < age_limit / 4 * 3) &&
             !atomic_load(&fullness->starved))
        atomic_store(&fullness->full, false);
}

void fullness_starve(struct fullness *fullness) {
    atomic_store(&fullness->starved, true);
    atomic_store(&fullness->full, true);
}

void fullness_relieve(struct fullness *fullness) {
    atomic_store(&fullness->starved, false);
}

/* ---- Who waits ---- */

void fullness_wait(struct fullness *fullness, struct tier_ticket *ticket) {
    pthread_mutex_lock(&fullness->mutex);
    ticket->next = fullness->waiting;
    fullness->waiting = ticket;
    atomic_fetch_add(&fullness->waiting_count, 1);
    pthread_mutex_unlock(&fullness->mutex);
}

static struct tier_ticket *take_waiting(struct fullness *fullness) {
    pthread_mutex_lock(&fullness->mutex);
    struct tier_ticket *list = fullness->waiting;
    fullness->waiting = NULL;
    atomic_store(&fullness->waiting_count, 0);
    pthread_mutex_unlock(&fullness->mutex);
    return list;
}

static void put_waiting(struct fullness *fullness, struct tier_ticket *first, struct tier_ticket **end,
                        unsigned n) {
    pthread_mutex_lock(&fullness->mutex);
    *end = fullness->waiting;
    fullness->waiting = first;
    atomic_fetch_add(&fullness->waiting_count, n);
    pthread_mutex_unlock(&fullness->mutex);
}

uint64_t fullness_release(struct fullness *fullness, uint64_t now_us) {
    struct tier_ticket *kept = NULL, **end = &kept, *next;
    uint64_t earliest = 0;
    unsigned count_kept = 0;
    if (atomic_load(&fullness->waiting_count) == 0)
        return 0;
    bool full = atomic_load(&fullness->full);
    for (struct tier_ticket *ticket = take_waiting(fullness); ticket; ticket = next) {
        next = ticket->next;
        if (!full || now_us >= ticket->deadline_us) {
            ticket->room_denied = full;
            ticket_return(ticket);
            continue;
        }
        if (!earliest || ticket->deadline_us < earliest)
            earliest = ticket->deadline_us;
        *end = ticket;
        end = &ticket->next;
        count_kept++;
    }
    if (kept)
        put_waiting(fullness, kept, end, count_kept);
    if (atomic_load(&fullness->starved) && (!earliest || now_us + STARVED_PAUSE_US < earliest))
        return now_us + STARVED_PAUSE_US;
    return earliest;
}
