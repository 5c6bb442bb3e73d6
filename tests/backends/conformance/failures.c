/* SPDX-License-Identifier: MIT */
/* Whose fault it is: a table that fails does so alone, and so does a row that cannot be read. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"

static enum backend_status status_of_apply(struct store *store, struct mutation *mutations, size_t count) {
    struct backend_error error;
    return try_apply(store, mutations, count, &error);
}

/* By the reader. */
static enum backend_status status_of_load(struct store *store, unsigned table, const struct slice *keys,
                                          size_t count) {
    struct load_result results[8];
    struct backend_error error;
    assert_true(count <= 8);
    return try_load(store, store->reader, table, keys, count, store->now, results, &error);
}

TEST(a_table_that_fails_leaves_the_others_alone) {
    struct store *store = *state;
    struct slice key = SLICE("sess:a"), other = SLICE("other:a");
    struct mutation both[] = {put(store, "sess:a", "one", 2), put(store, "other:a", "one", 2)};
    both[1].table = store->list[1];
    apply(store, put(store, "sess:a", "before", 1));
    assert_true(load(store, "sess:a").found);
    store->kind->change_table(store, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of_apply(store, both, 2), BACKEND_TABLE_FAILED);
        assert_int_equal(status_of_apply(store, both, 1), BACKEND_TABLE_FAILED);
        assert_int_equal(status_of_load(store, 0, &key, 1), BACKEND_TABLE_FAILED);
        assert_int_equal(status_of_apply(store, &both[1], 1), BACKEND_OK);
        assert_int_equal(status_of_load(store, 1, &other, 1), BACKEND_OK);
    }
    store->kind->change_table(store, false);
    assert_int_equal(status_of_load(store, 0, &key, 1), BACKEND_OK);
    assert_int_equal(status_of_apply(store, both, 2), BACKEND_OK);
    assert_slice(load(store, "sess:a").entry.value, SLICE("one"));
}

/* It does not even keep a running server from opening its connections again. */
TEST(a_connection_opened_later_passes_over_a_table_that_fails) {
    struct store *store = *state;
    struct slice key = SLICE("sess:a"), other = SLICE("other:a");
    struct mutation mutation = put(store, "other:a", "one", 1);
    mutation.table = store->list[1];
    store->kind->change_table(store, true);
    disconnect(store);
    store->options.running = true;
    connect_both(store);
    assert_int_equal(status_of_apply(store, &mutation, 1), BACKEND_OK);
    assert_int_equal(status_of_load(store, 1, &other, 1), BACKEND_OK);
    assert_int_equal(status_of_load(store, 0, &key, 1), BACKEND_TABLE_FAILED);
    store->kind->change_table(store, false);
    assert_int_equal(status_of_load(store, 0, &key, 1), BACKEND_OK);
    apply(store, put(store, "sess:a", "two", 2));
    assert_true(load(store, "sess:a").found);
}

TEST(a_row_that_cannot_be_read_is_told_from_its_neighbours) {
    static char value[LARGE];
    struct store *store = *state;
    struct slice keys[] = {SLICE("sess:a"), SLICE("sess:bad"), SLICE("sess:c")};
    struct mutation bad = put(store, "sess:bad", "", 1);
    memset(value, 'Q', sizeof value);
    bad.entry.value = slice_of(value, sizeof value);
    apply(store, put(store, "sess:a", "one", 1));
    apply(store, bad);
    apply(store, put(store, "sess:c", "three", 1));
    store->kind->spoil_row(store);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of_load(store, 0, keys, 3), BACKEND_PERMANENT);
        assert_int_equal(status_of_load(store, 0, &keys[1], 1), BACKEND_PERMANENT);
        assert_int_equal(status_of_load(store, 0, &keys[0], 1), BACKEND_OK);
        assert_int_equal(status_of_load(store, 0, &keys[2], 1), BACKEND_OK);
    }
    assert_slice(load(store, "sess:a").entry.value, SLICE("one"));
}

static const struct CMUnitTest cases[] = {
    CASE(a_table_that_fails_leaves_the_others_alone),
    CASE(a_connection_opened_later_passes_over_a_table_that_fails),
    CASE(a_row_that_cannot_be_read_is_told_from_its_neighbours),
};

const struct subject about_failures = {cases, sizeof cases / sizeof cases[0]};
