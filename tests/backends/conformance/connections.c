/* SPDX-License-Identifier: MIT */
/* What outlives connections: the rows, and the highest version that there has ever been. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"

static uint64_t high_version(struct store *store, struct backend_connection *connection) {
    struct backend_error error;
    uint64_t version = 1;
    if (type(store)->high_version(connection, &version, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return version;
}

TEST(the_high_version_never_falls) {
    struct store *store = *state;
    assert_int_equal(high_version(store, store->writer), 0);
    apply(store, put(store, "sess:a", "one", 70));
    apply(store, put(store, "sess:b", "one", 60));
    assert_int_equal(high_version(store, store->writer), 70);
    apply(store, delete (store, "sess:a", 80));
    assert_int_equal(high_version(store, store->reader), 80);
    disconnect(store);
    connect_both(store);
    assert_int_equal(high_version(store, store->writer), 80);
    apply(store, put(store, "sess:c", "one", 75));
    assert_int_equal(high_version(store, store->writer), 80);
    apply(store, touch_of(store, 75, "sess:c", "one", 0, (1ull << 62) + 1));
    assert_int_equal(high_version(store, store->writer), (1ull << 62) + 1);
}

TEST(rows_survive_the_connection) {
    struct store *store = *state;
    apply(store, put(store, "sess:a", "one", 1));
    apply(store, put(store, "sess:b", "two", 2));
    apply(store, delete (store, "sess:b", 3));
    disconnect(store);
    connect_both(store);
    assert_value(store, "sess:a", "one", 1);
    assert_absent(store, "sess:b");
}

static const struct CMUnitTest cases[] = {
    CASE(the_high_version_never_falls),
    CASE(rows_survive_the_connection),
};

const struct subject about_connections = {cases, sizeof cases / sizeof cases[0]};
