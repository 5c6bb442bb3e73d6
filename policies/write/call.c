/* SPDX-License-Identifier: MIT */
/* See call.h. */
#include "policies/write/call.h"
#include "backends/failure.h"
#include "backends/mutations.h"
#include "cache/base/clock_text.h"
#include "cache/base/fit.h"
#include "cache/base/thread.h"
#include "policies/absence.h"
#include "policies/load/loader.h"
#include "policies/slow_log.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/at_risk.h"
#include "policies/write/copy.h"
#include "policies/write/failover.h"
#include "policies/write/internal.h"
#include "policies/write/mirror.h"
#include "policies/write/regress.h"
#include "policies/write/store_note.h"
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    HICCUP_US = 200000, /* for so long a first connection is tried again before the store counts as away */
    HICCUP_PAUSE_US = 40000,
    UPKEEP_US = 1000000,
    LOOK_AGAIN_US = 100000,
    PROBE_US = 2500000, /* above the longest pause of a breaker: what is tried again comes first */
    SUPERSEDED_PAUSE_US = 60000000, /* between two lines of the log */
};

static const char *name_of(const struct writer *writer) {
    return writer->backend->options.store.name;
}

/* The store was reached late, and is ahead of what this server draws from its clock: another server's clock is ahead,
 * or this one's has been set back. */
static void tell_ahead(struct writer *writer) {
    uint64_t now_us = tier_now_for_versions(writer->tier).us, us = version_us(writer->high_version);
    if (us <= now_us)
        return;
    tell_of_backend(
        writer->backend, &writer->ahead_lines, LOG_LEVEL_WARNING,
        "backend %s: holds versions that are %llu ms ahead of this server's clock. Changes that were accepted since the start, before it could be asked, give way to rows that are newer by their versions; set the clocks right",
        name_of(writer), (unsigned long long)(us - now_us) / 1000);
}

/* A connection is open. */
static void take_over(struct writer *writer, uint64_t version) {
    struct backend_connection *connection = writer->session.connection;
    bool lost = store_is_lost(writer->backend->store);
    bool replaced = store_is_other(writer->backend->store, &connection->identity);
    if (lost) /* before it counts as found: the end of a drain sees one or the other */
        rewrite_begin(writer, regress_mark(writer, replaced));
    bool other = store_found(writer->backend->store, &connection->identity);
    if (lost && writer->backend->loader)
        loader_let_go(writer->backend->loader); /* readers, too, are to have open what is there now */
    if (lost)
        tell_of_backend(writer->backend, &writer->back_lines, LOG_LEVEL_NOTICE,
                        "backend %s: the store is there again", name_of(writer));
    else if (connection->went_back)
        tell_of_backend(
            writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
            "backend %s: a part of the store went back to an older state: what memory holds is written to it again",
            name_of(writer));
    else if (other && version >= writer->store_version) /* else that is told */
        tell_of_backend(
            writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
            "backend %s: it is another store than before the outage: what memory holds is written to it again",
            name_of(writer));
    bool went_back = connection->went_back;
    bool regressed = regress_note(writer, version, replaced || went_back) || other || went_back;
    if (regressed)
        count(&writer->counters.store_regressions);
    if (lost || regressed)
        copies_lose(writer->backend);
}

/* A store that is connected again within a call may have refused already: whoever waits for the first answer is told. */
static void note_what_was_met(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    writer->opening.met = writer->session.error;
    pthread_mutex_unlock(&writer->mutex);
}

/* A connection counts only when it has said which versions the store holds: what is written from then on is
 * above them. */
