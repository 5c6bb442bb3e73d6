/* SPDX-License-Identifier: MIT */
#include "policies/operation.h"
#include "cache/base/thread.h"
#include "policies/tier_parts.h"
#include "policies/write/barrier.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <stdlib.h>
#include <unistd.h>

static enum operation_status find_space(struct tier *tier, struct slice name, struct space **ret_space) {
    struct space *space = space_by_name(tier, name);
    if (!space)
        return OPERATION_NO_SPACE;
    if (!space->policy->holds_back)
        return OPERATION_HOLDS_NOTHING;
    *ret_space = space;
    return OPERATION_DONE;
}

/* ---- Sync ---- */

enum {
    LOOK_US = 100000, /* how often it is asked whether to give up */
    TURN_US = 1000,   /* about as long as a turn */
};

static void poke_writers(struct tier *tier) {
    for (size_t i = 0; i < tier->backend_count; i++)
        writer_poke(tier->backends[i].writer);
}

/* For a moment at most. */
static bool has_returned(struct ticket_waiter *waiter) {
    uint64_t until_us = monotonic_us() + LOOK_US;
    pthread_mutex_lock(&waiter->mutex);
    while (!waiter->returned && condition_wait_until(&waiter->back, &waiter->mutex, until_us) == 0)
        continue;
    bool returned = waiter->returned;
    pthread_mutex_unlock(&waiter->mutex);
    return returned;
}

/* The ticket is the writers' until they have given it back, also if nobody wants to wait for it any more. */
static void await(struct tier *tier, struct tier_ticket *ticket, const struct operation_patience *patience) {
    while (!has_returned(ticket->waiter))
        if (patience->gives_up && patience->gives_up(patience->context)) {
            atomic_store(&ticket->barrier.given_up, true);
            poke_writers(tier);
        }
}

static enum operation_status outcome_of(const struct tier_ticket *ticket) {
    if (!atomic_load(&ticket->barrier.failed))
        return OPERATION_DONE;
    return atomic_load(&ticket->barrier.late) ? OPERATION_LATE : OPERATION_REFUSED;
}

static enum operation_status sync_space(struct tier *tier, struct space *space,
                                        const struct operation_patience *patience, uint64_t *ret_entries) {
    struct tier_ticket *ticket = tier_ticket_create(NULL, NULL);
    struct ticket_waiter waiter = {.returned = false};
    if (!ticket)
        return OPERATION_FAILED;
    pthread_mutex_init(&waiter.mutex, NULL);
    condition_init(&waiter.back);
    ticket->waiter = &waiter;
    ticket->barrier.space = space;
    ticket->barrier.timeout_ms = patience->timeout_ms;
    barrier_submit(tier, ticket);
    await(tier, ticket, patience);
    *ret_entries = ticket->barrier.entries;
    enum operation_status status = outcome_of(ticket);
    tier_ticket_destroy(ticket);
    pthread_cond_destroy(&waiter.back);
    pthread_mutex_destroy(&waiter.mutex);
    return status;
}

enum operation_status operation_sync(struct tier *tier, struct slice name,
                                     const struct operation_patience *patience, uint64_t *ret_entries) {
    struct space *space = NULL;
    enum operation_status status = name.size ? find_space(tier, name, &space) : OPERATION_DONE;
    return status == OPERATION_DONE ? sync_space(tier, space, patience, ret_entries) : status;
}

/* ---- Handover ---- */

/* Until no worker is in the turn that it was in, for what was said before to hold for all that is done from now on.
 * False: it was given up, or a turn takes too long, as where the disk of a journal hangs. A floor is UINT64_MAX outside
 * of turns (low_water.c). */
static bool outlast_turns(struct tier *tier, const struct operation_patience *patience) {
    uint64_t until_us =
        patience->timeout_ms ? monotonic_us() + (uint64_t)patience->timeout_ms * 1000 : UINT64_MAX;
    for (unsigned i = 0; i < tier->options.workers; i++) {
        uint64_t floor = atomic_load(&tier->workers[i].floor);
        while (floor != UINT64_MAX && atomic_load(&tier->workers[i].floor) == floor) {
            if (monotonic_us() >= until_us || (patience->gives_up && patience->gives_up(patience->context)))
                return false;
            usleep(TURN_US);
        }
    }
    return true;
}

enum operation_status operation_hand_over(struct tier *tier, bool on,
                                          const struct operation_patience *patience, uint64_t *ret_entries) {
    atomic_store(&tier->hands_over, on);
    *ret_entries = 0;
    if (!on)
        return OPERATION_DONE;
    return outlast_turns(tier, patience) ? sync_space(tier, NULL, patience, ret_entries) : OPERATION_LATE;
}

/* ---- Quarantine ---- */

enum operation_status operation_retry(struct tier *tier, struct slice name, struct slice key,
                                      uint64_t *ret_entries) {
    struct space *space;
    enum operation_status status = find_space(tier, name, &space);
    if (status != OPERATION_DONE)
        return status;
    *ret_entries = quarantine_ask_retry(space->quarantine, key);
    writer_poke(space->backend->writer);
    return OPERATION_DONE;
}

/* What memory has of the key is what the backend refused. It is forgotten, so that the next read asks the backend. */
static void forget_dropped(struct space *space, struct slice key, uint64_t version) {
    struct cache *cache = space->tier->cache;
    struct cache_time now = tier_now(space->tier);
    struct cache_cursor cursor;
    cache_seek(cache, space->number, key, cache_hash(cache, key), &now, &cursor);
    if (cursor.presence == CACHE_UNKNOWN ||
        (cursor.view.version == version && cursor.view.state == CACHE_CLEAN))
        cache_forget(&cursor);
    cache_release(&cursor);
}

/* Forgets in memory what it is shown. */
struct dropper {
    struct quarantine_visitor base;
    struct space *space;
    uint64_t count;
};

static void forget_entry(struct quarantine_visitor *self, enum mutation_kind kind, const struct entry *entry,
                         uint32_t since, const char *reason) {
    struct dropper *dropper = (struct dropper *)(void *)self;
    (void)kind, (void)since, (void)reason;
    forget_dropped(dropper->space, entry->key, entry->version);
    dropper->count++;
}

static bool drop_one(struct space *space, struct slice key, uint64_t *ret_entries) {
    uint64_t version;
    enum quarantine_drop dropped = quarantine_drop(space->quarantine, key, &version);
    if (dropped == QUARANTINE_DROPPED)
        forget_dropped(space, key, version);
    *ret_entries = dropped == QUARANTINE_DROPPED;
    return dropped != QUARANTINE_FAILED;
}

static bool drop_all(struct space *space, uint64_t *ret_entries) {
    struct dropper dropper = {.base = {forget_entry}, .space = space};
    enum quarantine_drop dropped = quarantine_drop_all(space->quarantine, &dropper.base);
    *ret_entries = dropper.count;
    return dropped != QUARANTINE_FAILED;
}

enum operation_status operation_drop(struct tier *tier, struct slice name, struct slice key,
                                     uint64_t *ret_entries) {
    struct space *space;
    enum operation_status status = find_space(tier, name, &space);
    if (status != OPERATION_DONE)
        return status;
    if (!(key.size ? drop_one(space, key, ret_entries) : drop_all(space, ret_entries)))
        return OPERATION_FAILED;
    writer_poke(space->backend->writer); /* there may be room again */
    return OPERATION_DONE;
}
