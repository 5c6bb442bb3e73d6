/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a cache and on a model of it, side by side.
 *
 * The model knows the last change of each key. The cache may forget what is clean at any time, so it may
 * answer UNKNOWN for such keys; whatever else it answers must be what the model says, and what is dirty it
 * must know. Memory is checked too: the limit, which changes now and then, ceilings, and floors, below which
 * no store of another namespace evicts. Runs for a few seconds; FOREBAY_TEST_SECONDS makes each test run
 * longer, FOREBAY_TEST_SEED another way.
 */
#include "cache/cache.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

enum { KEYS = 4000, SPACES = 3, VALUE_MAX = 300000, CHECK_EVERY = 400, LIMIT_EVERY = 40, SHARDS_MAX = 4 };

enum what { NOTHING, VALUE, TOMBSTONE, ABSENT };

struct model_key {
    enum what what;
    enum cache_state state;
    uint64_t version;
    uint32_t size, fill; /* of the value */
    uint32_t flags, expires_at, until;
    uint64_t client_cas;
    bool voided; /* dropped when it is settled */
    bool ttl_only;
};

struct world {
    struct cache *cache;
    struct cache_time now;
    struct model_key keys[KEYS];
    uint64_t random;
    uint64_t last_version[KEYS];
    size_t limit, first_limit;
    size_t segment_max; /* what a segment takes at most, whatever the limit is */
    const struct cache_space_options *spaces;
    bool no_eviction;
    unsigned large_percent;
    uint64_t known, unknown, refused;
    char *value;
};

static uint64_t roll(struct world *world, uint64_t below) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (world->random * 0x2545f4914f6cdd1dull >> 11) % below;
}

static int space_of(unsigned number) {
    return (int)(number % SPACES);
}

static struct slice key_of(unsigned number, char *buffer) {
    int size = sprintf(buffer, "%*sk%u", (int)(number * 7 % 40), "", number);
    return slice_of(buffer, (size_t)size);
}

static struct slice value_of(struct world *world, const struct model_key *key) {
    for (uint32_t i = 0; i < key->size; i++)
        world->value[i] = (char)((key->fill + i * 7) ^ i >> 8);
    return slice_of(world->value, key->size);
}

/* Some sizes near each other, so that overwrites in place, growth into holes and moves all happen. */
static uint32_t random_size(struct world *world) {
    uint64_t kind = roll(world, 1000);
    if (kind < world->large_percent * 10u)
        return (uint32_t)roll(world, VALUE_MAX);
    if (kind < 500)
        return (uint32_t)roll(world, 60);
    return (uint32_t)(kind < 950 ? roll(world, 1500) : roll(world, 9000));
}

static bool expired(const struct world *world, uint32_t second) {
    return second && second <= world->now.seconds;
}

static bool may_be_unknown(const struct model_key *key) {
    return key->what == NOTHING || key->what == ABSENT || key->state == CACHE_CLEAN;
}

static void check_view(struct world *world, const struct model_key *key, const struct cache_cursor *at) {
    assert_int_equal(at->view.version, key->version);
    assert_int_equal(at->view.state, key->state);
    if (at->presence == CACHE_PRESENT) {
        assert_true(slice_equal(at->view.value, value_of(world, key)));
        assert_int_equal(at->view.flags, key->flags);
        assert_int_equal(at->view.expires_at, key->expires_at);
        assert_int_equal(at->view.client_cas, key->client_cas);
        assert_int_equal(at->view.ttl_only, key->ttl_only);
        assert_int_equal(at->view.large != NULL, at->view.value.size >= CACHE_LARGE_VALUE || at->view.large);
    }
}

