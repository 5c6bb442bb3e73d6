/* SPDX-License-Identifier: MIT */
/*
 * Namespaces that a reload adds: whether they can be added while the server runs, and what makes them. They take places
 * behind the others, and have no keys before the map is another one (map.c).
 */
#include "policies/journal/disk.h"
#include "policies/policy.h"
#include "policies/reload/internal.h"
#include "policies/session.h"
#include "policies/tell.h"
#include "policies/write/leftover.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <stdio.h>
#include <unistd.h>

enum {
    PAUSE_US = 2000,              /* between looks */
    BACKEND_PATIENCE_US = 500000, /* above its timeout, for an answer about a new table */
};

/* ---- Which ---- */

static struct space *find_retired(struct tier *tier, const char *name) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (space_is_retired(&tier->spaces[i]) && tier->spaces[i].complete &&
            strcmp(tier->spaces[i].options.name, name) == 0)
            return &tier->spaces[i];
    return NULL;
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

/* One that was removed before comes back as it was, or not at all: its place, its queues and its files are still
 * there. */
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
        return reloading_refuse(self,
                                "a restart is needed to add namespace \"%s\", which has all keys of no other",
                                options->name);
    if (reloading_removes(self, owner) || !owner->backend)
        return true;
    return reloading_refuse(
        self,
        "a restart is needed to add namespace \"%s\": its keys are those of namespace \"%s\" now, which has a backend",
        options->name, owner->options.name);
}

static bool check_added(struct reloading *self, const struct space_options *options) {
    struct space *former = find_retired(self->tier, options->name);
    if (former && !is_as_before(self, former, options))
        return reloading_refuse(
            self,
            "a restart is needed to add namespace \"%s\": one of this name was removed since the start, which was another",
            options->name);
    if (options->absent_filter)
        return reloading_refuse(self, "a restart is needed to add namespace \"%s\": it has an absent_filter",
                                options->name);
    if (options->copy_to)
        return reloading_refuse(self, "a restart is needed to add namespace \"%s\": it has copy_to",
                                options->name);
    if (options->policy->holds_back && options->journal != JOURNAL_OFF && !self->tier->journal)
        return reloading_refuse(
            self, "a restart is needed to add namespace \"%s\": it is the first that has a journal",
            options->name);
    if (has_leftovers(self, options))
        return reloading_refuse(
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
    if (!tier->journal)
        return true;
    if (journal_add_space(tier->journal, slice_string(space->options.name), &space->journal_number,
                          &refused) != JOURNAL_OK)
        return reloading_refuse(self, "%s", refused.message);
    if (space_keeps_journal(space))
        journal_keep_space(tier->journal, space->journal_number);
    return true;
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
           !reloading_is_stopped(self) && monotonic_us() < until_us)
        usleep(PAUSE_US);
    bool known = writer_knows_table(backend->writer, space);
    if (!known && !is_silent(self, backend))
        self->silent[self->silent_count++] = backend;
    return known;
}

/* Before the namespace takes its place, which it keeps whatever becomes of it. A backend that does not answer is not
 * asked again, nor waited for. */
static bool probe_table(struct reloading *self, const struct space_options *options) {
    const struct tier_backend *backend = backend_of(self, options);
    const struct backend_table *table = &options->table;
    struct backend_error error;
    if (!backend || is_silent(self, backend))
        return true;
    struct backend_options store = backend->options.store;
    store.tables = &table;
    store.table_count = 1;
    uint64_t version;
    enum backend_status status = backend->type->probe(&store, &version, &error);
    if (status == BACKEND_TRANSIENT)
        self->silent[self->silent_count++] = backend;
    return status != BACKEND_REFUSED ||
           reloading_refuse(self, "namespace \"%s\": %s", options->name, error.message);
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
        return reloading_refuse(self, "namespace \"%s\": %s", space->options.name, session.error.message);
    if (status == BACKEND_TRANSIENT && !reloading_is_stopped(self))
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
        reloading_refuse(
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

bool reloading_make_added(struct reloading *self) {
    for (size_t i = 0; i < self->wanted->space_count; i++) {
        const struct space_options *options = &self->wanted->spaces[i];
        if (space_by_name(self->tier, slice_string(options->name)))
            continue;
        struct space *space =
            reloading_goes_on(self) && check_added(self, options) ? make_or_revive(self, options) : NULL;
        if (!space)
            return false;
        self->added[self->added_count++] = space;
    }
    return true;
}
