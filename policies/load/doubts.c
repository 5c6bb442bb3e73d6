/* SPDX-License-Identifier: MIT */
/*
 * See doubts.h. What may bring an older value into memory after a change was heard, and what keeps it from staying
 * there:
 *
 *     a load under way           the key counts as changed (cache_doubt), so it is refused
 *     a flush under way          the entry is FLUSHING: looked at again when it is settled
 *     a flush that comes later   the store's version guard refuses it, and memory forgets it
 *     a commit of write-through  applied before the change, and put into memory after it was heard: in the same pass of the
 *                                writer, so the key is looked at again when that is over
 *
 * How far the writer is has to be read before memory is looked at: a pass that begins later meets the change in the
 * store.
 */
#include "policies/load/doubts.h"
#include "policies/policy.h"
#include "policies/slow_log.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <stdlib.h>

enum { SILENCE_US = 100000 };

void doubts_init(struct doubts *doubts, struct tier_backend *backend, uint64_t patience_us) {
    *doubts = (struct doubts){.backend = backend, .patience_us = patience_us};
    session_init(&doubts->session, backend, BACKEND_WATCHER, 1);
}

void doubts_free(struct doubts *doubts) {
    session_close(&doubts->session);
    free(doubts->later.list);
    free(doubts->back.list);
}

static struct cache *cache_of(const struct doubts *doubts) {
    return doubts->backend->tier->cache;
}

/* ---- What is to be looked at later ---- */

static bool make_room(struct doubt_queue *queue) {
    if (queue->first + queue->count < queue->room)
        return true;
    if (queue->first > queue->room / 2) {
        memmove(queue->list, queue->list + queue->first, queue->count * sizeof *queue->list);
        queue->first = 0;
        return true;
    }
    size_t room = queue->room ? 2 * queue->room : 256;
    struct doubt_later *longer = realloc(queue->list, room * sizeof *longer);
    if (!longer)
        return false;
    queue->list = longer;
    queue->room = room;
    return true;
}

static void put_off(struct doubts *doubts, struct doubt_queue *queue, struct space *space, uint64_t hash,
                    uint64_t passes) {
    if (make_room(queue))
        queue->list[queue->first + queue->count++] = (struct doubt_later){hash, passes, space};
    else
        doubts->no_memory = true;
}

static struct doubt_later take_first(struct doubt_queue *queue) {
    struct doubt_later later = queue->list[queue->first++];
    if (--queue->count == 0)
        queue->first = 0;
    return later;
}

/* ---- Asking ---- */

static struct slice key_of(const struct doubt *doubt) {
    return slice_of(doubt->key, doubt->key_size);
}

static void forget_other(struct doubts *doubts, const struct doubt *doubt, const struct entry *row) {
    if (cache_forget_other(cache_of(doubts), key_of(doubt), doubt->hash, doubt->version, row))
        count(&doubts->dropped);
}

/* Of a call over the open connection. */
static bool is_partial(const struct doubts *doubts, enum backend_status status) {
    return status == BACKEND_TRANSIENT && doubts->session.connection->partial;
}

/* Those of a part of the store that is away: BACKEND_VERSION_UNASKED. */
static enum backend_status ask_versions(struct doubts *doubts, const struct slice *keys,
                                        uint64_t *ret_versions) {
    struct session *session = &doubts->session;
    struct tier_backend *backend = doubts->backend;
    uint64_t began_us = monotonic_us(), until_us = began_us + doubts->patience_us;
    if (began_us < doubts->silent_until_us)
        return BACKEND_TRANSIENT;
    enum backend_status status = session_open(session, until_us);
    if (status != BACKEND_OK)
        return status;
    session->connection->call_until_us = until_us;
    status = backend->type->versions(session->connection, &doubts->space->options.table, keys, doubts->count,
                                     ret_versions, &session->error);
    slow_log_end(backend, doubts->space, CALL_COMPARE, doubts->count, began_us, status);
    return is_partial(doubts, status) ? BACKEND_OK : status;
}

void doubts_follow(struct doubts *doubts) {
    session_open(&doubts->session, monotonic_us() + doubts->patience_us);
}

/* What the store has refused before is shown, until it turns out to be superseded. */
static void try_quarantined(const struct doubts *doubts, struct slice key) {
    if (quarantine_count(doubts->space->quarantine) > 0 &&
        quarantine_ask_retry(doubts->space->quarantine, key) > 0)
        writer_poke(doubts->backend->writer);
}

