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
 * Removed, in one halt: nothing of it may be dirty, in quarantine or with its writer. It leaves the map, what it holds
 * in memory is voided, and its place in the cache is closed, so that a row that is being loaded does not come in late.
 * Then its low-water version passes all of it, and is noted: a start that does not know it any more finds nothing left.
 *
 * Added: its keys lay in another namespace before, which has to be one without a backend. What that has of them must not
 * be taken for rows of the new one, and looking for it takes a while. So in a first halt the new one gets its keys, and
 * treats them as they were treated before, as cache-aside. Entries that the other one has of them are dropped
 * meanwhile. A second halt voids what the new one was given so far, and gives it its policy.
 *
 * What can fail is done before the first halt, and undone if the halt finds that something cannot be. A namespace that was
 * made keeps its place all the same, so a backend is asked whether it can be before it is made.
 */
#include "policies/journal/disk.h"
#include "policies/policy.h"
#include "policies/session.h"
#include "policies/tell.h"
#include "policies/write/leftover.h"
#include "policies/write/places.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    HALT_US = 500000, /* a turn that takes longer, as its journal cannot be written, is not waited for */
    BUSY_US = 50000,  /* in a halt, for what is with a writer */
    TRIES = 5,
    NOTE_US = 5000000,            /* for the low-water version of what was removed */
    PAUSE_US = 2000,              /* between looks */
    BACKEND_PATIENCE_US = 500000, /* above its timeout, for an answer about a new table */
};

struct reloading {
    struct tier *tier;
    const struct tier_options *wanted;
    char *error;
    size_t error_size;
    struct space *added[CACHE_SPACES_MAX], *removed[CACHE_SPACES_MAX];
    size_t added_count, removed_count;
    struct space_map *map; /* the new one */
    size_t memory_before;
    struct cache_space_options cached_before[CACHE_SPACES_MAX];
    size_t cached_count;
    const struct tier_backend *silent[CACHE_SPACES_MAX]; /* were waited for in vain */
    size_t silent_count;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct reloading *self, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(self->error, self->error_size, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- Stopping ---- */

void tier_stop_reloading(struct tier *tier) {
    atomic_store(&tier->stop_reloading, true);
}

static bool is_stopped(const struct tier *tier) {
    return atomic_load(&tier->stop_reloading);
}

static bool go_on(struct reloading *self) {
    return !is_stopped(self->tier) || refuse(self, "the server is stopping");
}

/* ---- Halting ---- */

static bool all_are_outside(const struct tier *tier) {
    for (unsigned i = 0; i < tier->options.workers; i++)
        if (atomic_load(&tier->workers[i].floor) != UINT64_MAX)
            return false;
    return true;
}

static void resume(struct tier *tier) {
    pthread_mutex_lock(&tier->halt_mutex);
    atomic_fetch_and(&tier->map_serial, ~UINT64_C(1));
    pthread_cond_broadcast(&tier->halt_over);
    pthread_mutex_unlock(&tier->halt_mutex);
}

/* True: no worker is in a turn, or enters one, until resume. */
static bool halt(struct tier *tier) {
    uint64_t until_us = monotonic_us() + HALT_US;
    atomic_fetch_or(&tier->map_serial, 1);
    while (!all_are_outside(tier)) {
        if (monotonic_us() >= until_us) {
            resume(tier);
            return false;
        }
        usleep(20);
    }
    return true;
}

/* ---- Which ---- */

static const struct space_options *find_options(const struct tier_options *options, const char *name) {
    for (size_t i = 0; i < options->space_count; i++)
        if (strcmp(options->spaces[i].name, name) == 0)
            return &options->spaces[i];
    return NULL;
}

static struct space *find_retired(struct tier *tier, const char *name) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (space_is_retired(&tier->spaces[i]) && tier->spaces[i].complete &&
            strcmp(tier->spaces[i].options.name, name) == 0)
            return &tier->spaces[i];
    return NULL;
}

static bool is_among(struct space *const *spaces, size_t count, const struct space *space) {
    for (size_t i = 0; i < count; i++)
        if (spaces[i] == space)
            return true;
    return false;
}

static bool find_removed(struct reloading *self) {
    struct tier *tier = self->tier;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space == tier->own_default || space_is_retired(space) ||
            find_options(self->wanted, space->options.name))
            continue;
        if (space->prefix_size == 0)
            return refuse(self,
                          "a restart is needed to remove namespace \"%s\", which has all keys of no other",
                          space->options.name);
        self->removed[self->removed_count++] = space;
    }
    return true;
}

