/* SPDX-License-Identifier: MIT */
/*
 * Two breakers decide whether the backend is asked: its own, and that of the namespace, for what is its table's fault
 * alone. A row that cannot be read counts for neither; nor does a part of the store that is away while others answer.
 */
#include "policies/load/internal.h"
#include "policies/tell.h"

/* ---- May it be asked? ---- */

static bool is_closed(const struct breaker *breaker) {
    return breaker_state(breaker) == BREAKER_CLOSED;
}

bool verdict_is_good(const struct loader *loader, const struct space *space) {
    return is_closed(&loader->breaker) && is_closed(&space->read_breaker);
}

bool verdict_is_hopeful(const struct loader *loader, const struct space *space, uint64_t now_us) {
    return breaker_hopeful(&loader->breaker, now_us) && breaker_hopeful(&space->read_breaker, now_us);
}

static bool passes(struct breaker *breaker, uint64_t now_us) {
    return is_closed(breaker) || breaker_admits(breaker, now_us);
}

/* Neither breaker is asked to pass a probe before both are hopeful: a probe that is not made would never end. */
bool verdict_admits(struct loader *loader, struct space *space) {
    uint64_t now_us = monotonic_us();
    pthread_mutex_lock(&loader->mutex);
    bool admits = verdict_is_hopeful(loader, space, now_us) && passes(&loader->breaker, now_us) &&
                  passes(&space->read_breaker, now_us);
    pthread_mutex_unlock(&loader->mutex);
    return admits;
}

/* ---- What an answer means ---- */

enum turn_of_breaker { BREAKER_STAYS, BREAKER_TELLS, BREAKER_CLOSES };

/* With the mutex. What the answer means for the breaker of the backend. */
static enum turn_of_breaker judge_store(struct loader *loader, enum backend_status status,
                                        const char *reason) {
    loader->stats.loads++;
    bool failed = status == BACKEND_TRANSIENT || status == BACKEND_TABLE_FAILED;
    loader->stats.failures += failed;
    atomic_store_explicit(&loader->in_doubt, failed, memory_order_relaxed);
    if (status == BACKEND_TRANSIENT)
        return breaker_failure_is_news(&loader->breaker, reason, monotonic_us()) ? BREAKER_TELLS
                                                                                 : BREAKER_STAYS;
    breaker_success(&loader->breaker);
    return BREAKER_STAYS;
}

/* And for that of the namespace. Where the store itself failed, its probe has learnt nothing. */
static enum turn_of_breaker judge_table(struct space *space, enum backend_status status, const char *reason) {
    struct breaker *breaker = &space->read_breaker;
    if (status == BACKEND_TABLE_FAILED)
        return breaker_failure_is_news(breaker, reason, monotonic_us()) ? BREAKER_TELLS : BREAKER_STAYS;
    if (status != BACKEND_TRANSIENT)
        return breaker_success(breaker) ? BREAKER_CLOSES : BREAKER_STAYS;
    if (breaker_state(breaker) == BREAKER_HALF_OPEN)
        breaker_failure(breaker, monotonic_us());
    return BREAKER_STAYS;
}

static void tell_reads_again(struct space *space) {
    tell_of_space(space, &space->backend->loader->outage_lines, LOG_LEVEL_NOTICE,
                  "namespace %s, keys \"%s*\": reads are answered again", space->options.name,
                  space->options.prefix);
}

void verdict_note(struct reader *reader, struct space *space, enum backend_status status) {
    struct loader *loader = reader->loader;
    const char *name = loader->backend->options.store.name, *reason = reader->session.error.message;
    pthread_mutex_lock(&loader->mutex);
    enum turn_of_breaker store = judge_store(loader, status, reason),
                         table = judge_table(space, status, reason);
    pthread_mutex_unlock(&loader->mutex);
    if (status == BACKEND_TRANSIENT)
        atomic_store_explicit(&loader->backend->failed_us, monotonic_us(), memory_order_relaxed);
    if (store == BREAKER_TELLS)
        tell_of_backend(loader->backend, &loader->outage_lines, LOG_LEVEL_WARNING,
                        "backend %s: reads fail and are refused for a while: %s", name, reason);
    if (table == BREAKER_TELLS)
        tell_of_space(
            space, &loader->outage_lines, LOG_LEVEL_WARNING,
            "namespace %s, keys \"%s*\": reads fail and are refused for a while, the rest of backend %s is read: %s",
            space->options.name, space->options.prefix, name, reason);
    if (table == BREAKER_CLOSES)
        tell_reads_again(space);
}

/* Because of a part of the store alone. */
static bool any_failed(const struct batch *batch) {
    bool failed = false;
    for (size_t i = 0; i < batch->count && batch->partial; i++)
        failed |= batch->results[i].failed;
    return failed;
}

void verdict_note_parts(struct reader *reader, const struct batch *batch, enum backend_status status) {
    struct loader *loader = reader->loader;
    const char *name = loader->backend->options.store.name, *reason = reader->session.error.message;
    bool news = false, all_again = false;
    if (status != BACKEND_OK)
        return;
    pthread_mutex_lock(&loader->mutex);
    if (any_failed(batch))
        news = breaker_failure_is_news(&loader->part_breaker, reason, monotonic_us());
    else if (!batch->partial && reader->session.connection->parts_away == 0 &&
             loader->part_breaker.failures > 0)
        all_again = breaker_success(&loader->part_breaker);
    pthread_mutex_unlock(&loader->mutex);
    if (news)
        tell_of_backend(loader->backend, &loader->outage_lines, LOG_LEVEL_WARNING,
                        "backend %s: reads from a part of it fail, the rest is read: %s", name, reason);
    if (all_again)
        tell_of_backend(loader->backend, &loader->outage_lines, LOG_LEVEL_NOTICE,
                        "backend %s: reads from all parts of it are answered", name);
}

/* ---- What others know ---- */

bool loader_is_in_doubt(const struct loader *loader) {
    return atomic_load_explicit(&loader->in_doubt, memory_order_relaxed);
}

void loader_doubt(struct loader *loader) {
    atomic_store_explicit(&loader->in_doubt, true, memory_order_relaxed);
}

void loader_backend_answers(struct loader *loader, struct space *space) {
    bool closed = false;
    atomic_store_explicit(&loader->in_doubt, false, memory_order_relaxed);
    if (is_closed(&loader->breaker) && (!space || is_closed(&space->read_breaker)))
        return;
    pthread_mutex_lock(&loader->mutex);
    breaker_success(&loader->breaker);
    if (space)
        closed = breaker_success(&space->read_breaker);
    pthread_mutex_unlock(&loader->mutex);
    if (closed)
        tell_reads_again(space);
}
