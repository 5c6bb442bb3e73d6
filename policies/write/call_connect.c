/* SPDX-License-Identifier: MIT */
/*
 * A writer's connection to its backend: the first, which is made in the background while the server starts, and the
 * next ones.
 */
#include "cache/base/fit.h"
#include "cache/base/thread.h"
#include "policies/absence.h"
#include "policies/slow_log.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/call_internal.h"
#include "policies/write/copy.h"
#include "policies/write/failover.h"
#include "policies/write/regress.h"
#include "policies/write/store_note.h"
#include <inttypes.h>
#include <unistd.h>

enum {
    HICCUP_US = 200000, /* for so long a first connection is tried again before the store counts as away */
    HICCUP_PAUSE_US = 40000,
};

/* ---- Opening ---- */

/* A part of it is gone, with all that was in it, and nothing else shows it. */
static void tell_lost_part(struct writer *writer) {
    tell_of_backend(
        writer->backend, &writer->older_lines, LOG_LEVEL_ERROR, "%s: %s", writer->session.connection->lost,
        writer->session.starting ? "what only it had is gone, except what the journal still has to write"
                                 : "what memory holds is written to it again");
}

/* A connection is open. */
static void take_over(struct writer *writer, uint64_t version) {
    struct backend_connection *connection = writer->session.connection;
    bool lost = store_is_lost(writer->backend->store), renamed = connection->renamed && !lost;
    bool replaced = store_is_other(writer->backend->store, &connection->identity) && !renamed;
    if (lost) /* before it counts as found: the end of a drain sees one or the other */
        rewrite_begin(writer, regress_mark(writer, replaced));
    bool other = store_found(writer->backend->store, &connection->identity) && !renamed;
    if (lost)
        call_let_readers_go(writer); /* they, too, are to have open what is there now */
    if (lost)
        tell_of_backend(writer->backend, &writer->back_lines, LOG_LEVEL_NOTICE,
                        "backend %s: the store is there again", call_backend_name(writer));
    else if (connection->went_back)
        tell_of_backend(
            writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
            "backend %s: a part of the store went back to an older state: what memory holds is written to it again",
            call_backend_name(writer));
    else if (other && version >= writer->store_version) /* else that is told */
        tell_of_backend(
            writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
            "backend %s: it is another store than before the outage: what memory holds is written to it again",
            call_backend_name(writer));
    bool lost_part = *connection->lost && !lost; /* else that was told when it was noticed */
    if (lost_part)
        tell_lost_part(writer);
    bool went_back = connection->went_back || lost_part;
    bool regressed = regress_note(writer, version, replaced || went_back) || other || went_back;
    if (regressed)
        count(&writer->counters.store_regressions);
    if (lost || regressed)
        copies_lose(writer->backend);
}

/* A store that is connected again within a call may have refused already: whoever waits for the first answer is
 * told. */
static void note_what_was_met(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    writer->opening.met = writer->session.error;
    pthread_mutex_unlock(&writer->mutex);
}

/* What a part that is away has is not known to a process that begins: it counts as it was noted, unless that is what no
 * clock gives. */
static uint64_t with_parts_away(struct writer *writer, uint64_t version) {
    uint64_t noted = writer->store_version;
    return version < noted && cache_raise_version(writer->tier->cache, noted) ? noted : version;
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
    if (status == BACKEND_OK && session->starting && session->connection->parts_away > 0)
        version = with_parts_away(writer, version);
    if (status == BACKEND_OK && !cache_raise_version(writer->tier->cache, version)) {
        fit_print(session->error.message, sizeof session->error.message,
                  "backend \"%s\": its highest version is %" PRIu64 ", which no clock gives",
                  call_backend_name(writer), version);
        status = BACKEND_REFUSED;
    }
    if (status != BACKEND_OK) {
        failover_note_parts(writer); /* whatever else went wrong, that was seen */
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
        service_start_thread(&opening->thread, "opener", call_backend_name(writer), open_first, writer) == 0;
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
            call_backend_name(writer), call_backend_name(writer));
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
                        "backend %s: not available yet, the start goes on without it: %s",
                        call_backend_name(writer), met.message);
    else
        tell_of_backend(
            writer->backend, NULL, LOG_LEVEL_WARNING,
            "backend %s: has not answered yet, the start goes on without it: see whether %s is right, and serves",
            call_backend_name(writer), address);
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
                        call_backend_name(writer), writer->session.error.message);
        go_on_without(writer);
    }
    if (status == BACKEND_OK || status == BACKEND_TRANSIENT)
        return true;
    fit_print(error, error_size, "%s", writer->session.error.message); /* names the backend */
    return false;
}

/* ---- The next ones ---- */

enum backend_status call_connect_again(struct writer *writer) {
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

void call_tell_ahead(struct writer *writer) {
    uint64_t now_us = tier_now_for_versions(writer->tier).us, us = version_us(writer->high_version);
    if (us <= now_us)
        return;
    tell_of_backend(
        writer->backend, &writer->ahead_lines, LOG_LEVEL_WARNING,
        "backend %s: holds versions that are %llu ms ahead of this server's clock. Changes that were accepted since the start, before it could be asked, give way to rows that are newer by their versions; set the clocks right",
        call_backend_name(writer), (unsigned long long)(us - now_us) / 1000);
}
