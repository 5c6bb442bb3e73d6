/* SPDX-License-Identifier: MIT */
/*
 * The tier as a whole: made, drained, taken down.
 *
 * Order of making: cache, namespaces, writers' connections (they make tables), quarantines, versions, journal
 * (and recovery), then threads. Taken down in the opposite order. Whatever fails on the way up is undone by
 * tier_destroy.
 */
#include "policies/tier.h"
#include "cache/base/fit.h"
#include "policies/hold.h"
#include "policies/journal/disk.h"
#include "policies/journal/folder_lock.h"
#include "policies/journal/survey.h"
#include "policies/load/coherence.h"
#include "policies/load/loader.h"
#include "policies/store.h"
#include "policies/write/copy.h"
#include "policies/write/copy_note.h"
#include "policies/write/exposure.h"
#include "policies/write/leftover.h"
#include "policies/write/places.h"
#include "policies/write/quarantine.h"
#include "policies/write/recover.h"
#include "policies/write/writer.h"
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Its parts ---- */

struct cache *tier_cache(struct tier *tier) {
    return tier->cache;
}

/* ---- The clock ---- */

struct cache_time tier_now(const struct tier *tier) {
    return life_clock_now(&tier->clock);
}

struct cache_time tier_now_for_versions(const struct tier *tier) {
    struct cache_time now = tier_now(tier);
    now.us += atomic_load_explicit(&tier->ahead_us, memory_order_relaxed);
    return now;
}

uint32_t tier_over_at(const struct tier *tier) {
    return life_clock_over_at(&tier->clock, boot_us(), wall_us());
}

/* One line a minute: a clock may go on stepping. */
static void tell_step(struct tier *tier, int64_t step_us) {
    uint64_t now_us = monotonic_us();
    if (tier->step_told_us && now_us - tier->step_told_us < 60 * US_PER_SECOND)
        return;
    tier->step_told_us = now_us;
    service_log(
        &tier->service, LOG_LEVEL_WARNING,
        "the clock of this machine was set %s by %lld s: no life ends or grows by it at once, and no row is purged for 10 minutes; if it was not meant, look at the time service",
        step_us > 0 ? "forward" : "back", (long long)(step_us > 0 ? step_us : -step_us) / US_PER_SECOND);
}

bool tier_maintain(struct tier *tier) {
    int64_t step_us = life_clock_tick(&tier->clock, boot_us(), wall_us());
    if (step_us != 0)
        tell_step(tier, step_us);
    struct cache_time now = tier_now(tier);
    return cache_maintain(tier->cache, &now);
}
struct tier_worker *tier_get_worker(struct tier *tier, unsigned index) {
    return &tier->workers[index];
}
size_t tier_space_count(const struct tier *tier) {
    return tier->space_count;
}
struct space *tier_space(struct tier *tier, size_t index) {
    return &tier->spaces[index];
}
bool tier_is_ready(struct tier *tier) {
    return atomic_load(&tier->preloads) == 0;
}
bool tier_hands_over(const struct tier *tier) {
    return atomic_load(&tier->hands_over);
}

/* ---- Making: namespaces ---- */

static bool out_of_memory(char *error, size_t error_size) {
    fit_print(error, error_size, "Out of memory.");
    return false;
}

static bool check_space(const struct tier_options *options, const struct space_options *space, char *error,
                        size_t error_size) {
    if (!space->policy)
        fit_print(error, error_size, "Namespace \"%s\" has no policy.", space->name);
    else if (space->policy->needs_backend &&
             (space->backend < 0 || (size_t)space->backend >= options->backend_count))
        fit_print(error, error_size, "Namespace \"%s\" is %s and needs a backend.", space->name,
                  space->policy->name);
    else if (strlen(space->prefix) > ENTRY_KEY_MAX)
        fit_print(error, error_size, "The prefix of namespace \"%s\" is longer than a key.", space->name);
    else
        return true;
    return false;
}

static bool check_unique(const struct tier *tier, char *error, size_t error_size) {
    for (size_t i = 0; i < tier->space_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct space_options *a = &tier->spaces[i].options, *b = &tier->spaces[j].options;
            assert(a->prefix && b->prefix);
            if (strcmp(a->prefix, b->prefix) != 0 && strcmp(a->name, b->name) != 0)
                continue;
            fit_print(error, error_size, "Namespaces \"%s\" and \"%s\" have the same %s.", b->name, a->name,
                      strcmp(a->name, b->name) == 0 ? "name" : "prefix");
            return false;
        }
    return true;
}

