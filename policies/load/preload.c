/* SPDX-License-Identifier: MIT */
/*
 * Preload: at start the newest entries of a namespace are brought into memory in the background, by a thread
 * with its own connection.
 *
 *     LOOK --all rows are wanted and have room--> STRAIGHT --last row; nothing is left, or memory is nearly full--> done
 *       |                                          |     |
 *       `--no, or it cannot be known--.  .--damage-'     `--some were refused--.
 *                                     v  v                                     v
 *                                     SCAN --all names----------------------> FILL --last name, or nearly full--> done
 *                                                                             |  ^
 *                                                                             `--' some were refused; LEFT_ROUNDS times
 *
 * Wherever the store does not answer: pause, again.
 *
 * Where all have room their order does not matter, and the rows are filled as the store shows them (straight.h). Else
 * the newest come first: the scan only names the keys; their entries are then loaded as any miss is, with the stamp
 * taken before. A scan takes seconds, and what it shows may have been changed, written and evicted again before it
 * could be filled. What memory knows already (recovered from the journal, or written meanwhile) is left alone. What was
 * refused because of other keys' changes (filling.h) is loaded again afterwards, by its name.
 *
 * The filling has to end before anything is evicted for it: that would be the newest.
 *
 * A backend that does not answer is asked again until it does. Who waits for the preload (preload_wait) waits
 * no longer than PRELOAD_PATIENCE_MS without an answer: a server without its backend still takes writes.
 */
#include "policies/load/preload.h"
#include "cache/base/count_text.h"
#include "policies/load/coherence.h"
#include "policies/load/filling.h"
#include "policies/load/straight.h"
#include "policies/row.h"
#include "policies/session.h"
#include "policies/tell.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <unistd.h>

enum {
    STEP_KEYS = 128,        /* loaded at once, unless values are large */
    FIRST_STEP_KEYS = 8,    /* when nothing is known about them */
    STEP_SHARE = 64,        /* of the memory there is: what a step may fill */
    KEEP_FREE = 16,         /* a 16th of it stays free */
    LEFT_ROUNDS = 4,        /* each leaves a small part of the one before */
    TOLD_LEAST = 10000,     /* entries between lines of the log: a tenth of all, but no fewer */
    FIRST_PAUSE_US = 50000, /* after a failure; doubles */
    LONGEST_PAUSE_US = 1000000,
    NAP_US = 20000 /* how soon an end is noticed during a pause */
};

/* The preload of one namespace. */
struct preload {
    struct backend_visitor visitor; /* of the scan: takes names */
    struct space *space;
    const atomic_bool *stop;
    struct session session;
    bool looked; /* whether the straight way is one */
    struct straight straight;
    struct filling filling;
    struct key_list names;
    bool scanned;             /* names is complete */
    unsigned rounds;          /* how often names were those that had been left */
    size_t step;              /* keys of the next step */
    size_t at;                /* in names: what comes next */
    size_t done, told;        /* names that were looked at; when the log last said so */
    uint64_t evictions;       /* at the beginning */
    bool full;                /* ended because memory is nearly full */
    uint64_t silent_since_us; /* the first failure since the last answer; 0: none */
    bool *waited_for;         /* of the whole backend: the tier is not ready before */
};

/* ---- Names ---- */

static bool take_name(struct backend_visitor *self, const struct entry *entry) {
    struct preload *preload = (struct preload *)(void *)self;
    if (row_key_is_fit(preload->space, entry->key) && !key_list_add(&preload->names, entry->key))
        return false;
    return !atomic_load(preload->stop);
}

/* Takes up to `most` names from *at on; *ret_passed counts them all. What is quarantined is newer than its
 * row, and left to the first miss. */
static size_t next_keys(const struct space *space, const struct key_list *names, size_t most, size_t *at,
                        struct slice keys[STEP_KEYS], size_t *ret_passed) {
    size_t count_keys = 0;
    *ret_passed = 0;
    while (*at < names->size && count_keys < most) {
        struct slice key = key_list_next(names, at);
        *ret_passed += 1;
        if (quarantine_count(space->quarantine) == 0 || !quarantine_has(space->quarantine, key))
            keys[count_keys++] = key;
    }
    return count_keys;
}

/* ---- Memory ---- */

static bool is_nearly(size_t used, size_t limit) {
    return used >= limit - limit / KEEP_FREE;
}

