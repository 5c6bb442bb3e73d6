/* SPDX-License-Identifier: MIT */
/*
 * Write-behind of one namespace: from the dirty queues to the backend.
 *
 *     queue --pop--> collect (DIRTY -> FLUSHING, copied) --apply--> settle (-> CLEAN, or absent)
 *                                                          | transient, or a failure of the table: the batch is
 *                                                          |            held and tried again
 *                                                          | transient for a part of the store: those of that part are
 *                                                          |            set aside (-> DIRTY), the others settled
 *                                                          | permanent: the refused rows, which the store names or
 *                                                          |            halving finds, go to the quarantine
 *
 * A batch that is held keeps what it copied, while newer writes make its entries dirty again: they are in a
 * later batch with a higher version, so repeating this one does no harm. An entry that changed meanwhile is
 * not settled (the cache compares versions).
 *
 * A row that the backend held in a newer version (another node wrote it) is dropped from memory, if memory
 * still has ours, so that the next read finds the newer one.
 */
#include "policies/write/flusher.h"
#include "cache/base/count_text.h"
#include "cache/base/file_reason.h"
#include "cache/base/size_text.h"
#include "policies/absence.h"
#include "policies/tell.h"
#include "policies/write/collect.h"
#include "policies/write/internal.h"
#include "policies/write/quarantine.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_KEPT = 16384,
    PROGRESS_US = 2000000, /* of a recovery, between two lines of the log at first; doubles */
    PROGRESS_LONGEST_US = 600000000,
    SUPERSEDED_PAUSE_US = 60000000, /* between two lines of the log */
    ASIDE_PAUSE_US = 50000,
    ASIDE_PAUSE_LONGEST_US = 500000,
    QUARANTINE_PAUSE_US = 200000, /* until its file is tried again */
    HALVING_US = 20000            /* for so long refused rows are looked for before others have their turn */
};

void flusher_init(struct flusher *flusher, struct space *space) {
    flusher->space = space;
    flusher->batch_since = flusher->aside_since = UINT64_MAX;
}

void flusher_free(struct flusher *flusher) {
    free(flusher->mutations);
    free(flusher->hashes);
    free(flusher->again);
    free(flusher->aside);
    bytes_free(&flusher->bytes);
}

/* ---- What waits ---- */

uint64_t flusher_since(struct flusher *flusher) {
    struct dirty front;
    uint64_t since =
        flusher->batch_since < flusher->aside_since ? flusher->batch_since : flusher->aside_since;
    if (collect_front(flusher->space, &front) && front.since < since)
        since = front.since;
    for (size_t i = 0; i < flusher->again_count; i++)
        if (flusher->again[i].since < since)
            since = flusher->again[i].since;
    return since;
}

/* Is there anything queued, put back or in flight, beside what is set aside? */
static bool has_more(const struct flusher *flusher) {
    struct dirty front;
    return flusher->count > 0 || flusher->again_count > 0 || collect_front(flusher->space, &front);
}

static bool has_work(const struct flusher *flusher) {
    return flusher->aside_count > 0 || has_more(flusher);
}

/* How much has ever left the queues. */
static uint64_t popped(const struct space *space) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < space->tier->options.workers; i++)
        sum += space->queues[i].popped;
    return sum;
}

bool flusher_has_written(const struct flusher *flusher, const uint64_t *pushed) {
    unsigned workers = flusher->space->tier->options.workers;
    bool is_asked = false;
    for (unsigned i = 0; i < workers; i++) {
        if (pushed[i] > flusher->space->queues[i].popped)
            return false;
        is_asked |= pushed[i] > 0;
    }
    return !is_asked || (flusher->count == 0 && flusher->again_count == 0 && flusher->aside_count == 0);
}

/* By the wall clock, or by how long the front has been seen: the wall clock may have been set back, and what was
 * recovered does not say when it turned dirty. */
uint64_t flusher_age(struct flusher *flusher, uint64_t now_us) {
    uint64_t since = flusher_since(flusher);
    if (since == UINT64_MAX) {
        flusher->front_seen_us = 0;
        return 0;
    }
    uint64_t front = popped(flusher->space) - flusher->count;
    if (flusher->front_seen_us == 0 || flusher->front_popped != front) {
        flusher->front_seen_us = now_us;
        flusher->front_popped = front;
    }
    uint64_t wall = tier_now_for_versions(flusher->space->tier).us, turned = version_us(since),
             seen = now_us - flusher->front_seen_us;
    uint64_t age = since > QUEUE_SINCE_RECOVERY && wall > turned ? wall - turned : 0;
    return age > seen ? age : seen;
}

