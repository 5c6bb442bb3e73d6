/* SPDX-License-Identifier: MIT */
/* The memory limit and who gives way: eviction, quotas, -M, dirty entries, resizing, expiry, holes. */
#include "cache/cache.h"
#include "tests/support/check.h"
#include <stdio.h>

#define MIB ((size_t)1 << 20)

static const struct cache_time now = {1700000000000000u, 1700000000u, 1700000000u};
static char value[MIB];

static int set_up(void **state) {
    *state = NULL; /* each test makes a cache of its own size */
    return 0;
}

static int tear_down(void **state) {
    cache_destroy(*state);
    return 0;
}

static struct cache *make(void **state, size_t limit, bool no_eviction) {
    struct cache_options options = {
        .memory_limit = limit, .item_max = MIB, .threads = 1, .no_eviction = no_eviction, .hash_seed = 1};
    struct cache *cache = NULL;
    assert_int_equal(cache_create(&options, &cache), CACHE_OK);
    *state = cache;
    return cache;
}

static struct slice key_of(uint64_t number, char *buffer) {
    return slice_of(buffer, (size_t)sprintf(buffer, "key:%llu", (unsigned long long)number));
}

static enum cache_status put(struct cache *cache, int space, uint64_t number, size_t size,
                             uint32_t expires_at, bool dirty) {
    char buffer[32];
    struct slice key = key_of(number, buffer);
    struct cache_cursor at;
    cache_seek(cache, space, key, cache_hash(cache, key), &now, &at);
    enum cache_status status = cache_store(
        &at, &(struct cache_write){.value = {value, size}, .expires_at = expires_at, .dirty = dirty});
    cache_release(&at);
    return status;
}

static bool has(struct cache *cache, int space, uint64_t number, bool hit) {
    char buffer[32];
    struct slice key = key_of(number, buffer);
    struct cache_cursor at;
    bool present = cache_seek(cache, space, key, cache_hash(cache, key), &now, &at) == CACHE_PRESENT;
    if (present && hit)
        cache_hit(&at);
    cache_release(&at);
    return present;
}

static void forget(struct cache *cache, uint64_t number) {
    char buffer[32];
    struct slice key = key_of(number, buffer);
    struct cache_cursor at;
    cache_seek(cache, 0, key, cache_hash(cache, key), &now, &at);
    cache_forget(&at);
    cache_release(&at);
}

static void maintain(struct cache *cache) {
    while (cache_maintain(cache, &now))
        continue;
}

static struct cache_stats stats(struct cache *cache, int space) {
    struct cache_stats result;
    cache_get_stats(cache, space, &result);
    return result;
}

static void check(struct cache *cache) {
    struct cache_stats all = stats(cache, CACHE_ALL_SPACES);
    assert_true(all.memory_used <= all.memory_limit);
    assert_true(cache_is_sane(cache));
}

/* What is read again and again survives a stream of new keys. */
static void read_among_new_keys(struct cache *cache) {
    for (uint64_t i = 0; i < 300000; i++) {
        assert_int_equal(put(cache, 0, 1000 + i, 100, 0, false), CACHE_OK);
        uint64_t hot = i % 1000;
        if (!has(cache, 0, hot, true))
            assert_true(i < 1000 && put(cache, 0, hot, 100, 0, false) == CACHE_OK);
        if (i % 50000 == 0)
            check(cache);
    }
    struct cache_stats all = stats(cache, CACHE_ALL_SPACES);
    assert_true(all.evictions > 200000 && all.evicted_unfetched == all.evictions);
    assert_true(all.bytes > all.memory_limit * 80 / 100);
    assert_true(has(cache, 0, 1000 + 299999, false));
    assert_false(has(cache, 0, 1000, false));
    check(cache);
}

TEST(reads_protect_under_lru) {
    struct cache *cache = make(state, 8 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){.eviction = CACHE_LRU});
    read_among_new_keys(cache);
}

TEST(reads_protect_under_s3_fifo) {
    struct cache *cache = make(state, 8 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){.eviction = CACHE_S3_FIFO});
    read_among_new_keys(cache);
}

