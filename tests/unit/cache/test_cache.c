/* SPDX-License-Identifier: MIT */
/* Each function of the cache, and each transition of an entry's state; cache_is_sane after every step. */
#include "tests/support/cache_fixture.h"

TEST(an_empty_cache_knows_nothing) {
    struct fixture *fixture = *state;
    assert_int_equal(look(fixture, "nothing").presence, CACHE_UNKNOWN);
    assert_int_equal(stats(fixture).entries, 0);
}

TEST(a_store_keeps_every_field) {
    struct fixture *fixture = *state;
    struct cache_write write = {.value = SLICE("hello"),
                                .client_cas = 77,
                                .flags = 0xdeadbeef,
                                .expires_at = fixture->now.seconds + 60,
                                .marks = ENTRY_STALE | ENTRY_TOKEN_SENT};
    uint64_t version = store(fixture, "k", &write).view.version;
    struct cache_cursor at = look(fixture, "k");
    assert_int_equal(at.presence, CACHE_PRESENT);
    assert_int_equal(at.view.version, version);
    assert_int_equal(version_us(version), fixture->now.us);
    assert_int_equal((version ^ cache_hash(fixture->cache, SLICE("k")) >> 52) & 0xfff, 5);
    assert_int_equal(at.view.client_cas, 77);
    assert_int_equal(cache_view_cas(&at.view), 77);
    assert_int_equal(at.view.flags, 0xdeadbeef);
    assert_int_equal(at.view.expires_at, fixture->now.seconds + 60);
    assert_int_equal(at.view.marks, ENTRY_STALE | ENTRY_TOKEN_SENT);
    assert_int_equal(at.view.last_access, fixture->now.seconds);
    assert_int_equal(at.view.state, CACHE_CLEAN);
    assert_false(at.view.fetched || at.view.tombstone || at.view.expired || at.view.ttl_only || at.queue);
    assert_null(at.view.large);
    assert_value(fixture, "k", SLICE("hello"));
}

TEST(an_overwrite_may_have_any_size) {
    struct fixture *fixture = *state;
    static char value[40000];
    memset(value, 'v', sizeof(value));
    static const size_t sizes[] = {0, 1, 10, 5, 9, 100, 3, 101, 3000, 2999, 40000, 35000, 7, 39999, 40000, 0};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        store(fixture, "before", &(struct cache_write){.value = slice_of(value, 10)});
        store(fixture, "k", &(struct cache_write){.value = slice_of(value, sizes[i]), .flags = i % 2});
        store(fixture, "after", &(struct cache_write){.value = slice_of(value, 20)});
        assert_value(fixture, "k", slice_of(value, sizes[i]));
        assert_value(fixture, "before", slice_of(value, 10));
        assert_value(fixture, "after", slice_of(value, 20));
        assert_int_equal(look(fixture, "k").view.flags, i % 2);
        assert_int_equal(stats(fixture).entries, 3);
        assert_int_equal(stats(fixture).large_entries, sizes[i] >= CACHE_LARGE_VALUE);
    }
}

TEST(a_value_beyond_item_max_is_refused) {
    struct fixture *fixture = *state;
    struct cache_cursor cursor;
    static char value[MIB + 1];
    store_text(fixture, "k", "old", true);
    seek(fixture, "k", &cursor);
    assert_int_equal(cache_store(&cursor, &(struct cache_write){.value = {value, MIB + 1}, .dirty = true}),
                     CACHE_TOO_LARGE);
    release(&cursor);
    assert_value(fixture, "k", SLICE("old"));
    store(fixture, "k", &(struct cache_write){.value = {value, MIB}, .dirty = true});
    assert_value(fixture, "k", slice_of(value, MIB));
}

TEST(a_large_value_outlives_its_entry_while_it_is_held) {
    struct fixture *fixture = *state;
    static char value[100000];
    memset(value, 'x', sizeof(value));
    store(fixture, "k", &(struct cache_write){.value = {value, sizeof(value)}});
    struct cache_cursor cursor;
    assert_int_equal(seek(fixture, "k", &cursor), CACHE_PRESENT);
    struct cache_large *large = cursor.view.large;
    struct slice held = cursor.view.value;
    assert_non_null(large);
    cache_large_hold(large);
    cache_forget(&cursor);
    release(&cursor);
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
    assert_true(slice_equal(held, slice_of(value, sizeof(value))));
    uint64_t before = stats(fixture).memory_used;
    assert_int_equal(stats(fixture).large_entries, 0);
    cache_large_drop(large);
    assert_true(stats(fixture).memory_used + sizeof(value) <= before);
}