uint64_t flusher_due(struct flusher *flusher, uint64_t now_us, bool forced) {
    struct space *space = flusher->space;
    if (!has_work(flusher))
        return UINT64_MAX;
    if (now_us < flusher->held_until_us)
        return flusher->held_until_us;
    if (!has_more(flusher))
        return now_us < flusher->aside_until_us ? flusher->aside_until_us : 0;
    uint64_t age = flusher_age(flusher, now_us);
    if (forced || flusher->count > 0 || flusher->again_count > 0 || age >= space_flush_delay_us(space) ||
        flusher_since(flusher) <= QUEUE_SINCE_RECOVERY || fullness_is_full(&space->fullness) ||
        cache_dirty_entries(space->tier->cache, space->number) >= space->options.flush_batch ||
        cache_dirty_bytes(space->tier->cache, space->number) >= space->flush_bytes)
        return 0;
    return now_us + space_flush_delay_us(space) - age;
}

/* ---- Settling ---- */

void flusher_forget_ours(struct space *space, const struct mutation *mutation, uint64_t hash,
                         const struct cache_time *now) {
    struct cache_cursor cursor;
    cache_seek(space->tier->cache, space->number, mutation->entry.key, hash, now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version == mutation->entry.version)
        cache_forget(&cursor);
    cache_release(&cursor);
}

static void count_row(struct space *space, const struct mutation *mutation) {
    struct flush_counters *counters = &space->flushed;
    count(&counters->rows);
    if (mutation->kind == MUTATION_DELETE)
        count(&counters->rows_deleted);
    else if (mutation->kind == MUTATION_TOUCH)
        count(&counters->rows_touched);
    if (mutation->superseded)
        count(&counters->rows_superseded);
}

static void settle_one(struct space *space, const struct mutation *mutation, uint64_t hash,
                       const struct cache_time *now) {
    if (mutation->superseded)
        flusher_forget_ours(space, mutation, hash, now);
    else
        cache_settle(space->tier->cache, mutation->entry.key, hash, mutation->entry.version, now);
    count_row(space, mutation);
}

void flusher_settle(struct space *space, const struct mutation *mutation, uint64_t hash) {
    struct cache_time now = tier_now(space->tier);
    if (quarantine_count(space->quarantine) == 0 || quarantine_supersede(space->quarantine, mutation, 1))
        settle_one(space, mutation, hash, &now);
}

/* One of ours would be told by call.c; and of what a journal has kept until now, newer rows are to be expected. */
static bool is_lost_to_another(const struct space *space, const struct mutation *mutation, uint64_t hash) {
    return mutation->superseded && mutation->kind != MUTATION_TOUCH &&
           mutation->entry.version > space->tier->recovered_version &&
           version_node(mutation->superseded_by, hash) != space->tier->options.cache.node;
}

/* Its client was told STORED. */
static void tell_superseded(struct flusher *flusher, const struct mutation *mutation, uint64_t hash) {
    struct space *space = flusher->space;
    uint64_t now_us = monotonic_us();
    flusher->superseded_untold++;
    if (flusher->superseded_told_us && now_us - flusher->superseded_told_us < SUPERSEDED_PAUSE_US)
        return;
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "namespace %s: %s and then gave way to newer ones of other servers, the last to one of node %u: let one server at a time change a key, or use write-through",
        space->options.name,
        count_text(flusher->superseded_untold, "change was accepted", "changes were accepted").text,
        version_node(mutation->superseded_by, hash));
    tell_key(space, mutation->entry.key, "the last change that gave way is of");
    flusher->superseded_untold = 0;
    flusher->superseded_told_us = now_us;
}

/* The namespace's alone, for the backend is not to blame. */
void flusher_hold_for_quarantine(struct flusher *flusher) {
    const struct space *space = flusher->space;
    flusher->held_until_us = monotonic_us() + QUARANTINE_PAUSE_US;
    if (!flusher->quarantine_fails)
        tell_of_space(
            space, &flusher->quarantine_lines, LOG_LEVEL_ERROR,
            "namespace %s: its quarantine file cannot be written: %s. What is dirty stays so; look after the disk of the data folder",
            space->options.name, file_reason(errno).text);
    flusher->quarantine_fails = true;
}

