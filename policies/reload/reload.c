/* SPDX-License-Identifier: MIT */
/*
 * What a reload of the configuration changes in a tier at work.
 *
 * Options of a namespace that may change are atomic, each for itself (space_options.h), so nobody who reads them waits:
 * requests that are under way go by the old ones or the new ones.
 *
 * Which keys are whose stands in a map (tier_parts.h) that is replaced as a whole while no worker is in a turn. That is
 * a halt: workers wait at the beginning of their next turn until it is over (turn.c), which takes no longer than the
 * turns that are under way. Namespaces that are added take a place behind the others, and those that are removed keep
 * theirs, so no pointer to one ever dangles, whoever has it: a ticket, a flight, a queue, the writer.
 *
 * Removed, in one halt: nothing of it may be dirty, in quarantine, with its writer or owed to its store (rewrite.h). It
 * leaves the map, what it holds in memory is voided, and its place in the cache is closed, so that a row that is being
 * loaded does not come in late. Then its low-water version passes all of it, and is noted: a start that does not know
 * it any more finds nothing left.
 *
 * Added: its keys lay in another namespace before, which has to be one without a backend. What that has of them must
 * not be taken for rows of the new one, and looking for it takes a while. So in a first halt the new one gets its keys,
 * and treats them as they were treated before, as cache-aside. Entries that the other one has of them are dropped
 * meanwhile. A second halt voids what the new one was given so far, and gives it its policy.
 *
 * What can fail is done before the first halt, and undone if the halt finds that something cannot be. A namespace that
 * was made keeps its place all the same, so a backend is asked whether it can be before it is made.
 */
#include "cache/base/fit.h"
#include "cache/base/size_text.h"
#include "policies/reload/internal.h"
#include "policies/write/writer.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool reloading_refuse(struct reloading *self, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(self->error, self->error_size, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- Stopping ---- */

void tier_stop_reloading(struct tier *tier) {
    atomic_store(&tier->stop_reloading, true);
}

bool reloading_is_stopped(const struct reloading *self) {
    return atomic_load(&self->tier->stop_reloading);
}

bool reloading_goes_on(struct reloading *self) {
    return !reloading_is_stopped(self) || reloading_refuse(self, "the server is stopping");
}

/* ---- Which ---- */

static bool is_among(struct space *const *spaces, size_t count, const struct space *space) {
    for (size_t i = 0; i < count; i++)
        if (spaces[i] == space)
            return true;
    return false;
}

bool reloading_removes(const struct reloading *self, const struct space *space) {
    return is_among(self->removed, self->removed_count, space);
}

bool reloading_adds(const struct reloading *self, const struct space *space) {
    return is_among(self->added, self->added_count, space);
}

static const struct space_options *find_options(const struct tier_options *options, const char *name) {
    for (size_t i = 0; i < options->space_count; i++)
        if (strcmp(options->spaces[i].name, name) == 0)
            return &options->spaces[i];
    return NULL;
}

static bool find_removed(struct reloading *self) {
    struct tier *tier = self->tier;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space == tier->own_default || space_is_retired(space) ||
            find_options(self->wanted, space->options.name))
            continue;
        if (space->prefix_size == 0)
            return reloading_refuse(
                self, "a restart is needed to remove namespace \"%s\", which has all keys of no other",
                space->options.name);
        self->removed[self->removed_count++] = space;
    }
    return true;
}

/* ---- Options ---- */

/* The namespace that the tier has added for itself is in no configuration, and stays as it is. */
static struct cache_space_options wanted_cache_options(const struct reloading *self,
                                                       const struct space *space) {
    const struct space_options *found = find_options(self->wanted, space->options.name);
    struct cache_space_options options = space_cache_options(found ? found : &space->options);
    if (reloading_removes(self, space) || (space_is_retired(space) && !reloading_adds(self, space)))
        options.memory_floor = options.memory_ceiling = 0;
    return options;
}