/* In the next place of the tier, which counts from now on if it could be made. */
static bool make_space(struct tier *tier, const struct space_options *options, char *error,
                       size_t error_size) {
    if (tier->space_count == CACHE_SPACES_MAX) {
        fit_print(error, error_size, "More than %d namespaces.", CACHE_SPACES_MAX);
        return false;
    }
    if (!check_space(&tier->options, options, error, error_size) ||
        !space_make(tier, options, error, error_size))
        return false;
    tier->spaces[tier->space_count++].complete = true;
    return true;
}

/* Of all keys that no configured namespace has. */
static bool make_default_space(struct tier *tier, char *error, size_t error_size) {
    struct space_options options;
    space_options_set_defaults(&options);
    options.name = SPACE_DEFAULT_NAME;
    options.prefix = "";
    options.policy = &policy_cache_aside;
    tier->own_default = &tier->spaces[tier->space_count];
    return make_space(tier, &options, error, error_size);
}

static bool has_default(const struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].prefix_size == 0)
            return true;
    return false;
}

static bool make_map(struct tier *tier) {
    struct space *spaces[CACHE_SPACES_MAX];
    for (size_t i = 0; i < tier->space_count; i++)
        spaces[i] = &tier->spaces[i];
    struct space_map *map = space_map_create(spaces, tier->space_count);
    atomic_init(&tier->map, map);
    return map != NULL;
}

static bool make_spaces(struct tier *tier, char *error, size_t error_size) {
    const struct tier_options *options = &tier->options;
    tier->spaces = calloc(CACHE_SPACES_MAX, sizeof *tier->spaces);
    if (!tier->spaces)
        return out_of_memory(error, error_size);
    for (size_t i = 0; i < options->space_count; i++)
        if (!make_space(tier, &options->spaces[i], error, error_size))
            return false;
    if (!has_default(tier) && !make_default_space(tier, error, error_size))
        return false;
    return check_unique(tier, error, error_size) && (make_map(tier) || out_of_memory(error, error_size));
}

/* ---- Making: backends ---- */

/* A store that is there answers in this time, with what refuses the start if something does. */
enum { OPEN_PATIENCE_US = 500000 };

static bool list_tables(struct tier *tier, struct tier_backend *backend) {
    backend->tables = calloc(2 * CACHE_SPACES_MAX, sizeof(struct backend_table *)); /* copies have theirs */
    if (!backend->tables)
        return false;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend)
            space_list_table(&tier->spaces[i], backend);
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].copy && tier->spaces[i].copy->target == backend)
            copy_list_table(&tier->spaces[i]);
    backend->options.store.tables = backend->tables; /* how many there are, a session looks for itself */
    return true;
}

static bool make_backend(struct tier *tier, size_t index, char *error, size_t error_size) {
    struct tier_backend *backend = &tier->backends[index];
    struct backend_options *options = &backend->options.store;
    backend->type = options->type ? options->type : backend_find(options->uri);
    if (!backend->type) {
        char uri[200], schemes[100];
        backend_show_uri(options->uri, uri, sizeof uri);
        backend_list_schemes(schemes, sizeof schemes);
        fit_print(error, error_size, "Backend \"%s\": no kind of backend serves \"%s\" (known are: %s).",
                  options->name, uri, schemes);
        return false;
    }
    backend->timeout_ms = options->timeout_ms;
    snprintf(backend->down, sizeof backend->down, "SERVER_ERROR backend %.100s is not available",
             options->name);
    backend->store = store_create();
    backend->nodes = backend_nodes_create();
    if (!backend->store || !backend->nodes || !list_tables(tier, backend))
        return out_of_memory(error, error_size);
    backend->writer = writer_create(backend, error, error_size);
    if (!backend->writer)
        return false;
    backend->loader = loader_create(backend);
    if (backend->options.store.coherent)
        backend->coherence = coherence_create(backend);
    return (backend->loader && (backend->coherence || !backend->options.store.coherent)) ||
           out_of_memory(error, error_size);
}

/* They connect at the same time. One that is away is not waited for: it may be away for long. */
static bool make_backends(struct tier *tier, char *error, size_t error_size) {
    bool good = true;
    for (size_t i = 0; good && i < tier->options.backend_count; i++)
        good = make_backend(tier, i, error, error_size);
    uint64_t until_us = monotonic_us() + OPEN_PATIENCE_US;
    for (size_t i = 0; good && i < tier->options.backend_count; i++)
        good = writer_await(tier->backends[i].writer, until_us, error, error_size);
    return good;
}

