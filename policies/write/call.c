/* SPDX-License-Identifier: MIT */
/* See call.h. */
#include "policies/write/call.h"
#include "policies/load/loader.h"
#include "policies/write/internal.h"
#include <inttypes.h>
#include <unistd.h>

enum {
    OPEN_PATIENCE_US = 3000000,
    UPKEEP_US = 1000000,
    SUPERSEDED_PAUSE_US = 60000000 /* between two lines of the log */
};

static const char *name_of(const struct writer *writer) {
    return writer->backend->options.store.name;
}

/* A connection counts only when it has said which versions the store holds: what is written from then on is
 * above them. */
static enum backend_status open_connection(struct writer *writer) {
    struct session *session = &writer->session;
    uint64_t version = 0;
    enum backend_status status = session_open(session);
    if (status != BACKEND_OK)
        return status;
    status = writer->backend->type->high_version(session->connection, &version, &session->error);
    if (status == BACKEND_OK && !cache_raise_version(writer->tier->cache, version)) {
        snprintf(session->error.message, sizeof session->error.message,
                 "backend \"%s\": its highest version is %" PRIu64 ", which no clock gives", name_of(writer),
                 version);
        status = BACKEND_REFUSED;
    }
    if (status != BACKEND_OK)
        session_close(session);
    return status;
}

bool call_first(struct writer *writer, char *error, size_t error_size) {
    uint64_t until = monotonic_us() + OPEN_PATIENCE_US;
    enum backend_status status;
    while ((status = open_connection(writer)) == BACKEND_TRANSIENT && monotonic_us() < until)
        usleep(100000);
    if (status == BACKEND_TRANSIENT)
        service_log(&writer->tier->service, LOG_LEVEL_WARNING, "backend %s: not available yet: %s",
                    name_of(writer), writer->session.error.message);
    if (status == BACKEND_OK || status == BACKEND_TRANSIENT)
        return true;
    snprintf(error, error_size, "Backend \"%s\": %s", name_of(writer), writer->session.error.message);
    return false;
}

static enum backend_status connect_again(struct writer *writer) {
    if (session_is_open(&writer->session))
        return BACKEND_OK;
    if (open_connection(writer) != BACKEND_OK)
        return BACKEND_TRANSIENT;
    count(&writer->counters.write_connects);
    return BACKEND_OK;
}

/* ---- What was superseded ---- */

static uint64_t highest_version(const struct mutation *mutations, size_t count) {
    uint64_t highest = 0;
    for (size_t i = 0; i < count; i++)
        if (mutations[i].entry.version > highest)
            highest = mutations[i].entry.version;
    return highest;
}

/* A batch that is repeated meets what it wrote itself. */
static bool is_of_batch(const struct mutation *mutations, size_t count, uint64_t version) {
    for (size_t i = 0; i < count; i++)
        if (mutations[i].entry.version == version)
            return true;
    return false;
}

/* Another node's write explains it, and so does a journal that the store was ahead of. A higher version of our own node
 * that this process did not write does not: versions only grow. */
static bool is_unexplained(const struct tier *tier, const struct mutation *mutation) {
    return mutation->superseded && version_node(mutation->superseded_by) == tier->options.cache.node &&
           mutation->entry.version > tier->recovered_version;
}

static void tell_superseded(struct writer *writer, const struct mutation *mutation) {
    uint64_t now_us = monotonic_us(), all = counted(&writer->counters.superseded_unexplained);
    if (writer->superseded_told && now_us - writer->superseded_told_us < SUPERSEDED_PAUSE_US)
        return;
    service_log(
        &writer->tier->service, LOG_LEVEL_ERROR,
        "backend %s: %" PRIu64
        " changes were not written, as the store has newer versions of this node (%u) that it did not make; last %.*s: here %" PRIu64
        ", there %" PRIu64
        ". Does another server use the same node number, or has somebody changed versions there?",
        name_of(writer), all - writer->superseded_told, writer->tier->options.cache.node,
        (int)mutation->entry.key.size, mutation->entry.key.data, mutation->entry.version,
        mutation->superseded_by);
    writer->superseded_told = all;
    writer->superseded_told_us = now_us;
}