TEST(what_has_expired_is_gone_but_still_collected_when_dirty) {
    struct fixture *fixture = *state;
    store(fixture, "clean",
          &(struct cache_write){.value = SLICE("c"), .expires_at = fixture->now.seconds + 2});
    store(fixture, "dirty",
          &(struct cache_write){.value = SLICE("d"), .expires_at = fixture->now.seconds + 2, .dirty = true});
    wait_seconds(fixture, 1);
    assert_int_equal(look(fixture, "clean").presence, CACHE_PRESENT);
    assert_int_equal(look(fixture, "dirty").presence, CACHE_PRESENT);
    wait_seconds(fixture, 1);
    assert_int_equal(look(fixture, "clean").presence, CACHE_UNKNOWN);
    struct cache_cursor at = look(fixture, "dirty");
    assert_int_equal(at.presence, CACHE_GONE);
    assert_true(at.view.expired && !at.view.tombstone);
    assert_int_equal(at.view.state, CACHE_DIRTY);
    assert_int_equal(stats(fixture).expired, 1);
    struct catcher catcher;
    assert_int_equal(collect(fixture, "dirty", &catcher), 1);
    assert_true(catcher.view.expired);
    assert_true(settle(fixture, "dirty", catcher.view.version));
    assert_int_equal(look(fixture, "dirty").presence, CACHE_UNKNOWN);
    assert_int_equal(stats(fixture).expired, 2);
    assert_int_equal(stats(fixture).expired_unfetched, 2);
}

TEST(a_hit_is_remembered_until_the_next_store) {
    struct fixture *fixture = *state;
    store_text(fixture, "k", "v", false);
    wait_seconds(fixture, 100);
    struct cache_cursor cursor;
    for (unsigned i = 0; i < 5; i++) {
        seek(fixture, "k", &cursor);
        assert_int_equal(cursor.view.fetched, i > 0);
        assert_int_equal(cursor.view.last_access, fixture->now.seconds - (i ? 0 : 100));
        cache_hit(&cursor);
        release(&cursor);
    }
    cursor = store_text(fixture, "k", "w", false);
    assert_false(cursor.view.fetched);
}

TEST(a_dirty_entry_is_collected_and_settled) {
    struct fixture *fixture = *state;
    struct catcher catcher;
    struct cache_cursor at = store_text(fixture, "k", "one", true);
    assert_true(at.queue);
    assert_int_equal(at.view.state, CACHE_DIRTY);
    assert_int_equal(cache_dirty_entries(fixture->cache, fixture->space), 1);
    size_t bytes = cache_dirty_bytes(fixture->cache, fixture->space);
    assert_true(bytes > 4);
    uint64_t first = at.view.version;
    at = store_text(fixture, "k", "two", true); /* coalesced: it is in the queue already */
    assert_false(at.queue);
    assert_true(at.view.version > first);
    assert_int_equal(collect(fixture, "k", &catcher), 1);
    assert_string_equal(catcher.value, "two");
    assert_int_equal(catcher.view.version, at.view.version);
    assert_int_equal(look(fixture, "k").view.state, CACHE_FLUSHING);
    assert_int_equal(collect(fixture, "k", &catcher), 0);
    at = store_text(fixture, "k", "three", true); /* during the flush: dirty again, and queued */
    assert_true(at.queue);
    assert_false(settle(fixture, "k", first));
    assert_int_equal(look(fixture, "k").view.state, CACHE_DIRTY);
    assert_int_equal(collect(fixture, "k", &catcher), 1);
    assert_true(settle(fixture, "k", at.view.version));
    assert_int_equal(look(fixture, "k").view.state, CACHE_CLEAN);
    assert_int_equal(cache_dirty_entries(fixture->cache, fixture->space), 0);
    assert_int_equal(cache_dirty_bytes(fixture->cache, fixture->space), 0);
    assert_value(fixture, "k", SLICE("three"));
    assert_false(settle(fixture, "other", 1));
}