/* Seeks a key and holds the answer against the model; leaves the shard locked. */
static void seek_and_check(struct world *world, unsigned number, char *buffer,
                           struct cache_cursor *ret_cursor) {
    struct model_key *key = &world->keys[number];
    struct slice name = key_of(number, buffer);
    enum cache_presence presence = cache_seek(world->cache, space_of(number), name,
                                              cache_hash(world->cache, name), &world->now, ret_cursor);
    assert_int_equal(presence, ret_cursor->presence);
    if (presence == CACHE_UNKNOWN) {
        assert_true(may_be_unknown(key));
        key->what = NOTHING;
        world->unknown++;
        return;
    }
    world->known++;
    switch (key->what) {
    case VALUE:
        assert_true(!expired(world, key->expires_at) || key->state != CACHE_CLEAN);
        assert_int_equal(presence, expired(world, key->expires_at) ? CACHE_GONE : CACHE_PRESENT);
        assert_int_equal(ret_cursor->view.expired, expired(world, key->expires_at));
        check_view(world, key, ret_cursor);
        break;
    case TOMBSTONE:
        assert_int_equal(presence, CACHE_GONE);
        assert_true(ret_cursor->view.tombstone);
        check_view(world, key, ret_cursor);
        break;
    case ABSENT:
        assert_int_equal(presence, CACHE_GONE);
        assert_true(key->until > world->now.seconds);
        break;
    case NOTHING:
        fail_msg("the cache knows key %u, which was dropped", number);
    }
}

/* What a successful change gives: a version above all that were seen of the key. */
static void changed(struct world *world, unsigned number, const struct cache_cursor *at, bool was_dirty) {
    struct model_key *key = &world->keys[number];
    assert_true(at->view.version > world->last_version[number]);
    world->last_version[number] = key->version = at->view.version;
    assert_int_equal(at->queue, key->state == CACHE_DIRTY && !was_dirty);
}

static bool is_dirty(const struct model_key *key) {
    return (key->what == VALUE || key->what == TOMBSTONE) && key->state == CACHE_DIRTY;
}

static uint32_t random_expiry(struct world *world) {
    return roll(world, 3) ? 0 : world->now.seconds + (uint32_t)roll(world, roll(world, 2) ? 5 : 5000);
}

static struct cache_stats stats_of(struct world *world, int space) {
    struct cache_stats stats;
    cache_get_stats(world->cache, space, &stats);
    return stats;
}

/* A change in one namespace evicts nothing from another one that is below its floor (by more than what
 * an evacuation under way holds of it). */
static void check_floors(struct world *world, int changed_space, const struct cache_stats *before) {
    for (int i = 0; i < SPACES; i++)
        if (i != changed_space &&
            before[i].memory_used + SHARDS_MAX * world->segment_max < world->spaces[i].memory_floor)
            assert_int_equal(stats_of(world, i).evictions, before[i].evictions);
}

static void do_store(struct world *world, unsigned number) {
    struct cache_stats before[SPACES];
    for (int i = 0; i < SPACES; i++)
        before[i] = stats_of(world, i);
    char buffer[80];
    struct cache_cursor at;
    seek_and_check(world, number, buffer, &at);
    struct model_key *key = &world->keys[number];
    bool was_dirty = is_dirty(key);
    struct model_key next = {.what = VALUE,
                             .state = was_dirty || roll(world, 10) == 0 ? CACHE_DIRTY : CACHE_CLEAN,
                             .size = random_size(world),
                             .fill = (uint32_t)roll(world, 256),
                             .flags = roll(world, 3) ? 0 : (uint32_t)roll(world, UINT32_MAX),
                             .client_cas = roll(world, 8) ? 0 : roll(world, UINT64_MAX),
                             .expires_at = random_expiry(world)};
    struct cache_write write = {.value = value_of(world, &next),
                                .client_cas = next.client_cas,
                                .flags = next.flags,
                                .expires_at = next.expires_at,
                                .dirty = next.state == CACHE_DIRTY};
    enum cache_status status = cache_store(&at, &write);
    if (status == CACHE_OK) {
        *key = next;
        changed(world, number, &at, was_dirty);
    } else {
        assert_int_equal(status, CACHE_NO_MEMORY);
        world->refused++;
    }
    cache_release(&at);
    if (status != CACHE_OK) { /* the entry is as it was */
        seek_and_check(world, number, buffer, &at);
        cache_release(&at);
    }
    check_floors(world, space_of(number), before);
}

static void do_read(struct world *world, unsigned number) {
    char buffer[80];
    struct cache_cursor at;
    seek_and_check(world, number, buffer, &at);
    if (at.presence == CACHE_PRESENT)
        cache_hit(&at);
    cache_release(&at);
}

