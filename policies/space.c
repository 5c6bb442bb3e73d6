/* SPDX-License-Identifier: MIT */
/* Namespaces: which key is whose, and what one is made of. */
#include "policies/space.h"
#include "backends/key.h"
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "policies/absence.h"
#include "policies/journal/disk.h"
#include "policies/tell.h"
#include "policies/write/copy.h"
#include "policies/write/quarantine.h"
#include "policies/write/queue.h"
#include "policies/write/writer.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    FLUSH_BYTES_MAX = 64 << 20, /* dirty bytes that make a flush due, however large the batch may be */
    BATCH_BYTES_MIN = 1 << 20,
    BATCH_BYTES_MAX = 32 << 20, /* memory of a batch: this, or a part of the cache's if that is less */
    BATCH_SHARE = 32,
};

static int longer_prefix_first(const void *a, const void *b) {
    const struct space *x = *(struct space *const *)a, *y = *(struct space *const *)b;
    if (x->prefix_size != y->prefix_size)
        return x->prefix_size > y->prefix_size ? -1 : 1;
    return x->number - y->number;
}

static void set_head(struct space_prefix *prefix) {
    size_t size = prefix->size < sizeof prefix->head ? prefix->size : sizeof prefix->head;
    memcpy(&prefix->head, prefix->text, size);
    memset(&prefix->mask, UINT8_MAX, size);
}

struct space_map *space_map_create(struct space *const *spaces, size_t count) {
    struct space *sorted[CACHE_SPACES_MAX];
    struct space_map *map = malloc(sizeof *map + count * sizeof *map->by_prefix);
    if (!map)
        return NULL;
    memcpy((void *)sorted, spaces, count * sizeof *sorted);
    qsort((void *)sorted, count, sizeof *sorted, longer_prefix_first);
    map->count = count - 1;
    map->default_space = sorted[count - 1];
    for (size_t i = 0; i < map->count; i++) {
        map->by_prefix[i] = (struct space_prefix){
            .text = sorted[i]->options.prefix, .size = sorted[i]->prefix_size, .space = sorted[i]};
        set_head(&map->by_prefix[i]);
    }
    memset(map->first, (int)map->count, sizeof map->first);
    for (size_t i = map->count; i-- > 0;)
        map->first[(unsigned char)*map->by_prefix[i].text] = (uint8_t)i;
    return map;
}

/* Most keys and prefixes are told apart without a call. */
static inline bool has_prefix(struct slice key, const struct space_prefix *prefix) {
    uint64_t word;
    if (key.size >= sizeof word) {
        memcpy(&word, key.data, sizeof word);
        if ((word ^ prefix->head) & prefix->mask)
            return false;
        if (prefix->size <= sizeof word)
            return true;
    }
    return slice_starts_with(key, slice_of(prefix->text, prefix->size));
}

/* inline, though others call it as well: it is on the way of every request. */
inline struct space *space_of_key(const struct tier *tier, struct slice key) {
    const struct space_map *map = atomic_load_explicit(&tier->map, memory_order_acquire);
    size_t at = key.size ? map->first[(unsigned char)*key.data] : map->count;
    for (; at < map->count; at++) {
        if (has_prefix(key, &map->by_prefix[at]))
            return map->by_prefix[at].space;
    }
    return map->default_space;
}

bool space_has_integer(const struct space *space, struct slice key) {
    int64_t number;
    return key_is_integer(key_without_prefix(key, space->options.prefix), &number);
}

bool space_keeps_journal(const struct space *space) {
    return space->options.policy->holds_back && space->options.journal != JOURNAL_OFF && space->backend &&
           space->backend->type->remembers_deletes;
}

struct space *space_by_name(struct tier *tier, struct slice name) {
    for (size_t i = 0; i < tier->space_count; i++)
        if (slice_equal(slice_string(tier->spaces[i].options.name), name) &&
            !space_is_retired(&tier->spaces[i]))
            return &tier->spaces[i];
    return NULL;
}

size_t space_number(const struct space *space) {
    return (size_t)space->number;
}

const struct space_options *space_options(const struct space *space) {
    return &space->options;
}

/* Where the writer has seen nothing that waits, and a call holds it up, whatever waits now came after its last look. */
uint64_t space_oldest_dirty_us(const struct space *space) {
    uint64_t oldest_us = atomic_load(&space->oldest_us);
    if (cache_dirty_entries(space->tier->cache, space->number) == 0)
        return 0;
    if (oldest_us == 0)
        oldest_us = writer_unseen_since(space->backend->writer);
    uint64_t now_us = monotonic_us();
    return oldest_us && now_us > oldest_us ? now_us - oldest_us : 0;
}

/* Every power of two is told: of a damaged region there may be thousands a second. */
void space_note_unreadable(struct space *space, struct slice key, const char *reason) {
    uint64_t before = atomic_fetch_add_explicit(&space->rows_unreadable, 1, memory_order_relaxed);
    tell_key(space, key, "a row that cannot be read is that of");
    if (before & (before + 1))
        return;
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "namespace %s, keys \"%s*\": a row cannot be read (%s of such rows so far): %s; level debug tells the key",
        space->options.name, space->options.prefix, count_text(before + 1, "read", "reads").text, reason);
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
        fit_print(error, error_size, "Out of memory for the dirty queues of namespace \"%s\".",
                  space->options.name);
    return complete;
}

static bool init_absence(struct space *space, char *error, size_t error_size) {
    if ((space->absence = absence_create(space)))
        return true;
    fit_print(error, error_size, "Out of memory for the absent_filter of namespace \"%s\".",
              space->options.name);
    return false;
}