/* Entries evicted from this namespace, and from those that share the whole memory with it. */
static uint64_t count_evictions(const struct space *space) {
    const struct tier *tier = space->tier;
    uint64_t sum = 0;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct cache_stats stats;
        if (&tier->spaces[i] != space && tier->spaces[i].options.memory)
            continue;
        cache_get_stats(tier->cache, tier->spaces[i].number, &stats);
        sum += stats.evictions;
    }
    return sum;
}

/* Ends the preload, or says how many keys the next step may load. */
static void look_at_memory(struct preload *preload) {
    const struct space *space = preload->space;
    struct cache_stats own, all;
    cache_get_stats(space->tier->cache, space->number, &own);
    cache_get_stats(space->tier->cache, CACHE_ALL_SPACES, &all);
    size_t limit = space->options.memory ? space->options.memory : all.memory_limit;
    preload->full = is_nearly(all.memory_used, all.memory_limit) || is_nearly(own.memory_used, limit) ||
                    count_evictions(space) > preload->evictions;
    if (own.entries) {
        size_t keys = limit / STEP_SHARE / (own.bytes / own.entries + 1);
        preload->step = keys < 1 ? 1 : keys < STEP_KEYS ? keys : STEP_KEYS;
    }
}

/* ---- Steps ---- */

static void tell_begin(struct preload *preload, size_t entries) {
    preload->silent_since_us = 0;
    preload->evictions = count_evictions(preload->space);
    tell_of_space(preload->space, NULL, LOG_LEVEL_NOTICE, "namespace %s: preloading %s",
                  preload->space->options.name, count_text(entries, "entry", "entries").text);
}

static enum backend_status scan_names(struct preload *preload) {
    struct space *space = preload->space;
    struct session *session = &preload->session;
    key_list_clear(&preload->names);
    key_list_clear(&preload->filling.left); /* they are among those that are named now */
    enum backend_status status = session_scan(session, space, space->options.preload,
                                              tier_now(session->backend->tier).seconds, &preload->visitor);
    if (status != BACKEND_OK)
        return status;
    preload->scanned = true;
    tell_begin(preload, preload->names.count);
    return BACKEND_OK;
}

/* Whether the straight way is one. A store in which that cannot be found out may yet name its keys. */
static enum backend_status look(struct preload *preload) {
    enum backend_status status =
        straight_begin(&preload->straight, &preload->session, &preload->filling, preload->stop);
    preload->looked = status == BACKEND_OK || status == BACKEND_PERMANENT;
    if (straight_has_begun(&preload->straight))
        tell_begin(preload, preload->straight.rows);
    return preload->looked ? BACKEND_OK : status;
}

static enum backend_status connect_and_look(struct preload *preload) {
    enum backend_status status = session_open(&preload->session, 0);
    /* refused: perhaps the writer, which may have to wait too, has made no tables yet */
    if (status == BACKEND_REFUSED)
        return BACKEND_TRANSIENT;
    if (status == BACKEND_OK && !preload->looked)
        status = look(preload);
    if (status == BACKEND_OK && !preload->scanned && !straight_has_begun(&preload->straight))
        status = scan_names(preload);
    return status;
}

static bool is_done(const struct preload *preload) {
    return straight_has_begun(&preload->straight) ? straight_is_done(&preload->straight)
                                                  : preload->at == preload->names.size;
}

static void tell_progress(struct preload *preload, size_t done, size_t all) {
    size_t every = all / 10 < TOLD_LEAST ? TOLD_LEAST : all / 10;
    if (done - preload->told < every || is_done(preload))
        return;
    preload->told = done;
    tell_of_space(preload->space, NULL, LOG_LEVEL_NOTICE, "namespace %s: preloading, %zu of %s",
                  preload->space->options.name, done, count_text(all, "entry", "entries").text);
}

/* Keys that memory does not know, each with the stamp of that look. Of a store that went back (wary.h) those of which
 * it may have something older are left to the first miss. */
struct unknown {
    struct slice keys[STEP_KEYS];
    uint64_t stamps[STEP_KEYS];
    size_t count;
};