/* Of the namespaces that there are, the one whose keys these were; it is shorter. */
static struct space *owner_of(struct tier *tier, const char *prefix) {
    struct space *owner = NULL;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (!space_is_retired(space) && strncmp(prefix, space->options.prefix, space->prefix_size) == 0 &&
            (!owner || space->prefix_size > owner->prefix_size))
            owner = space;
    }
    return owner;
}

/* ---- Whether it can be added ---- */

static struct tier_backend *backend_of(const struct reloading *self, const struct space_options *options) {
    struct tier *tier = self->tier;
    if (!options->policy->needs_backend)
        return NULL;
    const char *name = self->wanted->backends[options->backend].store.name;
    for (size_t i = 0; i < tier->backend_count; i++)
        if (strcmp(tier->backends[i].options.store.name, name) == 0)
            return &tier->backends[i];
    return NULL;
}

static bool has_same_table(const struct backend_table *a, const struct backend_table *b) {
    if (!a->specific || !b->specific || a->specific->type != b->specific->type)
        return a->specific == b->specific;
    for (const struct setting *setting = a->specific->type->table_options.settings; setting && setting->name;
         setting++)
        if (!setting_is_equal(setting, a->specific, b->specific))
            return false;
    return true;
}

/* One that was removed before comes back as it was, or not at all: its place, its queues and its files are still there. */
static bool is_as_before(const struct reloading *self, const struct space *space,
                         const struct space_options *options) {
    bool same = space->options.policy == options->policy && space->backend == backend_of(self, options) &&
                has_same_table(&space->options.table, &options->table);
    for (const struct setting *setting = space_settings; same && setting->name; setting++)
        same = setting->change == SETTING_LIVE || setting_is_equal(setting, &space->options, options);
    return same;
}

/* Changes that an earlier run has left, under a policy that has no use for them: as at a start. */
static bool has_leftovers(const struct reloading *self, const struct space_options *options) {
    const struct tier_options *own = &self->tier->options;
    struct quarantine_summary summary;
    char path[4096];
    if (!own->data ||
        snprintf(path, sizeof path, "%s/quarantine-%s.log", own->data, options->name) >= (int)sizeof path)
        return false;
    return leftovers_are_kept(own, options->name) ||
           (!options->policy->holds_back && quarantine_look(&journal_disk_system, path, &summary) &&
            summary.entries > 0);
}

static bool check_keys(struct reloading *self, const struct space_options *options) {
    struct space *owner = owner_of(self->tier, options->prefix);
    if (!*options->prefix)
        return refuse(self, "a restart is needed to add namespace \"%s\", which has all keys of no other",
                      options->name);
    if (is_among(self->removed, self->removed_count, owner) || !owner->backend)
        return true;
    return refuse(
        self,
        "a restart is needed to add namespace \"%s\": its keys are those of namespace \"%s\" now, which has a backend",
        options->name, owner->options.name);
}

static bool check_added(struct reloading *self, const struct space_options *options) {
    struct space *former = find_retired(self->tier, options->name);
    if (former && !is_as_before(self, former, options))
        return refuse(
            self,
            "a restart is needed to add namespace \"%s\": one of this name was removed since the start, which was another",
            options->name);
    if (options->absent_filter)
        return refuse(self, "a restart is needed to add namespace \"%s\": it has an absent_filter",
                      options->name);
    if (options->policy->holds_back && options->journal != JOURNAL_OFF && !self->tier->journal)
        return refuse(self, "a restart is needed to add namespace \"%s\": it is the first that has a journal",
                      options->name);
    if (has_leftovers(self, options))
        return refuse(
            self,
            "a restart is needed to add namespace \"%s\": an earlier run has left changes of it in the data folder",
            options->name);
    return check_keys(self, options);
}

/* ---- Making one ---- */

/* Places, backends and their order are those of the tier. */
static struct space_options own_options(const struct reloading *self, const struct space_options *options) {
    struct space_options own = *options;
    struct tier_backend *backend = backend_of(self, options);
    own.backend = backend ? (int)(backend - self->tier->backends) : -1;
    own.memory = 0; /* until it is taken over */
    return own;
}

