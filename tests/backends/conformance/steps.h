/* SPDX-License-Identifier: MIT */
/* What tests do with a store, said briefly: mutations, what they come to, and what is in the store then. Versions are
 * small numbers; mutations are of the first table, and the strings in them are the caller's. */
#ifndef FOREBAY_TESTS_BACKENDS_CONFORMANCE_STEPS_H
#define FOREBAY_TESTS_BACKENDS_CONFORMANCE_STEPS_H

#include "tests/backends/conformance/store.h"

struct mutation put(const struct store *store, const char *key, const char *value, uint64_t version);
struct mutation touch(const struct store *store, const char *key, const char *value, uint32_t expires_at,
                      uint64_t version);
/* A touch of the value that has this version. */
struct mutation touch_of(const struct store *store, uint64_t cas, const char *key, const char *value,
                         uint32_t expires_at, uint64_t version);
struct mutation delete (const struct store *store, const char *key, uint64_t version);

/* The same mutation on something: MUTATION_ON_..., and the version or the CAS that is meant. */
struct mutation on(unsigned what, uint64_t base, struct mutation mutation);

/* A part of a store that is slow is waited for no longer than a moment, and so is a slot that is on its way again and
 * again, with something large. What is asked below is repeated then, for EVENTUALLY_SECONDS. */
bool may_be_repeated(const struct store *store, enum backend_status status);
bool has_time_since(uint64_t began_us);

/* By the writer, and what that comes to; apply_all: it must succeed. */
enum backend_status try_apply(struct store *store, struct mutation *mutations, size_t count,
                              struct backend_error *ret_error);
void apply_all(struct store *store, struct mutation *mutations, size_t count);
/* Applies one mutation, returns whether it was superseded. */
bool apply(struct store *store, struct mutation mutation);

/* What that comes to: results as backend_type.load says. */
enum backend_status try_load(struct store *store, struct backend_connection *connection, unsigned table,
                             const struct slice *keys, size_t count, uint32_t now,
                             struct load_result *results, struct backend_error *ret_error);
/* It must succeed. The result lives until the connection is used again. load: by the reader, of the first table. */
struct load_result load_from(struct store *store, struct backend_connection *connection, unsigned table,
                             struct slice key, uint32_t now);
struct load_result load(struct store *store, const char *key);

void assert_slice(struct slice actual, struct slice expected);
void assert_entry(const struct load_result *result, const struct entry *expected);
void assert_value(struct store *store, const char *key, const char *value, uint64_t version);
void assert_absent(struct store *store, const char *key);

#endif