static void do_touch(struct world *world, unsigned number) {
    char buffer[80];
    struct cache_cursor at;
    seek_and_check(world, number, buffer, &at);
    struct model_key *key = &world->keys[number];
    if (at.presence == CACHE_PRESENT) {
        bool was_dirty = is_dirty(key), dirty = roll(world, 2);
        uint32_t expires_at = random_expiry(world);
        if (cache_touch(&at, expires_at, dirty) == CACHE_OK) {
            key->expires_at = expires_at;
            if (dirty) {
                key->client_cas = key->client_cas ? key->client_cas : key->version;
                key->ttl_only = key->state == CACHE_CLEAN || key->ttl_only;
                key->state = CACHE_DIRTY;
                changed(world, number, &at, was_dirty);
            }
        }
    }
    cache_release(&at);
}

static void do_bury(struct world *world, unsigned number) {
    char buffer[80];
    struct cache_cursor at;
    seek_and_check(world, number, buffer, &at);
    struct model_key *key = &world->keys[number];
    bool was_dirty = is_dirty(key);
    if (cache_bury(&at, 0) == CACHE_OK) {
        *key = (struct model_key){.what = TOMBSTONE, .state = CACHE_DIRTY};
        changed(world, number, &at, was_dirty);
    }
    cache_release(&at);
}

static void do_forget(struct world *world, unsigned number) {
    char buffer[80];
    struct cache_cursor at;
    seek_and_check(world, number, buffer, &at);
    cache_forget(&at);
    world->keys[number] = (struct model_key){.what = NOTHING};
    cache_release(&at);
}

/* A load: what is not known is filled, unless something comes between. */
static void do_fill(struct world *world, unsigned number) {
    char buffer[80];
    struct cache_cursor at;
    seek_and_check(world, number, buffer, &at);
    struct model_key *key = &world->keys[number];
    uint64_t stamp = at.stamp;
    enum cache_presence presence = at.presence;
    cache_release(&at);
    bool between = roll(world, 4) == 0;
    if (between)
        do_forget(world, number);
    struct model_key next = {.what = VALUE,
                             .size = random_size(world),
                             .fill = (uint32_t)roll(world, 256),
                             .expires_at = random_expiry(world),
                             .version = world->last_version[number] + 1};
    struct slice name = key_of(number, buffer);
    enum cache_status status;
    if (roll(world, 3)) {
        struct entry entry = {.key = name,
                              .value = value_of(world, &next),
                              .version = next.version,
                              .expires_at = next.expires_at};
        status = cache_fill(world->cache, space_of(number), &entry, cache_hash(world->cache, name), stamp,
                            &world->now);
        if (expired(world, next.expires_at))
            next.what = NOTHING;
    } else {
        next = (struct model_key){.what = ABSENT, .until = world->now.seconds + (uint32_t)roll(world, 4)};
        status = cache_fill_absent(world->cache, space_of(number), name, cache_hash(world->cache, name),
                                   stamp, next.until, &world->now);
        if (next.until <= world->now.seconds)
            next.what = NOTHING;
    }
    assert_int_equal(status == CACHE_CHANGED, between || presence != CACHE_UNKNOWN);
    if (status == CACHE_OK) {
        *key = next;
        if (next.what == VALUE)
            world->last_version[number] = next.version;
    }
}

struct shown {
    struct cache_collector collector;
    struct world *world;
    unsigned number;
};

static void show(struct cache_collector *self, const struct cache_view *view) {
    struct shown *shown = (struct shown *)(void *)self;
    const struct model_key *key = &shown->world->keys[shown->number];
    assert_int_equal(view->version, key->version);
    assert_int_equal(view->tombstone, key->what == TOMBSTONE);
    assert_int_equal(view->state, CACHE_FLUSHING);
    if (!view->tombstone)
        assert_true(slice_equal(view->value, value_of(shown->world, key)));
}

static void do_collect(struct world *world, unsigned number) {
    char buffer[80];
    struct slice name = key_of(number, buffer);
    struct model_key *key = &world->keys[number];
    struct shown shown = {{show}, world, number};
    unsigned found = cache_collect(world->cache, space_of(number), cache_hash(world->cache, name),
                                   &world->now, &shown.collector);
    assert_int_equal(found, is_dirty(key));
    if (found)
        key->state = CACHE_FLUSHING;
}

