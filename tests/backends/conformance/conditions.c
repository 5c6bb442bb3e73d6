/* SPDX-License-Identifier: MIT */
/* What a mutation is on: a version, the absence of a row, or either. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"

TEST(a_change_on_a_version_needs_that_version) {
    struct store *store = *state;
    struct mutation late = on(MUTATION_ON_VERSION, 5, put(store, "sess:a", "from five", 9));
    assert_false(apply(store, put(store, "sess:a", "five", 5)));
    assert_false(apply(store, on(MUTATION_ON_VERSION, 5, put(store, "sess:a", "seven", 7))));
    assert_false(apply(store, on(MUTATION_ON_VERSION, 5, put(store, "sess:a", "seven", 7)))); /* again */
    apply_all(store, &late, 1);
    assert_true(late.superseded);
    assert_int_equal(late.superseded_by, 7);
    assert_int_equal(late.attempts, 1);
    assert_value(store, "sess:a", "seven", 7);
    assert_true(apply(store, on(MUTATION_ON_VERSION, 5, touch_of(store, 5, "sess:a", "five", 0, 9))));
    assert_true(apply(store, on(MUTATION_ON_VERSION, 5, delete (store, "sess:a", 9))));
    assert_true(apply(store, on(MUTATION_ON_VERSION, 7, put(store, "sess:a", "of a slow clock", 6))));
    assert_value(store, "sess:a", "seven", 7);
    assert_false(apply(store, on(MUTATION_ON_VERSION, 7, touch_of(store, 7, "sess:a", "seven", 0, 8))));
    struct mutation gone = on(MUTATION_ON_VERSION, 8, delete (store, "sess:a", 9));
    for (unsigned attempt = 1; attempt <= 2; attempt++) {
        apply_all(store, &gone, 1);
        assert_false(gone.superseded);
        assert_int_equal(gone.attempts, attempt);
    }
    assert_absent(store, "sess:a");
    assert_true(apply(store, on(MUTATION_ON_VERSION, 9, put(store, "sess:a", "ten", 10))));
    assert_absent(store, "sess:a");
}

TEST(a_change_on_absence_needs_no_row) {
    struct store *store = *state;
    assert_false(apply(store, on(MUTATION_ON_ABSENCE, 0, put(store, "sess:a", "one", 1))));
    assert_false(apply(store, on(MUTATION_ON_ABSENCE, 0, put(store, "sess:a", "one", 1)))); /* again */
    assert_true(apply(store, on(MUTATION_ON_ABSENCE, 0, put(store, "sess:a", "two", 2))));
    assert_value(store, "sess:a", "one", 1);
    assert_false(apply(store, delete (store, "sess:a", 3)));
    assert_false(apply(store, on(MUTATION_ON_ABSENCE, 0, put(store, "sess:a", "four", 4))));
    struct mutation dying = put(store, "sess:a", "five", 5);
    dying.entry.expires_at = store->now + 1000;
    assert_false(apply(store, dying));
    store->now += 1000; /* by this node's clock its life is over */
    assert_false(apply(store, on(MUTATION_ON_ABSENCE, 0, put(store, "sess:a", "six", 6))));
    assert_value(store, "sess:a", "six", 6);
}

TEST(a_change_may_be_on_a_version_or_on_absence) {
    struct store *store = *state;
    const unsigned either = MUTATION_ON_VERSION | MUTATION_ON_ABSENCE;
    assert_false(apply(store, on(either, 5, put(store, "sess:a", "six", 6))));
    assert_false(apply(store, on(either, 6, put(store, "sess:a", "seven", 7))));
    assert_true(apply(store, on(either, 6, put(store, "sess:a", "eight", 8))));
    assert_value(store, "sess:a", "seven", 7);
}

static const struct CMUnitTest cases[] = {
    CASE(a_change_on_a_version_needs_that_version),
    CASE(a_change_on_absence_needs_no_row),
    CASE(a_change_may_be_on_a_version_or_on_absence),
};

const struct subject about_conditions = {cases, sizeof cases / sizeof cases[0]};
