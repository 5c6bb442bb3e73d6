/* SPDX-License-Identifier: MIT */
/*
 * What is asked of the store itself: is it there, is it the one that it was, does it answer, and steps of its upkeep.
 */
#include "policies/absence.h"
#include "policies/slow_log.h"
#include "policies/store.h"
#include "policies/write/call_internal.h"
#include "policies/write/copy.h"
#include "policies/write/regress.h"
#include "policies/write/store_note.h"

enum {
    UPKEEP_US = 1000000,
    LOOK_AGAIN_US = 100000,
    PROBE_US = 2500000, /* above the longest pause of a breaker: what is tried again comes first */
};

void call_reach(struct writer *writer) {
    bool outdated = session_is_outdated(&writer->session), was_reached = writer->reached;
    if (was_reached && !outdated)
        return;
    if ((outdated || !session_is_open(&writer->session)) &&
        monotonic_us() >= breaker_retry_at(&writer->breaker) && call_is_admitted(writer))
        call_judged(writer, NULL, call_connect_again(writer));
    writer->reached = session_is_open(&writer->session);
    if (writer->reached && !was_reached)
        call_tell_ahead(writer);
}

bool call_connect(struct writer *writer) {
    enum backend_status status = call_connect_again(writer);
    return status == BACKEND_OK || call_judged(writer, NULL, status) == BACKEND_OK;
}

bool call_look(struct writer *writer) {
    writer->seen_in_part = false;
    if (!session_is_open(&writer->session)) {
        if (store_is_lost(writer->backend->store) && call_is_admitted(writer))
            call_judged(writer, NULL, call_connect_again(writer));
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
    call_follow(writer);
    writer->seen = status == BACKEND_OK;
    writer->seen_in_part = status == BACKEND_TRANSIENT && writer->session.connection->partial;
    if (writer->session.connection->applied != applied)
        regress_expect(writer, writer->session.connection->applied);
    if (status == BACKEND_REPLACED)
        call_judged(writer, NULL, status);
    else if (status == BACKEND_OK || writer->session.connection->partial)
        company_note(writer);
    return status != BACKEND_REPLACED;
}

bool call_see(struct writer *writer) {
    writer->seen_in_part = false;
    if (!session_is_open(&writer->session) &&
        (!call_is_admitted(writer) || call_judged(writer, NULL, call_connect_again(writer)) != BACKEND_OK))
        return false;
    return call_look(writer) && writer->seen;
}

static bool is_to_be_probed(const struct writer *writer) {
    const struct tier_backend *backend = writer->backend;
    uint64_t failed_us = atomic_load_explicit(&backend->failed_us, memory_order_relaxed);
    uint64_t answered_us = atomic_load_explicit(&backend->answered_us, memory_order_relaxed);
    return call_is_doubted(writer) && answered_us <= failed_us && monotonic_us() >= failed_us + PROBE_US;
}

void call_probe(struct writer *writer) {
    struct session *session = &writer->session;
    uint64_t version;
    if (!is_to_be_probed(writer))
        return;
    enum backend_status status = call_connect_again(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->high_version(session->connection, &version, &session->error);
    progress_note(&writer->progress, PROGRESS_WORKS);
    if (status == BACKEND_REPLACED)
        call_judged(writer, NULL, status);
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
    enum backend_status status = call_connect_again(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->high_version(session->connection, &version, &session->error);
    call_judged(writer, NULL, status);
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
    call_note_log(writer);
    count(&writer->counters.upkeep_steps);
    absence_note_foreign(writer->backend, writer->session.connection->foreign);
    if (status == BACKEND_REPLACED)
        call_judged(writer, NULL, status);
    writer->upkeep_at = monotonic_us() + (status == BACKEND_OK && more ? 0 : UPKEEP_US);
    return status == BACKEND_OK && more;
}
