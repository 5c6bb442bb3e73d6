/* SPDX-License-Identifier: MIT */
/* The settings of a namespace: one row each. What a kind of backend adds is in that kind's own table. */
#include "policies/space_options.h"

static const char *const eviction_words[] = {"lru", "s3-fifo", NULL};
static const char *const existence_words[] = {"backend", "memory", NULL};
static const char *const down_words[] = {"error", "miss", "stale", "close", NULL};
static const char *const unknown_set_words[] = {"accept", "refuse", NULL};
static const char *const full_words[] = {"wait", "write-through", "reject", NULL};

#define IN(member) offsetof(struct space_options, member)
#define MEMORY_MIN (1 << 20)
#define MEMORY_MAX (1ull << 44)
#define DAY_MS     86400000ull
#define YEARS_MS   (10 * 365 * DAY_MS)

const struct setting space_settings[] = {
    {"prefix", SETTING_TEXT, IN(prefix), .standard_text = NULL, .change = SETTING_FIXED},
    {"memory", SETTING_SIZE, IN(memory), MEMORY_MIN, MEMORY_MAX, .standard = 0, .change = SETTING_LIVE},
    {"eviction", SETTING_WORD, IN(eviction), .words = eviction_words, .standard = CACHE_LRU,
     .change = SETTING_LIVE},
    {"ttl", SETTING_SECONDS, IN(ttl), 0, YEARS_MS, .standard = 0, .change = SETTING_LIVE},
    {"max_residency", SETTING_SECONDS, IN(max_residency), 0, YEARS_MS, .standard = 0, .change = SETTING_LIVE},
    {"negative_ttl", SETTING_MILLISECONDS, IN(negative_ttl), 0, UINT32_MAX, .standard = 0,
     .need = SPACE_NEEDS_BACKEND, .change = SETTING_LIVE},
    {"existence", SETTING_WORD, IN(existence), .words = existence_words, .standard = EXISTENCE_BACKEND,
     .need = SPACE_NEEDS_BACKEND, .change = SETTING_LIVE},
    {"on_backend_down", SETTING_WORD, IN(on_backend_down), .words = down_words, .standard = DOWN_ERROR,
     .need = SPACE_NEEDS_BACKEND, .change = SETTING_LIVE},
    {"unknown_set", SETTING_WORD, IN(unknown_set), .words = unknown_set_words, .standard = UNKNOWN_SET_ACCEPT,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"flush_delay", SETTING_MILLISECONDS, IN(flush_delay), 1, DAY_MS, .standard = 1000,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"flush_batch", SETTING_COUNT, IN(flush_batch), 1, 1000000, .standard = 200000,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"dirty_limit", SETTING_SIZE, IN(dirty_limit), 1 << 16, MEMORY_MAX, .standard = 64 << 20,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"dirty_age_limit", SETTING_MILLISECONDS, IN(dirty_age_limit), 0, UINT32_MAX, .standard = 0,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"quarantine_limit", SETTING_SIZE, IN(quarantine_limit), 1 << 16, MEMORY_MAX, .standard = 16 << 20,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"on_full", SETTING_WORD, IN(on_full), .words = full_words, .standard = FULL_WAIT,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"journal", SETTING_WORD, IN(journal), .words = journal_mode_names, .standard = JOURNAL_INTERVAL,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_FIXED},
    {"touch_slack", SETTING_SECONDS, IN(touch_slack), 0, YEARS_MS, .standard = 0,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE},
    {"preload", SETTING_COUNT, IN(preload), 0, UINT32_MAX, .standard = 0, .need = SPACE_NEEDS_BACKEND,
     .change = SETTING_FIXED},
    {"preload_wait", SETTING_SWITCH, IN(preload_wait), .standard = false, .need = SPACE_NEEDS_BACKEND,
     .change = SETTING_FIXED},
    {"absent_filter", SETTING_SWITCH, IN(absent_filter), .standard = false, .need = SPACE_NEEDS_WRITING,
     .change = SETTING_FIXED},
    {0},
};

void space_options_set_defaults(struct space_options *ret_options) {
    *ret_options = (struct space_options){.backend = -1};
    setting_set_defaults(space_settings, ret_options);
}

void space_options_complete(struct space_options *options) {
    struct space_options standard;
    space_options_set_defaults(&standard);
    if (!options->flush_delay)
        options->flush_delay = standard.flush_delay;
    if (!options->flush_batch)
        options->flush_batch = standard.flush_batch;
    if (!options->dirty_limit)
        options->dirty_limit = standard.dirty_limit;
    if (!options->quarantine_limit)
        options->quarantine_limit = standard.quarantine_limit;
}
