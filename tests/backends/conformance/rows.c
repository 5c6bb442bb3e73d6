/* SPDX-License-Identifier: MIT */
/* What is written comes back: every field, any bytes, any size, of several tables, by many keys at once. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"
#include <stdio.h>
#include <stdlib.h>

static void store_and_compare(struct store *store, unsigned table, struct entry entry) {
    struct mutation mutation = {.table = store->list[table], .kind = MUTATION_PUT, .entry = entry};
    apply_all(store, &mutation, 1);
    struct load_result result = load_from(store, store->reader, table, entry.key, store->now);
    assert_entry(&result, &entry);
}

TEST(an_absent_key_is_not_found) {
    struct store *store = *state;
    assert_absent(store, "sess:nobody");
    assert_absent(store, "s");
}

TEST(every_field_comes_back) {
    struct store *store = *state;
    store_and_compare(store, 0,
                      (struct entry){.key = SLICE("sess:a"),
                                     .value = SLICE("hello"),
                                     .version = 0x0123456789abcdefu,
                                     .client_cas = UINT64_MAX,
                                     .flags = UINT32_MAX,
                                     .expires_at = store->now + 5000,
                                     .marks = ENTRY_STALE | ENTRY_TOKEN_SENT});
    store_and_compare(
        store, 1,
        (struct entry){.key = SLICE("other:a"), .value = SLICE("x"), .version = 1, .flags = 1u << 31});
    store_and_compare(store, 0,
                      (struct entry){.key = SLICE("sess:b"),
                                     .value = SLICE("y"),
                                     .version = ENTRY_VERSION_HIGHEST,
                                     .client_cas = 1,
                                     .expires_at = UINT32_MAX});
}

TEST(an_overwrite_resets_every_field) {
    struct store *store = *state;
    struct entry entry = {.key = SLICE("sess:a"),
                          .value = SLICE("long value, long value"),
                          .version = 5,
                          .client_cas = 77,
                          .flags = 3,
                          .expires_at = store->now + 5000,
                          .marks = ENTRY_STALE};
    store_and_compare(store, 0, entry);
    store_and_compare(store, 0,
                      (struct entry){.key = SLICE("sess:a"), .value = SLICE("short"), .version = 6});
}

TEST(keys_and_values_may_hold_any_bytes) {
    struct store *store = *state;
    char bytes[256];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    struct slice all = slice_of(bytes, sizeof bytes);
    store_and_compare(store, 0, (struct entry){.key = slice_of(bytes, 250), .value = all, .version = 1});
    store_and_compare(store, 0, (struct entry){.key = slice_of(bytes + 6, 250), .value = all, .version = 2});
    store_and_compare(store, 0, (struct entry){.key = SLICE("\0"), .value = SLICE("zero"), .version = 3});
    store_and_compare(store, 0,
                      (struct entry){.key = SLICE("\0\0"), .value = SLICE("two zeros"), .version = 4});
    store_and_compare(store, 0,
                      (struct entry){.key = SLICE("%s{x}'\"; --"), .value = SLICE("%n"), .version = 5});
    struct load_result result = load_from(store, store->reader, 0, SLICE("\0"), store->now);
    assert_slice(result.entry.value, SLICE("zero"));
}

TEST(a_value_may_be_empty) {
    struct store *store = *state;
    struct entry entry = {.key = SLICE("sess:a"), .value = {NULL, 0}, .version = 1};
    struct mutation mutation = {.table = store->list[0], .kind = MUTATION_PUT, .entry = entry};
    apply_all(store, &mutation, 1);
    struct load_result result = load(store, "sess:a");
    assert_true(result.found);
    assert_int_equal(result.entry.value.size, 0);
}

TEST(a_value_may_be_large) {
    struct store *store = *state;
    size_t sizes[] = {1 << 20, (1 << 20) + 1, 17 << 20};
    char *bytes = malloc(sizes[2]);
    for (size_t i = 0; i < sizes[2]; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    for (unsigned i = 0; i < 3; i++)
        store_and_compare(
            store, 0,
            (struct entry){.key = SLICE("sess:a"), .value = slice_of(bytes, sizes[i]), .version = i + 1});
    free(bytes);
}

TEST(many_keys_are_loaded_together) {
    enum { COUNT = 1000 };
    struct store *store = *state;
    static char names[COUNT][16];
    static struct slice keys[COUNT];
    static struct load_result results[COUNT];
    static struct mutation mutations[COUNT];
    struct backend_error error;
    for (unsigned i = 0; i < COUNT; i++) {
        sprintf(names[i], "sess:%u", i * 7919 % COUNT);
        keys[i] = slice_string(names[i]);
        mutations[i] = put(store, names[i], names[i], i + 1);
    }
    apply_all(store, mutations, COUNT / 2); /* the other half is absent */
    assert_int_equal(
        type(store)->load(store->reader, store->list[0], keys, COUNT, store->now, results, &error),
        BACKEND_OK);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(results[i].found, i < COUNT / 2);
        if (results[i].found)
            assert_entry(&results[i], &mutations[i].entry);
    }
    assert_int_equal(type(store)->load(store->reader, store->list[0], keys, 0, store->now, results, &error),
                     BACKEND_OK);
}

TEST(tables_keep_apart_and_share_a_batch) {
    struct store *store = *state;
    struct mutation mutations[] = {put(store, "sess:x", "one", 1), put(store, "other:x", "two", 2),
                                   put(store, "sess:y", "three", 3)};
    mutations[1].table = store->list[1];
    apply_all(store, mutations, 3);
    assert_value(store, "sess:x", "one", 1);
    assert_value(store, "sess:y", "three", 3);
    struct load_result result = load_from(store, store->reader, 1, SLICE("other:x"), store->now);
    assert_entry(&result, &mutations[1].entry);
    result = load_from(store, store->reader, 1, SLICE("sess:y"), store->now);
    assert_false(result.found);
}

TEST(the_writer_can_load_too) {
    struct store *store = *state;
    assert_false(apply(store, put(store, "sess:a", "one", 1)));
    assert_true(load_from(store, store->writer, 0, SLICE("sess:a"), store->now).found);
}

static const struct CMUnitTest cases[] = {
    CASE(an_absent_key_is_not_found),
    CASE(every_field_comes_back),
    CASE(an_overwrite_resets_every_field),
    CASE(keys_and_values_may_hold_any_bytes),
    CASE(a_value_may_be_empty),
    CASE(a_value_may_be_large),
    CASE(many_keys_are_loaded_together),
    CASE(tables_keep_apart_and_share_a_batch),
    CASE(the_writer_can_load_too),
};

const struct subject about_rows = {cases, sizeof cases / sizeof cases[0]};