/* False: nothing has changed. */
static bool open_files(struct reloading *self, struct space *space) {
    struct tier *tier = self->tier;
    struct journal_error refused;
    uint64_t highest = 0;
    if (!space->options.policy->holds_back)
        return true;
    if (!space_open_quarantine(space, &highest, self->error, self->error_size))
        return false;
    if (!tier->journal || journal_add_space(tier->journal, slice_string(space->options.name),
                                            &space->journal_number, &refused) == JOURNAL_OK)
        return true;
    return refuse(self, "%s", refused.message);
}

/* ---- Its table ---- */

static bool is_silent(const struct reloading *self, const struct tier_backend *backend) {
    for (size_t i = 0; i < self->silent_count; i++)
        if (self->silent[i] == backend)
            return true;
    return false;
}

/* The writer makes it. A backend that is away is waited for once, however many namespaces are new over it. */
static bool await_table(struct reloading *self, const struct space *space) {
    const struct tier_backend *backend = space->backend;
    uint64_t until_us = monotonic_us() + (uint64_t)backend->timeout_ms * US_PER_MS + BACKEND_PATIENCE_US;
    writer_poke(backend->writer);
    while (!writer_knows_table(backend->writer, space) && !is_silent(self, backend) &&
           !is_stopped(self->tier) && monotonic_us() < until_us)
        usleep(PAUSE_US);
    bool known = writer_knows_table(backend->writer, space);
    if (!known && !is_silent(self, backend))
        self->silent[self->silent_count++] = backend;
    return known;
}

/* Before the namespace takes its place, which it keeps whatever becomes of it. A backend that does not answer is not asked
 * again, nor waited for. */
static bool probe_table(struct reloading *self, const struct space_options *options) {
    const struct tier_backend *backend = backend_of(self, options);
    const struct backend_table *table = &options->table;
    struct backend_error error;
    if (!backend || is_silent(self, backend))
        return true;
    struct backend_options store = backend->options.store;
    store.tables = &table;
    store.table_count = 1;
    enum backend_status status = backend->type->probe(&store, &error);
    if (status == BACKEND_TRANSIENT)
        self->silent[self->silent_count++] = backend;
    return status != BACKEND_REFUSED || refuse(self, "namespace \"%s\": %s", options->name, error.message);
}

/* Some key that the namespace may have, whatever its keys are. */
static enum backend_status ask(struct session *session, struct space *space) {
    char bytes[ENTRY_KEY_MAX + 1];
    struct load_result result;
    int size = snprintf(bytes, sizeof bytes, "%s0", space->options.prefix);
    struct slice key = slice_of(bytes, (size_t)size < ENTRY_KEY_MAX ? (size_t)size : ENTRY_KEY_MAX);
    enum backend_status status = session_open(session, 0);
    if (status == BACKEND_OK)
        status = session_load(session, space, &key, 1, tier_now(space->tier).seconds, &result);
    return status;
}

/* As at a start: a table that does not fit is an error, a backend that is away is not waited for. */
static bool check_table(struct reloading *self, struct space *space) {
    struct session session;
    if (!space->backend)
        return true;
    bool known = await_table(self, space);
    session_init(&session, space->backend, BACKEND_READER, 1);
    enum backend_status status = known ? ask(&session, space) : BACKEND_TRANSIENT;
    session_close(&session);
    if (status == BACKEND_TABLE_FAILED || status == BACKEND_REFUSED)
        return refuse(self, "namespace \"%s\": %s", space->options.name, session.error.message);
    if (status == BACKEND_TRANSIENT && !is_stopped(self->tier))
        tell_of_space(space, NULL, LOG_LEVEL_WARNING,
                      "backend %s: has not answered yet, namespace %s is added without it",
                      space->backend->options.store.name, space->options.name);
    return true;
}

/* ---- Adding them ---- */

/* It counts, retired and without a key, whatever becomes of it: its number in the cache is taken. */
static struct space *make(struct reloading *self, const struct space_options *options) {
    struct tier *tier = self->tier;
    struct space_options own = own_options(self, options);
    if (tier->space_count == CACHE_SPACES_MAX) {
        refuse(
            self,
            "a restart is needed to add namespace \"%s\": since the start there were %d, those that were removed included",
            options->name, CACHE_SPACES_MAX);
        return NULL;
    }
    struct space *space = &tier->spaces[tier->space_count];
    if (!space_make(tier, &own, self->error, self->error_size))
        return NULL;
    atomic_store(&space->retired, true);
    space->policy = &policy_cache_aside;
    if (space->backend)
        space_list_table(space, space->backend);
    tier->space_count++;
    return space;
}

