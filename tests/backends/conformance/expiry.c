/* SPDX-License-Identifier: MIT */
/* Rows whose life is over, and the upkeep that removes them. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"

TEST(a_row_past_its_expiry_is_not_found) {
    struct store *store = *state;
    struct mutation mutation = put(store, "sess:a", "one", 1);
    mutation.entry.expires_at = store->now + 1000;
    apply(store, mutation);
    assert_true(load_from(store, store->reader, 0, SLICE("sess:a"), store->now + 999).found);
    assert_false(load_from(store, store->reader, 0, SLICE("sess:a"), store->now + 1000).found);
    assert_false(load_from(store, store->reader, 0, SLICE("sess:a"), store->now + 1001).found);
}

TEST(an_entry_written_past_its_expiry_is_not_found) {
    struct store *store = *state;
    apply(store, put(store, "sess:a", "lives", 1));
    struct mutation mutation = put(store, "sess:a", "dead", 2);
    mutation.entry.expires_at = store->now - 100;
    assert_false(apply(store, mutation));
    assert_absent(store, "sess:a");
    apply(store, put(store, "sess:b", "lives", 3));
    assert_false(apply(store, touch_of(store, 3, "sess:b", "lives", store->now - 100, 4)));
    assert_absent(store, "sess:b");
    assert_false(apply(store, put(store, "sess:a", "again", 5)));
    assert_value(store, "sess:a", "again", 5);
}

static void maintain_to_the_end(struct store *store, uint32_t now) {
    struct backend_error error;
    bool more = true;
    for (unsigned i = 0; more && i < 10000; i++)
        if (type(store)->maintain(store->writer, now, &more, &error) != BACKEND_OK)
            fail_msg("%s", error.message);
    assert_false(more);
}

TEST(upkeep_spares_the_living) {
    struct store *store = *state;
    struct mutation mutations[] = {put(store, "sess:a", "one", 1), put(store, "sess:b", "two", 2),
                                   put(store, "sess:c", "three", 3)};
    mutations[0].entry.expires_at = store->now + 100;
    mutations[1].entry.expires_at = store->now + 1000;
    apply_all(store, mutations, 3);
    maintain_to_the_end(store, store->now);
    maintain_to_the_end(store, store->now + 500);
    assert_false(load_from(store, store->reader, 0, SLICE("sess:a"), store->now + 500).found);
    assert_true(load_from(store, store->reader, 0, SLICE("sess:b"), store->now + 500).found);
    assert_true(load_from(store, store->reader, 0, SLICE("sess:c"), store->now + 500).found);
}

static const struct CMUnitTest cases[] = {
    CASE(a_row_past_its_expiry_is_not_found),
    CASE(an_entry_written_past_its_expiry_is_not_found),
    CASE(upkeep_spares_the_living),
};

const struct subject about_expiry = {cases, sizeof cases / sizeof cases[0]};
