/* SPDX-License-Identifier: MIT */
/* A small cache, and entries in it. */
#ifndef FOREBAY_TESTS_SUPPORT_CACHE_FIXTURE_H
#define FOREBAY_TESTS_SUPPORT_CACHE_FIXTURE_H

#include "cache/cache.h"
#include "cache/find.h"
#include "cache/hash.h"
#include "tests/support/check.h"

#define MIB ((size_t)1 << 20)

struct fixture {
    struct cache *cache;
    int space;
    struct cache_time now;
};

/* Between seek and release. After a test that failed there nobody can look at the cache. */
static bool locked;

static inline int set_up(void **state) {
    static struct fixture fixture;
    struct cache_options options = {
        .memory_limit = 16 * MIB, .item_max = MIB, .threads = 2, .node = 5, .hash_seed = 1};
    assert_int_equal(cache_create(&options, &fixture.cache), CACHE_OK);
    fixture.space = cache_add_space(fixture.cache, &(struct cache_space_options){0});
    fixture.now = cache_time_from_us(1700000000000000u);
    locked = false;
    *state = &fixture;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;
    if (!locked)
        assert_true(cache_is_sane(fixture->cache));
    cache_destroy(fixture->cache);
    return 0;
}

static inline void wait_seconds(struct fixture *fixture, uint64_t seconds) {
    fixture->now = cache_time_from_us(fixture->now.us + seconds * 1000000u);
}

static inline enum cache_presence seek(struct fixture *fixture, const char *key,
                                       struct cache_cursor *ret_cursor) {
    struct slice name = slice_string(key);
    locked = true;
    return cache_seek(fixture->cache, fixture->space, name, cache_hash(fixture->cache, name), &fixture->now,
                      ret_cursor);
}

static inline void release(struct cache_cursor *cursor) {
    cache_release(cursor);
    locked = false;
}

static inline void maintain(struct fixture *fixture) {
    while (cache_maintain(fixture->cache, &fixture->now))
        continue;
}

/* What the cache says about a key; the view's slices are not to be used. */
static inline struct cache_cursor look(struct fixture *fixture, const char *key) {
    struct cache_cursor cursor;
    seek(fixture, key, &cursor);
    release(&cursor);
    assert_true(cache_is_sane(fixture->cache));
    return cursor;
}

static inline void assert_value(struct fixture *fixture, const char *key, struct slice value) {
    struct cache_cursor cursor;
    assert_int_equal(seek(fixture, key, &cursor), CACHE_PRESENT);
    assert_true(slice_equal(cursor.view.value, value));
    assert_true(slice_equal(cursor.view.key, slice_string(key)));
    release(&cursor);
    assert_true(cache_is_sane(fixture->cache));
}

static inline struct cache_cursor store(struct fixture *fixture, const char *key,
                                        const struct cache_write *write) {
    struct cache_cursor cursor;
    seek(fixture, key, &cursor);
    assert_int_equal(cache_store(&cursor, write), CACHE_OK);
    release(&cursor);
    assert_true(cache_is_sane(fixture->cache));
    return cursor;
}

static inline struct cache_cursor store_text(struct fixture *fixture, const char *key, const char *text,
                                             bool dirty) {
    return store(fixture, key, &(struct cache_write){.value = slice_string(text), .dirty = dirty});
}

static inline bool settle(struct fixture *fixture, const char *key, uint64_t version) {
    struct slice name = slice_string(key);
    bool done = cache_settle(fixture->cache, name, cache_hash(fixture->cache, name), version, &fixture->now);
    assert_true(cache_is_sane(fixture->cache));
    return done;
}

static inline struct cache_stats stats(struct fixture *fixture) {
    struct cache_stats result;
    cache_get_stats(fixture->cache, fixture->space, &result);
    return result;
}

/* Remembers what was shown to it last. */
struct catcher {
    struct cache_collector collector;
    struct cache_view view;
    char value[64];
    unsigned count;
};

static inline void catch_entry(struct cache_collector *self, const struct cache_view *view) {
    struct catcher *catcher = (struct catcher *)(void *)self;
    catcher->view = *view;
    catcher->count++;
    memcpy(catcher->value, view->value.data, view->value.size);
    catcher->value[view->value.size] = 0;
}

static inline unsigned collect(struct fixture *fixture, const char *key, struct catcher *ret_catcher) {
    *ret_catcher = (struct catcher){.collector = {catch_entry}};
    unsigned found =
        cache_collect(fixture->cache, fixture->space, cache_hash(fixture->cache, slice_string(key)),
                      &fixture->now, &ret_catcher->collector);
    assert_int_equal(found, ret_catcher->count);
    assert_true(cache_is_sane(fixture->cache));
    return found;
}

static inline enum cache_status fill(struct fixture *fixture, const char *key, const char *value,
                                     uint64_t version, uint64_t stamp) {
    struct entry entry = {.key = slice_string(key), .value = slice_string(value), .version = version};
    enum cache_status status = cache_fill(fixture->cache, fixture->space, &entry,
                                          cache_hash(fixture->cache, entry.key), stamp, &fixture->now);
    assert_true(cache_is_sane(fixture->cache));
    return status;
}

#endif
