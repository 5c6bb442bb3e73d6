/* SPDX-License-Identifier: MIT */
/* See failover.h. */
#include "policies/write/failover.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/internal.h"

bool failover_note(struct writer *writer) {
    struct tier_backend *backend = writer->backend;
    const struct backend_connection *connection = writer->session.connection;
    char before[BACKEND_PLACE_SHOWN];
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