static bool init_copy(struct space *space, char *error, size_t error_size) {
    if (copy_init(space))
        return true;
    fit_print(error, error_size, "Out of memory for the copy of namespace \"%s\".", space->options.name);
    return false;
}

static size_t batch_bytes(size_t memory) {
    size_t bytes = memory / BATCH_SHARE;
    return bytes < BATCH_BYTES_MIN ? BATCH_BYTES_MIN : bytes > BATCH_BYTES_MAX ? BATCH_BYTES_MAX : bytes;
}

static void derive(struct space *space) {
    size_t half = space->options.dirty_limit / 2;
    space->flush_bytes = half < FLUSH_BYTES_MAX ? half : FLUSH_BYTES_MAX;
}

struct cache_space_options space_cache_options(const struct space_options *options) {
    return (struct cache_space_options){.memory_floor = options->memory,
                                        .memory_ceiling = options->memory,
                                        .eviction = options->eviction,
                                        .max_residency = options->max_residency,
                                        .keep_stale = options->on_backend_down == DOWN_STALE};
}

void space_adjust(struct space *space, const struct space_options *options) {
    struct space_options complete = *options;
    space_options_complete(&complete);
    for (const struct setting *setting = space_settings; setting->name; setting++)
        if (setting->change == SETTING_LIVE)
            setting_take(setting, &space->options, &complete);
    derive(space);
}

bool space_init(struct space *space, struct tier *tier, const struct space_options *options, int number,
                char *error, size_t error_size) {
    space->options = *options;
    space->policy = options->policy;
    space->tier = tier;
    space->number = number;
    space->journal_number = (unsigned)number;
    space->prefix_size = strlen(options->prefix);
    if (space->policy->needs_backend)
        space->backend = &tier->backends[options->backend];
    space_options_complete(&space->options);
    derive(space);
    space->batch_bytes = batch_bytes(tier->options.cache.memory_limit);
    fullness_init(&space->fullness);
    breaker_init(&space->read_breaker, monotonic_us());
    breaker_init(&space->write_breaker, monotonic_us() + 1);
    return (!space->policy->holds_back || init_dirty(space, error, error_size)) &&
           (!space->options.absent_filter || init_absence(space, error, error_size)) &&
           init_copy(space, error, error_size);
}

void space_destroy(struct space *space) {
    for (unsigned i = 0; space->queues && i < space->tier->options.workers; i++)
        if (space->queues[i].head)
            queue_clear(&space->queues[i]);
    free(space->queues);
    free(space->by_worker);
    absence_destroy(space->absence);
    copy_free(space);
    quarantine_close(space->quarantine);
    fullness_destroy(&space->fullness);
}

static void complete_table(struct space *space) {
    space->options.table.index = 0;
    if (!space->options.table.name)
        space->options.table.name = space->options.name;
    if (!space->options.table.key_prefix)
        space->options.table.key_prefix = space->options.prefix;
}

bool space_make(struct tier *tier, const struct space_options *options, char *error, size_t error_size) {
    int number = (int)tier->space_count;
    struct space *space = &tier->spaces[number];
    bool made = space_init(space, tier, options, number, error, error_size);
    struct cache_space_options cached = space_cache_options(&space->options);
    complete_table(space);
    if (made && cache_add_space(tier->cache, &cached) == number)
        return true;
    if (made)
        fit_print(error, error_size, "Out of memory for namespace \"%s\".", options->name);
    space_destroy(space);
    *space = (struct space){.number = 0};
    return false;
}

void space_list_table(struct space *space, struct tier_backend *backend) {
    size_t index = backend->table_count;
    space->options.table.index = (unsigned)index;
    space->integer_keys = backend->type->keys(&space->options.table) == BACKEND_KEYS_INTEGER;
    backend->tables[index] = &space->options.table;
    if (backend->options.store.coherent) /* until its changes are heard (load/coherence.h) */
        cache_set_blind(space->tier->cache, space->number, true);
    backend->table_count = index + 1; /* last: whoever sees the count sees the table */
}

static void tell_damage(const struct space *space, const struct quarantine_damage *damage) {
    char what[320];
    quarantine_say_skipped(damage, what, sizeof what);
    tell_of_space(space, NULL, LOG_LEVEL_ERROR, "namespace %s: its quarantine file in %s %s",
                  space->options.name, space->tier->options.data, what);
}

static void tell_cut_short(const struct space *space, const struct quarantine_damage *damage) {
    tell_of_space(
        space, NULL, LOG_LEVEL_WARNING,
        "namespace %s: the last record of its quarantine file in %s, at offset %" PRIu64
        ", was not completed, and is cut off; if nothing was written there when the server ended, the disk has lost it",
        space->options.name, space->tier->options.data, damage->end);
}

bool space_open_quarantine(struct space *space, uint64_t *highest, char *error, size_t error_size) {
    struct tier *tier = space->tier;
    struct quarantine_damage damage;
    space->quarantine = quarantine_open(&journal_disk_system, tier->options.data, space->options.name,
                                        tier->options.recovery.skip_damaged, &damage, error, error_size);
    if (!space->quarantine)
        return false;
    if (quarantine_is_damaged(&damage))
        tell_damage(space, &damage);
    if (damage.cut_short)
        tell_cut_short(space, &damage);
    uint64_t version = quarantine_high_version(space->quarantine);
    if (!cache_raise_version(tier->cache, version)) {
        fit_print(error, error_size,
                  "The quarantine of namespace \"%s\" in %s holds a change of version %" PRIu64
                  ", which no clock gives: move its file away.",
                  space->options.name, tier->options.data, version);
        return false;
    }
    if (version > *highest)
        *highest = version;
    return true;
}