static void do_settle(struct world *world, unsigned number) {
    char buffer[80];
    struct slice name = key_of(number, buffer);
    struct model_key *key = &world->keys[number];
    if ((key->what != VALUE && key->what != TOMBSTONE) || key->state != CACHE_FLUSHING)
        return;
    switch (roll(world, 3)) {
    case 0:
        assert_true(cache_unsettle(world->cache, name, cache_hash(world->cache, name), key->version));
        key->state = CACHE_DIRTY;
        break;
    case 1:
        assert_false(
            cache_settle(world->cache, name, cache_hash(world->cache, name), key->version - 1, &world->now));
        break;
    default:
        assert_true(
            cache_settle(world->cache, name, cache_hash(world->cache, name), key->version, &world->now));
        key->state = CACHE_CLEAN;
        key->ttl_only = false;
        if (key->what == TOMBSTONE || key->voided || expired(world, key->expires_at))
            key->what = NOTHING;
    }
}

static void do_flush_all(struct world *world) {
    int space = (int)roll(world, SPACES);
    cache_flush_all(world->cache, space, 0, &world->now);
    for (unsigned i = 0; i < KEYS; i++) {
        struct model_key *key = &world->keys[i];
        if (space_of(i) != space)
            continue;
        if ((key->what == VALUE || key->what == TOMBSTONE) && key->state != CACHE_CLEAN)
            key->voided = true;
        else
            key->what = NOTHING;
    }
}

static void check_all(struct world *world) {
    struct cache_stats stats;
    assert_true(cache_is_sane(world->cache));
    cache_get_stats(world->cache, CACHE_ALL_SPACES, &stats);
    assert_true(stats.memory_used <= world->limit + 64 * 1024);
    for (int i = 0; i < SPACES; i++) {
        size_t ceiling = world->spaces[i].memory_ceiling;
        assert_true(!ceiling || stats_of(world, i).memory_used <= ceiling + SHARDS_MAX * world->segment_max);
    }
    size_t dirty[SPACES] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        const struct model_key *key = &world->keys[i];
        dirty[space_of(i)] += (key->what == VALUE || key->what == TOMBSTONE) && key->state != CACHE_CLEAN;
    }
    for (int i = 0; i < SPACES; i++)
        assert_int_equal(cache_dirty_entries(world->cache, i), dirty[i]);
}

static void step(struct world *world) {
    /* Half of the work on a few keys. */
    unsigned number = (unsigned)(roll(world, 2) ? roll(world, KEYS) : roll(world, KEYS / 20));
    uint64_t what = roll(world, 1000);
    if (what < 350)
        do_read(world, number);
    else if (what < 600)
        do_store(world, number);
    else if (what < 680)
        do_fill(world, number);
    else if (what < 720)
        do_touch(world, number);
    else if (what < 745)
        do_bury(world, number);
    else if (what < 765)
        do_forget(world, number);
    else if (what < 860)
        do_collect(world, number);
    else if (what < 955)
        do_settle(world, number);
    else if (what < 985)
        cache_maintain(world->cache, &world->now);
    else if (what < 998)
        world->now = cache_time_from_us(world->now.us + roll(world, 700000));
    else if (what < 999)
        world->now = cache_time_from_us(world->now.us - 10); /* the clock steps back a little */
    else if (roll(world, 10) == 0)
        do_flush_all(world);
}

/* Makes the dirty share small again, as a flusher would. */
static void settle_everything(struct world *world) {
    for (unsigned i = 0; i < KEYS; i++) {
        do_collect(world, i);
        do_settle(world, i);
    }
}

/* Another limit, up or down: once everything is clean it is reached. */
static void change_limit(struct world *world) {
    size_t limit = world->first_limit / 2 + roll(world, world->first_limit);
    settle_everything(world);
    if (world->no_eviction || cache_resize(world->cache, limit) != CACHE_OK)
        return;
    for (unsigned i = 0; i < KEYS; i++) /* what settle_everything left flushing or dirty */
        while (is_dirty(&world->keys[i]) || world->keys[i].state == CACHE_FLUSHING) {
            do_collect(world, i);
            do_settle(world, i);
        }
    unsigned calls = 0;
    while (cache_maintain(world->cache, &world->now))
        assert_true(calls++ < 10000);
    world->limit = limit;
    check_all(world);
}

