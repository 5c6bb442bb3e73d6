/* SPDX-License-Identifier: MIT */
/*
 * A backend in memory for tests of the policies: rows of all tables in one hash table, with the version guard of
 * the interface. A test sees and changes rows directly. Failures come from support/faulty.h, around it.
 */
#ifndef FOREBAY_TESTS_SUPPORT_MEMORY_STORE_H
#define FOREBAY_TESTS_SUPPORT_MEMORY_STORE_H

#include "backends/backend.h"

struct memory_store;

extern const struct backend_type memory_store_type;

struct memory_store *memory_store_create(void);
void memory_store_destroy(struct memory_store *store);

/* What goes into backend_options.uri; lives as long as the store. */
const char *memory_store_uri(const struct memory_store *store);

/* A row as somebody else would write it: without regard to versions. value NULL: no row. */
void memory_store_put(struct memory_store *store, const char *table, const char *key, const char *value,
                      uint64_t version);

/* A copy of the row's value, to be freed; NULL: there is none (or a delete is all that is known). The rest of
 * the row through the pointers that are not NULL. */
char *memory_store_get(struct memory_store *store, const char *table, const char *key, uint64_t *ret_version,
                       uint32_t *ret_expires_at);

/* From now on a delete leaves no version behind, as in SQLite: an older put of the key would be taken. */
void memory_store_forget_deletes(struct memory_store *store);
/* From now on it tells how much it has, and shows entries in no order, by and by. */
void memory_store_tell_extent(struct memory_store *store);
/* From now on, or no longer, another node changes each row just before it is written. */
void memory_store_be_faster(struct memory_store *store, bool faster);

size_t memory_store_rows(struct memory_store *store);

/* Keys looked up, mutations applied, of these deletes and touches, batches; since the creation. */
struct memory_store_counts {
    size_t keys, mutations, deletes, touches, batches;
};
struct memory_store_counts memory_store_counts(struct memory_store *store);

#endif