static bool adjust_cache(struct reloading *self) {
    struct tier *tier = self->tier;
    struct cache_space_options options[CACHE_SPACES_MAX];
    self->cached_count = tier->space_count;
    for (size_t i = 0; i < self->cached_count; i++) {
        self->cached_before[i] = space_cache_options(&tier->spaces[i].options);
        options[i] = wanted_cache_options(self, &tier->spaces[i]);
    }
    return cache_adjust_spaces(tier->cache, options) == CACHE_OK ||
           reloading_refuse(self, "no memory for the eviction of a namespace");
}

static void adjust_spaces(struct reloading *self) {
    struct tier *tier = self->tier;
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space_options *found = find_options(self->wanted, tier->spaces[i].options.name);
        if (found && !space_is_retired(&tier->spaces[i]))
            space_adjust(&tier->spaces[i], found);
    }
}

static size_t memory_limit(struct tier *tier) {
    struct cache_stats stats;
    cache_get_stats(tier->cache, CACHE_ALL_SPACES, &stats);
    return stats.memory_limit;
}

static size_t quotas(const struct tier_options *options) {
    size_t sum = 0;
    for (size_t i = 0; i < options->space_count; i++)
        sum += options->spaces[i].memory;
    return sum;
}

static bool refuse_size(struct reloading *self, size_t limit) {
    struct cache_bounds bounds = cache_bounds(self->tier->cache);
    return reloading_refuse(
        self,
        "the memory cannot become %s while the server runs, but %zumb to %zumb: choose one of these (memory, -m), or restart",
        size_text(limit).text, (bounds.least >> 20) + 1, bounds.most >> 20);
}

/* The limit that the command cache_memlimit has given stays as long as the configuration says what it said. */
static bool resize(struct reloading *self) {
    struct tier *tier = self->tier;
    size_t before = memory_limit(tier), limit = before;
    if (self->wanted->cache.memory_limit != tier->options.cache.memory_limit)
        limit = self->wanted->cache.memory_limit;
    if (quotas(self->wanted) > limit)
        return reloading_refuse(
            self,
            "the namespaces' memory quotas add up to %s, more than the %s that cache_memlimit has left: lower them, or give cache_memlimit more",
            size_text(quotas(self->wanted)).text, size_text(limit).text);
    if (limit != before && cache_resize(tier->cache, limit) != CACHE_OK)
        return refuse_size(self, limit);
    self->memory_before = before;
    return true;
}

/* ---- The whole ---- */

static void undo(struct reloading *self) {
    if (self->cached_count > 0)
        cache_adjust_spaces(self->tier->cache, self->cached_before);
    if (self->memory_before > 0)
        cache_resize(self->tier->cache, self->memory_before);
}

static bool changes_map(const struct reloading *self) {
    return self->added_count + self->removed_count > 0;
}

static bool take_all(struct reloading *self) {
    if (!find_removed(self) || !reloading_make_added(self) || !reloading_make_map(self) ||
        !reloading_goes_on(self))
        return false;
    if (resize(self) && adjust_cache(self) && (!changes_map(self) || reloading_switch_map(self)))
        return true;
    undo(self);
    return false;
}

static void finish(struct reloading *self) {
    struct tier *tier = self->tier;
    adjust_spaces(self);
    tier->options.cache.memory_limit = self->wanted->cache.memory_limit;
    tier->options.drain_timeout = self->wanted->drain_timeout;
    tier->options.slow_log = self->wanted->slow_log;
    for (size_t i = 0; i < tier->backend_count; i++)
        writer_poke(tier->backends[i].writer); /* a flush may be due earlier, or a namespace full no more */
    if (changes_map(self))
        reloading_settle_map(self);
}

bool tier_reload(struct tier *tier, const struct tier_options *wanted, char *ret_error, size_t error_size) {
    struct reloading self = {.tier = tier, .wanted = wanted, .error = ret_error, .error_size = error_size};
    bool taken = take_all(&self);
    if (taken)
        finish(&self);
    free(self.map);
    return taken;
}
