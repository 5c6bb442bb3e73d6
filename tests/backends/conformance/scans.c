/* SPDX-License-Identifier: MIT */
/* Walks through a table: the newest entries, all keys, pages of both, and how much there is. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"
#include <stdio.h>
#include <stdlib.h>

struct collector {
    struct backend_visitor visitor;
    struct store *store;
    uint64_t versions[64];
    size_t count, stop_at;
};

/* Keys are sess:<version>, values "value <version>". */
static bool collect(struct backend_visitor *visitor, const struct entry *entry) {
    struct collector *collector = (struct collector *)visitor;
    char expected[32], key[32] = {0};
    assert_in_range(entry->key.size, strlen("sess:1"), sizeof key - 1);
    memcpy(key, entry->key.data, entry->key.size);
    uint64_t version = strtoull(key + strlen("sess:"), NULL, 10);
    sprintf(expected, "sess:%u", (unsigned)version);
    assert_slice(entry->key, slice_string(expected));
    if (!visitor->keys_only) {
        sprintf(expected, "value %u", (unsigned)version);
        assert_slice(entry->value, slice_string(expected));
        assert_int_equal(entry->version, version);
    }
    assert_true(collector->count < 64);
    collector->versions[collector->count++] = version;
    return collector->count != collector->stop_at;
}

/* While slots move, the newest may lack a few, all keys are a transient failure, and pages have no end: what is walked
 * has come to rest. */
static void come_to_rest(struct store *store) {
    if (store->kind->rest)
        store->kind->rest(store);
}

static struct collector scan_for(struct store *store, size_t limit, size_t stop_at, bool keys_only) {
    struct collector collector = {
        .visitor = {collect, .keys_only = keys_only}, .store = store, .stop_at = stop_at};
    struct backend_error error;
    if (type(store)->scan(store->reader, store->list[0], limit, store->now, &collector.visitor, &error) !=
        BACKEND_OK)
        fail_msg("%s", error.message);
    return collector;
}

static struct collector scan(struct store *store, size_t limit, size_t stop_at) {
    return scan_for(store, limit, stop_at, false);
}

struct key_counter {
    struct backend_visitor visitor;
    size_t count;
};

static bool count_key(struct backend_visitor *self, const struct entry *entry) {
    struct key_counter *counter = (struct key_counter *)(void *)self;
    counter->count += slice_starts_with(entry->key, SLICE("sess:"));
    return true;
}

