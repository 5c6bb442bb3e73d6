/* SPDX-License-Identifier: MIT */
#include "tests/backends/conformance/steps.h"

struct mutation put(const struct store *store, const char *key, const char *value, uint64_t version) {
    return (struct mutation){
        .table = store->list[0],
        .kind = MUTATION_PUT,
        .entry = {.key = slice_string(key), .value = slice_string(value), .version = version}};
}

struct mutation touch(const struct store *store, const char *key, const char *value, uint32_t expires_at,
                      uint64_t version) {
    struct mutation mutation = put(store, key, value, version);
    mutation.kind = MUTATION_TOUCH;
    mutation.entry.expires_at = expires_at;
    return mutation;
}

struct mutation touch_of(const struct store *store, uint64_t cas, const char *key, const char *value,
                         uint32_t expires_at, uint64_t version) {
    struct mutation mutation = touch(store, key, value, expires_at, version);
    mutation.entry.client_cas = cas;
    return mutation;
}

struct mutation on(unsigned what, uint64_t base, struct mutation mutation) {
    mutation.on = what;
    mutation.base = base;
    return mutation;
}

struct mutation delete (const struct store *store, const char *key, uint64_t version) {
    struct mutation mutation = put(store, key, "", version);
    mutation.kind = MUTATION_DELETE;
    return mutation;
}

bool may_be_repeated(const struct store *store, enum backend_status status) {
    return store->writer->has_parts && status == BACKEND_TRANSIENT;
}

bool has_time_since(uint64_t began_us) {
    return monotonic_us() - began_us < EVENTUALLY_SECONDS * US_PER_SECOND;
}

enum backend_status try_apply(struct store *store, struct mutation *mutations, size_t count,
                              struct backend_error *ret_error) {
    enum backend_status status;
    uint64_t began_us = monotonic_us();
    do
        status = type(store)->apply(store->writer, mutations, count, store->now, ret_error);
    while (may_be_repeated(store, status) && has_time_since(began_us));
    return status;
}

void apply_all(struct store *store, struct mutation *mutations, size_t count) {
    struct backend_error error;
    if (try_apply(store, mutations, count, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
}

bool apply(struct store *store, struct mutation mutation) {
    mutation.superseded = true; /* must be written */
    apply_all(store, &mutation, 1);
    return mutation.superseded;
}

enum backend_status try_load(struct store *store, struct backend_connection *connection, unsigned table,
                             const struct slice *keys, size_t count, uint32_t now,
                             struct load_result *results, struct backend_error *ret_error) {
    enum backend_status status;
    uint64_t began_us = monotonic_us();
    do
        status = type(store)->load(connection, store->list[table], keys, count, now, results, ret_error);
    while (may_be_repeated(store, status) && has_time_since(began_us));
    return status;
}

struct load_result load_from(struct store *store, struct backend_connection *connection, unsigned table,
                             struct slice key, uint32_t now) {
    struct load_result result;
    struct backend_error error;
    if (try_load(store, connection, table, &key, 1, now, &result, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return result;
}

struct load_result load(struct store *store, const char *key) {
    return load_from(store, store->reader, 0, slice_string(key), store->now);
}

void assert_slice(struct slice actual, struct slice expected) {
    assert_int_equal(actual.size, expected.size);
    assert_memory_equal(actual.data, expected.data, expected.size);
}

void assert_entry(const struct load_result *result, const struct entry *expected) {
    assert_true(result->found);
    assert_slice(result->entry.key, expected->key);
    assert_slice(result->entry.value, expected->value);
    assert_int_equal(result->entry.flags, expected->flags);
    assert_int_equal(result->entry.expires_at, expected->expires_at);
    assert_int_equal(result->entry.version, expected->version);
    assert_int_equal(result->entry.client_cas, expected->client_cas);
    assert_int_equal(result->entry.marks, expected->marks);
}

void assert_value(struct store *store, const char *key, const char *value, uint64_t version) {
    struct load_result result = load(store, key);
    assert_true(result.found);
    assert_slice(result.entry.value, slice_string(value));
    assert_int_equal(result.entry.version, version);
}

void assert_absent(struct store *store, const char *key) {
    assert_false(load(store, key).found);
}