static void find_unknown(const struct space *space, const struct slice *keys, size_t count_keys,
                         const struct cache_time *now, struct unknown *ret_unknown) {
    struct cache *cache = space->tier->cache;
    ret_unknown->count = 0;
    for (size_t i = 0; i < count_keys; i++) {
        struct cache_cursor cursor;
        uint64_t hash = cache_hash(cache, keys[i]);
        bool unknown = cache_seek(cache, space->number, keys[i], hash, now, &cursor) == CACHE_UNKNOWN;
        if (unknown && !writer_may_lack(space->backend->writer, space, hash)) {
            ret_unknown->keys[ret_unknown->count] = keys[i];
            ret_unknown->stamps[ret_unknown->count++] = cursor.stamp;
        }
        cache_release(&cursor);
    }
}

/* As a reader does for misses. */
static enum backend_status fill(struct preload *preload, const struct slice *keys, size_t count_keys) {
    struct space *space = preload->space;
    struct cache_time now = tier_now(space->tier);
    struct load_result results[STEP_KEYS];
    struct unknown unknown;
    unsigned losses = writer_losses(space->backend->writer); /* before it is seen what it may lack */
    find_unknown(space, keys, count_keys, &now, &unknown);
    if (unknown.count == 0)
        return BACKEND_OK;
    enum backend_status status =
        session_load(&preload->session, space, unknown.keys, unknown.count, now.seconds, results);
    if (status == BACKEND_OK && writer_losses(space->backend->writer) != losses)
        return BACKEND_TRANSIENT;
    for (size_t i = 0; status == BACKEND_OK && i < unknown.count; i++)
        if (results[i].found && !results[i].unfit)
            filling_take(&preload->filling, &results[i].entry,
                         cache_hash(space->tier->cache, results[i].entry.key), unknown.stamps[i], &now);
    return status;
}

/* A row that cannot be read is left to whoever asks for it. */
static enum backend_status fill_one_by_one(struct preload *preload, const struct slice *keys,
                                           size_t count_keys) {
    for (size_t i = 0; i < count_keys; i++)
        if (fill(preload, &keys[i], 1) == BACKEND_TRANSIENT)
            return BACKEND_TRANSIENT;
    return BACKEND_OK;
}

static enum backend_status fill_step(struct preload *preload) {
    struct slice keys[STEP_KEYS];
    size_t at = preload->at, passed;
    size_t count_keys = next_keys(preload->space, &preload->names, preload->step, &at, keys, &passed);
    enum backend_status status = fill(preload, keys, count_keys);
    if (status == BACKEND_PERMANENT)
        status = fill_one_by_one(preload, keys, count_keys);
    if (status != BACKEND_OK)
        return status;
    preload->at = at;
    preload->done += passed;
    preload->silent_since_us = 0;
    tell_progress(preload, preload->done, preload->names.count);
    return BACKEND_OK;
}

/* Where damage, or a row that cannot be read, is in the way, the others are found by their names. */
static enum backend_status straight_on(struct preload *preload) {
    struct straight *straight = &preload->straight;
    enum backend_status status = straight_step(straight, &preload->session);
    if (status == BACKEND_OK) {
        preload->silent_since_us = 0;
        tell_progress(preload, straight->shown, straight->rows);
    }
    if (status != BACKEND_PERMANENT && status != BACKEND_TABLE_FAILED)
        return status;
    preload->told = 0;
    straight_end(straight);
    return scan_names(preload);
}

/* A place in one store is none in another that has taken its place. */
static void begin_pass_anew(struct preload *preload) {
    straight_restart(&preload->straight);
    key_list_clear(&preload->filling.left);
    preload->told = 0;
}

/* What was refused on the way becomes what is to be filled. False: there is nothing of it. */
static bool begin_with_left(struct preload *preload) {
    if (preload->filling.left.count == 0 || preload->rounds == LEFT_ROUNDS)
        return false;
    straight_end(&preload->straight);
    key_list_clear(&preload->names);
    preload->names = preload->filling.left;
    preload->filling.left = (struct key_list){.size = 0};
    preload->scanned = true;
    preload->rounds++;
    preload->at = preload->done = preload->told = 0;
    return true;
}

/* Until all is done, memory is nearly full, or the backend does not answer. */
static enum backend_status advance(struct preload *preload) {
    enum backend_status status = connect_and_look(preload);
    if (status == BACKEND_OK) /* the store answers, so what fills memory will soon be believed */
        coherence_await(preload->space->backend->coherence, PRELOAD_PATIENCE_MS, preload->stop);
    while (status == BACKEND_OK && !atomic_load(preload->stop) &&
           (!is_done(preload) || begin_with_left(preload))) {
        look_at_memory(preload);
        if (preload->full)
            break;
        status = straight_has_begun(&preload->straight) ? straight_on(preload) : fill_step(preload);
    }
    if (status != BACKEND_REPLACED)
        return status;
    if (straight_has_begun(&preload->straight))
        begin_pass_anew(preload);
    return BACKEND_TRANSIENT; /* the connection is closed for either */
}