static size_t count_all_keys(struct store *store) {
    struct key_counter counter = {.visitor = {count_key, .keys_only = true, .all_keys = true}};
    struct backend_error error;
    if (type(store)->scan(store->reader, store->list[0], SIZE_MAX, 0, &counter.visitor, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return counter.count;
}

TEST(a_scan_shows_the_newest_first) {
    struct store *store = *state;
    char name[16], value[16];
    assert_int_equal(scan(store, 10, 0).count, 0);
    for (unsigned i = 1; i <= 40; i++) {
        sprintf(name, "sess:%u", i * 17 % 41);
        sprintf(value, "value %u", i * 17 % 41);
        struct mutation mutation = put(store, name, value, i * 17 % 41);
        mutation.entry.expires_at = i * 17 % 41 == 38 ? store->now - 1 : i % 2 ? store->now + 100 : 0;
        apply(store, mutation);
    }
    struct mutation elsewhere = put(store, "other:1", "not of this table", 1000);
    elsewhere.table = store->list[1];
    apply_all(store, &elsewhere, 1);
    apply(store, delete (store, "sess:36", 41));
    come_to_rest(store);
    struct collector all = scan(store, 64, 0);
    assert_int_equal(all.count, 38);
    for (size_t i = 1; i < all.count; i++)
        assert_true(all.versions[i] < all.versions[i - 1]);
    struct collector some = scan(store, 4, 0);
    assert_int_equal(some.count, 4);
    uint64_t newest[] = {40, 39, 37, 35};
    assert_memory_equal(some.versions, newest, sizeof newest);
    assert_int_equal(scan(store, 64, 7).count, 7);
    struct collector keys = scan_for(store, 64, 0, true);
    assert_int_equal(keys.count, 38);
    assert_memory_equal(keys.versions, all.versions, 38 * sizeof all.versions[0]);
    assert_int_equal(scan_for(store, 4, 0, true).count, 4);
    assert_int_equal(scan_for(store, 64, 7, true).count, 7);
    assert_int_equal(scan(store, 0, 0).count, 0);
}

/* For a filter of the keys that the table has: what has expired may yet be touched, or the clock be set back. */
TEST(a_scan_of_all_keys_leaves_none_out) {
    struct store *store = *state;
    enum { ROWS = 2500 };
    char name[16];
    for (unsigned i = 0; i < ROWS; i++) {
        sprintf(name, "sess:%u", i);
        struct mutation mutation = put(store, name, "v", i + 1);
        mutation.entry.expires_at = i % 2 ? store->now + 100 : 0;
        apply(store, mutation);
    }
    struct mutation elsewhere = put(store, "other:1", "not of this table", 9000);
    elsewhere.table = store->list[1];
    apply_all(store, &elsewhere, 1);
    apply(store, delete (store, "sess:7", 9001));
    come_to_rest(store);
    store->now += 200; /* half of them have expired; a kind that removes such by itself may leave them out */
    assert_in_range(count_all_keys(store), ROWS / 2 - 1, ROWS - 1);
    store->now -= 200;
    assert_int_equal(count_all_keys(store), ROWS - 1);
}

struct page_reader {
    struct backend_visitor visitor;
    struct backend_place place;
    bool *seen;
    size_t stop_after; /* keys of a page; 0: it is not stopped */
    size_t shown;
};

static bool see_key(struct backend_visitor *self, const struct entry *entry) {
    struct page_reader *reader = (struct page_reader *)(void *)self;
    char number[16] = "";
    assert_true(slice_starts_with(entry->key, SLICE("sess:")));
    memcpy(number, entry->key.data + 5, entry->key.size - 5);
    reader->seen[atoi(number)] = true;
    return ++reader->shown != reader->stop_after;
}

static void read_page(struct store *store, struct backend_connection *connection,
                      struct page_reader *reader) {
    struct backend_error error;
    reader->shown = 0;
    if (type(store)->scan(connection, store->list[0], SIZE_MAX, 0, &reader->visitor, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
}

static bool is_same_place(const struct backend_place *one, const struct backend_place *other) {
    return one->size == other->size && one->end == other->end &&
           memcmp(one->bytes, other->bytes, one->size) == 0;
}

/* As a copy does that is interrupted: pages over one connection and another, one of them given up. */
TEST(pages_of_keys_leave_none_out) {
    struct store *store = *state;
    enum { ROWS = 2500 };
    bool seen[ROWS] = {false};
    char name[16];
    for (unsigned i = 0; i < ROWS; i++) {
        sprintf(name, "sess:%u", i);
        apply(store, put(store, name, "v", i + 1));
    }
    struct mutation elsewhere = put(store, "other:1", "not of this table", 9000);
    elsewhere.table = store->list[1];
    apply_all(store, &elsewhere, 1);
    come_to_rest(store);
    struct page_reader reader = {.visitor = {see_key, .keys_only = true, .all_keys = true}, .seen = seen};
    reader.visitor.place = &reader.place;
    size_t pages = 0;
    for (; !reader.place.end; pages++) {
        struct backend_place before = reader.place;
        reader.stop_after = 1;
        read_page(store, store->reader, &reader);
        assert_true(reader.shown == 0 || is_same_place(&before, &reader.place));
        reader.stop_after = 0;
        if (reader.shown > 0) /* else it was a page without keys */
            read_page(store, pages % 2 ? store->reader : store->writer, &reader);
    }
    assert_in_range(pages, 2, ROWS);
    for (size_t i = 0; i < ROWS; i++)
        assert_true(seen[i]);
    reader.place = (struct backend_place){.bytes = "of another store", .size = 16};
    read_page(store, store->reader, &reader);
}

static struct backend_extent extent_of(struct store *store, size_t most, uint64_t room) {
    struct backend_extent extent;
    struct backend_error error;
    if (type(store)->extent(store->reader, store->list[0], most, room, &extent, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return extent;
}

/* All that live, each once and whole, by pages. */
static size_t read_entries(struct store *store, struct collector *collector, struct backend_place *place) {
    struct backend_error error;
    size_t shown = 0;
    *place = (struct backend_place){.size = 0};
    while (!place->end) {
        *collector = (struct collector){.visitor = {collect, .place = place}, .store = store};
        if (type(store)->scan(store->reader, store->list[0], SIZE_MAX, store->now, &collector->visitor,
                              &error) != BACKEND_OK)
            fail_msg("%s", error.message);
        shown += collector->count;
    }
    return shown;
}

/* Of a kind that can tell how much there is; for the others there is nothing to be seen. */
TEST(entries_are_shown_in_no_order_where_their_extent_is_told) {
    struct store *store = *state;
    char name[16], value[16];
    struct collector all;
    struct backend_place place;
    for (unsigned i = 1; i <= 40; i++) {
        sprintf(name, "sess:%u", i);
        sprintf(value, "value %u", i);
        struct mutation mutation = put(store, name, value, i);
        mutation.entry.expires_at = i == 38 ? store->now - 1 : i % 2 ? store->now + 100 : 0;
        apply(store, mutation);
    }
    apply(store, delete (store, "sess:36", 41));
    struct backend_extent extent = extent_of(store, 39, 0), bound = extent_of(store, SIZE_MAX, UINT64_MAX);
    assert_int_equal(bound.rows, extent.rows);
    assert_true(extent_of(store, 30, 0).rows > 30);
    if (extent.rows == SIZE_MAX)
        return;
    assert_in_range(extent.rows, 38, 39);
    assert_in_range(extent.bytes, 38 * strlen("sess:1value 1"), 39 * strlen("sess:40value 40"));
    assert_true(bound.bytes >= extent.bytes);
    assert_int_equal(read_entries(store, &all, &place), 38);
    uint64_t sum = 0;
    for (size_t i = 0; i < all.count; i++)
        sum += all.versions[i];
    assert_int_equal(sum, 40 * 41 / 2 - 38 - 36);
    place = (struct backend_place){.size = 0};
    struct collector some = {.visitor = {collect, .place = &place}, .store = store, .stop_at = 7};
    struct backend_error error;
    assert_int_equal(
        type(store)->scan(store->reader, store->list[0], SIZE_MAX, store->now, &some.visitor, &error),
        BACKEND_OK);
    assert_int_equal(some.count, 7);
    assert_int_equal(place.size, 0);
}

static const struct CMUnitTest cases[] = {
    CASE(a_scan_shows_the_newest_first),
    CASE(a_scan_of_all_keys_leaves_none_out),
    CASE(pages_of_keys_leave_none_out),
    CASE(entries_are_shown_in_no_order_where_their_extent_is_told),
};

const struct subject about_scans = {cases, sizeof cases / sizeof cases[0]};