static enum backend_status open_connection(struct writer *writer) {
    struct session *session = &writer->session;
    uint64_t version = 0;
    enum backend_status status = session_open(session, writer->call_until_us);
    if (status != BACKEND_OK)
        return status;
    session->connection->call_until_us = writer->call_until_us;
    if (session->starting)
        note_what_was_met(writer);
    uint64_t began_us = monotonic_us();
    status = writer->backend->type->high_version(session->connection, &version, &session->error);
    slow_log_end(writer->backend, NULL, CALL_VERSION, 0, began_us, status);
    if (status == BACKEND_OK && !cache_raise_version(writer->tier->cache, version)) {
        fit_print(session->error.message, sizeof session->error.message,
                  "backend \"%s\": its highest version is %" PRIu64 ", which no clock gives", name_of(writer),
                  version);
        status = BACKEND_REFUSED;
    }
    if (status != BACKEND_OK) {
        session_close(session);
        return status == BACKEND_REPLACED ? BACKEND_TRANSIENT : status;
    }
    writer->high_version = version;
    company_note(writer);
    absence_distrust(writer->backend,
                     session->connection->foreign); /* what was written meanwhile is unknown */
    take_over(writer, version);
    writer->tables_known = session->table_count;
    return BACKEND_OK;
}

/* ---- The first one ---- */

