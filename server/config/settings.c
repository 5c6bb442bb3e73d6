/* SPDX-License-Identifier: MIT */
#include "server/config/settings.h"
#include <stdio.h>

void settings_defaults(struct settings *ret_settings) {
    *ret_settings = (struct settings){
        .item_max = 1 << 20,
        .threads = 4,
        .max_connections = 1024,
        .requests_per_event = 20,
        .backlog = 1024,
        .sync_timeout = 60000,
        .allow_flush_all = true,
        .cas_enabled = true,
        .stats_prefix_delimiter = ':',
        .port = 11211,
        .unix_mask = 0700,
        .maxconns_fast = true,
        .allow_dump = true,
        .allow_watch = true,
        .crawler = true,
        .watch_buffer = 256 << 10,
        .tier = {.cache = {.memory_limit = 64 << 20}, .drain_timeout = 30000},
    };
}

static size_t quotas(const struct settings *settings) {
    size_t sum = 0;
    for (size_t i = 0; i < settings->tier.space_count; i++)
        sum += settings->tier.spaces[i].memory;
    return sum;
}

/* Dirty bytes may not crowd out the clean working set: three quarters of what the namespace may use. */
static bool check_dirty_limits(const struct settings *settings, char *ret_error, size_t error_size) {
    for (size_t i = 0; i < settings->tier.space_count; i++) {
        const struct space_options *space = &settings->tier.spaces[i];
        size_t memory = space->memory ? space->memory : settings->tier.cache.memory_limit;
        if (space->dirty_limit > memory / 4 * 3) {
            snprintf(ret_error, error_size,
                     "dirty_limit of namespace \"%s\" (%zu bytes) is more than three quarters of the memory "
                     "it may use "
                     "(%zu bytes): lower dirty_limit or give more memory",
                     space->name, space->dirty_limit, memory);
            return false;
        }
    }
    return true;
}

bool settings_check(const struct settings *settings, char *ret_error, size_t error_size) {
    size_t memory = settings->tier.cache.memory_limit;
    if (settings->item_max > memory / 2) {
        snprintf(ret_error, error_size,
                 "the largest item (%zu bytes) may be at most half of the memory (%zu bytes): raise -m "
                 "(memory) or "
                 "lower -I (item_max)",
                 settings->item_max, memory);
        return false;
    }
    if (quotas(settings) > memory) {
        snprintf(ret_error, error_size,
                 "the namespaces' memory quotas add up to %zu bytes, more than the total of %zu: raise -m "
                 "(memory) or "
                 "lower the quotas",
                 quotas(settings), memory);
        return false;
    }
    return check_dirty_limits(settings, ret_error, error_size);
}
