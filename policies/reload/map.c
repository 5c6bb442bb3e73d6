/* SPDX-License-Identifier: MIT */
/*
 * Which keys are whose, changed at once: a halt, in which the map is another one, and what goes before and behind it.
 * See reload.c for why nothing is lost or mixed up meanwhile.
 */
#include "cache/base/count_text.h"
#include "policies/policy.h"
#include "policies/reload/internal.h"
#include "policies/store.h"
#include "policies/write/places.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <unistd.h>

enum {
    HALT_US = 500000, /* a turn that takes longer, as its journal cannot be written, is not waited for */
    BUSY_US = 50000,  /* in a halt, for what is with a writer */
    TRIES = 5,
    NOTE_US = 5000000, /* for the low-water version of what was removed */
    PAUSE_US = 2000,   /* between looks */
};

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

/* ---- The new map ---- */

bool reloading_make_map(struct reloading *self) {
    struct tier *tier = self->tier;
    struct space *spaces[CACHE_SPACES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        bool lives = !space_is_retired(space) && !reloading_removes(self, space);
        if (lives || reloading_adds(self, space))
            spaces[count++] = space;
    }
    self->map = space_map_create(spaces, count);
    return self->map || reloading_refuse(self, "no memory");
}

enum readiness { READY, NOT_READY, REFUSED };

static bool is_busy(const struct space *space) {
    return atomic_load(&space->changing) > 0 ||
           (space->options.policy->holds_back && writer_touches(space->backend->writer) > 0);
}

/* What memory and journal alone have of it would go with it. False: it is owed something, and the error says what. */
static bool has_all(struct reloading *self, const struct space *space) {
    const char *name = space->options.name;
    if (!policy_writes_rows(space->policy))
        return true;
    if (store_is_lost(space->backend->store))
        return reloading_refuse(
            self,
            "namespace \"%s\" cannot be removed while its store is lost, which is to have again what memory and journal hold: see that backend \"%s\" can be opened, then reload again. To give that up, restart instead",
            name, space->backend->options.store.name);
    return !writer_rewrites(space->backend->writer) ||
           reloading_refuse(
               self,
               "namespace \"%s\" cannot be removed while what its store has lost is written to it again: give `sync %s`, then reload again",
               name, name);
}

/* In a halt, so nothing can become dirty, and no further change goes to the writer. */
static enum readiness look_at_removed(struct reloading *self, const struct space *space) {
    const char *name = space->options.name;
    for (uint64_t until_us = monotonic_us() + BUSY_US; is_busy(space) && monotonic_us() < until_us;)
        usleep(PAUSE_US / 10);
    size_t dirty = cache_dirty_entries(self->tier->cache, space->number);
    size_t refused = space->quarantine ? quarantine_count(space->quarantine) : 0;
    if (dirty || refused) {
        reloading_refuse(
            self,
            "namespace \"%s\" cannot be removed while changes of it are in no store: %s to be written, %zu in quarantine. Give `sync %s`, or look at `quarantine list %s`, then reload again",
            name, count_text(dirty, "entry", "entries").text, refused, name, name);
        return REFUSED;
    }
    if (!has_all(self, space))
        return REFUSED;
    if (!is_busy(space))
        return READY;
    reloading_refuse(
        self, "namespace \"%s\" cannot be removed while changes of it are with its backend: reload again",
        name);
    return NOT_READY;
}

static enum readiness look_at_all(struct reloading *self) {
    enum readiness readiness = READY;
    for (size_t i = 0; i < self->removed_count && readiness == READY; i++)
        readiness = look_at_removed(self, self->removed[i]);
    return readiness;
}

/* Its table stays in the store, where nobody misses it meanwhile. */
static void set_retired(struct space *space, bool retired) {
    atomic_store(&space->retired, retired);
    atomic_store(&space->options.table.retired, retired);
}

/* In a halt. */
static void change_map(struct reloading *self) {
    struct tier *tier = self->tier;
    struct cache_time now = tier_now(tier);
    for (size_t i = 0; i < self->removed_count; i++) {
        set_retired(self->removed[i], true);
        cache_close_space(tier->cache, self->removed[i]->number, &now);
    }
    for (size_t i = 0; i < self->added_count; i++) {
        self->added[i]->policy = &policy_cache_aside;
        cache_open_space(tier->cache, self->added[i]->number);
        set_retired(self->added[i], false);
    }
    self->map = atomic_exchange(&tier->map, self->map);
    atomic_fetch_add(&tier->map_serial, 2);
}

static enum readiness try_to_switch(struct reloading *self) {
    if (!halt(self->tier)) {
        reloading_refuse(self, "a thread is stuck in its turn, as if the disk of the journal did not answer");
        return NOT_READY;
    }
    enum readiness readiness = look_at_all(self);
    if (readiness == READY)
        change_map(self);
    resume(self->tier);
    return readiness;
}

bool reloading_switch_map(struct reloading *self) {
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

void reloading_settle_map(struct reloading *self) {
    free_quotas(self);
    drop_former_entries(self);
    if (self->added_count > 0)
        give_policies(self);
    note_removed(self);
    places_note(self->tier);
}
