/* SPDX-License-Identifier: MIT */
/* What the service manager is told. */
#include "cache/base/count_text.h"
#include "server/http/health.h"
#include "server/listener.h"
#include "server/program/program.h"

static void describe_start(struct program *program, char *ret_text, size_t size) {
    uint64_t recovered = atomic_load_explicit(&program->recovered, memory_order_relaxed);
    if (recovered > 0)
        snprintf(ret_text, size, "recovering: %s of the journal read",
                 count_text(recovered, "record", "records").text);
    else
        snprintf(ret_text, size, "starting");
}

/* With the time, so that it changes: a preload ends by itself, however long it reads the names of what it will load. */
static void describe_load(struct program *program, char *ret_text, size_t size) {
    struct cache_stats stats;
    uint64_t seconds = (monotonic_us() - program->server.started_us) / US_PER_SECOND;
    cache_get_stats(tier_cache(program->server.tier), CACHE_ALL_SPACES, &stats);
    snprintf(ret_text, size, "preloading: %s in memory, %" PRIu64 " s after the start",
             count_text(stats.entries, "entry", "entries").text, seconds);
}

static void describe_drain(struct program *program, char *ret_text, size_t size) {
    const struct cache *cache = tier_cache(program->server.tier);
    size_t entries = 0, bytes = 0;
    for (size_t i = 0; i < tier_space_count(program->server.tier); i++) {
        entries += cache_dirty_entries(cache, (int)i);
        bytes += cache_dirty_bytes(cache, (int)i);
    }
    snprintf(ret_text, size, "draining: %s with %zu bytes left", count_text(entries, "entry", "entries").text,
             bytes);
}

void program_describe(void *context, char *ret_text, size_t size) {
    struct program *program = context;
    enum server_phase phase = program->server.phase;
    size_t used;
    switch (phase) {
    case SERVER_STARTING:
        describe_start(program, ret_text, size);
        return;
    case SERVER_LOADING:
        describe_load(program, ret_text, size);
        return;
    case SERVER_SERVING:
        used = (size_t)snprintf(ret_text, size, "serving ");
        listener_describe(program->server.listener, ret_text + used, size - used);
        if (!ret_text[used])
            snprintf(ret_text + used, size - used, "nobody");
        return;
    case SERVER_STOPPING:
    case SERVER_STOPPED:
        describe_drain(program, ret_text, size);
    }
}

bool program_is_alive(void *context) {
    struct program *program = context;
    return health_is_live(&program->server);
}
