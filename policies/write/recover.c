/* SPDX-License-Identifier: MIT */
/*
 * Recovery: what the journal holds goes back into memory as dirty, before anything is served; from there it
 * takes the ordinary way to the backend.
 *
 * Records of a key come in any order; the highest version wins. A put or a delete is compared with what the
 * cache holds of the key. So is a whole touch, which has the entry with it; it is written as a touch, so that
 * another node's value in the row stays. Other touches say nothing about the value, and wait until all is read.
 * Such a touch names the CAS value of the entry that it was made on: if that is what memory holds, it is applied
 * there; else its entry is in the backend alone, and the writer touches the row, after what memory holds of the key
 * was flushed (an older put whose flush the journal does not know of, perhaps).
 *
 * A put or a touch whose expiry has passed may have been kept alive by a later touch, so its value is kept
 * until all touches are applied; what has expired then becomes a tombstone of the same version. Time stands still
 * meanwhile: what is alive when a pass begins is so until its touches are applied.
 *
 * Nothing is written to a backend before all files are read: a delete that was written, and forgotten, would not
 * be there any more for an older put of its key in a file that is read later, and SQLite keeps no trace of it
 * either. So where memory is too small for all, it takes the keys in ranges, by their hashes:
 *
 *     range = all keys
 *     read all files --memory is full--> the upper half of the range is forgotten, reading goes on
 *     touches        --memory is full--> the same
 *     what has expired
 *     more keys? all that is restored --> backends; the next range; read all files again
 *
 * What is left in memory at the end is written by the writers, once they run, while clients are served. Elements
 * are queued with the lowest `since`, so nothing of the old journals is forgotten before they are in the backend.
 *
 * The store may be ahead of what was restored, if the power was lost in between, or if other servers write to it: see
 * confirm.h.
 */
#include "policies/write/recover.h"
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "policies/hold.h"
#include "policies/write/leftover.h"
#include "policies/write/places.h"
#include "policies/write/recovery.h"
#include "policies/write/touches.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    NOTED_SHARE = 8,         /* of the memory there is: what may be noted beside it */
    NOTED_LEAST = 256 << 10, /* bytes */
};

/* ---- Records ---- */

/* Versions of before ENTRY_VERSION_HIGHEST was known, drawn above what somebody had put into a store. */
static bool refuse_version(struct recovery *recovery, const struct journal_record *record) {
    fit_print(
        recovery->error, sizeof recovery->error,
        "a change in it has version %" PRIu64
        ", which no clock gives (--journal-dump shows its key): move the journal away, and what it alone holds is lost",
        record->entry.version);
    return false;
}

/* Before it can be written: what was restored may meet its own newer row, and nobody else is to blame for that. */
static void note_version(struct tier *tier, uint64_t version) {
    if (version > tier->recovered_version)
        tier->recovered_version = version;
}

/* Of a namespace that is not configured. */
static bool keeps(struct journal_replayer *self, struct slice name) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    const struct tier_options *options = &recovery->tier->options;
    char text[ENTRY_KEY_MAX];
    snprintf(text, sizeof text, "%.*s", (int)name.size, name.data);
    if (leftovers_are_kept(options, text))
        return true;
    leftovers_refuse(options, text, recovery->error, sizeof recovery->error);
    return false;
}

static void note_progress(const struct recovery *recovery, size_t count) {
    atomic_uint_fast64_t *recovered = recovery->tier->options.recovered;
    if (recovered)
        atomic_fetch_add_explicit(recovered, count, memory_order_relaxed);
}

/* Some other server, as this one has a number or listens to others. What the journal holds may have been written long
 * ago, as the low-water version is noted now and then, and changed there since. */
static bool others_write(const struct space *space) {
    return space->tier->options.cache.node != 0 || space->backend->options.store.coherent;
}