/* Memory holds a value that is not the row's, whose version is this one; 0: there is none. In one and the same store
 * versions only grow, except where somebody writes rows without one. Nothing can be lost that the store never had from
 * here. */
static void judge(struct doubts *doubts, const struct doubt *doubt, uint64_t version,
                  const struct entry *row) {
    bool foreign = row && version == 0, reads_only = doubts->space->policy == &policy_read_through;
    if (version > doubt->version)
        try_quarantined(doubts, key_of(doubt));
    if (version >= doubt->version || foreign || reads_only || doubts->sure)
        forget_other(doubts, doubt, row);
    else
        put_off(doubts, &doubts->back, doubts->space, doubt->hash, 0);
}

/* What could not be asked while others could, as it is on its way from one part of the store to another, or its part is
 * away. */
static void leave_unasked(struct doubts *doubts, const struct doubt *doubt) {
    doubts->unanswered = true;
    doubts->silent_until_us = monotonic_us() + SILENCE_US;
    put_off(doubts, &doubts->later, doubts->space, doubt->hash, 0);
}

/* The store has answered: this is its row, or it has none that can be one. */
static void judge_row(struct doubts *doubts, const struct doubt *doubt, const struct load_result *result) {
    const struct entry *row = result->found && !result->unfit ? &result->entry : NULL;
    judge(doubts, doubt, row ? row->version : 0, row);
}

/* The values of those that no version tells. */
static enum backend_status ask_rows(struct doubts *doubts, const size_t *indices, size_t count_rows) {
    struct slice keys[DOUBTS_ASKED] = {{0}};
    struct load_result rows[DOUBTS_ASKED];
    for (size_t i = 0; i < count_rows; i++)
        keys[i] = key_of(&doubts->now[indices[i]]);
    enum backend_status status = session_load(&doubts->session, doubts->space, keys, count_rows,
                                              tier_now(doubts->backend->tier).seconds, rows);
    bool partial = is_partial(doubts, status);
    for (size_t i = 0; i < count_rows && (status == BACKEND_OK || partial); i++) {
        if (partial && rows[i].failed)
            leave_unasked(doubts, &doubts->now[indices[i]]);
        else
            judge_row(doubts, &doubts->now[indices[i]], &rows[i]);
    }
    return partial ? BACKEND_OK : status;
}

/* Those that were answered and are others are forgotten. */
static enum backend_status compare(struct doubts *doubts) {
    struct slice keys[DOUBTS_ASKED] = {{0}};
    uint64_t versions[DOUBTS_ASKED];
    size_t untold[DOUBTS_ASKED], untold_count = 0;
    for (size_t i = 0; i < doubts->count; i++)
        keys[i] = key_of(&doubts->now[i]);
    enum backend_status status = ask_versions(doubts, keys, versions);
    for (size_t i = 0; i < doubts->count && status == BACKEND_OK; i++) {
        if (versions[i] == BACKEND_VERSION_UNTOLD)
            untold[untold_count++] = i;
        else if (versions[i] == BACKEND_VERSION_UNASKED)
            leave_unasked(doubts, &doubts->now[i]);
        else if (versions[i] != doubts->now[i].version)
            judge(doubts, &doubts->now[i], versions[i], NULL);
    }
    return untold_count ? ask_rows(doubts, untold, untold_count) : status;
}

static bool is_answer(enum backend_status status) {
    return status == BACKEND_OK || status == BACKEND_TABLE_FAILED || status == BACKEND_PERMANENT;
}

static void note_silence(struct doubts *doubts) {
    uint64_t now_us = monotonic_us();
    doubts->unanswered = true;
    for (size_t i = 0; i < doubts->count; i++)
        put_off(doubts, &doubts->later, doubts->space, doubts->now[i].hash, 0);
    if (now_us < doubts->silent_until_us)
        return; /* it was not asked */
    session_failed(&doubts->session);
    doubts->silent_until_us = now_us + SILENCE_US;
}

/* Rows that cannot be read are nothing that memory could hold. */
static void ask_now(struct doubts *doubts) {
    if (doubts->count == 0)
        return;
    count_add(&doubts->asked, doubts->count);
    enum backend_status status = compare(doubts);
    for (size_t i = 0; i < doubts->count && is_answer(status) && status != BACKEND_OK; i++)
        forget_other(doubts, &doubts->now[i], NULL);
    if (is_answer(status))
        session_worked(&doubts->session);
    else
        note_silence(doubts);
    doubts->count = 0;
}

