/* SPDX-License-Identifier: MIT */
/* What a touch leaves alone, and what it has to find in the store. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"
#include <stdio.h>

TEST(a_touch_changes_all_but_value_and_flags) {
    struct store *store = *state;
    struct mutation first = put(store, "sess:a", "value", 5);
    first.entry.flags = 9;
    first.entry.marks = ENTRY_STALE;
    assert_false(apply(store, first));
    assert_false(apply(store, touch_of(store, 5, "sess:a", "another", store->now + 700, 6)));
    struct load_result result = load(store, "sess:a");
    assert_entry(&result, &(struct entry){.key = SLICE("sess:a"),
                                          .value = SLICE("value"),
                                          .version = 6,
                                          .client_cas = 5,
                                          .flags = 9,
                                          .expires_at = store->now + 700});
    assert_true(apply(store, touch_of(store, 5, "sess:a", "value", store->now + 800, 4)));
    assert_false(apply(store, touch_of(store, 5, "sess:a", "value", store->now + 800, 6)));
    assert_int_equal(load(store, "sess:a").entry.expires_at, store->now + 700);
    assert_false(apply(store, touch_of(store, 5, "sess:a", "value", 0, 7)));
    assert_int_equal(load(store, "sess:a").entry.expires_at, 0);
}

TEST(a_touch_of_a_lost_row_stores_the_entry) {
    struct store *store = *state;
    struct mutation mutation = touch(store, "sess:a", "whole", store->now + 700, 6);
    mutation.entry.flags = 4;
    mutation.entry.marks = ENTRY_TOKEN_SENT;
    assert_false(apply(store, mutation));
    struct load_result result = load(store, "sess:a");
    assert_entry(&result, &mutation.entry);
}

/* Another node's value is not kept under the CAS of the one that was touched. */
TEST(a_touch_gives_way_to_a_newer_value) {
    struct store *store = *state;
    struct mutation late = touch_of(store, 5, "sess:a", "ours", store->now + 700, 9);
    assert_false(apply(store, put(store, "sess:a", "ours", 5)));
    assert_false(apply(store, put(store, "sess:a", "theirs", 7)));
    apply_all(store, &late, 1);
    assert_true(late.superseded);
    assert_int_equal(late.superseded_by, 7);
    assert_value(store, "sess:a", "theirs", 7);
    assert_int_equal(load(store, "sess:a").entry.expires_at, 0);
    assert_false(apply(store, touch_of(store, 7, "sess:a", "theirs", store->now + 700, 8)));
    assert_true(apply(store, touch_of(store, 5, "sess:a", "ours", store->now + 800, 9)));
    assert_value(store, "sess:a", "theirs", 8);
}

/* As after a backup was restored. */
TEST(a_touch_of_an_older_row_stores_the_entry) {
    struct store *store = *state;
    struct mutation touched = touch_of(store, 7, "sess:a", "newer", store->now + 700, 9);
    touched.entry.flags = 4;
    assert_false(apply(store, put(store, "sess:a", "older", 5)));
    assert_false(apply(store, touched));
    struct load_result result = load(store, "sess:a");
    assert_entry(&result, &touched.entry);
}

/* Clients dictate any. */
TEST(a_touch_compares_all_bits_of_a_cas) {
    struct store *store = *state;
    static const uint64_t growing[] = {1, INT64_MAX, 1ull << 63, UINT64_MAX};
    for (size_t i = 0; i < 16; i++) {
        uint64_t stored = growing[i / 4], touched = growing[i % 4];
        char key[8];
        sprintf(key, "sess:%zu", i);
        struct mutation row = put(store, key, "stored", 5);
        row.entry.client_cas = stored;
        assert_false(apply(store, row));
        assert_int_equal(apply(store, touch_of(store, touched, key, "touched", 0, 9)), stored > touched);
        if (stored < touched)
            assert_value(store, key, "touched", 9);
        else
            assert_value(store, key, "stored", stored == touched ? 9 : 5);
    }
}

/* ---- Touches of what the store may never have had: a client has made it, with a CAS of its own ---- */

static const unsigned unborn[] = {MUTATION_ON_VERSION | MUTATION_ON_ABSENCE,
                                  MUTATION_ON_CAS | MUTATION_ON_ABSENCE};

/* cas: that of what is touched, which the row has too, or far from that. */
static struct mutation touch_unborn(const struct store *store, unsigned what, uint64_t cas, const char *key,
                                    uint64_t version) {
    struct mutation mutation = touch_of(store, cas, key, "", store->now + 700, version);
    mutation.entry.flags = 4;
    mutation.entry.marks = ENTRY_TOKEN_SENT;
    return on(what, 1 /* nobody's version */, mutation);
}

