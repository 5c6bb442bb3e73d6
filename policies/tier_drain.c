/* SPDX-License-Identifier: MIT */
/* The end of a tier's work: what is dirty is written, and what could not be is counted. */
#include "policies/load/coherence.h"
#include "policies/load/loader.h"
#include "policies/store.h"
#include "policies/tier.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <unistd.h>

void tier_stop_loading(struct tier *tier) {
    for (size_t i = 0; tier->backends && i < tier->backend_count; i++) {
        coherence_ask_to_end(tier->backends[i].coherence);
        if (tier->backends[i].loader)
            loader_ask_to_end(tier->backends[i].loader);
    }
}

static bool is_drained(struct tier *tier) {
    for (size_t i = 0; i < tier->backend_count; i++)
        if (!writer_is_drained(tier->backends[i].writer))
            return false;
    return true;
}

static void count_entries(struct tier *tier, struct tier_left *left) {
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        left->quarantined += quarantine_count(space->quarantine);
        if (!space->policy->holds_back)
            continue;
        size_t dirty = cache_dirty_entries(tier->cache, space->number);
        left->entries += dirty;
        if (tier->journal && space->options.journal != JOURNAL_OFF)
            left->journaled += dirty;
    }
}

static void count_debts(struct tier *tier, struct tier_left *left) {
    for (size_t i = 0; i < tier->backend_count; i++) {
        const struct tier_backend *backend = &tier->backends[i];
        left->touches += writer_touches(backend->writer);
        if (writer_rewrites(backend->writer) || store_is_lost(backend->store))
            left->lacking++;
    }
}

void tier_drain(struct tier *tier, struct tier_left *ret_left) {
    uint64_t until = monotonic_us() + (uint64_t)tier->options.drain_timeout * US_PER_MS;
    atomic_store(&tier->draining, true);
    tier_stop_loading(tier); /* into memory that nobody reads any more */
    for (size_t i = 0; i < tier->backend_count; i++)
        writer_poke(tier->backends[i].writer);
    while (!is_drained(tier) && !atomic_load(&tier->stop_draining) && monotonic_us() < until)
        usleep(2000); /* once in the life of the process */
    *ret_left = (struct tier_left){0};
    count_entries(tier, ret_left);
    count_debts(tier, ret_left);
}

size_t tier_quarantined(struct tier *tier, size_t space, const char **ret_path) {
    const struct quarantine *quarantine = tier->spaces[space].quarantine;
    *ret_path = quarantine_path(quarantine);
    return quarantine_count(quarantine);
}

void tier_stop_draining(struct tier *tier) {
    atomic_store(&tier->stop_draining, true);
}