TEST(an_unsettled_entry_is_dirty_again) {
    struct fixture *fixture = *state;
    struct catcher catcher;
    struct slice key = SLICE("k");
    uint64_t version = store_text(fixture, "k", "v", true).view.version;
    assert_false(cache_unsettle(fixture->cache, key, cache_hash(fixture->cache, key), version));
    collect(fixture, "k", &catcher);
    assert_false(cache_unsettle(fixture->cache, key, cache_hash(fixture->cache, key), version + 1));
    assert_true(cache_unsettle(fixture->cache, key, cache_hash(fixture->cache, key), version));
    assert_int_equal(look(fixture, "k").view.state, CACHE_DIRTY);
    assert_int_equal(collect(fixture, "k", &catcher), 1);
    assert_true(settle(fixture, "k", version));
}

TEST(a_tombstone_stays_until_it_is_settled) {
    struct fixture *fixture = *state;
    struct cache_cursor cursor;
    struct catcher catcher;
    static const char *const keys[] = {"known", "unknown"};
    store_text(fixture, "known", "value", false);
    for (unsigned i = 0; i < 2; i++) {
        seek(fixture, keys[i], &cursor);
        assert_int_equal(cache_bury(&cursor, 0), CACHE_OK);
        assert_true(cursor.queue);
        assert_int_equal(cursor.presence, CACHE_GONE);
        release(&cursor);
        cursor = look(fixture, keys[i]);
        assert_int_equal(cursor.presence, CACHE_GONE);
        assert_true(cursor.view.tombstone && cursor.view.state == CACHE_DIRTY);
        assert_int_equal(stats(fixture).tombstones, 1);
        assert_int_equal(stats(fixture).entries, 0);
        assert_int_equal(collect(fixture, keys[i], &catcher), 1);
        assert_true(catcher.view.tombstone);
        assert_int_equal(look(fixture, keys[i]).presence, CACHE_GONE);
        assert_true(settle(fixture, keys[i], catcher.view.version));
        assert_int_equal(look(fixture, keys[i]).presence, CACHE_UNKNOWN);
        assert_int_equal(stats(fixture).tombstones, 0);
    }
    seek(fixture, "known", &cursor);
    assert_int_equal(cache_bury(&cursor, 0), CACHE_OK);
    release(&cursor);
    store_text(fixture, "known", "again", true); /* a write over a tombstone */
    assert_value(fixture, "known", SLICE("again"));
}

TEST(a_touch_changes_the_expiry_alone) {
    struct fixture *fixture = *state;
    struct cache_cursor cursor;
    struct catcher catcher;
    uint32_t soon = fixture->now.seconds + 10, later = fixture->now.seconds + 100;
    uint64_t version = store_text(fixture, "k", "value", false).view.version;
    seek(fixture, "k", &cursor);
    assert_int_equal(cache_touch(&cursor, soon, false), CACHE_OK);
    assert_false(cursor.queue);
    release(&cursor);
    cursor = look(fixture, "k");
    assert_int_equal(cursor.view.expires_at, soon);
    assert_int_equal(cursor.view.version, version);
    assert_int_equal(cursor.view.state, CACHE_CLEAN);
    seek(fixture, "k", &cursor);
    assert_int_equal(cache_touch(&cursor, later, true), CACHE_OK);
    assert_true(cursor.queue);
    release(&cursor);
    cursor = look(fixture, "k");
    assert_int_equal(cursor.view.expires_at, later);
    assert_true(cursor.view.version > version);
    assert_int_equal(cache_view_cas(&cursor.view), version);
    assert_true(cursor.view.ttl_only && cursor.view.state == CACHE_DIRTY);
    assert_value(fixture, "k", SLICE("value"));
    assert_int_equal(collect(fixture, "k", &catcher), 1);
    assert_true(catcher.view.ttl_only);
    assert_true(settle(fixture, "k", catcher.view.version));
    assert_false(look(fixture, "k").view.ttl_only);
    store_text(fixture, "k", "dirty value", true);
    seek(fixture, "k", &cursor);
    assert_int_equal(cache_touch(&cursor, soon, true), CACHE_OK);
    assert_false(cursor.queue || cursor.view.ttl_only); /* its value is dirty too */
    release(&cursor);
    assert_value(fixture, "k", SLICE("dirty value"));
}

TEST(a_touch_keeps_a_large_value) {
    struct fixture *fixture = *state;
    static char value[50000];
    struct cache_cursor cursor;
    store(fixture, "k", &(struct cache_write){.value = {value, sizeof(value)}});
    seek(fixture, "k", &cursor);
    assert_int_equal(cache_touch(&cursor, fixture->now.seconds + 9, true), CACHE_OK);
    release(&cursor);
    assert_value(fixture, "k", slice_of(value, sizeof(value)));
    assert_int_equal(stats(fixture).large_entries, 1);
}