static void quarantine_works(struct flusher *flusher) {
    const struct space *space = flusher->space;
    if (flusher->quarantine_fails)
        tell_of_space(space, &flusher->quarantine_lines, LOG_LEVEL_NOTICE,
                      "namespace %s: its quarantine file can be written again", space->options.name);
    flusher->quarantine_fails = false;
}

/* What the quarantine holds goes before anything is CLEAN that took its place: from then on the journal may
 * forget that. */
static bool supersede(struct flusher *flusher, size_t from, size_t to) {
    if (quarantine_count(flusher->space->quarantine) == 0)
        return true;
    if (!quarantine_supersede(flusher->space->quarantine, flusher->mutations + from, to - from)) {
        flusher_hold_for_quarantine(flusher);
        return false;
    }
    quarantine_works(flusher);
    return true;
}

/* False: the quarantine could not let go now. */
static bool settle(struct flusher *flusher, size_t from, size_t to) {
    struct space *space = flusher->space;
    struct cache_time now = tier_now(flusher->space->tier);
    if (!supersede(flusher, from, to))
        return false;
    for (size_t i = from; i < to; i++) {
        if (i + 2 * FLUSHER_AHEAD < to)
            cache_prefetch(space->tier->cache, flusher->hashes[i + 2 * FLUSHER_AHEAD]);
        if (i + FLUSHER_AHEAD < to)
            cache_prefetch_entry(space->tier->cache, flusher->hashes[i + FLUSHER_AHEAD]);
        settle_one(space, &flusher->mutations[i], flusher->hashes[i], &now);
        if (is_lost_to_another(space, &flusher->mutations[i], flusher->hashes[i]))
            tell_superseded(flusher, &flusher->mutations[i], flusher->hashes[i]);
    }
    flusher->begin = to;
    return true;
}

/* Rows that were refused together, or since the last line, share one. */
static void tell_refused(struct flusher *flusher, struct slice key, size_t count_refused,
                         const char *reason) {
    const struct space *space = flusher->space;
    char others[48] = "it is";
    flusher->refused_untold += count_refused;
    if (!log_limit_admits(&flusher->refusals, LOG_LIMIT_BURST, monotonic_us()))
        return;
    if (flusher->refused_untold > 1)
        snprintf(others, sizeof others, "it and %zu more are", flusher->refused_untold - 1);
    tell_of_space(space, NULL, LOG_LEVEL_ERROR,
                  "namespace %s: the backend refuses a row, %s in quarantine: %s", space->options.name,
                  others, reason);
    tell_key(flusher->space, key, "the backend refuses the row of");
    flusher->refused_untold = 0;
}

void flusher_tell_refused(struct flusher *flusher, uint64_t now_us) {
    const struct space *space = flusher->space;
    if (flusher->refused_untold == 0 || !log_limit_admits(&flusher->refusals, LOG_LIMIT_BURST, now_us))
        return;
    tell_of_space(space, NULL, LOG_LEVEL_ERROR,
                  "namespace %s: the backend refuses %s, now in quarantine: see quarantine list %s",
                  space->options.name, count_text(flusher->refused_untold, "more row", "more rows").text,
                  space->options.name);
    flusher->refused_untold = 0;
}

/* Puts refused rows aside, all with one sync. False: the quarantine could not take them now. */
static bool quarantine_rows(struct writer *writer, struct flusher *flusher, size_t from, size_t to) {
    struct space *space = flusher->space;
    const struct mutation *refused = &flusher->mutations[from];
    struct cache_time now = tier_now(space->tier);
    const char *reason = writer->session.error.message;
    if (!quarantine_add(space->quarantine, refused, to - from, reason)) {
        flusher_hold_for_quarantine(flusher);
        return false;
    }
    quarantine_works(flusher);
    tell_refused(flusher, refused->entry.key, to - from, refused->refusal ? refused->refusal : reason);
    for (size_t i = from; i < to; i++) {
        absence_hold(space, flusher->hashes[i]);
        cache_settle(space->tier->cache, flusher->mutations[i].entry.key, flusher->hashes[i],
                     flusher->mutations[i].entry.version, &now);
    }
    count_add(&space->flushed.quarantined, to - from);
    flusher->begin = to;
    return true;
}

static bool apply(struct writer *writer, struct flusher *flusher, size_t from, size_t to);

/* Goes on with [from, to), unless others are to have their turn; then the next one begins with `next` rows. */
static bool apply_rest(struct writer *writer, struct flusher *flusher, size_t from, size_t to, size_t next) {
    if (from == to)
        return true;
    if (monotonic_us() < flusher->halving_until_us)
        return apply(writer, flusher, from, to);
    if (flusher->halved == 0)
        flusher->halved = next;
    return true;
}

