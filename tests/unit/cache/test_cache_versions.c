/* SPDX-License-Identifier: MIT */
/* Versions, and hashes that nobody outside is to know. */
#include "tests/support/cache_fixture.h"
#include <stdio.h>
#include <stdlib.h>

/* As a server makes it: with a secret that nobody knows. */
static void create_other(struct fixture *ret_fixture) {
    struct cache_options options = {.memory_limit = MIB, .item_max = MIB, .threads = 1};
    assert_int_equal(cache_create(&options, &ret_fixture->cache), CACHE_OK);
}

/* Whoever fills with stamps from before does not know whether a key was known then: what was written meanwhile counts
 * as changed, as it may have been evicted since. */
TEST(stamps_of_all_keys_are_those_of_each) {
    struct fixture *fixture = *state;
    struct cache_stamps *stamps = cache_stamps_create(fixture->cache);
    struct catcher catcher;
    assert_non_null(stamps);
    const struct cache_write brief = {
        .value = SLICE("newer"), .dirty = true, .expires_at = fixture->now.seconds + 1};
    uint64_t version = store(fixture, "k", &brief).view.version;
    cache_stamps_take(stamps);
    uint64_t other = cache_stamps_of(stamps, cache_hash(fixture->cache, SLICE("other")));
    uint64_t stamp = cache_stamps_of(stamps, cache_hash(fixture->cache, SLICE("k")));
    cache_stamps_destroy(stamps);
    assert_int_equal(look(fixture, "other").stamp, other);
    assert_int_equal(fill(fixture, "other", "loaded", 1, other), CACHE_OK);
    assert_int_equal(collect(fixture, "k", &catcher), 1);
    fixture->now.seconds += 2;
    assert_true(settle(fixture, "k", version));
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
    assert_int_equal(fill(fixture, "k", "old", 1, stamp), CACHE_CHANGED);
}

TEST(marks_change_neither_version_nor_state) {
    struct fixture *fixture = *state;
    struct cache_cursor cursor;
    uint64_t version = store_text(fixture, "k", "v", true).view.version;
    seek(fixture, "k", &cursor);
    cache_set_marks(&cursor, ENTRY_STALE);
    release(&cursor);
    cursor = look(fixture, "k");
    assert_int_equal(cursor.view.marks, ENTRY_STALE);
    assert_int_equal(cursor.view.version, version);
    assert_int_equal(cursor.view.state, CACHE_DIRTY);
}

TEST(a_clock_that_is_beyond_all_versions_makes_none) {
    struct fixture *fixture = *state;
    uint64_t first = store_text(fixture, "k", "v", true).view.version;
    fixture->now.us = version_us(UINT64_MAX);
    uint64_t second = store_text(fixture, "k", "w", true).view.version;
    assert_int_equal(version_us(second), version_us(first) + 1);
}

TEST(versions_only_grow) {
    struct fixture *fixture = *state;
    uint64_t hash = cache_hash(fixture->cache, SLICE("k")), last = 0;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t version = cache_next_version(fixture->cache, hash, &fixture->now);
        assert_true(version > last);
        assert_int_equal((version ^ hash >> 52) & 0xfff, 5);
        last = version;
        if (i == 5)
            fixture->now = cache_time_from_us(fixture->now.us - 1000000000u); /* the clock steps back */
    }
    assert_true(cache_raise_version(fixture->cache, last + (1ull << 40)));
    assert_true(cache_next_version(fixture->cache, hash, &fixture->now) > last + (1ull << 40));
    struct cache_cursor at =
        store(fixture, "k",
              &(struct cache_write){.value = SLICE("v"), .version = last + (1ull << 50), .dirty = true});
    assert_int_equal(at.view.version, last + (1ull << 50));
    assert_true(store_text(fixture, "k", "w", true).view.version > last + (1ull << 50));
}

/* Versions are on disks and in stores: what they show of a key's hash is what it has always been. */
TEST(what_versions_show_of_a_hash_is_the_same_in_each_cache) {
    struct fixture *fixture = *state, other = {0};
    create_other(&other);
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        uint64_t here = cache_hash(fixture->cache, slice_string(key));
        uint64_t there = cache_hash(other.cache, slice_string(key));
        assert_int_equal(version_lower(7, here), version_lower(7, there));
        assert_int_equal(here >> 52, XXH3_64bits(key, strlen(key)) >> 52);
        assert_true(here != there);
    }
    cache_destroy(other.cache);
}

/* Found by trying keys under XXH3 without a secret: all in one bucket there. */
TEST(keys_that_meet_under_a_known_hash_do_not_meet_here) {
    enum { BUCKETS = 4096, FOUND = 2000, CROWD = 20 };
    struct fixture other = {0};
    unsigned in_bucket[BUCKETS] = {0}, found = 0, most = 0;
    create_other(&other);
    for (unsigned i = 0; found < FOUND; i++) {
        char key[24];
        int size = snprintf(key, sizeof key, "session:%u", i);
        if (XXH3_64bits(key, (size_t)size) % BUCKETS)
            continue;
        unsigned now = ++in_bucket[cache_hash(other.cache, slice_of(key, (size_t)size)) % BUCKETS];
        most = now > most ? now : most;
        found++;
    }
    assert_in_range(most, 1, CROWD);
    cache_destroy(other.cache);
}