TEST(a_fill_is_refused_after_a_change) {
    struct fixture *fixture = *state;
    struct cache_cursor cursor;
    uint64_t stamp = look(fixture, "k").stamp, high = version_from_us(fixture->now.us + 5000000, 9);
    assert_int_equal(fill(fixture, "k", "loaded", high, stamp), CACHE_OK);
    assert_value(fixture, "k", SLICE("loaded"));
    assert_int_equal(look(fixture, "k").view.version, high);
    assert_int_equal(fill(fixture, "k", "late", high, stamp), CACHE_CHANGED);
    cursor = store_text(fixture, "k", "next", true); /* a loaded version is seen: the next one is larger */
    assert_true(cursor.view.version > high);

    stamp = look(fixture, "gone").stamp;
    store_text(fixture, "gone", "new", false);
    seek(fixture, "gone", &cursor);
    cache_forget(&cursor);
    release(&cursor);
    assert_int_equal(look(fixture, "gone").presence, CACHE_UNKNOWN);
    assert_int_equal(fill(fixture, "gone", "old", 1, stamp), CACHE_CHANGED);

    stamp = look(fixture, "buried").stamp;
    seek(fixture, "buried", &cursor);
    cache_bury(&cursor, 0);
    uint64_t version = cursor.view.version;
    release(&cursor);
    assert_true(settle(fixture, "buried", version));
    assert_int_equal(fill(fixture, "buried", "old", 1, stamp), CACHE_CHANGED);

    seek(fixture, "never", &cursor); /* forgotten while there was nothing */
    stamp = cursor.stamp;
    cache_forget(&cursor);
    release(&cursor);
    assert_int_equal(fill(fixture, "never", "old", 1, stamp), CACHE_CHANGED);
    stamp = look(fixture, "never").stamp;
    assert_int_equal(fill(fixture, "never", "current", 0, stamp), CACHE_OK);
    assert_true(look(fixture, "never").view.version > 0);
}

TEST(a_fill_keeps_nothing_too_large_or_expired) {
    struct fixture *fixture = *state;
    static char value[MIB + 1];
    struct entry entry = {.key = SLICE("k"), .value = {value, MIB + 1}, .version = 1};
    uint64_t hash = cache_hash(fixture->cache, entry.key), stamp = look(fixture, "k").stamp;
    assert_int_equal(cache_fill(fixture->cache, fixture->space, &entry, hash, stamp, &fixture->now),
                     CACHE_TOO_LARGE);
    entry.value.size = 5;
    entry.expires_at = fixture->now.seconds;
    assert_int_equal(cache_fill(fixture->cache, fixture->space, &entry, hash, stamp, &fixture->now),
                     CACHE_OK);
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
}

TEST(an_absence_is_remembered_for_its_time) {
    struct fixture *fixture = *state;
    struct slice key = SLICE("k");
    uint64_t hash = cache_hash(fixture->cache, key), stamp = look(fixture, "k").stamp;
    uint32_t until = fixture->now.seconds + 2;
    assert_int_equal(cache_fill_absent(fixture->cache, fixture->space, key, hash, stamp, 0, &fixture->now),
                     CACHE_OK);
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
    assert_int_equal(
        cache_fill_absent(fixture->cache, fixture->space, key, hash, stamp, until, &fixture->now), CACHE_OK);
    struct cache_cursor at = look(fixture, "k");
    assert_int_equal(at.presence, CACHE_GONE);
    assert_false(at.view.tombstone || at.view.expired);
    assert_int_equal(stats(fixture).negatives, 1);
    assert_int_equal(stats(fixture).entries, 0);
    wait_seconds(fixture, 2);
    assert_int_equal(look(fixture, "k").presence, CACHE_UNKNOWN);
    assert_int_equal(stats(fixture).negatives, 0);
    stamp = look(fixture, "k").stamp;
    store_text(fixture, "k", "v", false);
    assert_int_equal(cache_fill_absent(fixture->cache, fixture->space, key, hash, stamp, 0, &fixture->now),
                     CACHE_CHANGED);
    stamp = look(fixture, "m").stamp;
    key = SLICE("m");
    until = fixture->now.seconds + 2;
    cache_fill_absent(fixture->cache, fixture->space, key, cache_hash(fixture->cache, key), stamp, until,
                      &fixture->now);
    store_text(fixture, "m", "now it is there", true);
    assert_value(fixture, "m", SLICE("now it is there"));
    assert_int_equal(stats(fixture).negatives, 0);
}