/* What may be dirty needs a flusher, and no second one of its name: so that comes last. */
static bool complete(struct reloading *self, struct space *space) {
    if (!check_table(self, space) || !open_files(self, space))
        return false;
    if (space->options.policy->holds_back)
        writer_add_space(space->backend->writer, space);
    space->complete = true;
    return true;
}

static struct space *make_or_revive(struct reloading *self, const struct space_options *options) {
    struct space *space = find_retired(self->tier, options->name);
    if (space)
        return space;
    space = probe_table(self, options) ? make(self, options) : NULL;
    return space && complete(self, space) ? space : NULL;
}

static bool make_added(struct reloading *self) {
    for (size_t i = 0; i < self->wanted->space_count; i++) {
        const struct space_options *options = &self->wanted->spaces[i];
        if (space_by_name(self->tier, slice_string(options->name)))
            continue;
        struct space *space =
            go_on(self) && check_added(self, options) ? make_or_revive(self, options) : NULL;
        if (!space)
            return false;
        self->added[self->added_count++] = space;
    }
    return true;
}

/* ---- The new map ---- */

static bool make_map(struct reloading *self) {
    struct tier *tier = self->tier;
    struct space *spaces[CACHE_SPACES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        bool lives = !space_is_retired(space) && !is_among(self->removed, self->removed_count, space);
        if (lives || is_among(self->added, self->added_count, space))
            spaces[count++] = space;
    }
    self->map = space_map_create(spaces, count);
    return self->map || refuse(self, "no memory");
}

enum readiness { READY, NOT_READY, REFUSED };

static bool is_busy(const struct space *space) {
    return atomic_load(&space->changing) > 0 ||
           (space->options.policy->holds_back && writer_has_touches(space->backend->writer));
}

/* In a halt, so nothing can become dirty, and no further change goes to the writer. */
static enum readiness look_at_removed(struct reloading *self, const struct space *space) {
    const char *name = space->options.name;
    for (uint64_t until_us = monotonic_us() + BUSY_US; is_busy(space) && monotonic_us() < until_us;)
        usleep(PAUSE_US / 10);
    size_t dirty = cache_dirty_entries(self->tier->cache, space->number);
    size_t refused = space->quarantine ? quarantine_count(space->quarantine) : 0;
    if (dirty || refused) {
        refuse(
            self,
            "namespace \"%s\" cannot be removed while changes of it are in no store: %zu entries wait to be written, %zu are in quarantine. Give `sync %s`, or look at `quarantine list %s`, then reload again",
            name, dirty, refused, name, name);
        return REFUSED;
    }
    if (!is_busy(space))
        return READY;
    refuse(self, "namespace \"%s\" cannot be removed while changes of it are with its backend: reload again",
           name);
    return NOT_READY;
}

static enum readiness look_at_all(struct reloading *self) {
    enum readiness readiness = READY;
    for (size_t i = 0; i < self->removed_count && readiness == READY; i++)
        readiness = look_at_removed(self, self->removed[i]);
    return readiness;
}

/* In a halt. */
static void change_map(struct reloading *self) {
    struct tier *tier = self->tier;
    struct cache_time now = tier_now(tier);
    for (size_t i = 0; i < self->removed_count; i++) {
        atomic_store(&self->removed[i]->retired, true);
        cache_close_space(tier->cache, self->removed[i]->number, &now);
    }
    for (size_t i = 0; i < self->added_count; i++) {
        self->added[i]->policy = &policy_cache_aside;
        cache_open_space(tier->cache, self->added[i]->number);
        atomic_store(&self->added[i]->retired, false);
    }
    self->map = atomic_exchange(&tier->map, self->map);
    atomic_fetch_add(&tier->map_serial, 2);
}

static enum readiness try_to_switch(struct reloading *self) {
    if (!halt(self->tier)) {
        refuse(self, "a thread is stuck in its turn, as if the disk of the journal did not answer");
        return NOT_READY;
    }
    enum readiness readiness = look_at_all(self);
    if (readiness == READY)
        change_map(self);
    resume(self->tier);
    return readiness;
}

static bool switch_map(struct reloading *self) {
    enum readiness readiness = NOT_READY;
    for (unsigned i = 0; readiness == NOT_READY && i < TRIES; i++) {
        if (i > 0)
            usleep(BUSY_US);
        readiness = try_to_switch(self);
    }
    return readiness == READY;
}

