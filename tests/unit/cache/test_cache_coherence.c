/* SPDX-License-Identifier: MIT */
/* Entries of a cache that are stale, or that others change in the store; and glances. */
#include "tests/support/cache_fixture.h"
#include <stdio.h>
#include <stdlib.h>

/* The sweeper passes by what is dirty: it has to come back once that is settled, even if nobody reads it. */
TEST(what_is_settled_after_its_residency_is_swept) {
    struct fixture *fixture = *state, other = *fixture;
    struct cache_space_options options = {.max_residency = 10};
    other.space = cache_add_space(other.cache, &options);
    store_text(&other, "k", "v", true);
    wait_seconds(&other, 11);
    maintain(&other);
    assert_int_equal(stats(&other).entries, 1);
    struct catcher catcher;
    assert_int_equal(collect(&other, "k", &catcher), 1);
    assert_true(settle(&other, "k", catcher.view.version));
    maintain(&other);
    assert_int_equal(stats(&other).entries, 0);
    assert_true(cache_is_sane(other.cache));
}

/* A namespace that keeps what has outstayed its residency. */
static struct fixture keeping_space(const struct fixture *fixture) {
    struct fixture keeping = *fixture;
    struct cache_space_options options = {.max_residency = 10, .keep_stale = true};
    keeping.space = cache_add_space(fixture->cache, &options);
    return keeping;
}

static void assert_stale(struct fixture *fixture, const char *key, const char *value) {
    struct cache_cursor cursor;
    assert_int_equal(seek(fixture, key, &cursor), CACHE_UNKNOWN);
    assert_int_equal(cursor.stale, value != NULL);
    if (value)
        assert_true(slice_equal(cursor.view.value, slice_string(value)));
    if (value)
        cache_hit(&cursor);
    release(&cursor);
    assert_true(cache_is_sane(fixture->cache));
}

TEST(a_stale_entry_is_kept_where_asked) {
    struct fixture *fixture = *state, keeping = keeping_space(fixture);
    store_text(&keeping, "a", "1", false);
    store(&keeping, "b", &(struct cache_write){.value = SLICE("2"), .expires_at = keeping.now.seconds + 15});
    store_text(&keeping, "d", "3", true);
    assert_value(&keeping, "a", SLICE("1"));
    wait_seconds(&keeping, 10);
    maintain(&keeping);
    assert_stale(&keeping, "a", "1");
    assert_stale(&keeping, "b", "2");
    assert_stale(&keeping, "c", NULL);
    assert_value(&keeping, "d", SLICE("3"));
    assert_true(settle(&keeping, "d", look(&keeping, "d").view.version));
    assert_stale(&keeping, "d", "3");
    wait_seconds(&keeping, 5); /* its own life is over: not to be shown any more */
    assert_stale(&keeping, "b", NULL);
    cache_flush_all(keeping.cache, keeping.space, 0, &keeping.now);
    assert_stale(&keeping, "a", NULL);
}

TEST(a_stale_entry_is_swept_at_its_expiry) {
    struct fixture *fixture = *state, keeping = keeping_space(fixture);
    store(&keeping, "b", &(struct cache_write){.value = SLICE("2"), .expires_at = keeping.now.seconds + 30});
    for (int i = 0; i < 3; i++, wait_seconds(&keeping, 11)) {
        maintain(&keeping);
        assert_int_equal(stats(&keeping).entries, 1);
    }
    maintain(&keeping);
    assert_int_equal(stats(&keeping).entries, 0);
}