TEST(flush_all_drops_the_clean_and_spares_the_dirty) {
    struct fixture *fixture = *state;
    struct catcher catcher;
    store_text(fixture, "clean", "c", false);
    store_text(fixture, "dirty", "d", true);
    cache_flush_all(fixture->cache, fixture->space, 0, &fixture->now);
    assert_int_equal(look(fixture, "clean").presence, CACHE_UNKNOWN);
    assert_value(fixture, "dirty", SLICE("d"));
    assert_int_equal(collect(fixture, "dirty", &catcher), 1);
    assert_true(settle(fixture, "dirty", catcher.view.version));
    assert_int_equal(look(fixture, "dirty").presence, CACHE_UNKNOWN);
    store_text(fixture, "clean", "c2", false);
    assert_value(fixture, "clean", SLICE("c2"));
    store_text(fixture, "dirty", "d", true); /* written anew after a flush: it stays when it is settled */
    cache_flush_all(fixture->cache, CACHE_ALL_SPACES, 0, &fixture->now);
    uint64_t version = store_text(fixture, "dirty", "e", true).view.version;
    assert_true(settle(fixture, "dirty", version));
    assert_value(fixture, "dirty", SLICE("e"));
    maintain(fixture);
    assert_int_equal(stats(fixture).entries, 1);
}

TEST(flush_all_may_come_later) {
    struct fixture *fixture = *state;
    store_text(fixture, "a", "1", false);
    cache_flush_all(fixture->cache, CACHE_ALL_SPACES, fixture->now.seconds + 5, &fixture->now);
    store_text(fixture, "b", "2", false);
    wait_seconds(fixture, 4);
    assert_value(fixture, "a", SLICE("1"));
    wait_seconds(fixture, 1);
    assert_int_equal(look(fixture, "a").presence, CACHE_UNKNOWN);
    assert_int_equal(look(fixture, "b").presence, CACHE_UNKNOWN);
    store_text(fixture, "a", "3", false);
    wait_seconds(fixture, 5);
    assert_value(fixture, "a", SLICE("3"));
}

TEST(namespaces_are_apart) {
    struct fixture *fixture = *state;
    struct fixture other = *fixture;
    struct cache_space_options options = {.max_residency = 10};
    other.space = cache_add_space(fixture->cache, &options);
    assert_int_equal(other.space, 1);
    store_text(fixture, "a", "1", true);
    store_text(&other, "b", "2", false);
    assert_int_equal(stats(fixture).entries, 1);
    assert_int_equal(stats(&other).entries, 1);
    cache_flush_all(fixture->cache, fixture->space, 0, &fixture->now);
    assert_value(&other, "b", SLICE("2"));
    assert_int_equal(cache_dirty_entries(fixture->cache, other.space), 0);
    struct cache_stats all;
    cache_get_stats(fixture->cache, CACHE_ALL_SPACES, &all);
    assert_int_equal(all.entries, 2);
    wait_seconds(&other, 10); /* its residency ends; a dirty one stays until it is settled */
    store_text(&other, "c", "3", true);
    assert_int_equal(look(&other, "b").presence, CACHE_UNKNOWN);
    wait_seconds(&other, 10);
    assert_value(&other, "c", SLICE("3"));
    assert_true(settle(&other, "c", look(&other, "c").view.version));
    assert_int_equal(look(&other, "c").presence, CACHE_UNKNOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(an_empty_cache_knows_nothing),
        CASE(a_store_keeps_every_field),
        CASE(an_overwrite_may_have_any_size),
        CASE(a_value_beyond_item_max_is_refused),
        CASE(a_large_value_outlives_its_entry_while_it_is_held),
        CASE(what_has_expired_is_gone_but_still_collected_when_dirty),
        CASE(a_hit_is_remembered_until_the_next_store),
        CASE(a_dirty_entry_is_collected_and_settled),
        CASE(an_unsettled_entry_is_dirty_again),
        CASE(a_tombstone_stays_until_it_is_settled),
        CASE(a_touch_changes_the_expiry_alone),
        CASE(a_touch_keeps_a_large_value),
        CASE(a_fill_is_refused_after_a_change),
        CASE(a_fill_keeps_nothing_too_large_or_expired),
        CASE(an_absence_is_remembered_for_its_time),
        CASE(flush_all_drops_the_clean_and_spares_the_dirty),
        CASE(flush_all_may_come_later),
        CASE(namespaces_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