static void assert_touch_writes_all(struct store *store, const struct mutation *touched) {
    assert_false(apply(store, *touched));
    assert_false(apply(store, *touched)); /* again */
    struct load_result result = load(store, touched->entry.key.data);
    assert_entry(&result, &touched->entry);
}

TEST(a_touch_on_absence_is_no_touch_of_what_was_deleted) {
    struct store *store = *state;
    static const uint64_t dictated[] = {1, 30, 31, 1ull << 62};
    for (size_t i = 0; i < 8; i++) {
        char key[] = "sess:0";
        key[5] = (char)('0' + i);
        assert_false(apply(store, put(store, key, "old", 20)));
        assert_false(apply(store, delete (store, key, 30)));
        struct mutation touched = touch_unborn(store, unborn[i % 2], dictated[i / 2], key, 40);
        assert_touch_writes_all(store, &touched);
    }
    struct mutation late = touch_unborn(store, unborn[1], 1, "sess:late", 29);
    assert_false(apply(store, delete (store, "sess:late", 30)));
    assert_int_equal(apply(store, late), type(store)->remembers_deletes);
}

TEST(a_touch_on_absence_is_no_touch_of_what_has_died) {
    struct store *store = *state;
    static const uint64_t dictated[] = {1, 20, 1ull << 62};
    char keys[6][8];
    for (size_t i = 0; i < 6; i++) {
        sprintf(keys[i], "sess:%zu", i);
        struct mutation dying = put(store, keys[i], "old", 20);
        dying.entry.expires_at = store->now + 1000;
        assert_false(apply(store, dying));
    }
    /* Their lives are over by this node's clock, with a moment that the move of a slot may have added. */
    store->now += 1060;
    for (size_t i = 0; i < 6; i++) {
        struct mutation touched = touch_unborn(store, unborn[i % 2], dictated[i / 2], keys[i], 40);
        assert_touch_writes_all(store, &touched);
    }
}

/* Another node has made it meanwhile. */
TEST(a_touch_on_absence_gives_way_to_a_row) {
    struct store *store = *state;
    static const uint64_t dictated[] = {1, 1ull << 62};
    for (size_t i = 0; i < 4; i++) {
        char key[] = "sess:0";
        key[5] = (char)('0' + i);
        struct mutation touched = touch_unborn(store, unborn[i % 2], dictated[i / 2], key, 40);
        assert_false(apply(store, put(store, key, "theirs", 20)));
        apply_all(store, &touched, 1);
        assert_true(touched.superseded);
        assert_int_equal(touched.superseded_by, 20);
        assert_value(store, key, "theirs", 20);
    }
}

TEST(a_touch_may_be_on_a_cas) {
    struct store *store = *state;
    struct mutation first = put(store, "sess:a", "value", 20), touched;
    first.entry.client_cas = 7;
    assert_false(apply(store, first));
    touched = touch_unborn(store, unborn[1], 7, "sess:a", 40);
    assert_false(apply(store, touched));
    struct load_result result = load(store, "sess:a");
    assert_value(store, "sess:a", "value", 40);
    assert_int_equal(result.entry.client_cas, 7);
    assert_int_equal(result.entry.expires_at, store->now + 700);
    assert_true(apply(store, on(MUTATION_ON_CAS, 0, touch_of(store, 40, "sess:a", "", 0, 50))));
    assert_false(apply(store, on(MUTATION_ON_CAS, 0, touch_of(store, 7, "sess:a", "", 0, 50))));
    assert_true(apply(store, on(MUTATION_ON_CAS, 0, touch_of(store, 7, "sess:none", "", 0, 50))));
    assert_value(store, "sess:a", "value", 50);
    assert_absent(store, "sess:none");
}

static const struct CMUnitTest cases[] = {
    CASE(a_touch_changes_all_but_value_and_flags),
    CASE(a_touch_of_a_lost_row_stores_the_entry),
    CASE(a_touch_gives_way_to_a_newer_value),
    CASE(a_touch_of_an_older_row_stores_the_entry),
    CASE(a_touch_compares_all_bits_of_a_cas),
    CASE(a_touch_on_absence_is_no_touch_of_what_was_deleted),
    CASE(a_touch_on_absence_is_no_touch_of_what_has_died),
    CASE(a_touch_on_absence_gives_way_to_a_row),
    CASE(a_touch_may_be_on_a_cas),
};

const struct subject about_touches = {cases, sizeof cases / sizeof cases[0]};
