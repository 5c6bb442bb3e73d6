/* SPDX-License-Identifier: MIT */
/* What is asked of a store whose rows and answers are anybody's: each call of a backend, and that what it gives is fit
 * for an entry. For redis.h and sqlite.h. */
#ifndef FOREBAY_TESTS_FUZZ_STORE_H
#define FOREBAY_TESTS_FUZZ_STORE_H

#include "backends/kinds.h"
#include "tests/fuzz/choices.h"

enum { STORE_NOW = 1700000000, STORE_KEYS = 3 };

struct store {
    struct backend_options options;
    struct backend_table tables[2];
    const struct backend_table *list[2];
    struct backend_connection *connection;
    struct backend_error error;
    bool writes;      /* the connection is the writer's */
    uint64_t touched; /* so that bytes are read */
};

static inline void store_begin(struct store *store, const char *uri, const char *folder,
                               const struct backend_type *type) {
    *store =
        (struct store){.tables = {{.name = "sessions", .key_prefix = "sess:", .written = true},
                                  {.name = "shared", .key_prefix = "str:", .index = 1, .written = true}}};
    store->list[0] = &store->tables[0];
    store->list[1] = &store->tables[1];
    store->options = (struct backend_options){.name = "store",
                                              .uri = uri,
                                              .data = folder,
                                              .timeout_ms = 1000,
                                              .tables = store->list,
                                              .table_count = 2,
                                              .type = type};
}

static inline void store_read_bytes(struct store *store, struct slice bytes) {
    for (size_t i = 0; i < bytes.size; i++)
        store->touched += (uint8_t)bytes.data[i];
}

static inline void store_check_status(const struct store *store, enum backend_status status) {
    FUZZ_CHECK(status == BACKEND_OK || memchr(store->error.message, '\0', sizeof store->error.message));
    FUZZ_CHECK(status == BACKEND_OK || *store->error.message);
}

static inline void store_check_entry(struct store *store, const struct entry *entry) {
    FUZZ_CHECK(entry->version <= ENTRY_VERSION_HIGHEST);
    store_read_bytes(store, entry->key);
    store_read_bytes(store, entry->value);
}

static inline void store_load(struct store *store, unsigned table, const struct slice keys[STORE_KEYS]) {
    struct load_result results[STORE_KEYS] = {{0}};
    enum backend_status status = store->options.type->load(store->connection, store->list[table], keys,
                                                           STORE_KEYS, STORE_NOW, results, &store->error);
    store_check_status(store, status);
    for (size_t i = 0; status == BACKEND_OK && i < STORE_KEYS; i++) {
        if (!results[i].found)
            continue;
        FUZZ_CHECK(slice_equal(results[i].entry.key, keys[i]));
        FUZZ_CHECK(results[i].entry.expires_at == 0 || results[i].entry.expires_at > STORE_NOW);
        store_check_entry(store, &results[i].entry);
    }
}

struct store_visitor {
    struct backend_visitor base; /* first */
    struct store *store;
    unsigned left;
};

static inline bool store_visit(struct backend_visitor *self, const struct entry *entry) {
    struct store_visitor *visitor = (struct store_visitor *)(void *)self;
    FUZZ_CHECK(entry->key.size > 0 && entry->key.size <= ENTRY_KEY_MAX);
    store_check_entry(visitor->store, entry);
    return visitor->left-- > 1;
}

/* Whole entries by pages, where the kind shows them so. */
static inline void store_walk(struct store *store, unsigned table) {
    const struct backend_type *type = store->options.type;
    struct backend_extent extent = {0};
    struct backend_place place = {.size = 0};
    struct store_visitor visitor = {{store_visit, .place = &place}, store, 40};
    enum backend_status status =
        type->extent(store->connection, store->list[table], 30, 100, &extent, &store->error);
    store_check_status(store, status);
    if (status != BACKEND_OK || extent.rows == SIZE_MAX)
        return;
    status =
        type->scan(store->connection, store->list[table], SIZE_MAX, STORE_NOW, &visitor.base, &store->error);
    store_check_status(store, status);
    FUZZ_CHECK(place.size <= BACKEND_PLACE_MAX);
}

/* how: which of the ways to walk. */
static inline void store_scan(struct store *store, unsigned table, unsigned how) {
    struct backend_place place = {.size = 0};
    struct store_visitor visitor = {
        {store_visit, .keys_only = how & 1, .place = how & 2 ? &place : NULL, .all_keys = how & 2},
        store,
        40};
    enum backend_status status =
        store->options.type->scan(store->connection, store->list[table], how & 2 ? SIZE_MAX : 5,
                                  how & 2 ? 0 : STORE_NOW, &visitor.base, &store->error);
    store_check_status(store, status);
    FUZZ_CHECK(place.size <= BACKEND_PLACE_MAX);
    store_walk(store, table);
}

/* A put, a touch and a delete; returns whether all are in the store. */
static inline bool store_apply(struct store *store, unsigned table, const struct slice keys[STORE_KEYS],
                               uint64_t version) {
    struct mutation mutations[STORE_KEYS];
    for (unsigned i = 0; i < STORE_KEYS; i++)
        mutations[i] =
            (struct mutation){.table = store->list[table],
                              .kind = (enum mutation_kind)i,
                              .entry = {.key = keys[i], .value = SLICE("value"), .version = version + i}};
    enum backend_status status =
        store->options.type->apply(store->connection, mutations, STORE_KEYS, STORE_NOW, &store->error);
    store_check_status(store, status);
    for (unsigned i = 0; status == BACKEND_OK && i < STORE_KEYS; i++)
        FUZZ_CHECK(mutations[i].superseded_by <= ENTRY_VERSION_HIGHEST);
    return status == BACKEND_OK;
}

static inline void store_versions(struct store *store, unsigned table, const struct slice keys[STORE_KEYS]) {
    uint64_t versions[STORE_KEYS];
    if (!store->options.type->versions)
        return;
    enum backend_status status = store->options.type->versions(store->connection, store->list[table], keys,
                                                               STORE_KEYS, versions, &store->error);
    store_check_status(store, status);
    for (unsigned i = 0; status == BACKEND_OK && i < STORE_KEYS; i++)
        FUZZ_CHECK(versions[i] <= ENTRY_VERSION_HIGHEST || versions[i] >= BACKEND_VERSION_UNASKED);
}

static inline void store_high_version(struct store *store) {
    uint64_t version = 0;
    enum backend_status status =
        store->options.type->high_version(store->connection, &version, &store->error);
    store_check_status(store, status);
    FUZZ_CHECK(version <= ENTRY_VERSION_HIGHEST);
}

/* One call; of a reader, one that only reads. */
static inline void store_ask(struct store *store, struct choices *choices,
                             const struct slice keys[2][STORE_KEYS]) {
    unsigned what = choose(choices, store->writes ? 8 : 4), table = choose(choices, 2);
    bool more;
    switch (what) {
    case 0:
    case 1:
        store_load(store, table, keys[table]);
        break;
    case 2:
        store_scan(store, table, choose(choices, 4));
        break;
    case 3:
        store_versions(store, table, keys[table]);
        break;
    case 4:
        store_high_version(store);
        break;
    case 5:
        store_check_status(store, store->options.type->look(store->connection, &store->error));
        break;
    case 6:
        store_check_status(store,
                           store->options.type->maintain(store->connection, STORE_NOW, &more, &store->error));
        break;
    default:
        store_apply(store, table, keys[table], 1 + choose_bits(choices, choose(choices, 8)));
    }
}

#endif