/* Backends have to exist as structs before the namespaces point to them. */
static bool allot_backends(struct tier *tier) {
    tier->backend_count = tier->options.backend_count;
    tier->backends = calloc(tier->backend_count + 1, sizeof *tier->backends);
    for (size_t i = 0; tier->backends && i < tier->backend_count; i++) {
        tier->backends[i].tier = tier;
        tier->backends[i].options = tier->options.backends[i];
        tier_backend_options_complete(&tier->backends[i].options);
    }
    return tier->backends != NULL;
}

/* ---- Making: workers, journal, threads ---- */

static bool make_workers(struct tier *tier) {
    size_t size = tier->options.workers * sizeof *tier->workers;
    tier->workers = aligned_alloc(64, size);
    if (!tier->workers)
        return false;
    memset((void *)tier->workers, 0, size);
    for (unsigned i = 0; i < tier->options.workers; i++) {
        struct tier_worker *worker = &tier->workers[i];
        worker->tier = tier;
        worker->index = i;
        worker->submitted_end = &worker->submitted;
        worker->scratch_size = tier->options.cache.item_max + 64;
        worker->scratch = malloc(worker->scratch_size);
        /* Room for as many namespaces as there can be: the system gives the pages that are used. */
        worker->usage = calloc(CACHE_SPACES_MAX, sizeof *worker->usage);
        atomic_init(&worker->floor, UINT64_MAX);
        hold_init(worker);
        if (!worker->scratch || !worker->usage)
            return false;
    }
    return true;
}

bool tier_wants_journal(const struct tier_options *options) {
    for (size_t i = 0; options->data && i < options->space_count; i++)
        if (options->spaces[i].policy->holds_back && options->spaces[i].journal != JOURNAL_OFF)
            return true;
    return false;
}

/* What lies in the folder is looked at even if nobody writes a journal now: leftover.h. */
static bool needs_journal(const struct tier *tier) {
    return tier_wants_journal(&tier->options) ||
           (tier->options.data && survey_finds_files(tier->options.data));
}

static bool make_quarantines(struct tier *tier, char *error, size_t error_size) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].policy->holds_back &&
            !space_open_quarantine(&tier->spaces[i], &tier->recovered_version, error, error_size))
            return false;
    return true;
}

static void retry_quarantines(struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (quarantine_ask_retry(space->quarantine, slice_of("", 0)) > 0)
            writer_retry_quarantine(space->backend->writer, space);
    }
}

static bool make_journal(struct tier *tier, char *error, size_t error_size) {
    if (!needs_journal(tier)) {
        places_tell_pending(tier); /* of quarantines */
        return true;
    }
    if (!recover(tier, error, error_size))
        return false;
    if (tier->options.recovery.writes_back)
        retry_quarantines(tier);
    for (unsigned i = 0; i < tier->options.workers; i++)
        tier->workers[i].journal = journal_series(tier->journal, i);
    return true;
}

/* A backend is waited for as a whole. */
static void count_preloads(struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (!space->backend || !space->options.preload)
            continue;
        if (loader_preload(space->backend->loader, space->options.preload_wait))
            atomic_fetch_add(&tier->preloads, 1);
    }
}

static bool start_backend(struct tier_backend *backend) {
    return writer_start(backend->writer) && loader_start(backend->loader) &&
           (!backend->coherence || coherence_start(backend->coherence));
}

static bool start_threads(struct tier *tier, char *error, size_t error_size) {
    count_preloads(tier);
    atomic_store(&tier->writers_run, true);
    for (size_t i = 0; i < tier->backend_count; i++)
        if (!start_backend(&tier->backends[i])) {
            fit_print(
                error, error_size,
                "There are no threads for backend \"%s\": raise ulimit -u or -v (TasksMax= in systemd), or lower its readers.",
                tier->backends[i].options.store.name);
            return false;
        }
    return true;
}

/* Whatever is kept in the data folder, be it a database or a quarantine alone, is one server's. A tier that writes back
 * what was left is made by a start that has the lock. */
static bool lock_folder(const struct tier_options *options, int *ret_lock, char *error, size_t error_size) {
    struct journal_error refused;
    if (!options->data || options->recovery.writes_back ||
        folder_lock_take(options->data, ret_lock, &refused) == JOURNAL_OK)
        return true;
    fit_print(error, error_size, "%s", refused.message);
    return false;
}

bool tier_create_cache(const struct cache_options *options, struct cache **ret_cache, char *ret_error,
                       size_t error_size) {
    if (cache_create(options, ret_cache) == CACHE_OK)
        return true;
    fit_print(ret_error, error_size,
              "Out of memory for a cache of %zu MB, or of addresses, of which it takes a multiple: lower -m "
              "(memory), or raise ulimit -v.",
              options->memory_limit >> 20);
    return false;
}

