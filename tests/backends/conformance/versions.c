/* SPDX-License-Identifier: MIT */
/* The version guard of puts and deletes. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"

TEST(a_put_needs_a_higher_version) {
    struct store *store = *state;
    assert_false(apply(store, put(store, "sess:a", "five", 5)));
    assert_true(apply(store, put(store, "sess:a", "four", 4)));
    assert_value(store, "sess:a", "five", 5);
    assert_false(apply(store, put(store, "sess:a", "five again", 5)));
    assert_value(store, "sess:a", "five", 5);
    assert_false(apply(store, put(store, "sess:a", "six", 6)));
    assert_value(store, "sess:a", "six", 6);
}

TEST(a_delete_needs_no_lower_version) {
    struct store *store = *state;
    assert_false(apply(store, put(store, "sess:a", "five", 5)));
    assert_true(apply(store, delete (store, "sess:a", 4)));
    assert_value(store, "sess:a", "five", 5);
    assert_false(apply(store, delete (store, "sess:a", 5)));
    assert_absent(store, "sess:a");
    assert_false(apply(store, delete (store, "sess:a", 5)));
    assert_false(apply(store, delete (store, "sess:never", 1)));
    assert_false(apply(store, put(store, "sess:b", "five", 5)));
    assert_false(apply(store, delete (store, "sess:b", 9)));
    assert_absent(store, "sess:b");
}

/* So that what a journal has may be written again, in any order. */
TEST(a_delete_is_remembered_where_the_kind_says_so) {
    struct store *store = *state;
    if (!type(store)->remembers_deletes)
        skip();
    apply(store, put(store, "sess:a", "one", 1));
    apply(store, delete (store, "sess:a", 9));
    assert_false(apply(store, delete (store, "sess:never", 9)));
    assert_true(apply(store, put(store, "sess:a", "seven", 7)));
    assert_true(apply(store, put(store, "sess:never", "seven", 7)));
    assert_true(apply(store, touch(store, "sess:a", "eight", store->now + 100, 8)));
    assert_absent(store, "sess:a");
    assert_absent(store, "sess:never");
}

TEST(a_put_after_a_delete_is_a_new_row) {
    struct store *store = *state;
    apply(store, put(store, "sess:a", "one", 1));
    apply(store, delete (store, "sess:a", 2));
    assert_false(apply(store, put(store, "sess:a", "three", 3)));
    assert_value(store, "sess:a", "three", 3);
}

static const struct CMUnitTest cases[] = {
    CASE(a_put_needs_a_higher_version),
    CASE(a_delete_needs_no_lower_version),
    CASE(a_delete_is_remembered_where_the_kind_says_so),
    CASE(a_put_after_a_delete_is_a_new_row),
};

const struct subject about_versions = {cases, sizeof cases / sizeof cases[0]};