/* The store refuses rows of [from, to) and does not say which. */
static bool halve(struct writer *writer, struct flusher *flusher, size_t from, size_t to) {
    size_t middle = from + (to - from) / 2;
    count(&flusher->space->flushed.bisections);
    return apply(writer, flusher, from, middle) && apply_rest(writer, flusher, middle, to, middle - from);
}

size_t flusher_part_done(struct mutation *mutations, uint64_t *hashes, size_t count_all) {
    size_t done = 0;
    for (size_t i = 0; i < count_all; i++)
        if (mutations[i].done)
            call_swap(mutations, hashes, done++, i);
    return done;
}

/* A part of the store is away: what is of the others is written, and what is of that part waits by itself. False: it
 * cannot be, and waits here. */
static bool settle_parts(struct flusher *flusher, size_t from, size_t to) {
    uint64_t pause_us = 2 * flusher->aside_pause_us;
    size_t done = from + flusher_part_done(flusher->mutations + from, flusher->hashes + from, to - from);
    count(&flusher->space->flushed.retries);
    if (!settle(flusher, from, done))
        return false;
    while (flusher->begin < to) {
        if (!collect_set_aside(flusher, &flusher->mutations[flusher->begin], flusher->hashes[flusher->begin]))
            return false;
        flusher->begin++;
    }
    flusher->aside_pause_us = pause_us < ASIDE_PAUSE_US           ? ASIDE_PAUSE_US
                              : pause_us > ASIDE_PAUSE_LONGEST_US ? ASIDE_PAUSE_LONGEST_US
                                                                  : pause_us;
    flusher->aside_until_us = monotonic_us() + flusher->aside_pause_us;
    return true;
}

/* Applies [from, to), without what the backend refuses, or the first part of it: `begin` tells. False: it cannot be
 * written now. */
static bool apply(struct writer *writer, struct flusher *flusher, size_t from, size_t to) {
    size_t refused = 1;
    bool partial;
    switch (call_apply_parts(writer, flusher->space, flusher->mutations + from, to - from, &partial)) {
    case BACKEND_OK:
        flusher->aside_pause_us = 0;
        return settle(flusher, from, to);
    case BACKEND_PERMANENT:
        break;
    case BACKEND_TRANSIENT:
        if (partial)
            return settle_parts(flusher, from, to);
        count(&flusher->space->flushed.retries);
        return false;
    case BACKEND_TABLE_FAILED:
    case BACKEND_REPLACED:
    case BACKEND_REFUSED:
        count(&flusher->space->flushed.retries);
        return false;
    }
    if (to - from > 1)
        refused = call_part_refused(flusher->mutations + from, flusher->hashes + from, to - from);
    if (refused == 0)
        return halve(writer, flusher, from, to);
    return quarantine_rows(writer, flusher, from, from + refused) &&
           apply_rest(writer, flusher, from + refused, to, to - from - refused);
}

/* All of the batch is done. Its memory is kept for the next one, unless that is likely to need much less. */
static void end_batch(struct flusher *flusher) {
    if (flusher->capacity > CAPACITY_KEPT && flusher->count < flusher->capacity / 8) {
        free(flusher->mutations);
        free(flusher->hashes);
        flusher->mutations = NULL;
        flusher->hashes = NULL;
        flusher->capacity = 0;
    }
    flusher->batch_since = UINT64_MAX;
    flusher->begin = flusher->count = flusher->halved = 0;
    bytes_reset(&flusher->bytes);
}

/* Where the backend has refused rows, the next ones are tried in small groups, which double until all is well. */
static size_t take_share(struct flusher *flusher) {
    size_t share = flusher->count - flusher->begin, halved = flusher->halved;
    flusher->halved = 0;
    if (share > FLUSHER_COMMIT_MAX)
        share = FLUSHER_COMMIT_MAX;
    return halved && halved < share ? halved : share;
}

bool flusher_flush(struct writer *writer, struct flusher *flusher) {
    uint64_t start = monotonic_us();
    if (flusher->count == 0)
        collect_batch(flusher);
    size_t halved = flusher->halved, share = take_share(flusher), end = flusher->begin + share;
    flusher->halving_until_us = start + HALVING_US;
    bool written = share == 0 || apply(writer, flusher, flusher->begin, end);
    if (flusher->begin == end && halved && share == halved)
        flusher->halved = 2 * halved;
    if (share > 0 && written && flusher->begin == end)
        count(&flusher->space->flushed.batches);
    if (flusher->begin == flusher->count)
        end_batch(flusher);
    count_add(&flusher->space->flushed.flush_us, monotonic_us() - start);
    return written;
}

