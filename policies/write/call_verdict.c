/* SPDX-License-Identifier: MIT */
/*
 * How a call ended, and who is told of it: the breakers, which say whether there may be another one, statistics, the
 * log, and the readers.
 */
#include "policies/absence.h"
#include "policies/load/loader.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/at_risk.h"
#include "policies/write/call_internal.h"
#include "policies/write/failover.h"

/* ---- Readers: not yet made during the recovery ---- */

void call_let_readers_go(struct writer *writer) {
    if (writer->backend->loader)
        loader_let_go(writer->backend->loader);
}

bool call_is_doubted(const struct writer *writer) {
    return breaker_state(&writer->breaker) != BREAKER_CLOSED || loader_is_cut_off(writer->backend->loader);
}

static void let_readers_ask(struct writer *writer, struct space *served) {
    if (writer->backend->loader)
        loader_backend_answers(writer->backend->loader, served);
}

static void let_readers_doubt(struct writer *writer) {
    if (writer->backend->loader)
        loader_doubt(writer->backend->loader);
}

/* ---- It was answered ---- */

/* The store answered, be it with a failure of one table. */
static void note_answer(struct writer *writer, struct space *served) {
    atomic_store_explicit(&writer->backend->answered_us, monotonic_us(), memory_order_relaxed);
    if (breaker_success(&writer->breaker))
        tell_of_backend(writer->backend, &writer->outage_lines, LOG_LEVEL_NOTICE,
                        "backend %s: takes writes again", call_backend_name(writer));
    session_worked(&writer->session);
    let_readers_ask(writer, served);
}

static void succeed(struct writer *writer, struct space *space) {
    note_answer(writer, space);
    bool all = !session_is_open(&writer->session) || writer->session.connection->parts_away == 0;
    if (all && breaker_success(&writer->part_breaker))
        tell_of_backend(writer->backend, &writer->outage_lines, LOG_LEVEL_NOTICE,
                        "backend %s: all parts of it take writes again", call_backend_name(writer));
    if (space && breaker_success(&space->write_breaker))
        tell_of_space(space, &writer->outage_lines, LOG_LEVEL_NOTICE,
                      "namespace %s, keys \"%s*\": takes writes again", space->options.name,
                      space->options.prefix);
}

void call_succeeded_for(struct writer *writer, struct space *space) {
    if (space->write_breaker.failures > 0)
        succeed(writer, space);
}

/* ---- It failed ---- */

static void fail_table(struct writer *writer, struct space *space) {
    count(&writer->counters.write_failures);
    note_answer(writer, NULL);
    const char *reason = writer->session.error.message;
    if (space && breaker_failure_is_news(&space->write_breaker, reason, monotonic_us()))
        tell_of_space(
            space, &writer->outage_lines, LOG_LEVEL_WARNING,
            "namespace %s, keys \"%s*\": writes fail and are tried again, the rest of backend %s is written: %s",
            space->options.name, space->options.prefix, call_backend_name(writer), reason);
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
                        "backend %s: writes fail and are tried again: %s", call_backend_name(writer), reason);
    if (session_failed(&writer->session)) /* what others write is not seen any more */
        absence_lose_sight(writer->backend);
    let_readers_doubt(writer);
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
            call_backend_name(writer), reason);
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
    call_let_readers_go(writer);
}

/* ---- The verdict ---- */

void call_follow(struct writer *writer) {
    if (failover_note(writer))
        call_let_readers_go(writer);
}

enum backend_status call_judged(struct writer *writer, struct space *space, enum backend_status status) {
    progress_note(&writer->progress, PROGRESS_WORKS);
    writer->lacked_part = false;
    call_follow(writer);
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

enum backend_status call_judged_by_part(struct writer *writer, struct space *space,
                                        enum backend_status status) {
    writer->takes_parts = true;
    status = call_judged(writer, space, status);
    writer->takes_parts = false;
    return status;
}

/* ---- May there be a call? ---- */

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