/* ---- The whole ---- */

static void stop_waiting(struct tier *tier, bool *waited_for) {
    if (*waited_for)
        atomic_fetch_sub(&tier->preloads, 1);
    *waited_for = false;
}

/* True: it has just begun. */
static bool note_silence(struct preload *preload) {
    const struct space *space = preload->space;
    uint64_t now_us = monotonic_us();
    if (!preload->silent_since_us) {
        preload->silent_since_us = now_us;
        tell_of_space(space, NULL, LOG_LEVEL_WARNING, "namespace %s: the preload waits for its backend: %s",
                      space->options.name, preload->session.error.message);
        return true;
    }
    if (*preload->waited_for && now_us - preload->silent_since_us >= PRELOAD_PATIENCE_MS * 1000ull) {
        tell_of_space(space, NULL, LOG_LEVEL_WARNING,
                      "namespace %s: not waited for any longer, the preload goes on when its backend answers",
                      space->options.name);
        stop_waiting(space->tier, preload->waited_for);
    }
    return false;
}

static void pause_for(const atomic_bool *stop, useconds_t pause_us) {
    for (useconds_t slept = 0; slept < pause_us && !atomic_load(stop); slept += NAP_US)
        usleep(NAP_US);
}

static void tell_end(const struct preload *preload, enum backend_status status) {
    const struct space *space = preload->space;
    if (status != BACKEND_OK)
        tell_of_space(space, NULL, LOG_LEVEL_WARNING, "namespace %s: the preload ended after %s: %s",
                      space->options.name, count_text(preload->filling.filled, "entry", "entries").text,
                      atomic_load(preload->stop) ? "stopped" : preload->session.error.message);
    else
        tell_of_space(space, NULL, LOG_LEVEL_NOTICE, "namespace %s: preloaded %s%s", space->options.name,
                      count_text(preload->filling.filled, "entry", "entries").text,
                      preload->full ? ", memory is nearly full" : "");
}

/* A table that fails may be one that the writer, which has to reach the store first, has not made yet. */
static bool may_pass(const struct preload *preload, enum backend_status status) {
    uint64_t silent_us = preload->silent_since_us ? monotonic_us() - preload->silent_since_us : 0;
    return status == BACKEND_TRANSIENT ||
           (status == BACKEND_TABLE_FAILED && silent_us < PRELOAD_PATIENCE_MS * 1000ull);
}

static void preload_space(struct preload *preload) {
    enum backend_status status;
    useconds_t pause_us = FIRST_PAUSE_US;
    while (may_pass(preload, status = advance(preload)) && !atomic_load(preload->stop)) {
        session_failed(&preload->session);
        if (note_silence(preload))
            pause_us = FIRST_PAUSE_US;
        pause_for(preload->stop, pause_us);
        pause_us = pause_us * 2 < LONGEST_PAUSE_US ? pause_us * 2 : LONGEST_PAUSE_US;
    }
    tell_end(preload, status);
    session_close(&preload->session);
    straight_end(&preload->straight);
    key_list_clear(&preload->names);
    key_list_clear(&preload->filling.left);
}

/* One namespace after the other: those that are waited for, or the others. */
static void preload_some(struct tier_backend *backend, bool waits, bool *waited_for,
                         const atomic_bool *stop) {
    struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend != backend || !space->options.preload || space->options.preload_wait != waits)
            continue;
        struct preload preload = {.visitor = {.entry = take_name, .keys_only = true},
                                  .space = space,
                                  .stop = stop,
                                  .filling = {.space = space},
                                  .step = FIRST_STEP_KEYS,
                                  .waited_for = waited_for};
        session_init(&preload.session, backend, BACKEND_READER, 1);
        preload_space(&preload);
    }
}

void preload_run(struct tier_backend *backend, bool waits, const atomic_bool *stop) {
    bool waited_for = waits;
    preload_some(backend, true, &waited_for, stop);
    stop_waiting(backend->tier, &waited_for);
    preload_some(backend, false, &waited_for, stop);
}
