/* SPDX-License-Identifier: MIT */
/* See call.h. */
#include "policies/write/call.h"
#include "policies/load/loader.h"
#include "policies/store.h"
#include "policies/write/internal.h"
#include "policies/write/store_note.h"
#include <unistd.h>

enum { OPEN_PATIENCE_US = 3000000, UPKEEP_US = 1000000, LOOK_AGAIN_US = 100000 };

static const char *name_of(const struct writer *writer) {
    return writer->backend->options.store.name;
}

static void show_time(uint64_t version, char *ret_text, size_t size) {
    time_t seconds = (time_t)(version_us(version) / US_PER_SECOND);
    struct tm parts;
    strftime(ret_text, size, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&seconds, &parts));
}

/* The store has less than it had: whoever restored it knows, whoever did not has to. */
static void tell_older(const struct writer *writer, uint64_t version, const char *what_now) {
    char had[40], has[60] = "is empty, or was not written by Forebay";
    show_time(writer->store_version, had, sizeof had);
    if (version) {
        char until[40];
        show_time(version, until, sizeof until);
        snprintf(has, sizeof has, "holds changes until %s", until);
    }
    service_log(
        &writer->tier->service, LOG_LEVEL_ERROR,
        "backend %s: the store %s; the one before held changes until %s. It is an older copy or another store: %s",
        name_of(writer), has, had, what_now);
}

/* What its high version says. It never goes back in one and the same store. */
static void note_version(struct writer *writer, uint64_t version) {
    bool older = version < writer->store_version;
    if (older && writer->session.starting)
        tell_older(writer, version,
                   "what only the old one had is gone, except what the journal still has to write");
    else if (older)
        tell_older(writer, version, "what memory holds is written to it again");
    if (older && !writer->session.starting)
        rewrite_begin(writer);
    writer->store_version = version;
}

/* A connection is open. */
static void take_over(struct writer *writer, uint64_t version) {
    cache_raise_version(writer->tier->cache, version);
    bool lost = store_found(writer->backend->store, &writer->session.connection->identity);
    if (lost)
        service_log(&writer->tier->service, LOG_LEVEL_NOTICE, "backend %s: the store is there again",
                    name_of(writer));
    if (lost)
        rewrite_begin(writer);
    note_version(writer, version);
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
    status = writer->backend->type->high_version(session->connection, &version, &session->error);
    if (status == BACKEND_OK)
        take_over(writer, version);
    else
        session_close(session);
    return status == BACKEND_REPLACED ? BACKEND_TRANSIENT : status;
}

bool call_first(struct writer *writer, char *error, size_t error_size) {
    uint64_t until = monotonic_us() + OPEN_PATIENCE_US;
    enum backend_status status;
    writer->session.starting = true;
    store_note_read(writer);
    while ((status = open_connection(writer)) == BACKEND_TRANSIENT && monotonic_us() < until)
        usleep(100000);
    writer->session.starting = false;
    if (status == BACKEND_TRANSIENT)
        service_log(&writer->tier->service, LOG_LEVEL_WARNING, "backend %s: not available yet: %s",
                    name_of(writer), writer->session.error.message);
    if (status == BACKEND_OK || status == BACKEND_TRANSIENT)
        return true;
    snprintf(error, error_size, "Backend \"%s\": %s", name_of(writer), writer->session.error.message);
    return false;
}