static void look_for_superseded(struct writer *writer, const struct mutation *mutations, size_t count_all) {
    uint64_t highest = 0;
    const struct mutation *last = NULL;
    for (size_t i = 0; i < count_all; i++) {
        if (!is_unexplained(writer->tier, &mutations[i]))
            continue;
        highest = highest ? highest : highest_version(mutations, count_all);
        if (mutations[i].superseded_by <= highest &&
            is_of_batch(mutations, count_all, mutations[i].superseded_by))
            continue;
        count(&writer->counters.superseded_unexplained);
        last = &mutations[i];
    }
    if (last)
        tell_superseded(writer, last);
}

/* ---- How a call ended ---- */

static void succeed(struct writer *writer) {
    if (breaker_success(&writer->breaker))
        service_log(&writer->tier->service, LOG_LEVEL_NOTICE, "backend %s: takes writes again",
                    name_of(writer));
    session_worked(&writer->session);
    if (writer->backend->loader) /* not yet made during the recovery */
        loader_backend_answers(writer->backend->loader);
}

static void fail(struct writer *writer) {
    count(&writer->counters.write_failures);
    if (breaker_failure(&writer->breaker, monotonic_us()))
        service_log(&writer->tier->service, LOG_LEVEL_WARNING,
                    "backend %s: writes fail and are tried again: %s", name_of(writer),
                    writer->session.error.message);
    session_failed(&writer->session);
}

static enum backend_status judged(struct writer *writer, enum backend_status status) {
    if (status == BACKEND_TRANSIENT || status == BACKEND_REFUSED)
        fail(writer);
    else
        succeed(writer);
    return status == BACKEND_REFUSED ? BACKEND_TRANSIENT : status;
}

bool call_is_admitted(struct writer *writer) {
    return breaker_state(&writer->breaker) == BREAKER_HALF_OPEN ||
           breaker_admits(&writer->breaker, monotonic_us());
}

void call_put_off(struct writer *writer) {
    breaker_failure(&writer->breaker, monotonic_us());
}

/* ---- The calls ---- */

enum backend_status call_apply(struct writer *writer, struct mutation *mutations, size_t count_mutations) {
    enum backend_status status = connect_again(writer);
    uint64_t start = monotonic_us();
    if (status == BACKEND_OK)
        status = writer->backend->type->apply(writer->session.connection, mutations, count_mutations,
                                              cache_time_now().seconds, &writer->session.error);
    uint64_t took = monotonic_us() - start;
    count_add(&writer->counters.apply_us, took);
    count_most(&writer->counters.apply_max_us, took);
    if (status == BACKEND_OK)
        look_for_superseded(writer, mutations, count_mutations);
    return judged(writer, status);
}

enum backend_status call_load_at(struct writer *writer, struct space *space, const struct slice *keys,
                                 size_t count_keys, uint32_t now, struct load_result *results) {
    enum backend_status status = connect_again(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->load(writer->session.connection, &space->options.table, keys,
                                             count_keys, now, results, &writer->session.error);
    return judged(writer, status);
}

enum backend_status call_load(struct writer *writer, struct space *space, const struct slice *keys,
                              size_t count_keys, struct load_result *results) {
    return call_load_at(writer, space, keys, count_keys, cache_time_now().seconds, results);
}

bool call_upkeep(struct writer *writer, uint64_t now_us) {
    bool more = false;
    if (now_us < writer->upkeep_at || !session_is_open(&writer->session) ||
        breaker_state(&writer->breaker) != BREAKER_CLOSED)
        return false;
    enum backend_status status = writer->backend->type->maintain(
        writer->session.connection, cache_time_now().seconds, &more, &writer->session.error);
    count(&writer->counters.upkeep_steps);
    writer->upkeep_at = monotonic_us() + (status == BACKEND_OK && more ? 0 : UPKEEP_US);
    return status == BACKEND_OK && more;
}