/* A long recovery says what it is doing. */
static void tell_progress(const struct space *space) {
    tell_of_space(space, NULL, LOG_LEVEL_NOTICE,
                  "journal: recovering, %s of namespace %s to be written to backend %s",
                  count_text(cache_dirty_entries(space->tier->cache, space->number), "entry", "entries").text,
                  space->options.name, space->backend->options.store.name);
}

static void end_recovery(struct flusher *flusher) {
    struct space *space = flusher->space;
    atomic_store_explicit(&space->unconfirmed, 0, memory_order_release);
    if (!flusher->recovering)
        return;
    flusher->recovering = false;
    tell_of_space(space, NULL, LOG_LEVEL_NOTICE,
                  "journal: all that was recovered of namespace %s is in backend %s", space->options.name,
                  space->backend->options.store.name);
}

void flusher_watch_recovery(struct flusher *flusher, uint64_t now_us) {
    bool recovering = flusher_since(flusher) <= QUEUE_SINCE_RECOVERY;
    if (!recovering) {
        if (flusher->recovering || atomic_load_explicit(&flusher->space->unconfirmed, memory_order_relaxed))
            end_recovery(flusher);
    } else if (!flusher->recovering) {
        flusher->recovering = true;
        flusher->told_us = now_us;
        flusher->tell_pause_us = PROGRESS_US;
    } else if (now_us - flusher->told_us >= flusher->tell_pause_us) {
        flusher->told_us = now_us;
        flusher->tell_pause_us = 2 * flusher->tell_pause_us < PROGRESS_LONGEST_US ? 2 * flusher->tell_pause_us
                                                                                  : PROGRESS_LONGEST_US;
        tell_progress(flusher->space);
    }
}

/* Where nothing leaves the queues for good, there is no memory for a batch. */
static uint64_t taken(const struct flusher *flusher) {
    return popped(flusher->space) - flusher->again_count;
}

bool flusher_flush_all(struct writer *writer, struct flusher *flusher) {
    while (has_work(flusher)) {
        flusher_watch_recovery(flusher, monotonic_us());
        uint64_t before = taken(flusher);
        bool held = flusher->count > 0;
        if (!flusher_flush(writer, flusher) || (!held && taken(flusher) == before && has_work(flusher)))
            return false;
    }
    return true;
}

/* ---- The quarantine ---- */

void flusher_watch_quarantine(struct flusher *flusher, uint64_t now_us) {
    const struct space *space = flusher->space;
    if (now_us - flusher->quarantine_seen_us < US_PER_SECOND)
        return;
    flusher->quarantine_seen_us = now_us;
    if (quarantine_look_after(space->quarantine))
        tell_of_space(
            space, &flusher->quarantine_lines, LOG_LEVEL_ERROR,
            "namespace %s: its quarantine file %s was removed or renamed while it was open, and is written anew, with %s",
            space->options.name, quarantine_path(space->quarantine),
            count_text(quarantine_count(space->quarantine), "entry", "entries").text);
}

void flusher_judge_fullness(struct flusher *flusher, uint64_t age_us) {
    struct space *space = flusher->space;
    bool was_crowded = fullness_is_crowded(&space->fullness);
    size_t bytes = quarantine_bytes(space->quarantine);
    fullness_judge(&space->fullness, &space->options, cache_dirty_bytes(space->tier->cache, space->number),
                   bytes, age_us);
    bool crowded = fullness_is_crowded(&space->fullness);
    if (crowded && !was_crowded)
        tell_of_space(
            space, &flusher->quarantine_lines, LOG_LEVEL_ERROR,
            "namespace %s: its quarantine has %s and %zu bytes, and quarantine_limit is %s: changes are refused. Make the backend take the rows and say quarantine retry %s, or raise quarantine_limit",
            space->options.name, count_text(quarantine_count(space->quarantine), "row", "rows").text, bytes,
            size_text(space->options.quarantine_limit).text, space->options.name);
    else if (was_crowded && !crowded)
        tell_of_space(space, &flusher->quarantine_lines, LOG_LEVEL_NOTICE,
                      "namespace %s: there is room in its quarantine again, and changes are taken",
                      space->options.name);
}