static enum backend_status connect_again(struct writer *writer) {
    if (session_is_open(&writer->session)) {
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

/* ---- How a call ended ---- */

/* The store answered, be it with a failure of one table. */
static void note_answer(struct writer *writer, struct space *served) {
    if (breaker_success(&writer->breaker))
        service_log(&writer->tier->service, LOG_LEVEL_NOTICE, "backend %s: takes writes again",
                    name_of(writer));
    session_worked(&writer->session);
    if (writer->backend->loader) /* not yet made during the recovery */
        loader_backend_answers(writer->backend->loader, served);
}

static void succeed(struct writer *writer, struct space *space) {
    note_answer(writer, space);
    if (space && breaker_success(&space->write_breaker))
        service_log(&writer->tier->service, LOG_LEVEL_NOTICE,
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
    if (space && breaker_failure(&space->write_breaker, monotonic_us()))
        service_log(
            &writer->tier->service, LOG_LEVEL_WARNING,
            "namespace %s, keys \"%s*\": writes fail and are tried again, the rest of backend %s is written: %s",
            space->options.name, space->options.prefix, name_of(writer), writer->session.error.message);
}

static void fail(struct writer *writer) {
    count(&writer->counters.write_failures);
    if (breaker_failure(&writer->breaker, monotonic_us()))
        service_log(&writer->tier->service, LOG_LEVEL_WARNING,
                    "backend %s: writes fail and are tried again: %s", name_of(writer),
                    writer->session.error.message);
    session_failed(&writer->session);
}

/* The store is no longer the one at its address. */
static void lose(struct writer *writer) {
    if (store_lose(writer->backend->store))
        service_log(
            &writer->tier->service, LOG_LEVEL_ERROR,
            "%s while it was open; changes are kept in memory and journal until a store is there again",
            writer->session.error.message);
    session_close(&writer->session);
    if (writer->backend->loader)
        loader_let_go(writer->backend->loader);
}

static enum backend_status judged(struct writer *writer, struct space *space, enum backend_status status) {
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

enum backend_status call_apply(struct writer *writer, struct space *space, struct mutation *mutations,
                               size_t count_mutations) {
    enum backend_status status = connect_again(writer);
    uint64_t start = monotonic_us();
    if (status == BACKEND_OK)
        status = writer->backend->type->apply(writer->session.connection, mutations, count_mutations,
                                              cache_time_now().seconds, &writer->session.error);
    uint64_t took = monotonic_us() - start;
    count_add(&writer->counters.apply_us, took);
    count_most(&writer->counters.apply_max_us, took);
    for (size_t i = 0; i < count_mutations && status == BACKEND_OK; i++)
        if (mutations[i].entry.version > writer->store_version)
            writer->store_version = mutations[i].entry.version;
    return judged(writer, space, status);
}

enum backend_status call_load_at(struct writer *writer, struct space *space, const struct slice *keys,
                                 size_t count_keys, uint32_t now, struct load_result *results) {
    enum backend_status status = connect_again(writer);
    if (status == BACKEND_OK)
        status = writer->backend->type->load(writer->session.connection, &space->options.table, keys,
                                             count_keys, now, results, &writer->session.error);
    return judged(writer, space, status);
}

enum backend_status call_load(struct writer *writer, struct space *space, const struct slice *keys,
                              size_t count_keys, struct load_result *results) {
    return call_load_at(writer, space, keys, count_keys, cache_time_now().seconds, results);
}

bool call_look(struct writer *writer) {
    if (!session_is_open(&writer->session)) {
        if (store_is_lost(writer->backend->store) && call_is_admitted(writer))
            judged(writer, NULL, connect_again(writer));
        return !store_is_lost(writer->backend->store);
    }
    writer->session.connection->call_until_us = 0;
    enum backend_status status =
        writer->backend->type->look(writer->session.connection, &writer->session.error);
    if (status == BACKEND_REPLACED)
        judged(writer, NULL, status);
    return status != BACKEND_REPLACED;
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
    enum backend_status status = writer->backend->type->maintain(
        writer->session.connection, cache_time_now().seconds, &more, &writer->session.error);
    count(&writer->counters.upkeep_steps);
    if (status == BACKEND_REPLACED)
        judged(writer, NULL, status);
    writer->upkeep_at = monotonic_us() + (status == BACKEND_OK && more ? 0 : UPKEEP_US);
    return status == BACKEND_OK && more;
}
