/* SPDX-License-Identifier: MIT */
/*
 * What was restored goes to the stores before the server serves, where memory would be too small otherwise; and what is
 * told of stores that cannot be asked.
 */
#include "policies/tell.h"
#include "policies/write/recovery.h"
#include "policies/write/regress.h"
#include "policies/write/touches.h"
#include "policies/write/writer.h"

static bool table_fails(const struct space *space) {
    return space->write_breaker.failures > 0;
}

/* True: the store has everything, or has shown what is newer. A table that fails holds up no other. */
static bool flush_backend(struct tier_backend *backend) {
    struct tier *tier = backend->tier;
    bool fine = writer_is_connected(backend->writer), away = !fine;
    for (size_t i = 0; !away && i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend != backend || !space->policy->holds_back ||
            writer_flush_now(backend->writer, space))
            continue;
        fine = false;
        away = !table_fails(space);
    }
    return fine;
}

static bool holds_restored(const struct tier_backend *backend) {
    const struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].backend == backend && cache_dirty_entries(tier->cache, (int)i) > 0)
            return true;
    return false;
}

bool recover_flush(const struct tier *tier) {
    bool fine = true;
    for (size_t i = 0; i < tier->backend_count; i++) {
        struct tier_backend *backend = &tier->backends[i];
        if (holds_restored(backend))
            fine &= flush_backend(backend);
        if (touches_are_waiting(backend->writer) && !regress_may_follow(backend->writer))
            touches_settle(backend->writer);
    }
    return fine;
}

static void warn_of_backend(const struct space *space) {
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "backend %s is away and may have newer rows, as the system was started anew or other servers write there: until it is back, "
        "reads of namespace %s are answered with what the journal holds",
        space->backend->options.store.name, space->options.name);
}

static void warn_of_table(const struct space *space) {
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "namespace %s, keys \"%s*\": cannot be written to now, and its table in backend %s may have newer rows, as the system was started anew or other servers write there: until it can be written to, reads are answered with what the journal holds",
        space->options.name, space->options.prefix, space->backend->options.store.name);
}

void recover_warn_of_absent(const struct tier *tier) {
    for (size_t i = 0; i < tier->space_count; i++) {
        const struct space *space = &tier->spaces[i];
        if (!atomic_load(&space->unconfirmed))
            continue;
        if (!writer_is_connected(space->backend->writer))
            warn_of_backend(space);
        else if (table_fails(space))
            warn_of_table(space);
    }
}
