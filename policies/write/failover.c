/* SPDX-License-Identifier: MIT */
/* See failover.h. */
#include "policies/write/failover.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/internal.h"

void failover_note_parts(struct writer *writer) {
    struct backend_failovers *failovers = &writer->session.connection->failovers;
    if (failovers->count == 0)
        return;
    count_add(&writer->counters.failovers, failovers->count);
    tell_of_backend(writer->backend, &writer->failover_lines, LOG_LEVEL_WARNING,
                    "backend %s: failover: what was at %s is at %s now", writer->backend->options.store.name,
                    failovers->from, failovers->to);
    failovers->count = 0;
}

bool failover_note(struct writer *writer) {
    struct tier_backend *backend = writer->backend;
    struct backend_connection *connection = writer->session.connection;
    char before[BACKEND_PLACE_SHOWN];
    if (connection)
        failover_note_parts(writer);
    if (!connection || !*connection->place || !store_note_place(backend->store, connection->place, before))
        return false;
    if (!*before)
        return true;
    count(&writer->counters.failovers);
    tell_of_backend(backend, &writer->failover_lines, LOG_LEVEL_WARNING,
                    "backend %s: failover: the store is at %s now, it was at %s", backend->options.store.name,
                    connection->place, before);
    return true;
}
