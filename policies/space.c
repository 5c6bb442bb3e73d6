/* SPDX-License-Identifier: MIT */
/*
 * Namespaces: finding the one of a key, and when one is full.
 *
 * Fullness has hysteresis: FULL is set when the dirty bytes reach dirty_limit, or the oldest dirty entry
 * dirty_age_limit, and cleared when both are below three quarters of that; so writers are not let in and
 * stopped again with every batch.
 */
#include "policies/tier_parts.h"
#include "policies/write/quarantine.h"
#include <assert.h>
#include <stdlib.h>

enum {
    FLUSH_BYTES_MAX = 64 << 20, /* dirty bytes that make a flush due, however large the batch may be */
    BATCH_BYTES_MIN = 1 << 20,
    BATCH_BYTES_MAX = 32 << 20, /* memory of a batch: this, or a part of the cache's if that is less */
    BATCH_SHARE = 32,
    STARVED_PAUSE_US = 50000, /* how long those wait at most whom the cache refused */
};

struct space *space_of_key(const struct tier *tier, struct slice key) {
    for (size_t i = 0; i + 1 < tier->space_count; i++) {
        struct space *space = tier->by_prefix[i];
        if (slice_starts_with(key, slice_of(space->options.prefix, space->prefix_size)))
            return space;
    }
    return tier->default_space;
}

struct space *space_by_name(struct tier *tier, struct slice name) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (slice_equal(slice_string(tier->spaces[i].options.name), name))
            return &tier->spaces[i];
    return NULL;
}

size_t space_number(const struct space *space) {
    return (size_t)space->number;
}

const struct space_options *space_options(const struct space *space) {
    return &space->options;
}

static bool init_dirty(struct space *space, char *error, size_t error_size) {
    unsigned workers = space->tier->options.workers;
    space->queues = aligned_alloc(64, workers * sizeof *space->queues);
    space->by_worker = aligned_alloc(64, workers * sizeof *space->by_worker);
    if (space->queues)
        memset((void *)space->queues, 0, workers * sizeof *space->queues);
    if (space->by_worker)
        memset((void *)space->by_worker, 0, workers * sizeof *space->by_worker);
    bool complete = space->queues && space->by_worker;
    for (unsigned i = 0; complete && i < workers; i++)
        complete = queue_init(&space->queues[i]);
    if (!complete)
        snprintf(error, error_size, "Out of memory for the dirty queues of namespace \"%s\".",
                 space->options.name);
    return complete;
}

static size_t batch_bytes(size_t memory) {
    size_t bytes = memory / BATCH_SHARE;
    return bytes < BATCH_BYTES_MIN ? BATCH_BYTES_MIN : bytes > BATCH_BYTES_MAX ? BATCH_BYTES_MAX : bytes;
}

bool space_init(struct space *space, struct tier *tier, const struct space_options *options, int number,
                char *error, size_t error_size) {
    space->options = *options;
    space->policy = options->policy;
    space->tier = tier;
    space->number = number;
    space->prefix_size = strlen(options->prefix);
    if (space->policy->needs_backend)
        space->backend = &tier->backends[options->backend];
    space_options_complete(&space->options);
    space->flush_delay_us = (uint64_t)space->options.flush_delay * 1000;
    space->flush_bytes =
        space->options.dirty_limit / 2 < FLUSH_BYTES_MAX ? space->options.dirty_limit / 2 : FLUSH_BYTES_MAX;
    space->batch_bytes = batch_bytes(tier->options.cache.memory_limit);
    pthread_mutex_init(&space->waiting_mutex, NULL);
    return !space->policy->holds_back || init_dirty(space, error, error_size);
}

void space_destroy(struct space *space) {
    for (unsigned i = 0; space->queues && i < space->tier->options.workers; i++)
        if (space->queues[i].head)
            queue_clear(&space->queues[i]);
    free(space->queues);
    free(space->by_worker);
    quarantine_close(space->quarantine);
    pthread_mutex_destroy(&space->waiting_mutex);
}

/* ---- Fullness ---- */

void space_judge_full(struct space *space, uint64_t oldest_age_us) {
    size_t bytes = cache_dirty_bytes(space->tier->cache, space->number), limit = space->options.dirty_limit;
    uint64_t age_limit = (uint64_t)space->options.dirty_age_limit * 1000;
    if (bytes >= limit || (age_limit && oldest_age_us >= age_limit))
        atomic_store(&space->full, true);
    else if (bytes < limit / 4 * 3 && (!age_limit || oldest_age_us < age_limit / 4 * 3) &&
             !atomic_load(&space->starved))
        atomic_store(&space->full, false);
}

static struct tier_ticket *take_waiting(struct space *space) {
    pthread_mutex_lock(&space->waiting_mutex);
    struct tier_ticket *list = space->waiting;
    space->waiting = NULL;
    atomic_store(&space->waiting_count, 0);
    pthread_mutex_unlock(&space->waiting_mutex);
    return list;
}

static void put_waiting(struct space *space, struct tier_ticket *first, struct tier_ticket **end,
                        unsigned n) {
    pthread_mutex_lock(&space->waiting_mutex);
    *end = space->waiting;
    space->waiting = first;
    atomic_fetch_add(&space->waiting_count, n);
    pthread_mutex_unlock(&space->waiting_mutex);
}

uint64_t space_release_waiting(struct space *space, uint64_t now_us) {
    struct tier_ticket *kept = NULL, **end = &kept, *next;
    uint64_t earliest = 0;
    unsigned count_kept = 0;
    if (atomic_load(&space->waiting_count) == 0)
        return 0;
    bool full = atomic_load(&space->full);
    for (struct tier_ticket *ticket = take_waiting(space); ticket; ticket = next) {
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
        put_waiting(space, kept, end, count_kept);
    if (atomic_load(&space->starved) && (!earliest || now_us + STARVED_PAUSE_US < earliest))
        return now_us + STARVED_PAUSE_US;
    return earliest;
}