/* What the backend says replaces a stale entry, and so does every change. */
TEST(a_stale_entry_is_replaced_by_fills_and_changes) {
    struct fixture *fixture = *state, keeping = keeping_space(fixture);
    const char *keys[] = {"fill", "absent", "store", "bury", "forget"};
    for (int i = 0; i < 5; i++)
        store_text(&keeping, keys[i], "old", false);
    wait_seconds(&keeping, 10);
    uint64_t stamp = look(&keeping, "fill").stamp;
    keeping.now = cache_time_from_us(keeping.now.us - 5000000); /* the loader's clock lags */
    assert_int_equal(fill(&keeping, "fill", "new", 77, stamp + 1), CACHE_CHANGED);
    assert_stale(&keeping, "fill", "old");
    assert_int_equal(fill(&keeping, "fill", "new", 77, stamp), CACHE_OK);
    assert_value(&keeping, "fill", SLICE("new"));
    wait_seconds(&keeping, 5);
    stamp = look(&keeping, "absent").stamp;
    struct slice absent = SLICE("absent");
    assert_int_equal(cache_fill_absent(keeping.cache, keeping.space, absent,
                                       cache_hash(keeping.cache, absent), stamp, 0, &keeping.now),
                     CACHE_OK);
    assert_stale(&keeping, "absent", NULL);
    struct cache_cursor cursor = store_text(&keeping, "store", "new", true);
    assert_true(cursor.queue);
    assert_value(&keeping, "store", SLICE("new"));
    seek(&keeping, "bury", &cursor);
    assert_int_equal(cache_bury(&cursor, 0), CACHE_OK);
    release(&cursor);
    assert_int_equal(look(&keeping, "bury").presence, CACHE_GONE);
    stamp = look(&keeping, "forget").stamp;
    seek(&keeping, "forget", &cursor);
    cache_forget(&cursor);
    release(&cursor);
    assert_stale(&keeping, "forget", NULL);
    assert_int_equal(fill(&keeping, "forget", "new", 77, stamp), CACHE_CHANGED);
}

TEST(a_stale_entry_gives_way_to_new_ones) {
    struct fixture *fixture = *state, keeping = keeping_space(fixture);
    char key[16], text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    store_text(&keeping, "first", "1", false);
    wait_seconds(&keeping, 10);
    for (int i = 0; i < 30000; i++) {
        struct cache_cursor cursor;
        snprintf(key, sizeof key, "k%d", i);
        seek(&keeping, key, &cursor);
        assert_int_equal(cache_store(&cursor, &(struct cache_write){.value = slice_string(text)}), CACHE_OK);
        release(&cursor);
    }
    assert_stale(&keeping, "first", NULL);
}

/* ---- Others change the store ---- */

static uint64_t hash_of(struct fixture *fixture, const char *key) {
    return cache_hash(fixture->cache, slice_string(key));
}

static enum cache_doubt doubt(struct fixture *fixture, const char *key, uint64_t *ret_version) {
    enum cache_doubt doubt = cache_doubt(fixture->cache, fixture->space, slice_string(key),
                                         hash_of(fixture, key), &fixture->now, ret_version);
    assert_true(cache_is_sane(fixture->cache));
    return doubt;
}

static enum cache_doubt doubt_again(struct fixture *fixture, const char *key, char ret_key[ENTRY_KEY_MAX],
                                    struct cache_doubted *ret_doubted) {
    return cache_doubt_again(fixture->cache, fixture->space, hash_of(fixture, key), ret_key, ret_doubted);
}

static bool forget_other(struct fixture *fixture, const char *key, uint64_t version,
                         const struct entry *row) {
    bool forgotten =
        cache_forget_other(fixture->cache, slice_string(key), hash_of(fixture, key), version, row);
    assert_true(cache_is_sane(fixture->cache));
    return forgotten;
}