static bool replay_record(struct recovery *recovery, const struct journal_record *record, uint64_t hash) {
    struct space *space = &recovery->tier->spaces[record->space];
    if (!space->policy->holds_back) {
        leftovers_refuse(&recovery->tier->options, space->options.name, recovery->error,
                         sizeof recovery->error);
        recovery->names_folder = true;
        return false;
    }
    if (record->entry.version > ENTRY_VERSION_HIGHEST)
        return refuse_version(recovery, record);
    note_version(recovery->tier, record->entry.version);
    if (!recover_is_in_range(recovery, hash))
        return true;
    if ((record->from_earlier_boot || others_write(space)) &&
        record->entry.version > atomic_load(&space->unconfirmed))
        atomic_store(&space->unconfirmed, record->entry.version);
    switch (record->kind) {
    case JOURNAL_PUT:
        return recover_value(recovery, space, MUTATION_PUT, &record->entry, hash);
    case JOURNAL_TOUCH_WHOLE:
        return recover_value(recovery, space, MUTATION_TOUCH, &record->entry, hash);
    case JOURNAL_DELETE:
        return recover_change(recovery, space, MUTATION_DELETE, &record->entry, hash);
    case JOURNAL_TOUCH:
        return recover_note_touch(recovery, space, &record->entry);
    }
    return true;
}

static void begin(struct journal_replayer *self, uint64_t bytes) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    recovery->expected = bytes;
}

/* As if all records were as long as the first few: a record takes no more than that in a file. */
static void tell_cache(struct recovery *recovery, const struct journal_record *records, size_t count) {
    size_t bytes = 0;
    assert(count > 0);
    for (size_t i = 0; i < count; i++)
        bytes += records[i].entry.key.size + records[i].entry.value.size;
    uint64_t all = recovery->expected / (bytes / count + JOURNAL_RECORD_OVERHEAD);
    cache_expect(recovery->tier->cache, all, all * (bytes / count));
    recovery->expected = 0;
}

/* The keys lie anywhere in memory: all of them are fetched at once, the places in the index first. */
static bool replay(struct journal_replayer *self, const struct journal_record *records, size_t count) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    struct cache *cache = recovery->tier->cache;
    uint64_t hashes[JOURNAL_SHOWN_MOST];
    note_progress(recovery, count);
    if (recovery->expected)
        tell_cache(recovery, records, count);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = cache_hash(cache, records[i].entry.key);
        cache_prefetch(cache, hashes[i]);
    }
    for (size_t i = 0; i < count; i++)
        cache_prefetch_entry(cache, hashes[i]);
    for (size_t i = 0; i < count; i++)
        if (!replay_record(recovery, &records[i], hashes[i]))
            return false;
    return true;
}

/* Memory that is full of it has no room for what clients change. */
static bool fills_memory(const struct tier *tier) {
    size_t bytes = 0;
    for (size_t i = 0; i < tier->space_count; i++)
        bytes += cache_dirty_bytes(tier->cache, (int)i);
    return bytes > tier->options.cache.memory_limit / 2;
}

/* ---- The end of a pass ---- */

/* What waits in vain for a backend takes its memory from all passes that follow. */
static bool write_out(struct recovery *recovery) {
    recovery->unwritten |= !recover_flush(recovery->tier);
    for (size_t i = 0; i < recovery->tier->backend_count; i++)
        if (recovery->unwritten && touches_are_waiting(recovery->tier->backends[i].writer)) {
            fit_print(recovery->error, sizeof recovery->error, RECOVERY_TOO_MUCH,
                      recovery->tier->backends[i].options.store.name);
            return false;
        }
    return true;
}

/* All that the files say of the keys of the range has been read. */
static bool end_pass(struct journal_replayer *self, bool *ret_again) {
    struct recovery *recovery = (struct recovery *)(void *)self;
    recovery->reading = false;
    bool fine = recover_touches(recovery) && recover_expired(recovery);
    noted_clear(&recovery->touches);
    noted_clear(&recovery->expired);
    recovery->now = tier_now(recovery->tier);
    recovery->reading = *ret_again = recover_next_range(recovery);
    return fine && (!*ret_again || write_out(recovery));
}

/* ---- Opening ---- */

static void on_durable(void *context, unsigned worker, uint64_t position) {
    struct tier *tier = context;
    hold_durable(&tier->workers[worker], position);
}

static void on_log(void *context, enum log_level level, const char *message) {
    const struct tier *tier = context;
    service_log(&tier->service, level, "%s", message);
}