static bool make_tier(struct tier *tier, char *error, size_t error_size) {
    bool made = tier_create_cache(&tier->options.cache, &tier->cache, error, error_size);
    made = made && (allot_backends(tier) || out_of_memory(error, error_size));
    made = made && make_spaces(tier, error, error_size);
    made = made && (make_workers(tier) || out_of_memory(error, error_size));
    return made && make_backends(tier, error, error_size) && make_quarantines(tier, error, error_size) &&
           make_journal(tier, error, error_size) && start_threads(tier, error, error_size);
}

/* The lock is the new tier's, also if it cannot be made. */
static bool create_locked(const struct tier_options *options, int lock, struct tier **ret_tier, char *error,
                          size_t error_size) {
    struct tier *tier = calloc(1, sizeof *tier);
    assert(options->workers > 0);
    if (!tier) {
        folder_lock_release(lock);
        return out_of_memory(error, error_size);
    }
    tier->options = *options;
    life_clock_init(&tier->clock, boot_us(), wall_us());
    tier->folder_lock = lock;
    tier->service = (struct service){options->wake, options->log, options->context};
    tier->options.cache.threads =
        tier->options.cache.threads ? tier->options.cache.threads : options->workers;
    pthread_mutex_init(&tier->stats_mutex, NULL);
    pthread_mutex_init(&tier->halt_mutex, NULL);
    pthread_cond_init(&tier->halt_over, NULL);
    if (!make_tier(tier, error, error_size)) {
        tier_destroy(tier);
        return false;
    }
    places_note(tier);
    if (!options->recovery.writes_back)
        copy_notes_clear(tier);
    exposure_tell(&tier->service, &tier->options);
    *ret_tier = tier;
    return true;
}

bool tier_create(const struct tier_options *options, struct tier **ret_tier, char *ret_error,
                 size_t error_size) {
    int lock = -1;
    if (!lock_folder(options, &lock, ret_error, error_size))
        return false;
    if (!places_allow(options, ret_error, error_size) || !leftovers_settle(options, ret_error, error_size)) {
        folder_lock_release(lock);
        return false;
    }
    return create_locked(options, lock, ret_tier, ret_error, error_size);
}

/* ---- Taking down ---- */

/* All are asked before one is waited for: each may be in a call of a backend that is away. */
static void stop_loading(struct tier *tier, size_t backends) {
    tier_stop_loading(tier);
    for (size_t i = 0; i < backends; i++) {
        coherence_stop(tier->backends[i].coherence);
        if (tier->backends[i].loader)
            loader_stop(tier->backends[i].loader);
    }
}

/* After those that ask them. */
static void stop_writing(struct tier *tier, size_t backends) {
    for (size_t i = 0; i < backends; i++)
        if (tier->backends[i].writer)
            writer_ask_to_end(tier->backends[i].writer);
    for (size_t i = 0; i < backends; i++)
        if (tier->backends[i].writer)
            writer_stop(tier->backends[i].writer);
}

void tier_stop(struct tier *tier) {
    size_t backends = tier->backends ? tier->backend_count : 0;
    stop_loading(tier, backends);
    stop_writing(tier, backends);
    if (tier->journal)
        journal_finish(tier->journal);
}

static void destroy_backend(struct tier_backend *backend) {
    coherence_destroy(backend->coherence);
    loader_destroy(backend->loader);
    writer_destroy(backend->writer);
    store_destroy(backend->store);
    backend_nodes_destroy(backend->nodes);
    free(backend->tables);
}

void tier_destroy(struct tier *tier) {
    if (!tier)
        return;
    tier_stop(tier);
    if (tier->journal)
        journal_close(tier->journal);
    for (size_t i = 0; tier->backends && i < tier->backend_count; i++)
        destroy_backend(&tier->backends[i]);
    for (size_t i = 0; tier->spaces && i < tier->space_count; i++)
        space_destroy(&tier->spaces[i]);
    for (unsigned i = 0; tier->workers && i < tier->options.workers; i++) {
        free(tier->workers[i].scratch);
        free(tier->workers[i].usage);
    }
    free(tier->workers);
    free(tier->backends);
    free(tier->spaces);
    free(atomic_load(&tier->map));
    if (tier->cache)
        cache_destroy(tier->cache);
    pthread_mutex_destroy(&tier->stats_mutex);
    pthread_mutex_destroy(&tier->halt_mutex);
    pthread_cond_destroy(&tier->halt_over);
    folder_lock_release(tier->folder_lock);
    free(tier);
}