TEST(a_key_that_others_change_is_doubted_unless_it_is_dirty) {
    struct fixture *fixture = *state;
    uint64_t version = 0;
    char key[ENTRY_KEY_MAX];
    struct cache_doubted doubted;
    assert_int_equal(doubt(fixture, "none", &version), CACHE_DOUBTS_NOTHING);
    struct cache_cursor stored = store_text(fixture, "clean", "1", false);
    assert_int_equal(doubt(fixture, "clean", &version), CACHE_DOUBTS);
    assert_int_equal(version, stored.view.version);
    stored = store_text(fixture, "dirty", "1", true);
    assert_int_equal(doubt(fixture, "dirty", &version), CACHE_DOUBTS_NOTHING);
    assert_int_equal(doubt_again(fixture, "dirty", key, &doubted), CACHE_DOUBTS_NOTHING);
    struct catcher catcher;
    assert_int_equal(collect(fixture, "dirty", &catcher), 1);
    assert_int_equal(doubt(fixture, "dirty", &version), CACHE_WILL_DOUBT);
    assert_int_equal(doubt_again(fixture, "dirty", key, &doubted), CACHE_WILL_DOUBT);
    assert_true(settle(fixture, "dirty", stored.view.version));
    assert_int_equal(doubt_again(fixture, "dirty", key, &doubted), CACHE_DOUBTS);
    assert_true(slice_equal(doubted.key, SLICE("dirty")));
    assert_int_equal(doubted.version, stored.view.version);
    assert_value(fixture, "clean", SLICE("1")); /* a doubt alone changes nothing */
    wait_seconds(fixture, 1);
    store(fixture, "short",
          &(struct cache_write){.value = SLICE("1"), .expires_at = fixture->now.seconds + 1});
    assert_int_equal(doubt(fixture, "short", &version), CACHE_DOUBTS);
    wait_seconds(fixture, 1);
    assert_int_equal(doubt(fixture, "short", &version), CACHE_DOUBTS_NOTHING);
}

TEST(a_doubt_refuses_what_is_being_loaded_and_drops_an_absence) {
    struct fixture *fixture = *state;
    uint64_t version, stamp = look(fixture, "k").stamp;
    doubt(fixture, "k", &version);
    assert_int_equal(fill(fixture, "k", "old", 7, stamp), CACHE_CHANGED);
    stamp = look(fixture, "k").stamp;
    assert_int_equal(cache_fill_absent(fixture->cache, fixture->space, SLICE("k"), hash_of(fixture, "k"),
                                       stamp, fixture->now.seconds + 60, &fixture->now),
                     CACHE_OK);
    assert_int_equal(look(fixture, "k").presence, CACHE_GONE);
    assert_int_equal(doubt(fixture, "k", &version), CACHE_DOUBTS_NOTHING);
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
}

TEST(only_a_clean_value_that_is_another_one_is_forgotten) {
    struct fixture *fixture = *state;
    uint64_t version = store_text(fixture, "k", "1", false).view.version;
    struct entry row = {.key = SLICE("k"), .value = SLICE("1"), .version = version};
    assert_false(forget_other(fixture, "k", version, &row));
    assert_false(forget_other(fixture, "k", version + 1, NULL));
    row.value = SLICE("2");
    assert_true(forget_other(fixture, "k", version, &row));
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
    version = store_text(fixture, "d", "1", true).view.version;
    assert_false(forget_other(fixture, "d", version, NULL));
    assert_value(fixture, "d", SLICE("1"));
    static char text[CACHE_LARGE_VALUE];
    struct slice large = slice_of(text, sizeof text);
    version = store(fixture, "l", &(struct cache_write){.value = large}).view.version;
    row = (struct entry){.key = SLICE("l"), .value = large, .version = version};
    assert_false(forget_other(fixture, "l", version, &row));
    row.flags = 1;
    assert_true(forget_other(fixture, "l", version, &row));
}