static void *open_first(void *argument) {
    struct writer *writer = argument;
    uint64_t until_us = monotonic_us() + HICCUP_US;
    enum backend_status status;
    writer->session.starting = true;
    while ((status = open_connection(writer)) == BACKEND_TRANSIENT && monotonic_us() < until_us)
        usleep(HICCUP_PAUSE_US);
    writer->session.starting = false;
    pthread_mutex_lock(&writer->mutex);
    writer->opening.status = status;
    writer->opening.done = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

void call_begin_first(struct writer *writer) {
    struct opening *opening = &writer->opening;
    store_note_read(writer);
    opening->runs =
        service_start_thread(&opening->thread, "opener", name_of(writer), open_first, writer) == 0;
    if (!opening->runs)
        open_first(writer);
}

void call_end_first(struct writer *writer) {
    if (writer->opening.runs)
        pthread_join(writer->opening.thread, NULL);
    writer->opening.runs = false;
}

static bool is_done_until(struct writer *writer, uint64_t until_us) {
    pthread_mutex_lock(&writer->mutex);
    while (!writer->opening.done && condition_wait_until(&writer->work, &writer->mutex, until_us) == 0)
        continue;
    bool done = writer->opening.done;
    pthread_mutex_unlock(&writer->mutex);
    return done;
}

/* A backend that is away cannot say which versions it holds. */
static void go_on_without(struct writer *writer) {
    if (!store_note_begins_above(writer))
        tell_of_backend(
            writer->backend, NULL, LOG_LEVEL_WARNING,
            "backend %s: its file backend-%s.version in the data folder has a version that no clock gives, and is ignored: remove it",
            name_of(writer), name_of(writer));
}

/* Mostly of a wrong address. */
static void warn_of_silence(struct writer *writer) {
    char address[256];
    struct backend_error met;
    backend_show_uri(writer->backend->options.store.uri, address, sizeof address);
    pthread_mutex_lock(&writer->mutex);
    met = writer->opening.met;
    pthread_mutex_unlock(&writer->mutex);
    if (*met.message)
        tell_of_backend(writer->backend, NULL, LOG_LEVEL_WARNING,
                        "backend %s: not available yet, the start goes on without it: %s", name_of(writer),
                        met.message);
    else
        tell_of_backend(
            writer->backend, NULL, LOG_LEVEL_WARNING,
            "backend %s: has not answered yet, the start goes on without it: see whether %s is right, and serves",
            name_of(writer), address);
}

bool call_await_first(struct writer *writer, uint64_t until_us, char *error, size_t error_size) {
    if (!is_done_until(writer, until_us)) {
        warn_of_silence(writer);
        go_on_without(writer);
        return true;
    }
    call_end_first(writer);
    enum backend_status status = writer->opening.status;
    writer->reached = status == BACKEND_OK;
    if (status == BACKEND_TRANSIENT) {
        tell_of_backend(writer->backend, NULL, LOG_LEVEL_WARNING, "backend %s: not available yet: %s",
                        name_of(writer), writer->session.error.message);
        go_on_without(writer);
    }
    if (status == BACKEND_OK || status == BACKEND_TRANSIENT)
        return true;
    fit_print(error, error_size, "%s", writer->session.error.message); /* names the backend */
    return false;
}

/* ---- The next ones ---- */

static enum backend_status connect_again(struct writer *writer) {
    progress_note(&writer->progress, PROGRESS_CALLS);
    call_end_first(writer);
    if (session_is_open(&writer->session) && !session_is_outdated(&writer->session)) {
        writer->session.connection->call_until_us = writer->call_until_us;
        return BACKEND_OK;
    }
    if (open_connection(writer) != BACKEND_OK)
        return BACKEND_TRANSIENT;
    count(&writer->counters.write_connects);
    return BACKEND_OK;
}

void call_limit(struct writer *writer, uint64_t until_us) {
    writer->call_until_us = until_us;
}

/* ---- What was superseded ---- */

/* Another node's write explains it, and so does a journal that the store was ahead of. A higher version of our own node
 * that this process did not write does not: versions only grow. */
static bool is_unexplained(const struct tier *tier, const struct mutation *mutation) {
    return mutation->superseded && mutation->superseded_by > mutation->entry.version &&
           mutation->entry.version > tier->recovered_version &&
           version_node(mutation->superseded_by, cache_hash(tier->cache, mutation->entry.key)) ==
               tier->options.cache.node;
}

static void tell_superseded(struct writer *writer, const struct mutation *mutation) {
    uint64_t now_us = monotonic_us(), all = counted(&writer->counters.superseded_unexplained);
    if (writer->superseded_told && now_us - writer->superseded_told_us < SUPERSEDED_PAUSE_US)
        return;
    tell_of_backend(
        writer->backend, NULL, LOG_LEVEL_ERROR,
        "backend %s: %" PRIu64
        " changes were not written, as the store has newer versions of this node (%u) that it did not make; of the last: here %" PRIu64
        ", there %" PRIu64
        ". Does another server use the same node number, or has somebody changed versions there?",
        name_of(writer), all - writer->superseded_told, writer->tier->options.cache.node,
        mutation->entry.version, mutation->superseded_by);
    tell_of_backend(writer->backend, NULL, LOG_LEVEL_DEBUG,
                    "backend %s: the last change that was not written is of %.*s", name_of(writer),
                    (int)mutation->entry.key.size, mutation->entry.key.data);
    writer->superseded_told = all;
    writer->superseded_told_us = now_us;
}

/* What another node's clock, or this one's before it was set back, is ahead by: what is written from now on is newer. */
static void catch_up(struct writer *writer, const struct mutation *mutations, size_t count_all) {
    uint64_t highest = 0;
    for (size_t i = 0; i < count_all; i++)
        if (mutations[i].superseded && mutations[i].superseded_by > mutations[i].entry.version &&
            mutations[i].superseded_by > highest)
            highest = mutations[i].superseded_by;
    if (highest)
        cache_raise_version(writer->tier->cache, highest);
}

static void look_for_superseded(struct writer *writer, const struct mutation *mutations, size_t count_all) {
    uint64_t highest = 0;
    const struct mutation *last = NULL;
    if (writer->owes) /* what the journal has of a key may be older than what was written since */
        return;
    for (size_t i = 0; i < count_all; i++) {
        if (!is_unexplained(writer->tier, &mutations[i]))
            continue;
        highest = highest ? highest : mutations_highest_version(mutations, count_all);
        if (mutations[i].superseded_by <= highest &&
            mutations_have_version(mutations, count_all, mutations[i].superseded_by))
            continue;
        count(&writer->counters.superseded_unexplained);
        last = &mutations[i];
    }
    if (last)
        tell_superseded(writer, last);
}

/* ---- How a call ended ---- */

/* The store answered, be it with a failure of one table. */
static void note_answer(struct writer *writer, struct space *served) {
    atomic_store_explicit(&writer->backend->answered_us, monotonic_us(), memory_order_relaxed);
    if (breaker_success(&writer->breaker))
        tell_of_backend(writer->backend, &writer->outage_lines, LOG_LEVEL_NOTICE,
                        "backend %s: takes writes again", name_of(writer));
    session_worked(&writer->session);
    if (writer->backend->loader) /* not yet made during the recovery */
        loader_backend_answers(writer->backend->loader, served);
}

static void succeed(struct writer *writer, struct space *space) {
    note_answer(writer, space);
    bool all = !session_is_open(&writer->session) || writer->session.connection->parts_away == 0;
    if (all && breaker_success(&writer->part_breaker))
        tell_of_backend(writer->backend, &writer->outage_lines, LOG_LEVEL_NOTICE,
                        "backend %s: all parts of it take writes again", name_of(writer));
    if (space && breaker_success(&space->write_breaker))
        tell_of_space(space, &writer->outage_lines, LOG_LEVEL_NOTICE,
                      "namespace %s, keys \"%s*\": takes writes again", space->options.name,
                      space->options.prefix);
}

void call_succeeded_for(struct writer *writer, struct space *space) {
    if (space->write_breaker.failures > 0)
        succeed(writer, space);
}

static void fail_table(struct writer *writer, struct space *space) {
    count(&writer->counters.write_failures);
    note_answer(writer, NULL);
    const char *reason = writer->session.error.message;
    if (space && breaker_failure_is_news(&space->write_breaker, reason, monotonic_us()))
        tell_of_space(
            space, &writer->outage_lines, LOG_LEVEL_WARNING,
            "namespace %s, keys \"%s*\": writes fail and are tried again, the rest of backend %s is written: %s",
            space->options.name, space->options.prefix, name_of(writer), reason);
}

enum backend_status call_fail_copied(struct writer *writer, struct space *space) {
    const char *reason = writer->session.error.message;
    progress_note(&writer->progress, PROGRESS_WORKS);
    if (space && breaker_failure_is_news(&space->write_breaker, reason, monotonic_us()))
        tell_of_space(space, &writer->outage_lines, LOG_LEVEL_WARNING,
                      "namespace %s, keys \"%s*\": writes fail and are tried again: %s", space->options.name,
                      space->options.prefix, reason);
    return BACKEND_TABLE_FAILED;
}

static void fail(struct writer *writer) {
    count(&writer->counters.write_failures);
    atomic_store_explicit(&writer->backend->failed_us, monotonic_us(), memory_order_relaxed);
    const char *reason = writer->session.error.message;
    if (breaker_failure_is_news(&writer->breaker, reason, monotonic_us()))
        tell_of_backend(writer->backend, &writer->outage_lines, LOG_LEVEL_WARNING,
                        "backend %s: writes fail and are tried again: %s", name_of(writer), reason);
    if (session_failed(&writer->session)) /* what others write is not seen any more */
        absence_lose_sight(writer->backend);
    if (writer->backend->loader) /* not yet made during the recovery */
        loader_doubt(writer->backend->loader);
}

/* The rest of the store is written. */
static void fail_part(struct writer *writer) {
    const char *reason = writer->session.error.message;
    count(&writer->counters.write_failures);
    note_answer(writer, NULL);
    if (breaker_failure_is_news(&writer->part_breaker, reason, monotonic_us()))
        tell_of_backend(
            writer->backend, &writer->outage_lines, LOG_LEVEL_WARNING,
            "backend %s: writes to a part of it fail and are tried again, the rest is written: %s",
            name_of(writer), reason);
}

static bool is_partial(const struct writer *writer) {
    return writer->takes_parts && session_is_open(&writer->session) && writer->session.connection->partial;
}

/* The store is no longer the one at its address. */
static void lose(struct writer *writer) {
    if (store_lose(writer->backend->store))
        tell_of_backend(
            writer->backend, &writer->lost_lines, LOG_LEVEL_ERROR,
            "%s while it was open; changes are kept in memory and journal until a store is there again",
            writer->session.error.message);
    session_close(&writer->session);
    at_risk_note_loss(writer);
    absence_lose_sight(writer->backend);
    writer->reached = false;
    if (writer->backend->loader)
        loader_let_go(writer->backend->loader);
}

/* Where the store was found elsewhere, readers go as well. */
static void follow(struct writer *writer) {
    if (failover_note(writer) && writer->backend->loader) /* not yet made during the recovery */
        loader_let_go(writer->backend->loader);
}

static enum backend_status judged(struct writer *writer, struct space *space, enum backend_status status) {
    progress_note(&writer->progress, PROGRESS_WORKS);
    writer->lacked_part = false;
    follow(writer);
    switch (status) {
    case BACKEND_OK:
    case BACKEND_PERMANENT:
        succeed(writer, space);
        return status;
    case BACKEND_TABLE_FAILED:
        fail_table(writer, space);
        return status;
    case BACKEND_REPLACED:
        lose(writer);
        break;
    case BACKEND_TRANSIENT:
        if (!is_partial(writer))
            break;
        fail_part(writer);
        writer->lacked_part = true;
        return BACKEND_TRANSIENT;
    case BACKEND_REFUSED:
        break;
    }
    fail(writer);
    return BACKEND_TRANSIENT;
}

/* One thread makes all calls: it may go on with a probe that it has begun. */
static bool admits(struct breaker *breaker) {
    return breaker_state(breaker) == BREAKER_HALF_OPEN || breaker_admits(breaker, monotonic_us());
}

bool call_is_admitted(struct writer *writer) {
    return admits(&writer->breaker);
}

bool call_is_admitted_for(struct writer *writer, struct space *space) {
    return admits(&space->write_breaker) && call_is_admitted(writer);
}

void call_put_off(struct space *space) {
    breaker_failure(&space->write_breaker, monotonic_us());
}

/* ---- The calls ---- */

void call_reach(struct writer *writer) {
    bool outdated = session_is_outdated(&writer->session), was_reached = writer->reached;
    if (was_reached && !outdated)
        return;
    if ((outdated || !session_is_open(&writer->session)) &&
        monotonic_us() >= breaker_retry_at(&writer->breaker) && call_is_admitted(writer))
        judged(writer, NULL, connect_again(writer));
    writer->reached = session_is_open(&writer->session);
    if (writer->reached && !was_reached)
        tell_ahead(writer);
}

bool call_connect(struct writer *writer) {
    enum backend_status status = connect_again(writer);
    return status == BACKEND_OK || judged(writer, NULL, status) == BACKEND_OK;
}

static void note_log(struct writer *writer) {
    atomic_store_explicit(&writer->backend->calls.log_bytes, writer->session.connection->log_bytes,
                          memory_order_relaxed);
}

static void note_batch(struct writer *writer, struct backend_connection *connection) {
    regress_expect(writer, connection->applied);
    count_add(&writer->counters.replica_waits, connection->replica_waits);
    count_add(&writer->counters.replica_short, connection->replica_short);
    connection->replica_waits = connection->replica_short = 0;
}

/* What others write may be noticed before or with a batch of ours. */
static enum backend_status apply(struct writer *writer, struct mutation *mutations, size_t count_mutations) {
    struct backend_connection *connection = writer->session.connection;
    absence_begin_writing(writer->backend, mutations, count_mutations);
    enum backend_status status =
        writer->backend->type->apply(connection, mutations, count_mutations,
                                     tier_now(writer->backend->tier).seconds, &writer->session.error);
    absence_end_writing(writer->backend);
    absence_note_foreign(writer->backend, connection->foreign);
    note_log(writer);
    note_batch(writer, connection);
    return status;
}

static enum backend_status apply_timed(struct writer *writer, struct space *space, struct mutation *mutations,
                                       size_t count_mutations) {
    store_note_before(writer, mutations_highest_version(mutations, count_mutations));
    uint64_t start = monotonic_us();
    enum backend_status status = slow_log_end(writer->backend, space, CALL_APPLY, count_mutations, start,
                                              apply(writer, mutations, count_mutations));
    uint64_t took = monotonic_us() - start;
    count_add(&writer->counters.apply_us, took);
    count_most(&writer->counters.apply_max_us, took);
    for (size_t i = 0; i < count_mutations && status == BACKEND_OK; i++)
        if (mutations[i].entry.version > writer->store_version)
            writer->store_version = mutations[i].entry.version;
    return status;
}

/* A part that is away is not held against the others: whoever asks tries again later. */
static enum backend_status judged_by_part(struct writer *writer, struct space *space,
                                          enum backend_status status) {
    writer->takes_parts = true;
    status = judged(writer, space, status);
    writer->takes_parts = false;
    return status;
}

/* As mirror_apply. In part: *ret_some has room for those that are where they belong, and is to be freed. */
static enum mirrored mirror(struct writer *writer, struct mutation *mutations, size_t count_mutations,
                            struct mutation **ret_some) {
    enum mirrored mirrored = mirror_apply(writer, mutations, count_mutations);
    if (mirrored != MIRRORED_IN_PART)
        return mirrored;
    *ret_some = malloc(count_mutations * sizeof **ret_some);
    if (*ret_some)
        return mirrored;
    backend_fail(&writer->session.error, BACKEND_TABLE_FAILED, "backend \"%s\": no memory for a batch",
                 name_of(writer));
    return NOT_MIRRORED;
}

/* Those alone that are with the stores that they are copied to: another one would be in its own and not in both. */
static enum backend_status apply_mirrored(struct writer *writer, struct space *space,
                                          struct mutation *mutations, size_t count_mutations,
                                          struct mutation *some) {
    size_t taken = mirror_take_done(mutations, count_mutations, some);
    mutations_forget_answers(some, taken);
    enum backend_status status = apply_timed(writer, space, some, taken);
    mirror_put_back(mutations, count_mutations, some, status == BACKEND_OK);
    return status;
}

/* What the stores have that it is copied to. some: for a part of them; NULL: they have all. */
static enum backend_status apply_after_mirror(struct writer *writer, struct space *space,
                                              struct mutation *mutations, size_t count_mutations,
                                              struct mutation *some) {
    if (some)
        return apply_mirrored(writer, space, mutations, count_mutations, some);
    if (writer->tier->copies)
        mutations_forget_answers(mutations, count_mutations);
    return apply_timed(writer, space, mutations, count_mutations);
}

/* Its own store is not asked. */
static enum backend_status fail_mirror(struct writer *writer, struct space *space, struct mutation *mutations,
                                       size_t count_mutations, bool in_part) {
    copies_settle(writer, mutations, count_mutations, false);
    writer->lacked_part = in_part;
    if (!in_part)
        return call_fail_copied(writer, space);
    progress_note(&writer->progress, PROGRESS_WORKS);
    return BACKEND_TRANSIENT;
}

enum backend_status call_apply_parts(struct writer *writer, struct space *space, struct mutation *mutations,
                                     size_t count_mutations, bool *ret_partial) {
    enum mirrored mirrored = MIRRORED;
    struct mutation *some = NULL;
    enum backend_status status = connect_again(writer);
    mutations_forget_answers(mutations, count_mutations);
    if (status == BACKEND_OK)
        mirrored = mirror(writer, mutations, count_mutations, &some);
    bool in_part = mirrored == MIRRORED_IN_PART;
    *ret_partial = in_part;
    if (mirrored == NOT_MIRRORED || (in_part && mirror_count_done(mutations, count_mutations) == 0)) {
        free(some);
        return fail_mirror(writer, space, mutations, count_mutations, in_part);
    }
    if (status == BACKEND_OK)
        status = apply_after_mirror(writer, space, mutations, count_mutations, some);
    free(some);
    copies_settle(writer, mutations, count_mutations, status == BACKEND_OK && mirrored == MIRRORED);
    if (status == BACKEND_OK) {
        catch_up(writer, mutations, count_mutations);
        look_for_superseded(writer, mutations, count_mutations);
    }
    status = judged_by_part(writer, space, status);
    writer->lacked_part |= status == BACKEND_OK && in_part;
    *ret_partial = writer->lacked_part;
    return writer->lacked_part ? BACKEND_TRANSIENT : status;
}

enum backend_status call_apply_copied(struct writer *writer, struct mutation *mutations,
                                      size_t count_mutations) {
    enum backend_status status = connect_again(writer);
    mutations_forget_answers(mutations, count_mutations);
    if (status == BACKEND_OK)
        status = apply_timed(writer, NULL, mutations, count_mutations);
    if (status == BACKEND_OK)
        catch_up(writer, mutations, count_mutations);
    return judged_by_part(writer, NULL, status);
}

void call_swap(struct mutation *mutations, uint64_t *hashes, size_t a, size_t b) {
    struct mutation mutation = mutations[a];
    mutations[a] = mutations[b];
    mutations[b] = mutation;
    if (!hashes)
        return;
    uint64_t hash = hashes[a];
    hashes[a] = hashes[b];
    hashes[b] = hash;
}

/* From the end: between i and `others` all are refused. */
size_t call_part_refused(struct mutation *mutations, uint64_t *hashes, size_t count_mutations) {
    size_t others = count_mutations;
    for (size_t i = count_mutations; i-- > 0;)
        if (!mutations[i].refused)
            call_swap(mutations, hashes, --others, i);
    return others;
}

enum backend_status call_load_at(struct writer *writer, struct space *space, const struct slice *keys,
                                 size_t count_keys, uint32_t now, struct load_result *results) {
    enum backend_status status = connect_again(writer);
    if (status == BACKEND_OK)
        status = session_load(&writer->session, space, keys, count_keys, now, results);
    return judged(writer, space, status);
}

enum backend_status call_load(struct writer *writer, struct space *space, const struct slice *keys,
                              size_t count_keys, struct load_result *results) {
    return call_load_at(writer, space, keys, count_keys, tier_now(writer->backend->tier).seconds, results);
}

enum backend_status call_load_parts_at(struct writer *writer, struct space *space, const struct slice *keys,
                                       size_t count_keys, uint32_t now, struct load_result *results,
                                       bool *ret_partial) {
    writer->takes_parts = true;
    enum backend_status status = call_load_at(writer, space, keys, count_keys, now, results);
    *ret_partial = writer->lacked_part;
    writer->takes_parts = false;
    return status;
}

enum backend_status call_load_parts(struct writer *writer, struct space *space, const struct slice *keys,
                                    size_t count_keys, struct load_result *results, bool *ret_partial) {
    uint32_t now = tier_now(writer->backend->tier).seconds;
    return call_load_parts_at(writer, space, keys, count_keys, now, results, ret_partial);
}

enum backend_status call_load_table(struct writer *writer, const struct backend_table *table,
                                    const struct slice *keys, size_t count_keys, uint32_t now,
                                    struct load_result *results) {
    struct session *session = &writer->session;
    enum backend_status status = connect_again(writer);
    uint64_t began_us = monotonic_us();
    if (status == BACKEND_OK)
        status = slow_log_end(writer->backend, NULL, CALL_LOAD, count_keys, began_us,
                              writer->backend->type->load(session->connection, table, keys, count_keys, now,
                                                          results, &session->error));
    return judged_by_part(writer, NULL, status);
}

enum backend_status call_scan(struct writer *writer, struct space *space, const struct backend_table *table,
                              struct backend_visitor *visitor) {
    struct session *session = &writer->session;
    enum backend_status status = connect_again(writer);
    uint64_t began_us = monotonic_us();
    if (status == BACKEND_OK)
        status = slow_log_end(
            writer->backend, space, CALL_SCAN, 0, began_us,
            writer->backend->type->scan(session->connection, table, SIZE_MAX, 0, visitor, &session->error));
    return judged_by_part(writer, space, status);
}

bool call_look(struct writer *writer) {
    writer->seen_in_part = false;
    if (!session_is_open(&writer->session)) {
        if (store_is_lost(writer->backend->store) && call_is_admitted(writer))
            judged(writer, NULL, connect_again(writer));
        return !store_is_lost(writer->backend->store);
    }
    writer->session.connection->call_until_us = 0;
    uint64_t began_us = monotonic_us(), applied = writer->session.connection->applied;
    progress_note(&writer->progress, PROGRESS_CALLS);
    enum backend_status status =
        writer->backend->type->look(writer->session.connection, &writer->session.error);
    progress_note(&writer->progress, PROGRESS_WORKS);
    slow_log_end(writer->backend, NULL, CALL_LOOK, 0, began_us, status);
    absence_note_foreign(writer->backend, writer->session.connection->foreign);
    follow(writer);
    writer->seen = status == BACKEND_OK;
    writer->seen_in_part = status == BACKEND_TRANSIENT && writer->session.connection->partial;
    if (writer->session.connection->applied != applied)
        regress_expect(writer, writer->session.connection->applied);
    if (status == BACKEND_REPLACED)
        judged(writer, NULL, status);
    else if (status == BACKEND_OK || writer->session.connection->partial)
        company_note(writer);
    return status != BACKEND_REPLACED;
}

bool call_see(struct writer *writer) {
    writer->seen_in_part = false;
    if (!session_is_open(&writer->session) &&
        (!call_is_admitted(writer) || judged(writer, NULL, connect_again(writer)) != BACKEND_OK))
        return false;
    return call_look(writer) && writer->seen;
}

static bool is_to_be_probed(const struct writer *writer) {
    const struct tier_backend *backend = writer->backend;
    uint64_t failed_us = atomic_load_explicit(&backend->failed_us, memory_order_relaxed);
    uint64_t answered_us = atomic_load_explicit(&backend->answered_us, memory_order_relaxed);
    bool doubted = breaker_state(&writer->breaker) != BREAKER_CLOSED || loader_is_cut_off(backend->loader);
    return doubted && answered_us <= failed_us && monotonic_us() >= failed_us + PROBE_US;
}

void call_probe(struct writer *writer) {
    struct session *session = &writer->session;
    uint64_t version;
    if (!is_to_be_probed(writer))
        return;
    enum backend_status status = connect_again(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->high_version(session->connection, &version, &session->error);
    progress_note(&writer->progress, PROGRESS_WORKS);
    if (status == BACKEND_REPLACED)
        judged(writer, NULL, status);
    else if (status != BACKEND_OK)
        session_failed(session);
    atomic_uint_fast64_t *noted =
        status == BACKEND_OK ? &writer->backend->answered_us : &writer->backend->failed_us;
    atomic_store_explicit(noted, monotonic_us(), memory_order_relaxed);
}

bool call_wants_renewal(const struct writer *writer) {
    const struct tier_backend *backend = writer->backend;
    return atomic_load_explicit(&backend->failed_us, memory_order_relaxed) >
               atomic_load_explicit(&backend->answered_us, memory_order_relaxed) &&
           copies_lead_to(backend);
}

void call_renew(struct writer *writer) {
    struct session *session = &writer->session;
    uint64_t version;
    if (!call_wants_renewal(writer) || monotonic_us() < breaker_retry_at(&writer->breaker) ||
        !call_is_admitted(writer))
        return;
    enum backend_status status = connect_again(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->high_version(session->connection, &version, &session->error);
    judged(writer, NULL, status);
}

bool call_upkeep(struct writer *writer, uint64_t now_us) {
    bool more = false;
    if (now_us >= writer->upkeep_at && call_look(writer))
        store_note_keep(writer, now_us);
    if (now_us < writer->upkeep_at || !session_is_open(&writer->session) ||
        breaker_state(&writer->breaker) != BREAKER_CLOSED) {
        writer->upkeep_at = now_us >= writer->upkeep_at ? now_us + LOOK_AGAIN_US : writer->upkeep_at;
        return false;
    }
    writer->session.connection->call_until_us = 0;
    uint64_t began_us = monotonic_us();
    progress_note(&writer->progress, PROGRESS_CALLS);
    enum backend_status status = writer->backend->type->maintain(
        writer->session.connection, tier_over_at(writer->backend->tier), &more, &writer->session.error);
    progress_note(&writer->progress, PROGRESS_WORKS);
    slow_log_end(writer->backend, NULL, CALL_MAINTAIN, 0, began_us, status);
    note_log(writer);
    count(&writer->counters.upkeep_steps);
    absence_note_foreign(writer->backend, writer->session.connection->foreign);
    if (status == BACKEND_REPLACED)
        judged(writer, NULL, status);
    writer->upkeep_at = monotonic_us() + (status == BACKEND_OK && more ? 0 : UPKEEP_US);
    return status == BACKEND_OK && more;
}
