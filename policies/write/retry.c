/* SPDX-License-Identifier: MIT */
/* See retry.h. */
#include "policies/write/retry.h"
#include "policies/write/concern.h"
#include "policies/write/internal.h"
#include "policies/write/quarantine.h"

enum {
    ROWS = 128, /* tried together */
    BYTES = 4 << 20,
    WHILE_US = 20000,
    PAUSE_US = 50000, /* where all that is left is of parts that are away; doubled */
    PAUSE_LONGEST_US = 500000
};

static void settle(struct flusher *flusher, const struct mutation *mutations, size_t count_written) {
    struct space *space = flusher->space;
    struct cache_time now = tier_now(space->tier);
    if (!quarantine_supersede(space->quarantine, mutations, count_written))
        flusher_hold_for_quarantine(flusher); /* they stay, and may be retried again */
    for (size_t i = 0; i < count_written; i++)
        if (mutations[i].superseded)
            flusher_forget_ours(space, &mutations[i], cache_hash(space->tier->cache, mutations[i].entry.key),
                                &now);
}

/* A part of the store is away. */
static void settle_parts(struct flusher *flusher, struct mutation *mutations, size_t count_tried) {
    size_t done = flusher_part_done(mutations, NULL, count_tried);
    settle(flusher, mutations, done);
    for (size_t i = done; i < count_tried; i++)
        quarantine_put_off_retry(flusher->space->quarantine, mutations[i].entry.key);
}

/* What is refused again stays. False: they cannot be written now. */
static bool apply(struct writer *writer, struct flusher *flusher, struct mutation *mutations,
                  size_t count_tried) {
    bool partial;
    if (count_tried == 0)
        return true;
    enum backend_status status = call_apply_parts(writer, flusher->space, mutations, count_tried, &partial);
    if (status == BACKEND_OK)
        settle(flusher, mutations, count_tried);
    else if (partial)
        settle_parts(flusher, mutations, count_tried);
    if (status != BACKEND_PERMANENT || count_tried == 1)
        return status == BACKEND_OK || status == BACKEND_PERMANENT || partial;
    size_t first = call_part_refused(mutations, NULL, count_tried);
    if (first == 0) {
        first = count_tried / 2;
        if (!apply(writer, flusher, mutations, first))
            return false;
    }
    return apply(writer, flusher, mutations + first, count_tried - first);
}

/* False: not now, and they are asked for again. */
static bool try_some(struct writer *writer, struct flusher *flusher) {
    struct space *space = flusher->space;
    struct quarantine_retry retries[ROWS];
    struct mutation mutations[ROWS];
    size_t tried = quarantine_next_retries(space->quarantine, ROWS, BYTES, retries);
    for (size_t i = 0; i < tried; i++) {
        const struct entry *entry = &retries[i].copy->entry;
        mutations[i] = (struct mutation){.table = &space->options.table,
                                         .kind = retries[i].kind,
                                         .on = change_is_on(retries[i].kind, entry),
                                         .entry = *entry};
    }
    bool done = apply(writer, flusher, mutations, tried);
    for (size_t i = 0; i < tried; i++) {
        if (!done)
            quarantine_ask_retry(space->quarantine, retries[i].copy->entry.key);
        entry_copy_drop(retries[i].copy);
    }
    return done;
}

static size_t count_due(const struct flusher *flusher) {
    const struct quarantine *quarantine = flusher->space->quarantine;
    return quarantine_retries(quarantine) - quarantine_put_off(quarantine);
}

bool retry_run(struct writer *writer, struct flusher *flusher) {
    uint64_t until_us = monotonic_us() + WHILE_US, pause_us = 2 * flusher->retry_pause_us;
    bool done = true;
    if (count_due(flusher) == 0)
        quarantine_go_on_retrying(flusher->space->quarantine);
    while (done && count_due(flusher) > 0 && monotonic_us() < until_us)
        done = try_some(writer, flusher);
    if (!done || count_due(flusher) > 0)
        return done;
    bool left = quarantine_put_off(flusher->space->quarantine) > 0;
    flusher->retry_pause_us = !left                         ? 0
                              : pause_us < PAUSE_US         ? PAUSE_US
                              : pause_us > PAUSE_LONGEST_US ? PAUSE_LONGEST_US
                                                            : pause_us;
    flusher->retry_at_us = monotonic_us() + flusher->retry_pause_us;
    return !left;
}

uint64_t retry_due(const struct flusher *flusher) {
    if (quarantine_retries(flusher->space->quarantine) == 0)
        return UINT64_MAX;
    return count_due(flusher) > 0 || monotonic_us() >= flusher->retry_at_us ? 0 : flusher->retry_at_us;
}
