/* SPDX-License-Identifier: MIT */
/* See absence.h. */
#include "policies/absence.h"
#include "backends/backend.h"
#include "policies/tell.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    NAP_US = 1000,             /* while somebody may still see what is out of use */
    IN_VAIN_LEAST = 1000,      /* absent keys that were looked up, before their share says anything */
    IN_VAIN_SHARE = 100,       /* one in so many is what a filter may let through */
    FOREIGN_TOLD_US = 60000000 /* between two lines of the log */
};

struct absence *absence_create(struct space *space) {
    struct absence *absence = calloc(1, sizeof *absence);
    size_t size = space->tier->options.workers * sizeof *absence->workers;
    if (absence && !(absence->workers = aligned_alloc(64, size))) {
        free(absence);
        return NULL;
    }
    if (!absence)
        return NULL;
    memset((void *)absence->workers, 0, size);
    absence->space = space;
    pthread_mutex_init(&absence->mutex, NULL);
    return absence;
}

void absence_destroy(struct absence *absence) {
    if (!absence)
        return;
    bloom_destroy(atomic_load(&absence->asked));
    bloom_destroy(atomic_load(&absence->filling));
    bloom_destroy(absence->retired);
    bloom_destroy(absence->unused);
    pthread_mutex_destroy(&absence->mutex);
    free(absence->workers);
    free(absence);
}

/* ---- Workers ---- */

/* What is loaded here is not freed before the worker's turn, or the writer's call, is over: absence_free_unused looks
 * for those after it was exchanged, and they began before it was loaded. All in one order (sequentially consistent). */
static struct bloom *seen(_Atomic(struct bloom *) *where) {
    return atomic_load(where);
}

bool absence_excludes(const struct space *space, uint64_t hash) {
    const struct bloom *bloom = space->absence ? seen(&space->absence->asked) : NULL;
    return bloom && !bloom_has(bloom, hash);
}

bool absence_answers(const struct tier_worker *worker, const struct space *space, uint64_t hash) {
    if (!absence_excludes(space, hash))
        return false;
    count(&space->absence->workers[worker->index].answered);
    return true;
}

/* First the one that is filled: if it is not there any more, it is the one that is asked by now. */
static void add(struct absence *absence, uint64_t hash) {
    struct bloom *filling = seen(&absence->filling);
    struct bloom *asked = seen(&absence->asked);
    if (filling)
        bloom_add(filling, hash);
    if (asked)
        bloom_add(asked, hash);
}

void absence_tell(const struct space *space, uint64_t hash) {
    if (space->absence)
        add(space->absence, hash);
}

/* ---- The writer ---- */

static struct absence *absence_of(struct tier *tier, const struct backend_table *table) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (&tier->spaces[i].options.table == table)
            return tier->spaces[i].absence;
    return NULL;
}

static void count_applying(const struct tier_backend *backend) {
    struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend && tier->spaces[i].absence)
            atomic_fetch_add(&tier->spaces[i].absence->applying, 1);
}

void absence_begin_writing(struct tier_backend *backend, const struct mutation *mutations, size_t count) {
    struct absence *absence = NULL;
    count_applying(backend);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || mutations[i].table != mutations[i - 1].table)
            absence = absence_of(backend->tier, mutations[i].table);
        if (absence && mutations[i].kind != MUTATION_DELETE)
            add(absence, cache_hash(backend->tier->cache, mutations[i].entry.key));
    }
}

void absence_hold(const struct space *space, uint64_t hash) {
    if (space->absence)
        add(space->absence, hash);
}

void absence_end_writing(struct tier_backend *backend) {
    count_applying(backend);
}

static void distrust(struct absence *absence, bool watched) {
    pthread_mutex_lock(&absence->mutex);
    atomic_store(&absence->watched, watched);
    struct bloom *asked = atomic_exchange(&absence->asked, NULL);
    if (asked)
        absence->retired = asked; /* there is none yet: another is asked only once that was taken */
    atomic_fetch_add(&absence->distrusts, 1);
    pthread_mutex_unlock(&absence->mutex);
}

static void distrust_all(struct tier_backend *backend, bool watched, uint64_t foreign) {
    struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend && tier->spaces[i].absence) {
            tier->spaces[i].absence->foreign = foreign;
            distrust(tier->spaces[i].absence, watched);
        }
}

void absence_distrust(struct tier_backend *backend, uint64_t foreign) {
    distrust_all(backend, true, foreign);
}

void absence_lose_sight(struct tier_backend *backend) {
    distrust_all(backend, false, 0);
}

static void tell_foreign(struct absence *absence) {
    const struct space *space = absence->space;
    uint64_t now_us = monotonic_us();
    if (absence->foreign_told_us && now_us - absence->foreign_told_us < FOREIGN_TOLD_US)
        return;
    absence->foreign_told_us = now_us;
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "namespace %s: another program has written to the store of backend %s. Reads of unknown keys ask the store until the absent_filter has been built anew; if it does so regularly, remove absent_filter",
        space->options.name, space->backend->options.store.name);
}

