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
    {"prefix", SETTING_TEXT, IN(prefix), .standard_text = NULL, .change = SETTING_FIXED,
     .about =
         "the keys that belong here begin with it; must be given. `\"\"`: all keys that belong to no other namespace"},
    {"memory", SETTING_SIZE, IN(memory), MEMORY_MIN, MEMORY_MAX, .standard = 0, .change = SETTING_LIVE,
     .about = "quota: other namespaces cannot take it, this one cannot exceed it"},
    {"eviction", SETTING_WORD, IN(eviction), .words = eviction_words, .standard = CACHE_LRU,
     .change = SETTING_LIVE, .about = "what goes first when memory is full; `s3-fifo` resists scans"},
    {"ttl", SETTING_SECONDS, IN(ttl), 0, YEARS_MS, .standard = 0, .change = SETTING_LIVE,
     .about = "used when the client gives none; 0: for ever"},
    {"max_residency", SETTING_SECONDS, IN(max_residency), 0, YEARS_MS, .standard = 0, .change = SETTING_LIVE,
     .about = "how long an entry may stay in memory before it is loaded again; 0: for ever"},
    {"negative_ttl", SETTING_MILLISECONDS, IN(negative_ttl), 0, UINT32_MAX, .standard = 0,
     .need = SPACE_NEEDS_BACKEND, .change = SETTING_LIVE,
     .about =
         "how long plain reads believe that an absent key is still absent; 0: not at all. Changes ask the backend all the same"},
    {"existence", SETTING_WORD, IN(existence), .words = existence_words, .standard = EXISTENCE_BACKEND,
     .need = SPACE_NEEDS_BACKEND, .change = SETTING_LIVE,
     .about =
         "how add, replace, delete and touch treat a key that memory does not know: ask the `backend`, or answer from `memory` alone"},
    {"on_backend_down", SETTING_WORD, IN(on_backend_down), .words = down_words, .standard = DOWN_ERROR,
     .need = SPACE_NEEDS_BACKEND, .change = SETTING_LIVE,
     .about =
         "what a get answers while the backend cannot be asked: `error` (SERVER_ERROR), `miss`, `stale` (the entry that has outstayed `max_residency`, if memory still has it; otherwise as `error`), or `close` (the connection is closed, for clients that take an error for a miss)"},
    {"unknown_set", SETTING_WORD, IN(unknown_set), .words = unknown_set_words, .standard = UNKNOWN_SET_ACCEPT,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about =
         "what a `set` is answered whose key memory does not know, while the backend cannot be asked: `accept`, or `refuse` (SERVER_ERROR), lest a row that could not be read is overwritten"},
    {"flush_delay", SETTING_MILLISECONDS, IN(flush_delay), 1, DAY_MS, .standard = 1000,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about = "the longest that the oldest change waits"},
    {"flush_batch", SETTING_COUNT, IN(flush_batch), 1, 1000000, .standard = 200000,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about =
         "when this many changes are waiting, they are written immediately; also the most that are collected at a time (in at most a 32nd of the memory). A commit takes up to 10,000 of them"},
    {"dirty_limit", SETTING_SIZE, IN(dirty_limit), 1 << 16, MEMORY_MAX, .standard = 64 << 20,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about =
         "bytes that may wait; at most three quarters of the memory that the namespace may use. If a quarter of that memory is less than the default, it is the default"},
    {"dirty_age_limit", SETTING_MILLISECONDS, IN(dirty_age_limit), 0, UINT32_MAX, .standard = 0,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about = "if the oldest change is older than this, the namespace counts as full; 0: no bound"},
    {"quarantine_limit", SETTING_SIZE, IN(quarantine_limit), 1 << 16, MEMORY_MAX, .standard = 16 << 20,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about =
         "memory that rows which the backend refuses may take, keys, reasons and bookkeeping included; beside `memory`. At the limit the namespace is [full](policies.md#when-a-write-behind-namespace-is-full)"},
    {"on_full", SETTING_WORD, IN(on_full), .words = full_words, .standard = FULL_WAIT,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about =
         "replies are held back (`wait`), changes are committed first (`write-through`), or refused with SERVER_ERROR (`reject`)"},
    {"journal", SETTING_WORD, IN(journal), .words = journal_mode_names, .standard = JOURNAL_INTERVAL,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_FIXED,
     .about =
         "`off`, `os` (written), `interval` (synced once a second), `always` (synced before the reply). Needs `data`, unless it is `off`"},
    {"touch_slack", SETTING_SECONDS, IN(touch_slack), 0, YEARS_MS, .standard = 0,
     .need = SPACE_NEEDS_HOLDING_BACK, .change = SETTING_LIVE,
     .about = "a touch that moves the expiry by less than this is answered but not recorded"},
    {"preload", SETTING_COUNT, IN(preload), 0, UINT32_MAX, .standard = 0, .need = SPACE_NEEDS_BACKEND,
     .change = SETTING_FIXED, .about = "entries loaded at the start, newest first"},
    {"preload_wait", SETTING_SWITCH, IN(preload_wait), .standard = false, .need = SPACE_NEEDS_BACKEND,
     .change = SETTING_FIXED, .about = "serve clients only once the preload is done"},
    {"absent_filter", SETTING_SWITCH, IN(absent_filter), .standard = false, .need = SPACE_NEEDS_WRITING,
     .change = SETTING_FIXED,
     .about =
         "with SQLite: plain reads of keys that the store does not have are answered from a filter in memory, 12 bits for each key of the table. Only where no other program writes its rows, or tells of them by `forget` ([policies](policies.md#the-absent-filter))"},
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