TEST(a_blind_namespace_shows_and_keeps_nothing_clean) {
    struct fixture *fixture = *state, keeping = keeping_space(fixture);
    store_text(fixture, "clean", "1", false);
    store_text(fixture, "dirty", "2", true);
    store_text(&keeping, "kept", "3", false);
    cache_set_blind(fixture->cache, fixture->space, true);
    cache_set_blind(fixture->cache, fixture->space, true);
    assert_stale(fixture, "clean", NULL);
    assert_value(fixture, "dirty", SLICE("2"));
    assert_value(&keeping, "kept", SLICE("3")); /* of another namespace */
    cache_set_blind(fixture->cache, keeping.space, true);
    assert_stale(&keeping, "kept", "3");
    uint64_t stamp = look(fixture, "new").stamp;
    assert_int_equal(fill(fixture, "new", "4", 7, stamp), CACHE_NOT_KEPT);
    assert_int_equal(fill(fixture, "clean", "4", 7, look(fixture, "clean").stamp), CACHE_NOT_KEPT);
    assert_int_equal(fill(&keeping, "kept", "4", 7, look(&keeping, "kept").stamp), CACHE_NOT_KEPT);
    store_text(fixture, "clean", "5", false);
    assert_stale(fixture, "clean", NULL);
    cache_set_blind(fixture->cache, fixture->space, false);
    cache_set_blind(fixture->cache, keeping.space, false);
    assert_value(fixture, "clean", SLICE("5"));
    assert_value(&keeping, "kept", SLICE("3"));
    assert_int_equal(fill(fixture, "new", "4", 7, look(fixture, "new").stamp), CACHE_OK);
}

TEST(a_load_of_an_epoch_before_is_refused) {
    struct fixture *fixture = *state;
    uint64_t stamp = look(fixture, "k").stamp;
    cache_flush_all(fixture->cache, fixture->space, 0, &fixture->now);
    assert_int_equal(fill(fixture, "k", "old", 7, stamp), CACHE_CHANGED);
    assert_int_equal(fill(fixture, "k", "new", 7, look(fixture, "k").stamp), CACHE_OK);
}

TEST(namespace_numbers_run_out) {
    struct fixture *fixture = *state;
    struct cache_space_options options = {.eviction = CACHE_S3_FIFO};
    for (int i = 1; i < CACHE_SPACES_MAX; i++)
        assert_int_equal(cache_add_space(fixture->cache, &options), i);
    assert_int_equal(cache_add_space(fixture->cache, &options), -1);
}

TEST(a_reset_zeroes_counters_and_no_gauges) {
    struct fixture *fixture = *state;
    store_text(fixture, "a", "1", false);
    assert_int_equal(stats(fixture).total_stored, 1);
    cache_reset_stats(fixture->cache);
    assert_int_equal(stats(fixture).total_stored, 0);
    assert_int_equal(stats(fixture).entries, 1);
}

/* What a glance sees; *ret_view is not to be used for slices. A hit, where asked for, is counted. */
static enum cache_glance glance(struct fixture *fixture, const char *key, bool hits,
                                struct cache_view *ret_view) {
    struct cache_cursor cursor;
    struct slice name = slice_string(key);
    locked = true;
    enum cache_glance seen = cache_glance(fixture->cache, name, cache_hash(fixture->cache, name),
                                          fixture->now.seconds, ret_view, &cursor);
    if (seen == GLANCE_VALUE && hits)
        cache_hit(&cursor);
    if (seen == GLANCE_VALUE)
        cache_release(&cursor);
    locked = false;
    assert_true(cache_is_sane(fixture->cache));
    return seen;
}

TEST(a_glance_shows_a_plain_value) {
    struct fixture *fixture = *state;
    struct cache_view view;
    struct cache_write write = {.value = SLICE("value"),
                                .flags = 7,
                                .client_cas = 99,
                                .expires_at = fixture->now.seconds + 1,
                                .dirty = true};
    uint64_t version = store(fixture, "full", &write).view.version;
    store_text(fixture, "bare", "1", false);
    assert_int_equal(glance(fixture, "bare", false, &view), GLANCE_VALUE);
    assert_int_equal(view.value.size, 1);
    assert_int_equal(view.state, CACHE_CLEAN);
    assert_int_equal(view.flags, 0);
    assert_int_equal(view.client_cas, 0);
    assert_int_equal(glance(fixture, "full", false, &view), GLANCE_VALUE);
    assert_int_equal(view.value.size, 5);
    assert_int_equal(view.state, CACHE_DIRTY);
    assert_int_equal(view.version, version);
    assert_int_equal(view.flags, 7);
    assert_int_equal(view.client_cas, 99);
    assert_null(view.large);
}