TEST(ceilings_and_floors_hold) {
    struct cache *cache = make(state, 16 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){.memory_ceiling = 4 * MIB});
    cache_add_space(cache, &(struct cache_space_options){.memory_floor = 6 * MIB});
    cache_add_space(cache, &(struct cache_space_options){0});
    for (uint64_t i = 0; i < 60000; i++)
        assert_int_equal(put(cache, 1, i, 100, 0, false), CACHE_OK);
    uint64_t entries = stats(cache, 1).entries;
    for (uint64_t i = 0; i < 200000; i++) {
        assert_int_equal(put(cache, 0, 1000000 + i, 100, 0, false), CACHE_OK);
        assert_int_equal(put(cache, 2, 2000000 + i, 100, 0, false), CACHE_OK);
    }
    check(cache);
    assert_true(stats(cache, 0).memory_used <= 4 * MIB + MIB / 4);
    assert_true(stats(cache, 1).memory_used + MIB / 2 >= 6 * MIB);
    assert_true(stats(cache, 1).entries > entries / 2 && stats(cache, 0).evictions > 0);
    assert_true(stats(cache, 2).memory_used > 3 * MIB);
}

TEST(without_eviction_a_full_cache_refuses) {
    struct cache *cache = make(state, 4 * MIB, true);
    cache_add_space(cache, &(struct cache_space_options){0});
    uint64_t stored = 0;
    while (put(cache, 0, stored, 100, 0, false) == CACHE_OK)
        stored++;
    check(cache);
    assert_int_equal(stats(cache, 0).entries, stored);
    assert_int_equal(stats(cache, 0).evictions, 0);
    assert_true(stats(cache, 0).no_memory > 0 && stored > 20000);
    for (uint64_t i = 0; i < stored; i += 2) /* room comes back when entries are deleted */
        forget(cache, i);
    for (uint64_t i = 0; i < stored / 3; i++)
        assert_int_equal(put(cache, 0, 1000000 + i, 100, 0, false), CACHE_OK);
    check(cache);
}

