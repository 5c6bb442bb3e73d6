/* SPDX-License-Identifier: MIT */
/* Namespaces: which key is whose, and what one is made of. */
#include "policies/space.h"
#include "backends/key.h"
#include "policies/absence.h"
#include "policies/tier_parts.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include <stdlib.h>

enum {
    FLUSH_BYTES_MAX = 64 << 20, /* dirty bytes that make a flush due, however large the batch may be */
    BATCH_BYTES_MIN = 1 << 20,
    BATCH_BYTES_MAX = 32 << 20, /* memory of a batch: this, or a part of the cache's if that is less */
    BATCH_SHARE = 32,
};

struct space *space_of_key(const struct tier *tier, struct slice key) {
    for (size_t i = 0; i + 1 < tier->space_count; i++) {
        struct space *space = tier->by_prefix[i];
        if (slice_starts_with(key, slice_of(space->options.prefix, space->prefix_size)))
            return space;
    }
    return tier->default_space;
}

bool space_has_integer(const struct space *space, struct slice key) {
    int64_t number;
    return key_is_integer(key_without_prefix(key, space->options.prefix), &number);
}

struct space *space_by_name(struct tier *tier, struct slice name) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (slice_equal(slice_string(tier->spaces[i].options.name), name))
            return &tier->spaces[i];
    return NULL;
}

size_t space_number(const struct space *space) {
    return (size_t)space->number;
}

const struct space_options *space_options(const struct space *space) {
    return &space->options;
}

uint64_t space_oldest_dirty_us(const struct space *space) {
    uint64_t oldest_us = atomic_load(&space->oldest_us);
    if (oldest_us == 0 || cache_dirty_entries(space->tier->cache, space->number) == 0)
        return 0;
    return monotonic_us() - oldest_us;
}

/* Every power of two is told: of a damaged region there may be thousands a second. */
void space_note_unreadable(struct space *space, struct slice key, const char *reason) {
    uint64_t before = atomic_fetch_add_explicit(&space->rows_unreadable, 1, memory_order_relaxed);
    if (before & (before + 1))
        return;
    service_log(
        &space->tier->service, LOG_LEVEL_WARNING,
        "namespace %s, keys \"%s*\": the row of %.*s cannot be read (%llu reads of such rows so far): %s",
        space->options.name, space->options.prefix, (int)key.size, key.data, (unsigned long long)before + 1,
        reason);
}

static bool init_dirty(struct space *space, char *error, size_t error_size) {
    unsigned workers = space->tier->options.workers;
    space->queues = aligned_alloc(64, workers * sizeof *space->queues);
    space->by_worker = aligned_alloc(64, workers * sizeof *space->by_worker);
    if (space->queues)
        memset((void *)space->queues, 0, workers * sizeof *space->queues);
    if (space->by_worker)
        memset((void *)space->by_worker, 0, workers * sizeof *space->by_worker);
    bool complete = space->queues && space->by_worker;
    for (unsigned i = 0; complete && i < workers; i++)
        complete = queue_init(&space->queues[i]);
    if (!complete)
        snprintf(error, error_size, "Out of memory for the dirty queues of namespace \"%s\".",
                 space->options.name);
    return complete;
}

static bool init_absence(struct space *space, char *error, size_t error_size) {
    if ((space->absence = absence_create(space)))
        return true;
    snprintf(error, error_size, "Out of memory for the absent_filter of namespace \"%s\".",
             space->options.name);
    return false;
}

static size_t batch_bytes(size_t memory) {
    size_t bytes = memory / BATCH_SHARE;
    return bytes < BATCH_BYTES_MIN ? BATCH_BYTES_MIN : bytes > BATCH_BYTES_MAX ? BATCH_BYTES_MAX : bytes;
}

bool space_init(struct space *space, struct tier *tier, const struct space_options *options, int number,
                char *error, size_t error_size) {
    space->options = *options;
    space->policy = options->policy;
    space->tier = tier;
    space->number = number;
    space->prefix_size = strlen(options->prefix);
    if (space->policy->needs_backend)
        space->backend = &tier->backends[options->backend];
    space_options_complete(&space->options);
    space->flush_delay_us = (uint64_t)space->options.flush_delay * 1000;
    space->flush_bytes =
        space->options.dirty_limit / 2 < FLUSH_BYTES_MAX ? space->options.dirty_limit / 2 : FLUSH_BYTES_MAX;
    space->batch_bytes = batch_bytes(tier->options.cache.memory_limit);
    fullness_init(&space->fullness);
    breaker_init(&space->read_breaker, monotonic_us());
    breaker_init(&space->write_breaker, monotonic_us() + 1);
    return (!space->policy->holds_back || init_dirty(space, error, error_size)) &&
           (!space->options.absent_filter || init_absence(space, error, error_size));
}

void space_destroy(struct space *space) {
    for (unsigned i = 0; space->queues && i < space->tier->options.workers; i++)
        if (space->queues[i].head)
            queue_clear(&space->queues[i]);
    free(space->queues);
    free(space->by_worker);
    absence_destroy(space->absence);
    quarantine_close(space->quarantine);
    fullness_destroy(&space->fullness);
}
