/* SPDX-License-Identifier: MIT */
/*
 * A filter is made in two scans: the first counts the keys, so that it gets 12 bits for each, the second fills it. Both
 * read the keys alone, in steps between which the store's log may restart.
 *
 *     WAITING --none, or worn, and the pause is over--> COUNTING --> FILLING --> WAITING
 *                                                          `-----------`--failure--> WAITING, for longer each time
 *
 * The pause after a build is ten times what it took, so the scans take a tenth of a thread at most, however often
 * another program writes to the store.
 */
#include "policies/load/absence_build.h"
#include "policies/absence.h"
#include "policies/row.h"
#include "policies/session.h"
#include "policies/tell.h"
#include "policies/write/quarantine.h"
#include <unistd.h>

enum {
    NAP_US = 20000,
    PAUSE_TIMES = 10,
    FIRST_PAUSE_US = 50000, /* after a failure; doubles */
    LONGEST_PAUSE_US = 5000000,
};

struct building {
    struct backend_visitor visitor;
    struct quarantine_visitor quarantined;
    struct absence *absence;
    const atomic_bool *stop;
    size_t count; /* keys that the scan has shown */
    bool fills;
    enum backend_status status; /* of the last scan */
};

/* When the filter of a namespace is looked at again. */
struct patience {
    uint64_t at_us; /* monotonic */
    uint64_t pause_us;
    bool told;              /* the log, of the failures since the last success */
    struct log_limit lines; /* of the log, how each build ended */
};

static void take(struct building *building, struct slice key) {
    if (!row_key_is_fit(building->absence->space, key))
        return;
    building->count++;
    if (building->fills)
        absence_fill(building->absence, key);
}

static bool take_row(struct backend_visitor *self, const struct entry *entry) {
    struct building *building = (struct building *)(void *)self;
    take(building, entry->key);
    return !atomic_load(building->stop);
}

static void take_quarantined(struct quarantine_visitor *self, enum mutation_kind kind,
                             const struct entry *entry, uint32_t since, const char *reason) {
    struct building *building =
        (struct building *)(void *)((char *)self - offsetof(struct building, quarantined));
    (void)kind, (void)since, (void)reason;
    take(building, entry->key);
}

/* The rows, and what is quarantined, which is newer than its row or has none. */
static bool scan(struct building *building, struct session *session, bool fills) {
    struct space *space = building->absence->space;
    enum backend_status status = session_open(session, 0);
    building->count = 0;
    building->fills = fills;
    if (status == BACKEND_OK)
        status = session_scan(session, space, SIZE_MAX, 0, &building->visitor);
    if (status == BACKEND_OK && quarantine_count(space->quarantine))
        quarantine_visit(space->quarantine, &building->quarantined);
    building->status = status;
    return status == BACKEND_OK && !atomic_load(building->stop);
}

static void tell_no_memory(const struct space *space, struct patience *patience, size_t keys) {
    tell_of_space(
        space, &patience->lines, LOG_LEVEL_WARNING,
        "namespace %s: no memory for the absent_filter of %zu keys (%zu bytes, at most a quarter of the memory, and half of it for all filters): reads of unknown keys ask the store; raise -m",
        space->options.name, keys, bloom_bytes(keys));
}

static bool build(struct building *building, struct session *session, struct patience *patience) {
    struct absence *absence = building->absence;
    if (!scan(building, session, false))
        return false;
    if (!absence_begin_filling(absence, building->count, building->stop)) {
        if (!patience->told && !atomic_load(building->stop))
            tell_no_memory(absence->space, patience, building->count);
        return false;
    }
    return absence_end_filling(absence, scan(building, session, true));
}

static void tell_end(const struct building *building, struct patience *patience, bool built,
                     const struct session *session, uint64_t took_us) {
    const struct space *space = building->absence->space;
    struct absence_stats stats;
    absence_get_stats(building->absence, &stats);
    if (built)
        tell_of_space(space, &patience->lines, LOG_LEVEL_NOTICE,
                      "namespace %s: the absent_filter knows %zu keys in %zu bytes, after %llu ms",
                      space->options.name, stats.keys, stats.bytes, (unsigned long long)took_us / US_PER_MS);
    else if (!patience->told && building->status != BACKEND_OK)
        tell_of_space(space, &patience->lines, LOG_LEVEL_WARNING,
                      "namespace %s: the absent_filter waits for its backend: %s", space->options.name,
                      session->error.message);
    patience->told = !built;
}

static void look_after(struct building *building, struct session *session, struct patience *patience) {
    struct absence *absence = building->absence;
    uint64_t begin_us = monotonic_us();
    absence_free_unused(absence, building->stop);
    if (begin_us < patience->at_us || !absence_is_watched(absence) || !absence_is_worn(absence))
        return;
    bool built = build(building, session, patience);
    uint64_t end_us = monotonic_us(), took_us = end_us - begin_us;
    absence_free_unused(absence, building->stop);
    if (atomic_load(building->stop))
        return;
    tell_end(building, patience, built, session, took_us);
    uint64_t longer_us =
        patience->pause_us * 2 < LONGEST_PAUSE_US ? patience->pause_us * 2 : LONGEST_PAUSE_US;
    patience->pause_us = built || !patience->pause_us ? FIRST_PAUSE_US : longer_us;
    patience->at_us =
        end_us + (took_us * PAUSE_TIMES > patience->pause_us ? took_us * PAUSE_TIMES : patience->pause_us);
}

bool absence_is_wanted(const struct tier_backend *backend) {
    const struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend && tier->spaces[i].absence)
            return true;
    return false;
}

void absence_build_run(struct tier_backend *backend, const atomic_bool *stop) {
    struct tier *tier = backend->tier;
    struct patience patience[CACHE_SPACES_MAX] = {{0}};
    struct session session;
    session_init(&session, backend, BACKEND_READER, 1);
    while (!atomic_load(stop)) {
        for (size_t i = 0; i < tier->space_count && !atomic_load(stop); i++) {
            struct building building = {.visitor = {.entry = take_row, .keys_only = true, .all_keys = true},
                                        .quarantined = {.entry = take_quarantined},
                                        .absence = tier->spaces[i].absence,
                                        .stop = stop};
            if (tier->spaces[i].backend == backend && building.absence && !space_is_retired(&tier->spaces[i]))
                look_after(&building, &session, &patience[i]);
        }
        session_close(&session);
        usleep(NAP_US);
    }
    session_close(&session);
}
