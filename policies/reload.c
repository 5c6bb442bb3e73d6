/* SPDX-License-Identifier: MIT */
/*
 * What a reload of the configuration changes in a tier at work.
 *
 * Options of a namespace that may change are atomic, each for itself (space_options.h), so nobody who reads them waits:
 * requests that are under way go by the old ones or the new ones. What needs memory is done first, so that all
 * changes or nothing.
 */
#include "policies/policy.h"
#include "policies/tier_parts.h"
#include "policies/write/writer.h"
#include <stdio.h>

static const struct space_options *find_options(const struct tier_options *options, const char *name) {
    for (size_t i = 0; i < options->space_count; i++)
        if (strcmp(options->spaces[i].name, name) == 0)
            return &options->spaces[i];
    return NULL;
}

/* The namespace that the tier has added for itself is in no configuration, and stays as it is. */
static bool adjust_cache(struct tier *tier, const struct tier_options *wanted) {
    struct cache_space_options options[CACHE_SPACES_MAX];
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space_options *own = &tier->spaces[i].options, *found = find_options(wanted, own->name);
        options[i] = space_cache_options(found ? found : own);
    }
    return cache_adjust_spaces(tier->cache, options) == CACHE_OK;
}

static void adjust_spaces(struct tier *tier, const struct tier_options *wanted) {
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space_options *found = find_options(wanted, tier->spaces[i].options.name);
        if (found)
            space_adjust(&tier->spaces[i], found);
    }
}

static size_t memory_limit(struct tier *tier) {
    struct cache_stats stats;
    cache_get_stats(tier->cache, CACHE_ALL_SPACES, &stats);
    return stats.memory_limit;
}

/* The limit that the command cache_memlimit has given stays as long as the configuration says what it said. */
static bool resize(struct tier *tier, const struct tier_options *wanted, size_t *ret_before) {
    *ret_before = memory_limit(tier);
    return wanted->cache.memory_limit == tier->options.cache.memory_limit ||
           cache_resize(tier->cache, wanted->cache.memory_limit) == CACHE_OK;
}

bool tier_reload(struct tier *tier, const struct tier_options *wanted, char *ret_error, size_t error_size) {
    size_t before;
    if (!resize(tier, wanted, &before)) {
        snprintf(ret_error, error_size,
                 "the memory cannot become %zu bytes while the server runs: choose less, or start anew",
                 (size_t)wanted->cache.memory_limit);
        return false;
    }
    if (!adjust_cache(tier, wanted)) {
        cache_resize(tier->cache, before);
        snprintf(ret_error, error_size, "no memory for the eviction of a namespace");
        return false;
    }
    adjust_spaces(tier, wanted);
    tier->options.cache.memory_limit = wanted->cache.memory_limit;
    tier->options.drain_timeout = wanted->drain_timeout;
    for (size_t i = 0; i < tier->backend_count; i++)
        writer_poke(
            tier->backends[i].writer); /* a flush may be due earlier, a namespace full or no longer so */
    return true;
}