void absence_note_foreign(struct tier_backend *backend, uint64_t foreign) {
    struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct absence *absence = tier->spaces[i].backend == backend ? tier->spaces[i].absence : NULL;
        if (!absence || absence->foreign == foreign)
            continue;
        absence->foreign = foreign;
        distrust(absence, true);
        tell_foreign(absence);
    }
}

/* ---- The builder ---- */

/* Until the writer's call, if there is one now, is over. */
static void await_writer(const struct absence *absence, const atomic_bool *stop) {
    uint64_t then = atomic_load(&absence->applying);
    while (then & 1 && atomic_load(&absence->applying) == then && !atomic_load(stop))
        usleep(NAP_US);
}

/* Until the turn of this worker, if it is in one now, is over. A turn has a floor, and 0 before that
 * (write/low_water.c); two turns may have the same one, but not for long. */
static void await_turn(struct tier_worker *worker, const atomic_bool *stop) {
    uint64_t first = 0, floor;
    while ((floor = atomic_load(&worker->floor)) != UINT64_MAX && (first == 0 || floor == first) &&
           !atomic_load(stop)) {
        first = floor;
        usleep(NAP_US);
    }
}

static void give_memory(const struct absence *absence, const struct bloom *bloom) {
    if (bloom)
        cache_give_memory(absence->space->tier->cache, bloom_size(bloom));
}

bool absence_begin_filling(struct absence *absence, size_t keys, const atomic_bool *stop) {
    struct cache *cache = absence->space->tier->cache;
    if (!cache_take_memory(cache, bloom_bytes(keys)))
        return false;
    struct bloom *bloom = bloom_create(keys);
    if (!bloom) {
        cache_give_memory(cache, bloom_bytes(keys));
        return false;
    }
    absence->distrusts_then = atomic_load(&absence->distrusts);
    atomic_store(&absence->filling, bloom);
    await_writer(absence, stop);
    return !atomic_load(stop);
}

void absence_fill(struct absence *absence, struct slice key) {
    bloom_add(atomic_load(&absence->filling), cache_hash(absence->space->tier->cache, key));
}

/* Where a share of reads in vain begins to be counted. */
static void note_reads(struct absence *absence) {
    struct absence_stats stats;
    absence_get_stats(absence, &stats);
    absence->answered_then = stats.answered;
    absence->in_vain_then = stats.in_vain;
}

bool absence_end_filling(struct absence *absence, bool complete) {
    note_reads(absence);
    pthread_mutex_lock(&absence->mutex);
    bool good = complete && absence_is_watched(absence) &&
                atomic_load(&absence->distrusts) == absence->distrusts_then;
    if (good)
        count(&absence->builds); /* no later than it is seen to be asked */
    struct bloom *filled = atomic_load(&absence->filling);
    absence->unused = good ? atomic_exchange(&absence->asked, filled) : filled;
    atomic_store(&absence->filling, NULL);
    pthread_mutex_unlock(&absence->mutex);
    return good;
}

void absence_free_unused(struct absence *absence, const atomic_bool *stop) {
    pthread_mutex_lock(&absence->mutex);
    struct bloom *retired = absence->retired;
    pthread_mutex_unlock(&absence->mutex);
    if (!retired && !absence->unused)
        return;
    await_writer(absence, stop);
    for (unsigned i = 0; i < absence->space->tier->options.workers; i++)
        await_turn(&absence->space->tier->workers[i], stop);
    if (atomic_load(stop))
        return;
    pthread_mutex_lock(&absence->mutex);
    absence->retired = NULL;
    pthread_mutex_unlock(&absence->mutex);
    give_memory(absence, retired);
    give_memory(absence, absence->unused);
    bloom_destroy(retired);
    bloom_destroy(absence->unused);
    absence->unused = NULL;
}

bool absence_is_worn(struct absence *absence) {
    struct absence_stats stats;
    absence_get_stats(absence, &stats);
    uint64_t in_vain = stats.in_vain - absence->in_vain_then,
             absent = in_vain + stats.answered - absence->answered_then;
    const struct bloom *bloom = atomic_load(&absence->asked); /* this thread alone frees it */
    return !bloom || bloom_is_crowded(bloom) ||
           (in_vain >= IN_VAIN_LEAST && in_vain > absent / IN_VAIN_SHARE);
}

/* ---- Any thread ---- */

void absence_get_stats(struct absence *absence, struct absence_stats *ret_stats) {
    *ret_stats = (struct absence_stats){0};
    pthread_mutex_lock(&absence->mutex); /* what is taken out of use under it is not freed meanwhile */
    const struct bloom *asked = atomic_load(&absence->asked), *filling = atomic_load(&absence->filling);
    ret_stats->asked = asked != NULL;
    ret_stats->filling = filling != NULL;
    ret_stats->keys = asked ? bloom_count(asked) : 0;
    ret_stats->bytes = (asked ? bloom_size(asked) : 0) + (filling ? bloom_size(filling) : 0);
    pthread_mutex_unlock(&absence->mutex);
    for (unsigned i = 0; i < absence->space->tier->options.workers; i++)
        ret_stats->answered += counted(&absence->workers[i].answered);
    ret_stats->in_vain = counted(&absence->asked_in_vain);
    ret_stats->builds = counted(&absence->builds);
    ret_stats->distrusts = atomic_load(&absence->distrusts);
}