/* A batch is of one namespace. */
static void add(struct doubts *doubts, struct space *space, struct slice key, uint64_t hash,
                uint64_t version) {
    if (doubts->count == DOUBTS_ASKED || doubts->space != space)
        ask_now(doubts);
    struct doubt *doubt = &doubts->now[doubts->count++];
    doubts->space = space;
    doubt->hash = hash;
    doubt->version = version;
    doubt->key_size = key.size;
    memcpy(doubt->key, key.data, key.size);
}

/* ---- Looking again ---- */

/* The writer has ended a pass that was under way by then, or else one that began later. */
static bool is_over(uint64_t then, uint64_t passes) {
    return passes > (then | 1);
}

static void look_again(struct doubts *doubts, const struct doubt_later *later, uint64_t passes) {
    char key[ENTRY_KEY_MAX];
    struct cache_doubted doubted;
    switch (cache_doubt_again(cache_of(doubts), later->space->number, later->hash, key, &doubted)) {
    case CACHE_DOUBTS_NOTHING:
        break;
    case CACHE_DOUBTS:
        add(doubts, later->space, doubted.key, later->hash, doubted.version);
        break;
    case CACHE_WILL_DOUBT:
        put_off(doubts, &doubts->later, later->space, later->hash, passes);
        break;
    }
}

static void look_at_later(struct doubts *doubts) {
    uint64_t passes = writer_passes(doubts->backend->writer);
    const struct doubt_queue *queue = &doubts->later;
    for (size_t i = queue->count; i > 0 && is_over(queue->list[queue->first].passes, passes); i--) {
        struct doubt_later later = take_first(&doubts->later);
        look_again(doubts, &later, passes);
    }
}

bool doubts_are_sure(struct doubts *doubts) {
    uint64_t passes = writer_passes(doubts->backend->writer);
    ask_now(doubts);
    doubts->sure = true;
    for (size_t i = doubts->back.count; i > 0; i--) {
        struct doubt_later later = take_first(&doubts->back);
        look_again(doubts, &later, passes);
    }
    ask_now(doubts);
    doubts->sure = false;
    return !doubts->unanswered && !doubts->no_memory;
}

enum doubts_status doubts_ask(struct doubts *doubts) {
    if (monotonic_us() >= doubts->silent_until_us)
        look_at_later(doubts);
    else
        doubts->unanswered = true;
    ask_now(doubts);
    bool unanswered = doubts->unanswered || doubts->back.count > 0;
    enum doubts_status status = doubts->no_memory ? DOUBTS_NO_MEMORY
                                : unanswered      ? DOUBTS_UNANSWERED
                                                  : DOUBTS_ANSWERED;
    doubts->no_memory = doubts->unanswered = false;
    return status;
}

/* Do commits of it end as clean entries? What a write-behind namespace lets through is DIRTY first. */
static bool is_written_through(const struct space *space) {
    return space->policy == &policy_write_through;
}

/* Memory need not hold it to show it. */
static void doubt_quarantined(struct doubts *doubts, struct space *space, struct slice key, uint64_t hash) {
    bool deleted;
    struct entry_copy *copy =
        quarantine_count(space->quarantine) > 0 ? quarantine_find(space->quarantine, key, &deleted) : NULL;
    if (copy)
        add(doubts, space, key, hash, copy->entry.version);
    entry_copy_drop(copy);
}

void doubts_note(struct doubts *doubts, struct space *space, struct slice key) {
    uint64_t hash = cache_hash(cache_of(doubts), key), version = 0,
             passes = writer_passes(doubts->backend->writer);
    struct cache_time now = tier_now(space->tier);
    enum cache_doubt doubt = cache_doubt(cache_of(doubts), space->number, key, hash, &now, &version);
    if (doubt == CACHE_DOUBTS)
        add(doubts, space, key, hash, version);
    if (doubt == CACHE_DOUBTS_NOTHING)
        doubt_quarantined(doubts, space, key, hash);
    if (doubt == CACHE_WILL_DOUBT || (passes % 2 == 1 && is_written_through(space)))
        put_off(doubts, &doubts->later, space, hash, passes);
}