/* ---- After the switch: nothing of it can fail ---- */

static void drop_former_entries(struct reloading *self) {
    for (size_t i = 0; i < self->added_count; i++) {
        const struct space *space = self->added[i];
        cache_drop_prefix(self->tier->cache, slice_of(space->options.prefix, space->prefix_size),
                          space->number);
    }
}

static void give_policies(struct reloading *self) {
    struct tier *tier = self->tier;
    struct cache_time now = tier_now(tier);
    while (!halt(tier))
        usleep(PAUSE_US);
    if (tier->journal)
        journal_admit_spaces(tier->journal);
    for (size_t i = 0; i < self->added_count; i++) {
        struct space *space = self->added[i];
        cache_flush_all(tier->cache, space->number, now.seconds, &now);
        space->policy = space->options.policy;
    }
    resume(tier);
}

/* Above all versions that were drawn so far. */
static uint64_t version_above(const struct tier *tier) {
    return version_from_us(cache_last_version_us(tier->cache) + 1, 0) - 1;
}

static bool is_passed(const struct space *space, uint64_t version) {
    return atomic_load(&space->low_water) >= version;
}

static void await_passing(struct space *space, uint64_t version, uint64_t until_us) {
    while (!is_passed(space, version) && monotonic_us() < until_us) {
        writer_poke(space->backend->writer);
        usleep(PAUSE_US);
    }
}

/* So that a start that does not know the namespace finds nothing that is left of it. */
static void note_removed(struct reloading *self) {
    struct tier *tier = self->tier;
    uint64_t version = version_above(tier), until_us = monotonic_us() + NOTE_US;
    bool any = false;
    for (size_t i = 0; i < self->removed_count && tier->journal; i++) {
        struct space *space = self->removed[i];
        if (!space->options.policy->holds_back)
            continue;
        any = true;
        await_passing(space, version, until_us);
    }
    if (any && !journal_note_passed(tier->journal))
        service_log(
            &tier->service, LOG_LEVEL_WARNING,
            "journal: it cannot be noted that nothing is left of the namespaces that were removed: until it can be, a start after a kill would ask for them");
}

static void free_quotas(struct reloading *self) {
    for (size_t i = 0; i < self->removed_count; i++)
        self->removed[i]->options.memory = 0;
}

/* ---- Options ---- */

/* The namespace that the tier has added for itself is in no configuration, and stays as it is. */
static struct cache_space_options wanted_cache_options(const struct reloading *self,
                                                       const struct space *space) {
    const struct space_options *found = find_options(self->wanted, space->options.name);
    struct cache_space_options options = space_cache_options(found ? found : &space->options);
    if (is_among(self->removed, self->removed_count, space) ||
        (space_is_retired(space) && !is_among(self->added, self->added_count, space)))
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
           refuse(self, "no memory for the eviction of a namespace");
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

/* The limit that the command cache_memlimit has given stays as long as the configuration says what it said. */
static bool resize(struct reloading *self) {
    struct tier *tier = self->tier;
    size_t before = memory_limit(tier), limit = before;
    if (self->wanted->cache.memory_limit != tier->options.cache.memory_limit)
        limit = self->wanted->cache.memory_limit;
    if (quotas(self->wanted) > limit)
        return refuse(
            self,
            "the namespaces' memory quotas add up to more than the %zu bytes that cache_memlimit has left",
            limit);
    if (limit != before && cache_resize(tier->cache, limit) != CACHE_OK)
        return refuse(self,
                      "the memory cannot become %zu bytes while the server runs: choose less, or start anew",
                      limit);
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
    if (!find_removed(self) || !make_added(self) || !make_map(self) || !go_on(self))
        return false;
    if (resize(self) && adjust_cache(self) && (!changes_map(self) || switch_map(self)))
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
        writer_poke(
            tier->backends[i].writer); /* a flush may be due earlier, a namespace full or no longer so */
    if (!changes_map(self))
        return;
    free_quotas(self);
    drop_former_entries(self);
    if (self->added_count > 0)
        give_policies(self);
    note_removed(self);
    places_note(tier);
}

bool tier_reload(struct tier *tier, const struct tier_options *wanted, char *ret_error, size_t error_size) {
    struct reloading self = {.tier = tier, .wanted = wanted, .error = ret_error, .error_size = error_size};
    bool taken = take_all(&self);
    if (taken)
        finish(&self);
    free(self.map);
    return taken;
}
