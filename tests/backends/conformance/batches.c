/* SPDX-License-Identifier: MIT */
/* Mutations that are applied together: each is told what it came to, in the order in which they were given. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"
#include <stdio.h>

/* What some members of a batch meet does not keep the others from being applied, and those that build on each other go
 * together. */
TEST(changes_on_each_other_share_a_batch) {
    enum { COUNT = 100 };
    struct store *store = *state;
    static char names[COUNT][16];
    static struct mutation mutations[2 * COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        sprintf(names[i], "sess:%03u", i);
        assert_false(apply(store, put(store, names[i], "before", i % 3 == 0 ? 6 : 5)));
        mutations[2 * i] = on(MUTATION_ON_VERSION, 5, put(store, names[i], "first", 10 + 2 * i));
        mutations[2 * i + 1] =
            on(MUTATION_ON_VERSION, 10 + 2 * i, put(store, names[i], "second", 11 + 2 * i));
    }
    for (unsigned round = 0; round < 2; round++) {
        apply_all(store, mutations, 2 * COUNT);
        for (unsigned i = 0; i < COUNT; i++) {
            assert_int_equal(mutations[2 * i + 1].superseded, i % 3 == 0);
            assert_int_equal(mutations[2 * i + 1].superseded_by, i % 3 == 0 ? 6 : 0);
            assert_int_equal(mutations[2 * i + 1].attempts, round + 1);
            assert_string_equal(mutations[2 * i].entry.key.data, names[i]);
            if (i % 3 == 0)
                assert_value(store, names[i], "before", 6);
            else
                assert_value(store, names[i], "second", 11 + 2 * i);
        }
    }
}

/* Block statements and single ones both, with superseded ones sprinkled in. */
TEST(superseded_is_told_of_each_mutation) {
    enum { COUNT = 333 };
    struct store *store = *state;
    static char names[COUNT][16];
    static struct mutation mutations[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        sprintf(names[i], "sess:%03u", i);
        mutations[i] = put(store, names[i], "newer", 1000);
    }
    for (unsigned i = 0; i < COUNT; i += 10)
        apply_all(store, &mutations[i], 1);
    for (unsigned i = 0; i < COUNT; i++) {
        mutations[i] = i % 3 == 0   ? put(store, names[i], "older", 500 + i)
                       : i % 3 == 1 ? touch_of(store, 400, names[i], "older", 0, 500 + i)
                                    : delete (store, names[i], 500 + i);
        mutations[i].superseded = i % 2;
        mutations[i].superseded_by = i;
    }
    apply_all(store, mutations, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(mutations[i].superseded, i % 10 == 0);
        assert_int_equal(mutations[i].superseded_by, i % 10 == 0 ? 1000 : 0);
        assert_string_equal(mutations[i].entry.key.data, names[i]); /* the array kept its order */
        if (i % 10 == 0)
            assert_value(store, names[i], "newer", 1000);
        else if (i % 3 == 2)
            assert_absent(store, names[i]);
        else
            assert_value(store, names[i], "older", 500 + i);
    }
}

TEST(a_key_may_occur_often_in_a_batch) {
    struct store *store = *state;
    struct mutation mutations[] = {
        put(store, "sess:a", "one", 1),
        put(store, "sess:b", "two", 2),
        delete (store, "sess:a", 3),
        put(store, "sess:a", "four", 4),
        put(store, "sess:b", "one", 1),
        touch_of(store, 4, "sess:a", "?", store->now + 500, 5),
        delete (store, "sess:b", 6),
        put(store, "sess:c", "seven", 7),
        touch_of(store, 4, "sess:a", "?", 0, 4),
        put(store, "sess:b", "eight", 8),
    };
    bool superseded[] = {false, false, false, false, true, false, false, false, true, false};
    apply_all(store, mutations, sizeof mutations / sizeof mutations[0]);
    for (size_t i = 0; i < sizeof mutations / sizeof mutations[0]; i++)
        assert_int_equal(mutations[i].superseded, superseded[i]);
    assert_value(store, "sess:a", "four", 5);
    assert_int_equal(load(store, "sess:a").entry.expires_at, store->now + 500);
    assert_value(store, "sess:b", "eight", 8);
    assert_value(store, "sess:c", "seven", 7);
}

TEST(a_batch_can_be_repeated) {
    struct store *store = *state;
    for (unsigned round = 0; round < 3; round++) {
        struct mutation mutations[] = {put(store, "sess:a", "one", 1), put(store, "sess:b", "two", 2),
                                       touch(store, "sess:c", "three", 0, 3), delete (store, "sess:d", 4)};
        apply_all(store, mutations, 4);
        for (unsigned i = 0; i < 4; i++)
            assert_false(mutations[i].superseded);
    }
    assert_value(store, "sess:a", "one", 1);
    assert_value(store, "sess:c", "three", 3);
    apply_all(store, NULL, 0);
}

static const struct CMUnitTest cases[] = {
    CASE(changes_on_each_other_share_a_batch),
    CASE(superseded_is_told_of_each_mutation),
    CASE(a_key_may_occur_often_in_a_batch),
    CASE(a_batch_can_be_repeated),
};

const struct subject about_batches = {cases, sizeof cases / sizeof cases[0]};