static double run_seconds(void) {
    const char *text = getenv("FOREBAY_TEST_SECONDS");
    return text ? atof(text) : 1.0;
}

static int set_up(void **state) {
    struct world *world = *state = calloc(1, sizeof *world);
    const char *seed = getenv("FOREBAY_TEST_SEED");
    assert_non_null(world);
    world->random = seed ? strtoull(seed, NULL, 10) | 1 : 88172645463325252ull;
    world->now = cache_time_from_us(1700000000000000u);
    world->value = malloc(VALUE_MAX);
    assert_non_null(world->value);
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    cache_destroy(world->cache);
    free(world->value);
    free(world);
    return 0;
}

static void create_cache(struct world *world, size_t limit) {
    struct cache_options options = {.memory_limit = limit,
                                    .item_max = MIB,
                                    .threads = limit > 4 * MIB ? 4 : 1,
                                    .node = 3,
                                    .no_eviction = world->no_eviction,
                                    .hash_seed = 1};
    world->limit = world->first_limit = limit;
    world->segment_max = limit / 256 < 16384 ? 16384 : limit / 256;
    assert_int_equal(cache_create(&options, &world->cache), CACHE_OK);
    for (int i = 0; i < SPACES; i++)
        assert_int_equal(cache_add_space(world->cache, &world->spaces[i]), i);
}

static void run(struct world *world, size_t limit, const struct cache_space_options *spaces) {
    world->spaces = spaces;
    create_cache(world, limit);
    uint64_t end_us = monotonic_us() + (uint64_t)(run_seconds() * US_PER_SECOND);
    for (unsigned steps = 1; steps <= 2 * LIMIT_EVERY || monotonic_us() < end_us; steps++) {
        for (unsigned i = 0; i < CHECK_EVERY; i++)
            step(world);
        check_all(world);
        if (steps % 64 == 0)
            settle_everything(world);
        if (steps % LIMIT_EVERY == 0)
            change_limit(world);
    }
    assert_true(world->known > 0 && world->unknown > 0);
}

TEST(the_cache_agrees_in_little_memory) {
    run(*state, MIB,
        (struct cache_space_options[]){{0}, {.eviction = CACHE_S3_FIFO}, {.memory_ceiling = 300 << 10}});
}

TEST(the_cache_agrees_with_quotas_and_a_residency) {
    struct world *world = *state;
    world->large_percent = 1;
    run(world, 2 * MIB,
        (struct cache_space_options[]){{.memory_floor = 800 << 10, .max_residency = 20},
                                       {.eviction = CACHE_S3_FIFO, .memory_ceiling = 600 << 10},
                                       {.eviction = CACHE_S3_FIFO}});
}

TEST(the_cache_agrees_with_large_values_and_several_shards) {
    struct world *world = *state;
    world->large_percent = 30;
    run(world, 32 * MIB,
        (struct cache_space_options[]){{.memory_floor = 12 * MIB},
                                       {.eviction = CACHE_S3_FIFO},
                                       {.memory_floor = 4 * MIB, .memory_ceiling = 8 * MIB}});
}

TEST(the_cache_agrees_with_plenty_of_room) {
    run(*state, 64 * MIB, (struct cache_space_options[]){{0}, {.eviction = CACHE_S3_FIFO}, {0}});
}

TEST(the_cache_agrees_without_eviction) {
    struct world *world = *state;
    world->no_eviction = true;
    run(world, MIB, (struct cache_space_options[]){{0}, {.eviction = CACHE_S3_FIFO}, {0}});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_cache_agrees_in_little_memory),
        CASE(the_cache_agrees_with_quotas_and_a_residency),
        CASE(the_cache_agrees_with_large_values_and_several_shards),
        CASE(the_cache_agrees_with_plenty_of_room),
        CASE(the_cache_agrees_without_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
