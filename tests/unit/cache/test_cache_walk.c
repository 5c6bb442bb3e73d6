/* SPDX-License-Identifier: MIT */
/* Looking at entries without asking for them: the walk over all, and the evictions that are watched. */
#include "cache/cache.h"
#include "tests/support/check.h"
#include <stdio.h>

enum { KEYS = 20000, SPACES = 2 };

/* Counts what it is shown: keys are "key-N", of the namespace N % SPACES. */
struct counter {
    struct cache_visitor visitor; /* first */
    unsigned total, wrong, fetched;
    unsigned char seen[KEYS];
};

struct fixture {
    struct cache *cache;
    int space[SPACES];
    struct cache_time now;
    struct counter counter;
};

static void count(struct cache_visitor *self, int space, const struct cache_view *view) {
    struct counter *counter = (struct counter *)(void *)self;
    char key[32];
    unsigned number = KEYS;
    snprintf(key, sizeof key, "%.*s", (int)view->key.size, view->key.data);
    counter->total++;
    counter->fetched += view->fetched;
    if (sscanf(key, "key-%u", &number) != 1 || number >= KEYS || (int)(number % SPACES) != space)
        counter->wrong++;
    else
        counter->seen[number]++;
}

static int set_up(void **state) {
    static struct fixture fixture;
    fixture = (struct fixture){.counter = {.visitor = {count}}};
    struct cache_options options = {
        .memory_limit = 16 << 20, .item_max = 1 << 20, .threads = 2, .hash_seed = 1};
    struct cache_space_options space = {0};
    assert_int_equal(cache_create(&options, &fixture.cache), CACHE_OK);
    for (int i = 0; i < SPACES; i++)
        fixture.space[i] = cache_add_space(fixture.cache, &space);
    fixture.now = cache_time_from_us(1700000000000000u);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    assert_true(cache_is_sane(fixture->cache));
    cache_destroy(fixture->cache);
    return 0;
}

static void store(struct fixture *fixture, unsigned number, size_t size, uint32_t expires_at) {
    static char value[64 << 10];
    char key[32];
    struct cache_cursor cursor;
    struct cache_write write = {.value = slice_of(value, size), .expires_at = expires_at};
    snprintf(key, sizeof key, "key-%u", number);
    struct slice name = slice_string(key);
    cache_seek(fixture->cache, fixture->space[number % SPACES], name, cache_hash(fixture->cache, name),
               &fixture->now, &cursor);
    enum cache_status status = cache_store(&cursor, &write);
    cache_release(&cursor);
    assert_int_equal(status, CACHE_OK);
}

/* Counts from zero. */
static const struct counter *walk_all(struct fixture *fixture, int space) {
    struct counter *counter = &fixture->counter;
    struct cache_walk walk = {0};
    *counter = (struct counter){.visitor = {count}};
    while (cache_walk(fixture->cache, space, &walk, &fixture->now, &counter->visitor))
        continue;
    assert_int_equal(counter->wrong, 0);
    return counter;
}

TEST(nothing_is_shown_of_an_empty_cache) {
    const struct counter *counter = walk_all(*state, CACHE_ALL_SPACES);
    assert_int_equal(counter->total, 0);
}

TEST(every_entry_is_shown_once) {
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < KEYS; i++)
        store(fixture, i, 10, 0);
    const struct counter *counter = walk_all(fixture, CACHE_ALL_SPACES);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(counter->seen[i], 1);
}

TEST(one_namespace_alone_is_shown) {
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 1000; i++)
        store(fixture, i, 10, 0);
    const struct counter *counter = walk_all(fixture, fixture->space[1]);
    assert_int_equal(counter->total, 500);
    assert_int_equal(counter->seen[1], 1);
    assert_int_equal(counter->seen[2], 0);
}

TEST(what_is_over_is_not_shown) {
    struct fixture *fixture = *state;
    store(fixture, 0, 10, 0);
    store(fixture, 1, 10, fixture->now.seconds + 5);
    store(fixture, 2, 40 << 10, 0); /* a large value */
    fixture->now = cache_time_from_us(fixture->now.us + 10 * 1000000u);
    const struct counter *counter = walk_all(fixture, CACHE_ALL_SPACES);
    assert_int_equal(counter->total, 2);
    assert_int_equal(counter->seen[1], 0);
    cache_flush_all(fixture->cache, CACHE_ALL_SPACES, fixture->now.seconds, &fixture->now);
    counter = walk_all(fixture, CACHE_ALL_SPACES);
    assert_int_equal(counter->total, 0);
}

/* The index grows under the walk: what was there from its beginning is shown all the same. */
TEST(growth_hides_nothing) {
    struct fixture *fixture = *state;
    struct counter *counter = &fixture->counter;
    struct cache_walk walk = {0};
    unsigned stored = 2000;
    for (unsigned i = 0; i < stored; i++)
        store(fixture, i, 10, 0);
    while (cache_walk(fixture->cache, CACHE_ALL_SPACES, &walk, &fixture->now, &counter->visitor))
        for (unsigned i = 0; i < 500 && stored < KEYS; i++)
            store(fixture, stored++, 10, 0);
    for (unsigned i = 0; i < 2000; i++)
        assert_true(counter->seen[i] >= 1);
    assert_int_equal(counter->wrong, 0);
}

TEST(evictions_are_shown_as_long_as_they_are_watched) {
    struct fixture *fixture = *state;
    struct cache_stats stats;
    struct counter *counter = &fixture->counter;
    cache_watch_evictions(fixture->cache, &counter->visitor);
    for (unsigned i = 0; i < 4000; i++)
        store(fixture, i, i % 40 ? 8000 : 40 << 10, 0);
    cache_get_stats(fixture->cache, CACHE_ALL_SPACES, &stats);
    assert_true(stats.evictions > 1000);
    assert_int_equal(counter->total, stats.evictions);
    assert_int_equal(counter->wrong, 0);
    assert_int_equal(counter->fetched, 0);
    for (unsigned i = 0; i < KEYS; i++)
        assert_true(counter->seen[i] <= 1);
    cache_watch_evictions(fixture->cache, NULL);
    unsigned before = counter->total;
    for (unsigned i = 4000; i < 6000; i++)
        store(fixture, i, 8000, 0);
    assert_int_equal(counter->total, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(nothing_is_shown_of_an_empty_cache),
        CASE(every_entry_is_shown_once),
        CASE(one_namespace_alone_is_shown),
        CASE(what_is_over_is_not_shown),
        CASE(growth_hides_nothing),
        CASE(evictions_are_shown_as_long_as_they_are_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