/* False: the journal's error, or the recovery's, which is why it was refused. */
static bool open_journal(struct recovery *recovery, struct slice *names, struct journal_recovery *ret_found,
                         struct journal_error *ret_error) {
    struct tier *tier = recovery->tier;
    struct slice discarded[TIER_RECOVER_MAX];
    bool keeps_of[CACHE_SPACES_MAX];
    for (size_t i = 0; i < tier->options.recovery.discard_count; i++)
        discarded[i] = slice_string(tier->options.recovery.discard[i]);
    struct journal_options options = {.folder = tier->options.data,
                                      .is_locked = true,
                                      .series_count = tier->options.workers,
                                      .file_size = tier->options.journal_file_size,
                                      .keep_ms = tier->options.journal_keep,
                                      .keep_bytes = tier->options.journal_keep_size,
                                      .keeps = keeps_of,
                                      .spaces = names,
                                      .space_count = tier->space_count,
                                      .discarded = discarded,
                                      .discarded_count = tier->options.recovery.discard_count,
                                      .durable = on_durable,
                                      .log = on_log,
                                      .context = tier};
    for (size_t i = 0; i < tier->space_count; i++) {
        names[i] = slice_string(tier->spaces[i].options.name);
        keeps_of[i] = space_keeps_journal(&tier->spaces[i]);
    }
    return journal_open(&options, tier->options.recovery.skip_damaged, &recovery->replayer, ret_found,
                        &tier->journal, ret_error) == JOURNAL_OK;
}

static bool read_journal(struct recovery *recovery, struct journal_recovery *ret_found, char *error,
                         size_t error_size) {
    const struct tier *tier = recovery->tier;
    struct journal_error journal_error = {{0}};
    struct slice *names = calloc(tier->space_count, sizeof *names);
    bool fine = names && open_journal(recovery, names, ret_found, &journal_error);
    if (!names)
        fit_print(error, error_size, "Out of memory.");
    else if (!fine && recovery->names_folder)
        fit_print(error, error_size, "%s", recovery->error);
    else if (!fine)
        fit_print(error, error_size, "The journal in %s: %s", tier->options.data,
                  recovery->error[0] ? recovery->error : journal_error.message);
    free(names);
    return fine;
}

/* What is drawn from now on is newer than what the journal has. */
static bool raise_version(struct tier *tier, uint64_t version, char *error, size_t error_size) {
    if (cache_raise_version(tier->cache, version)) {
        note_version(tier, version);
        return true;
    }
    fit_print(error, error_size,
              "The journal in %s: its low-water version is %" PRIu64 ", which no clock gives: move it away",
              tier->options.data, version);
    return false;
}

static void report(struct recovery *recovery, const struct journal_recovery *found, uint64_t start_us) {
    struct tier *tier = recovery->tier;
    tier->replayed = found->shown;
    tier->replayed_files = found->files;
    tier->replay_ms = (monotonic_us() - start_us) / 1000;
    if (found->records)
        service_log(&tier->service, LOG_LEVEL_NOTICE, "journal: %s of %s recovered in %llu ms",
                    count_text(found->shown, "record", "records").text,
                    count_text(found->files, "file", "files").text, (unsigned long long)tier->replay_ms);
}

bool recover(struct tier *tier, char *error, size_t error_size) {
    size_t noted_most = tier->options.cache.memory_limit / NOTED_SHARE;
    struct recovery recovery = {
        .replayer = {.begins = begin, .records = replay, .end = end_pass, .keeps = keeps},
        .tier = tier,
        .range = {0, UINT64_MAX},
        .now = tier_now(tier),
        .reading = true,
        .noted_most = noted_most > NOTED_LEAST ? noted_most : NOTED_LEAST};
    struct journal_recovery found = {0};
    uint64_t start_us = monotonic_us();
    bool fine = read_journal(&recovery, &found, error, error_size) &&
                raise_version(tier, found.highest_version, error, error_size);
    cache_expect_no_more(tier->cache);
    if (fine) {
        places_tell_pending(tier);
        if (fills_memory(tier))
            recover_flush(tier);
        recover_warn_of_absent(tier);
        report(&recovery, &found, start_us);
    }
    noted_clear(&recovery.touches);
    noted_clear(&recovery.expired);
    return fine;
}