/* The next key after *number of the shard of hash 0, and where `meets`, of a bucket that is not split before the shard
 * has 9000 entries. */
static struct slice key_of_shard(struct fixture *fixture, bool meets, unsigned *number, char *buffer,
                                 size_t size) {
    const uint64_t shard = 7ull << 61, bucket = 1023;
    for (;;) {
        struct slice key = slice_of(buffer, (size_t)snprintf(buffer, size, "key:%u", ++*number));
        if (!(cache_hash(fixture->cache, key) & (shard | (meets ? bucket : 0))))
            return key;
    }
}

static enum cache_status try_to_store(struct fixture *fixture, struct slice key) {
    struct cache_cursor cursor;
    cache_seek(fixture->cache, fixture->space, key, cache_hash(fixture->cache, key), &fixture->now, &cursor);
    enum cache_status status = cache_store(&cursor, &(struct cache_write){.value = SLICE("v")});
    cache_release(&cursor);
    return status;
}

/* Who has found out which keys meet, from the order of a dump, fills one bucket and no more. */
TEST(a_bucket_takes_only_so_many_keys_and_stops_no_growth) {
    enum { MEETING = 900, OTHERS = 20000, FULL = 17 * 12 };
    struct fixture *fixture = *state;
    char buffer[24];
    unsigned number = 0, refused = 0;
    for (unsigned i = 0; i < MEETING; i++) {
        struct slice key = key_of_shard(fixture, true, &number, buffer, sizeof buffer);
        refused += try_to_store(fixture, key) == CACHE_NO_MEMORY;
    }
    assert_in_range(refused, MEETING - FULL, MEETING - FULL / 2);
    assert_true(cache_is_sane(fixture->cache));
    for (unsigned i = 0; i < OTHERS; i++) {
        struct slice key = key_of_shard(fixture, false, &number, buffer, sizeof buffer);
        refused += try_to_store(fixture, key) == CACHE_NO_MEMORY;
    }
    assert_in_range(refused, MEETING - FULL, MEETING - FULL / 2 + OTHERS / 100);
    assert_true(stats(fixture).index_buckets > OTHERS / 10);
    assert_true(cache_is_sane(fixture->cache));
}

/* Not by a store that holds what no clock gives, be it told as its highest version or come with a row. */
TEST(a_version_never_wraps) {
    struct fixture *fixture = *state;
    uint64_t hash = cache_hash(fixture->cache, SLICE("k"));
    assert_false(cache_raise_version(fixture->cache, UINT64_MAX));
    assert_false(cache_raise_version(fixture->cache, ENTRY_VERSION_HIGHEST + 1));
    store(fixture, "k", &(struct cache_write){.value = SLICE("v"), .version = UINT64_MAX});
    uint64_t drawn = cache_next_version(fixture->cache, hash, &fixture->now);
    assert_in_range(drawn, version_from_us(fixture->now.us, 0), version_from_us(fixture->now.us + 1000, 0));
    assert_true(cache_raise_version(fixture->cache, ENTRY_VERSION_HIGHEST));
    drawn = cache_next_version(fixture->cache, hash, &fixture->now);
    assert_true(drawn > ENTRY_VERSION_HIGHEST && drawn < INT64_MAX);
}

static int by_number(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* All at the same microsecond, and each of them changed in each way that draws a version. */
TEST(no_two_keys_have_the_same_version) {
    struct fixture *fixture = *state;
    enum { KEYS = 500, WAYS = 4 };
    uint64_t versions[KEYS * WAYS], *to = versions;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        *to++ = store_text(fixture, key, "first", true).view.version;
        *to++ = store_text(fixture, key, "other", true).view.version; /* over one that is alike */
        struct cache_cursor at;
        struct slice name = slice_string(key);
        cache_seek(fixture->cache, fixture->space, name, cache_hash(fixture->cache, name), &fixture->now,
                   &at);
        assert_int_equal(cache_touch(&at, fixture->now.seconds + 9, true), CACHE_OK);
        *to++ = at.view.version;
        assert_int_equal(cache_bury(&at, 0), CACHE_OK);
        *to++ = at.view.version;
        cache_release(&at);
    }
    qsort(versions, KEYS * WAYS, sizeof *versions, by_number);
    for (unsigned i = 1; i < KEYS * WAYS; i++)
        assert_true(versions[i - 1] < versions[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(stamps_of_all_keys_are_those_of_each),
        CASE(marks_change_neither_version_nor_state),
        CASE(a_clock_that_is_beyond_all_versions_makes_none),
        CASE(versions_only_grow),
        CASE(what_versions_show_of_a_hash_is_the_same_in_each_cache),
        CASE(keys_that_meet_under_a_known_hash_do_not_meet_here),
        CASE(a_bucket_takes_only_so_many_keys_and_stops_no_growth),
        CASE(a_version_never_wraps),
        CASE(no_two_keys_have_the_same_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
