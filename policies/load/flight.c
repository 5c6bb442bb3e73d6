/* SPDX-License-Identifier: MIT */
/* The cache is filled with the stamp of the flight: if the key changed since the miss that it is of, the cache
 * refuses. */
#include "policies/load/flight.h"
#include "policies/absence.h"
#include "policies/row.h"
#include "policies/write/quarantine.h"
#include "policies/write/touches.h"

/* Gives every passenger the result and lets it go. */
static void disembark(struct flight *flight, enum load_answer result, struct entry_copy *copy) {
    struct load *next;
    for (struct load *load = flight->passengers; load; load = next) {
        next = load->next; /* the load is its ticket's again after ticket_load_done */
        load->result = result;
        load->stamp = flight->stamp;
        load->copy = copy;
        if (copy)
            entry_copy_share(copy);
        ticket_load_done(load->ticket);
    }
    flight->passengers = NULL;
    entry_copy_drop(copy);
}

static bool wants_copy(const struct flight *flight) {
    for (const struct load *load = flight->passengers; load; load = load->next)
        if (load->keep)
            return true;
    return false;
}

static bool is_for_read(const struct flight *flight) {
    for (const struct load *load = flight->passengers; load; load = load->next)
        if (load->for_read)
            return true;
    return false;
}

static uint32_t negative_until(const struct space *space, const struct cache_time *now) {
    return space->options.negative_ttl ? now->seconds + (space->options.negative_ttl + 999) / 1000 : 0;
}

static void land_loaded(struct flight *flight, const struct entry *entry, const struct cache_time *now) {
    struct space *space = flight->space;
    struct entry_copy *copy = NULL;
    enum load_answer result = LOAD_FILLED;
    enum cache_status status =
        cache_fill(space->tier->cache, space->number, entry, flight->hash, flight->stamp, now);
    if (status == CACHE_CHANGED)
        result = LOAD_CHANGED;
    else if (status != CACHE_OK)
        result = LOAD_CURRENT;
    if (result == LOAD_CURRENT || (result == LOAD_FILLED && wants_copy(flight)))
        copy = entry_copy_make(entry);
    if (result == LOAD_CURRENT && !copy)
        result = LOAD_FAILED;
    disembark(flight, result, copy);
}

/* until: for so long (seconds of the clock) it is remembered that there is none; 0: not at all. */
static void land_without(struct flight *flight, uint32_t until, enum load_answer result,
                         const struct cache_time *now) {
    const struct space *space = flight->space;
    enum cache_status status =
        cache_fill_absent(space->tier->cache, space->number, slice_of(flight->key, flight->key_size),
                          flight->hash, flight->stamp, until, now);
    disembark(flight, status == CACHE_CHANGED ? LOAD_CHANGED : result, NULL);
}

void flight_land_absent(struct flight *flight, const struct cache_time *now) {
    const struct space *space = flight->space;
    if (space->absence && is_for_read(flight))
        count_shared(&space->absence->asked_in_vain);
    land_without(flight, negative_until(space, now), LOAD_ABSENT, now);
}

void flight_land_unfit(struct flight *flight, const struct cache_time *now) {
    land_without(flight, 0, LOAD_UNFIT, now);
}

void flight_land_found(struct flight *flight, const struct entry *entry, const struct cache_time *now) {
    struct entry current = *entry;
    touches_amend(flight->space->backend->writer, flight->space, &current, flight->hash);
    if (current.expires_at && current.expires_at <= now->seconds)
        flight_land_absent(flight, now);
    else
        land_loaded(flight, &current, now);
}

bool flight_land_quarantined(struct flight *flight, const struct cache_time *now) {
    bool deleted;
    struct entry_copy *copy =
        quarantine_find(flight->space->quarantine, slice_of(flight->key, flight->key_size), &deleted);
    if (!copy)
        return false;
    if (deleted)
        flight_land_absent(flight, now);
    else if (!row_is_fit(flight->space, &copy->entry)) /* item_max was larger when it was refused */
        flight_land_unfit(flight, now);
    else
        flight_land_found(flight, &copy->entry, now);
    entry_copy_drop(copy);
    return true;
}

void flight_end(struct flight *flight, enum load_answer result) {
    disembark(flight, result, NULL);
}