TEST(a_glance_counts_no_access_and_its_hit_does) {
    struct fixture *fixture = *state;
    struct cache_view view;
    store_text(fixture, "a", "1", false);
    wait_seconds(fixture, 5);
    glance(fixture, "a", false, &view);
    assert_false(look(fixture, "a").view.fetched);
    glance(fixture, "a", true, &view);
    assert_true(look(fixture, "a").view.fetched);
    assert_int_equal(look(fixture, "a").view.last_access, fixture->now.seconds);
}

TEST(a_glance_leaves_what_is_no_plain_value_to_a_closer_look) {
    struct fixture *fixture = *state;
    struct cache_cursor cursor;
    struct cache_view view;
    char *large = calloc(1, 64 << 10);
    assert_int_equal(glance(fixture, "nothing", false, &view), GLANCE_NOTHING);
    store(fixture, "large", &(struct cache_write){.value = {large, 64 << 10}});
    free(large);
    assert_int_equal(glance(fixture, "large", false, &view), GLANCE_CLOSER);
    seek(fixture, "buried", &cursor);
    assert_int_equal(cache_bury(&cursor, 0), CACHE_OK);
    release(&cursor);
    assert_int_equal(glance(fixture, "buried", false, &view), GLANCE_CLOSER);
    store(fixture, "over", &(struct cache_write){.value = SLICE("v"), .expires_at = fixture->now.seconds});
    assert_int_equal(glance(fixture, "over", false, &view), GLANCE_CLOSER);
    store_text(fixture, "voided", "1", false);
    cache_flush_all(fixture->cache, fixture->space, 0, &fixture->now);
    assert_int_equal(glance(fixture, "voided", false, &view), GLANCE_CLOSER);
    assert_int_equal(look(fixture, "voided").presence, CACHE_UNKNOWN);
}

TEST(keys_differ_in_any_of_their_bytes) {
    char a[ENTRY_KEY_MAX], b[ENTRY_KEY_MAX];
    for (size_t size = 1; size <= sizeof a; size++) {
        memset(a, 'k', size);
        memset(b, 'k', size);
        assert_true(key_equal(a, b, size));
        for (size_t i = 0; i < size; i++) {
            b[i] = 'x';
            assert_false(key_equal(a, b, size));
            b[i] = 'k';
        }
    }
}

TEST(a_prefetch_is_only_a_hint) {
    struct fixture *fixture = *state;
    char key[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        uint64_t hash = cache_hash(fixture->cache, slice_string(key));
        cache_prefetch(fixture->cache, hash);
        cache_prefetch_entry(fixture->cache, hash);
        if (i % 2)
            store_text(fixture, key, "v", false);
        cache_prefetch_entry(fixture->cache, hash);
    }
    assert_int_equal(stats(fixture).entries, 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_is_settled_after_its_residency_is_swept),
        CASE(a_stale_entry_is_kept_where_asked),
        CASE(a_stale_entry_is_swept_at_its_expiry),
        CASE(a_stale_entry_is_replaced_by_fills_and_changes),
        CASE(a_stale_entry_gives_way_to_new_ones),
        CASE(a_key_that_others_change_is_doubted_unless_it_is_dirty),
        CASE(a_doubt_refuses_what_is_being_loaded_and_drops_an_absence),
        CASE(only_a_clean_value_that_is_another_one_is_forgotten),
        CASE(a_blind_namespace_shows_and_keeps_nothing_clean),
        CASE(a_load_of_an_epoch_before_is_refused),
        CASE(namespace_numbers_run_out),
        CASE(a_reset_zeroes_counters_and_no_gauges),
        CASE(a_glance_shows_a_plain_value),
        CASE(a_glance_counts_no_access_and_its_hit_does),
        CASE(a_glance_leaves_what_is_no_plain_value_to_a_closer_look),
        CASE(keys_differ_in_any_of_their_bytes),
        CASE(a_prefetch_is_only_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