TEST(what_is_dirty_is_never_evicted) {
    struct cache *cache = make(state, 4 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    uint64_t dirty = 0;
    while (put(cache, 0, dirty, 100, 0, true) == CACHE_OK)
        dirty++;
    assert_int_equal(put(cache, 0, 5000000, 500000, 0, true), CACHE_NO_MEMORY);
    check(cache);
    assert_int_equal(cache_dirty_entries(cache, 0), dirty);
    for (uint64_t i = 0; i < dirty; i++)
        assert_true(has(cache, 0, i, false));
    for (uint64_t i = 0; i < dirty; i += 2) { /* half of them settled: these give way, the others stay */
        char buffer[32];
        struct slice key = key_of(i, buffer);
        struct cache_cursor at;
        cache_seek(cache, 0, key, cache_hash(cache, key), &now, &at);
        uint64_t version = at.view.version;
        cache_release(&at);
        assert_true(cache_settle(cache, key, cache_hash(cache, key), version, &now));
    }
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(put(cache, 0, 1000000 + i, 100, 0, false), CACHE_OK);
    for (uint64_t i = 1; i < dirty; i += 2)
        assert_true(has(cache, 0, i, false));
    check(cache);
}

TEST(the_limit_can_be_lowered_and_raised) {
    struct cache *cache = make(state, 16 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    for (uint64_t i = 0; i < 200000; i++)
        put(cache, 0, i, 100, 0, false);
    assert_int_equal(cache_resize(cache, 6 * MIB), CACHE_OK);
    maintain(cache);
    check(cache);
    uint64_t few = stats(cache, 0).entries;
    assert_int_equal(cache_resize(cache, 64 * MIB), CACHE_OK);
    for (uint64_t i = 0; i < 400000; i++)
        put(cache, 0, i, 100, 0, false);
    check(cache);
    assert_true(stats(cache, 0).entries == 400000 && few < 60000);
    assert_int_equal(cache_resize(cache, 1000), CACHE_NO_MEMORY);
}

TEST(what_its_user_takes_leaves_half_to_the_entries) {
    struct cache *cache = make(state, 16 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    for (uint64_t i = 0; i < 200000; i++)
        put(cache, 0, i, 100, 0, false);
    assert_false(cache_take_memory(cache, 4 * MIB + 1));
    assert_true(cache_take_memory(cache, 4 * MIB));
    assert_true(cache_take_memory(cache, 4 * MIB));
    assert_false(cache_take_memory(cache, 4096));
    maintain(cache);
    assert_true(stats(cache, CACHE_ALL_SPACES).memory_used <= 16 * MIB);
    assert_int_equal(put(cache, 0, 1, 100, 0, false), CACHE_OK);
    assert_int_equal(cache_resize(cache, 15 * MIB), CACHE_NO_MEMORY);
    cache_give_memory(cache, 4 * MIB);
    assert_int_equal(cache_resize(cache, 15 * MIB), CACHE_OK);
    assert_true(cache_take_memory(cache, 2 * MIB));
    cache_give_memory(cache, 6 * MIB);
    maintain(cache);
    check(cache);
}

TEST(the_memory_of_what_has_expired_comes_back) {
    struct cache *cache = make(state, 64 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    uint64_t before = stats(cache, CACHE_ALL_SPACES).memory_used;
    for (uint64_t i = 0; i < 200000; i++)
        put(cache, 0, i, 100, now.seconds + 5 + (uint32_t)(i % 3), false);
    uint64_t full = stats(cache, CACHE_ALL_SPACES).memory_used - before;
    struct cache_time later = cache_time_from_us(now.us + 8000000);
    while (cache_maintain(cache, &later))
        continue;
    assert_int_equal(stats(cache, 0).entries, 0);
    assert_int_equal(stats(cache, 0).expired, 200000);
    assert_true(stats(cache, CACHE_ALL_SPACES).memory_used - before < full / 10);
    check(cache);
}

TEST(holes_are_cleaned) {
    struct cache *cache = make(state, 64 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    for (uint64_t i = 0; i < 200000; i++)
        put(cache, 0, i, 100, 0, false);
    for (uint64_t i = 0; i < 200000; i++) /* longer: each leaves a hole */
        if (i % 3)
            put(cache, 0, i, 130, 0, false);
    maintain(cache);
    struct cache_stats all = stats(cache, CACHE_ALL_SPACES);
    assert_int_equal(all.entries, 200000);
    assert_true(all.cleaned_bytes > 0 && all.dead_bytes < all.segment_bytes / 16);
    for (uint64_t i = 0; i < 200000; i += 1000)
        assert_true(has(cache, 0, i, false));
    check(cache);
}

/* Segments have room at their ends where the next record did not fit; moving that about must not be taken for
 * progress. */
TEST(cleaning_comes_to_an_end) {
    struct cache *cache = make(state, 64 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    for (uint64_t i = 0; i < 2000; i++)
        put(cache, 0, i, 14000, 0, false);
    for (uint64_t i = 0; i < 130000; i++)
        put(cache, 0, 10000 + i, 100, 0, false);
    for (uint64_t i = 0; i < 130000; i += 9)
        forget(cache, 10000 + i);
    unsigned calls = 0;
    while (cache_maintain(cache, &now))
        assert_true(calls++ < 1000);
    check(cache);
}

/* Nearly everything is read between two rounds of the log: evacuations carry more than they drop. */
TEST(the_limit_holds_when_everything_is_read) {
    struct cache *cache = make(state, 4 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    uint64_t random = 88172645463325252u;
    for (uint64_t i = 0; i < 1000000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t number = (random >> 33) % (i % 8 ? 9000 : 40000);
        size_t size = number % 8 ? 40 + number % 700 : 30;
        if (!has(cache, 0, number, true))
            assert_int_equal(put(cache, 0, number, size, 0, false), CACHE_OK);
        if (i % 1000 == 0)
            assert_true(stats(cache, CACHE_ALL_SPACES).memory_used <= 4 * MIB + 64 * 1024);
    }
    check(cache);
}

TEST(floors_and_ceilings_count_large_values) {
    struct cache *cache = make(state, 16 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){.memory_floor = 6 * MIB});
    cache_add_space(cache, &(struct cache_space_options){.memory_ceiling = 14 * MIB});
    cache_add_space(cache, &(struct cache_space_options){.memory_ceiling = 2 * MIB});
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(put(cache, 0, i, 400000, 0, false), CACHE_OK);
    for (uint64_t i = 0; i < 300000; i++)
        assert_int_equal(put(cache, 1, 1000 + i, 100, 0, false), CACHE_OK);
    check(cache);
    assert_true(stats(cache, 0).memory_used + 400000 + MIB / 4 >= 6 * MIB);
    assert_true(stats(cache, 0).entries >= 13 && stats(cache, 0).entries < 30);
    for (uint64_t i = 0; i < 30; i++) { /* a ceiling counts them as well */
        assert_int_equal(put(cache, 2, 500000 + i, 500000, 0, false), CACHE_OK);
        assert_true(stats(cache, 2).memory_used <= 2 * MIB + MIB / 4);
    }
    assert_true(stats(cache, 2).entries >= 3);
    check(cache);
}

/* The limit is lowered under load, below the sum of floors too, and is kept from then on. */
TEST(the_limit_can_be_lowered_under_load) {
    struct cache *cache = make(state, 32 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){.memory_floor = 6 * MIB});
    cache_add_space(cache, &(struct cache_space_options){.memory_floor = 6 * MIB, .eviction = CACHE_S3_FIFO});
    for (uint64_t i = 0; i < 200000; i++)
        put(cache, (int)(i % 2), i, i % 500 ? 100 : 200000, 0, false);
    static const size_t limits[] = {24 * MIB, 10 * MIB, 20 * MIB, 8 * MIB};
    for (unsigned j = 0; j < 4; j++) {
        assert_int_equal(cache_resize(cache, limits[j]), CACHE_OK);
        uint64_t i = 0;
        for (bool more = true; more; i++) {
            put(cache, (int)(i % 2), i, i % 500 ? 120 : 150000, 0, false);
            more = cache_maintain(cache, &now);
            assert_true(i < 100000);
        }
        for (i = 0; i < 100000; i++) {
            put(cache, (int)(i % 2), i, i % 300 ? 90 : 250000, 0, false);
            if (i % 100 == 0)
                assert_true(stats(cache, CACHE_ALL_SPACES).memory_used <= limits[j] + 64 * 1024);
        }
        check(cache);
    }
}

TEST(large_values_evict_each_other) {
    struct cache *cache = make(state, 16 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){0});
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(put(cache, 0, i, 700000, 0, false), CACHE_OK);
        assert_true(has(cache, 0, i, true));
        check(cache);
    }
    struct cache_stats all = stats(cache, CACHE_ALL_SPACES);
    assert_true(all.large_entries >= 15 && all.evictions == 100 - all.entries);
}

TEST(the_smallest_limit_is_enough_to_work_with) {
    struct cache *cache = make(state, 1, false);
    for (unsigned i = 0; i < 4; i++)
        cache_add_space(cache, &(struct cache_space_options){.eviction = i % 2 ? CACHE_S3_FIFO : CACHE_LRU});
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(put(cache, (int)(i % 4), i, i % 3000, i % 5 ? 0 : now.seconds + 100, false),
                         CACHE_OK);
    check(cache);
    assert_true(stats(cache, CACHE_ALL_SPACES).bytes > MIB / 2);
}

static size_t resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %zu", &pages), 1);
    fclose(file);
    return pages * 4096;
}

/* However many were told to be coming, and however many came. */
static void expect_and_put(void **state, uint64_t expected, uint64_t count) {
    const size_t huge_pages =
        4 * 2 * 2 * MIB; /* in each of 4 shards the last of the index, and the last of the log */
    size_t before = resident();
    struct cache *cache = make(state, 512 * MIB, false);
    cache_add_space(cache, &(struct cache_space_options){.eviction = CACHE_LRU});
    cache_expect(cache, expected, expected * 110);
    assert_true(cache_is_sane(cache));
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(put(cache, 0, i, 100, 0, true), CACHE_OK);
#ifndef __SANITIZE_THREAD__ /* which needs as much again, and AddressSanitizer an eighth */
    size_t used = stats(cache, CACHE_ALL_SPACES).memory_used;
    assert_true(resident() - before <= used + used / 4 + huge_pages);
#else
    (void)before;
    (void)huge_pages;
#endif
    cache_expect_no_more(cache);
    check(cache);
    for (uint64_t i = 0; i < count + 20000; i++) {
        assert_int_equal(has(cache, 0, i, false), i < count);
        assert_int_equal(put(cache, 0, i, 120, 0, true), CACHE_OK);
    }
    maintain(cache);
    check(cache);
    assert_int_equal(stats(cache, CACHE_ALL_SPACES).entries, count + 20000);
    cache_destroy(cache);
    *state = NULL;
}

TEST(what_is_expected_may_come_or_not) {
    expect_and_put(state, 60000, 60000);
    expect_and_put(state, 300000, 1000);
    expect_and_put(state, 1000, 60000);
    expect_and_put(state, 0, 1000);
    expect_and_put(state, UINT32_MAX, 1000); /* more than memory could hold */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(reads_protect_under_lru),
        CASE(reads_protect_under_s3_fifo),
        CASE(ceilings_and_floors_hold),
        CASE(without_eviction_a_full_cache_refuses),
        CASE(what_is_dirty_is_never_evicted),
        CASE(the_limit_can_be_lowered_and_raised),
        CASE(the_memory_of_what_has_expired_comes_back),
        CASE(holes_are_cleaned),
        CASE(cleaning_comes_to_an_end),
        CASE(the_limit_holds_when_everything_is_read),
        CASE(floors_and_ceilings_count_large_values),
        CASE(the_limit_can_be_lowered_under_load),
        CASE(what_its_user_takes_leaves_half_to_the_entries),
        CASE(large_values_evict_each_other),
        CASE(what_is_expected_may_come_or_not),
        CASE(the_smallest_limit_is_enough_to_work_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
