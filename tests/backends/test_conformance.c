/* SPDX-License-Identifier: MIT */
/*
 * What every backend owes to the policies (backends/backend.h), run against each kind of store.
 *
 * A kind brings a way to make an empty store and to make it go away; the tests know nothing else of it. A cluster is a
 * kind once more while its slots move in a loop: all that is promised holds then as well, but that a walk is whole.
 * Versions are small numbers, times lie around the real clock, for stores that look at it themselves.
 */
#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "backends/sqlite/options.h"
#include "tests/support/check.h"
#include "tests/support/redis_server.h"
#include "tests/support/slot_mover.h"
#include "tests/support/temp_folder.h"
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Stores ---- */

struct kind;

struct store {
    const struct kind *kind;
    struct temp_folder folder;
    char uri[300];
    struct backend_table tables[2];
    const struct backend_table *list[2];
    struct backend_options options;
    struct backend_connection *writer, *reader;
    uint32_t now;

    /* A thread that reads while the test writes. */
    pthread_t race;
    bool racing;
    atomic_bool stop;
    unsigned reads;
};

struct kind {
    const char *name;
    const struct backend_specific *options, *specific[2]; /* of the backend, and of its tables */
    void (*start)(struct store *store);                   /* fills uri; the store is empty */
    void (*stop)(struct store *store);
    void (*change_table)(struct store *store,
                         bool broken); /* makes calls for the first table fail, or ends that */
    void (*spoil_row)(
        struct store *store);          /* makes "sess:bad", LARGE bytes of 'Q', a row that cannot be read */
    void (*rest)(struct store *store); /* ends what goes on in the store by itself; NULL: nothing does */
};

enum { LARGE = 20000 };

static void sqlite_shell(struct store *store, const char *sql) {
    char path[400];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/store.db", store->folder.path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void sqlite_change_table(struct store *store, bool broken) {
    sqlite_shell(store, broken ? "ALTER TABLE sessions RENAME COLUMN value TO body"
                               : "ALTER TABLE sessions RENAME COLUMN body TO value");
}

/* A value of many pages is a chain of them, each with the number of the next. */
static void sqlite_spoil_row(struct store *store) {
    enum { PAGE = 4096 };
    char path[400], page[PAGE], expected[64];
    sqlite_shell(store, "PRAGMA wal_checkpoint(TRUNCATE)");
    snprintf(path, sizeof path, "%s/store.db", store->folder.path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    memset(expected, 'Q', sizeof expected);
    for (long at = 0; fread(page, PAGE, 1, file) == 1; at += PAGE)
        if (memcmp(page + 4, expected, sizeof expected) == 0) {
            fseek(file, at, SEEK_SET);
            fwrite("\xff\xff\xff\xff", 4, 1, file);
            fseek(file, at + PAGE, SEEK_SET);
        }
    fclose(file);
}

static void sqlite_start(struct store *store) {
    temp_folder_make(&store->folder);
    strcpy(store->uri, "sqlite:store.db");
}

static void sqlite_stop(struct store *store) {
    temp_folder_remove(&store->folder);
}

static struct redis_server redis; /* of the whole run: each test begins with FLUSHALL */
static struct redis_server sentinel;
enum { MASTERS = 3 };
static struct redis_server masters[MASTERS], replicas[MASTERS]; /* of a cluster */

static void redis_start(struct store *store) {
    snprintf(store->uri, sizeof store->uri, "redis://127.0.0.1:%d/3", redis.port);
    assert_string_equal(redis_server_ask(&redis, "FLUSHALL"), "OK");
}

static void redis_socket_start(struct store *store) {
    snprintf(store->uri, sizeof store->uri, "redis+unix://%s/redis.sock", redis.folder.path);
    assert_string_equal(redis_server_ask(&redis, "FLUSHALL"), "OK");
}

static void redis_sentinel_start(struct store *store) {
    snprintf(store->uri, sizeof store->uri, "redis+sentinel://127.0.0.1:%d/mymaster", sentinel.port);
    assert_string_equal(redis_server_ask(&redis, "FLUSHALL"), "OK");
}

static void redis_stop(struct store *store) {
    (void)store;
    assert_string_equal(redis_server_ask(&redis, "ACL SETUSER default ~*"), "OK");
}

/* Keys of the second table begin with "fb-" there. */
static void redis_change_table(struct store *store, bool broken) {
    (void)store;
    assert_string_equal(redis_server_ask(&redis, "ACL SETUSER default resetkeys ~fb-* ~forebay:*"), "OK");
    if (!broken)
        assert_string_equal(redis_server_ask(&redis, "ACL SETUSER default ~*"), "OK");
}

static void redis_spoil_row(struct store *store) {
    bool swapped = strstr(store->uri, "/3") != NULL; /* what is asked here goes to database 0 */
    if (swapped)
        assert_string_equal(redis_server_ask(&redis, "SWAPDB 0 3"), "OK");
    assert_string_equal(redis_server_ask(&redis, "DEL sess:bad"), "1");
    assert_string_equal(redis_server_ask(&redis, "LPUSH sess:bad list"), "1");
    if (swapped)
        assert_string_equal(redis_server_ask(&redis, "SWAPDB 0 3"), "OK");
}

/* ---- A cluster ---- */

/* A macro, as what is asked has to be a literal for redis_server_ask. */
#define ASK_MASTERS(command)                                                                                 \
    do                                                                                                       \
        for (unsigned i = 0; i < MASTERS; i++)                                                               \
            assert_string_equal(redis_server_ask(&masters[i], command), "OK");                               \
    while (0)

static void cluster_start(struct store *store) {
    snprintf(store->uri, sizeof store->uri, "redis+cluster://127.0.0.1:%d,127.0.0.1:%d", masters[0].port,
             masters[1].port);
    ASK_MASTERS("FLUSHALL");
}

static void cluster_stop(struct store *store) {
    (void)store;
    ASK_MASTERS("ACL SETUSER default ~*");
}

static void cluster_change_table(struct store *store, bool broken) {
    (void)store;
    ASK_MASTERS(broken ? "ACL SETUSER default resetkeys ~fb-* ~forebay:*" : "ACL SETUSER default ~*");
}

static void cluster_spoil_row(struct store *store) {
    unsigned spoilt = 0;
    (void)store;
    for (unsigned i = 0; i < MASTERS; i++)
        if (strcmp(redis_server_ask(&masters[i], "DEL sess:bad"), "1") == 0) {
            assert_string_equal(redis_server_ask(&masters[i], "LPUSH sess:bad list"), "1");
            spoilt++;
        }
    assert_int_equal(spoilt, 1);
}

/* ---- A cluster whose slots move ---- */

static struct slot_mover *mover; /* of the masters; it moves while a store of such a kind is there */

static void rest(struct store *store) {
    (void)store;
    slot_mover_rest(mover);
}

static void moving_start(struct store *store) {
    cluster_start(store);
    slot_mover_go(mover);
}

static void moving_stop(struct store *store) {
    rest(store);
    cluster_stop(store);
}

static void moving_change_table(struct store *store, bool broken) {
    rest(store);
    cluster_change_table(store, broken);
    slot_mover_go(mover);
}

static void moving_spoil_row(struct store *store) {
    rest(store);
    cluster_spoil_row(store);
    slot_mover_go(mover);
}

static const struct sqlite_options fast = {{&sqlite_backend}, .synchronous = "normal"};
static const struct redis_table_options hashes[] = {
    {{&redis_backend}, .layout = "hash", .store_prefix = ""},
    {{&redis_backend}, .layout = "hash", .store_prefix = "fb-"}};
static const struct redis_table_options strings[] = {
    {{&redis_backend}, .layout = "string", .store_prefix = ""},
    {{&redis_backend}, .layout = "string", .store_prefix = "fb-"}};

static const struct redis_options replicated = {
    {&redis_backend}, .tombstone_seconds = 24 * 60 * 60, .replicas = 1};

static const struct kind kinds[] = {
    {"sqlite",
     &fast.base,
     {NULL, NULL},
     sqlite_start,
     sqlite_stop,
     sqlite_change_table,
     sqlite_spoil_row,
     NULL},
    {"redis, hash",
     NULL,
     {&hashes[0].base, &hashes[1].base},
     redis_start,
     redis_stop,
     redis_change_table,
     redis_spoil_row,
     NULL},
    {"redis, string",
     NULL,
     {&strings[0].base, &strings[1].base},
     redis_socket_start,
     redis_stop,
     redis_change_table,
     redis_spoil_row,
     NULL},
    {"redis behind sentinel",
     NULL,
     {&hashes[0].base, &strings[1].base},
     redis_sentinel_start,
     redis_stop,
     redis_change_table,
     redis_spoil_row,
     NULL},
    {"redis cluster, hash",
     NULL,
     {&hashes[0].base, &hashes[1].base},
     cluster_start,
     cluster_stop,
     cluster_change_table,
     cluster_spoil_row,
     NULL},
    {"redis cluster with replicas, string",
     &replicated.base,
     {&strings[0].base, &strings[1].base},
     cluster_start,
     cluster_stop,
     cluster_change_table,
     cluster_spoil_row,
     NULL},
    {"redis cluster, hash, slots move",
     NULL,
     {&hashes[0].base, &hashes[1].base},
     moving_start,
     moving_stop,
     moving_change_table,
     moving_spoil_row,
     rest},
    {"redis cluster, string, slots move",
     NULL,
     {&strings[0].base, &strings[1].base},
     moving_start,
     moving_stop,
     moving_change_table,
     moving_spoil_row,
     rest},
};

static const struct backend_type *type(const struct store *store) {
    return backend_find(store->uri);
}

static void connect_both(struct store *store) {
    struct backend_error error;
    if (type(store)->open(&store->options, BACKEND_WRITER, &store->writer, &error) != BACKEND_OK ||
        type(store)->open(&store->options, BACKEND_READER, &store->reader, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
}

static void disconnect(struct store *store) {
    type(store)->close(store->reader);
    type(store)->close(store->writer);
    store->reader = store->writer = NULL;
}

static void prepare(struct store *store) {
    store->now = (uint32_t)time(NULL);
    store->kind->start(store);
    for (unsigned i = 0; i < 2; i++) {
        store->tables[i] = (struct backend_table){.name = i ? "other things" : "sessions",
                                                  .key_prefix = i ? "other:" : "sess:",
                                                  .specific = store->kind->specific[i],
                                                  .index = i};
        store->list[i] = &store->tables[i];
    }
    store->options =
        (struct backend_options){.name = "store",
                                 .uri = store->uri,
                                 .data = store->folder.path,
                                 .timeout_ms = EVENTUALLY_SECONDS * 1000, /* none is meant to run out */
                                 .specific = store->kind->options,
                                 .tables = store->list,
                                 .table_count = 2};
    connect_both(store);
}

static int set_up(void **state) {
    struct store *store = calloc(1, sizeof *store);
    store->kind = *state;
    prepare(store);
    *state = store;
    return 0;
}

/* What the thread has to complain of; NULL: nothing. */
static const char *end_race(struct store *store) {
    void *complaint = NULL;
    atomic_store(&store->stop, true);
    if (store->racing)
        pthread_join(store->race, &complaint);
    store->racing = false;
    return complaint;
}

static int tear_down(void **state) {
    struct store *store = *state;
    const struct kind *kind = store->kind;
    end_race(store);
    disconnect(store);
    kind->stop(store);
    free(store);
    *state = (void *)kind;
    return 0;
}

/* ---- Saying things briefly ---- */

static struct mutation put(const struct store *store, const char *key, const char *value, uint64_t version) {
    return (struct mutation){
        .table = store->list[0],
        .kind = MUTATION_PUT,
        .entry = {.key = slice_string(key), .value = slice_string(value), .version = version}};
}

static struct mutation touch(const struct store *store, const char *key, const char *value,
                             uint32_t expires_at, uint64_t version) {
    struct mutation mutation = put(store, key, value, version);
    mutation.kind = MUTATION_TOUCH;
    mutation.entry.expires_at = expires_at;
    return mutation;
}

/* A touch of the value that has this version. */
static struct mutation touch_of(const struct store *store, uint64_t cas, const char *key, const char *value,
                                uint32_t expires_at, uint64_t version) {
    struct mutation mutation = touch(store, key, value, expires_at, version);
    mutation.entry.client_cas = cas;
    return mutation;
}

static struct mutation on(unsigned what, uint64_t base, struct mutation mutation) {
    mutation.on = what;
    mutation.base = base;
    return mutation;
}

static struct mutation delete (const struct store *store, const char *key, uint64_t version) {
    struct mutation mutation = put(store, key, "", version);
    mutation.kind = MUTATION_DELETE;
    return mutation;
}

/* A part of a store that is slow is waited for no longer than a moment, and so is a slot that is on its way again and
 * again, with something large. */
static bool may_be_repeated(const struct store *store, enum backend_status status) {
    return store->writer->has_parts && status == BACKEND_TRANSIENT;
}

static bool has_time_since(uint64_t began_us) {
    return monotonic_us() - began_us < EVENTUALLY_SECONDS * US_PER_SECOND;
}

static void apply_all(struct store *store, struct mutation *mutations, size_t count) {
    struct backend_error error;
    enum backend_status status;
    uint64_t began_us = monotonic_us();
    do
        status = type(store)->apply(store->writer, mutations, count, store->now, &error);
    while (may_be_repeated(store, status) && has_time_since(began_us));
    if (status != BACKEND_OK)
        fail_msg("%s", error.message);
}

/* Applies one mutation, returns whether it was superseded. */
static bool apply(struct store *store, struct mutation mutation) {
    mutation.superseded = true; /* must be written */
    apply_all(store, &mutation, 1);
    return mutation.superseded;
}

static struct load_result load_from(struct store *store, struct backend_connection *connection,
                                    unsigned table, struct slice key, uint32_t now) {
    struct load_result result;
    struct backend_error error;
    enum backend_status status;
    uint64_t began_us = monotonic_us();
    do
        status = type(store)->load(connection, store->list[table], &key, 1, now, &result, &error);
    while (may_be_repeated(store, status) && has_time_since(began_us));
    if (status != BACKEND_OK)
        fail_msg("%s", error.message);
    return result;
}

static struct load_result load(struct store *store, const char *key) {
    return load_from(store, store->reader, 0, slice_string(key), store->now);
}

static void assert_slice(struct slice actual, struct slice expected) {
    assert_int_equal(actual.size, expected.size);
    assert_memory_equal(actual.data, expected.data, expected.size);
}

static void assert_entry(const struct load_result *result, const struct entry *expected) {
    assert_true(result->found);
    assert_slice(result->entry.key, expected->key);
    assert_slice(result->entry.value, expected->value);
    assert_int_equal(result->entry.flags, expected->flags);
    assert_int_equal(result->entry.expires_at, expected->expires_at);
    assert_int_equal(result->entry.version, expected->version);
    assert_int_equal(result->entry.client_cas, expected->client_cas);
    assert_int_equal(result->entry.marks, expected->marks);
}

static void assert_value(struct store *store, const char *key, const char *value, uint64_t version) {
    struct load_result result = load(store, key);
    assert_true(result.found);
    assert_slice(result.entry.value, slice_string(value));
    assert_int_equal(result.entry.version, version);
}

static void assert_absent(struct store *store, const char *key) {
    assert_false(load(store, key).found);
}

static void store_and_compare(struct store *store, unsigned table, struct entry entry) {
    struct mutation mutation = {.table = store->list[table], .kind = MUTATION_PUT, .entry = entry};
    apply_all(store, &mutation, 1);
    struct load_result result = load_from(store, store->reader, table, entry.key, store->now);
    assert_entry(&result, &entry);
}

/* ---- Round trips ---- */

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

/* ---- The version guard ---- */

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

/* ---- What a mutation is on ---- */

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

TEST(a_touch_of_a_lost_row_stores_the_entry) {
    struct store *store = *state;
    struct mutation mutation = touch(store, "sess:a", "whole", store->now + 700, 6);
    mutation.entry.flags = 4;
    mutation.entry.marks = ENTRY_TOKEN_SENT;
    assert_false(apply(store, mutation));
    struct load_result result = load(store, "sess:a");
    assert_entry(&result, &mutation.entry);
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

/* ---- Expiry ---- */

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

/* ---- Versions, scans, connections ---- */

static uint64_t high_version(struct store *store, struct backend_connection *connection) {
    struct backend_error error;
    uint64_t version = 1;
    if (type(store)->high_version(connection, &version, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return version;
}

TEST(the_high_version_never_falls) {
    struct store *store = *state;
    assert_int_equal(high_version(store, store->writer), 0);
    apply(store, put(store, "sess:a", "one", 70));
    apply(store, put(store, "sess:b", "one", 60));
    assert_int_equal(high_version(store, store->writer), 70);
    apply(store, delete (store, "sess:a", 80));
    assert_int_equal(high_version(store, store->reader), 80);
    disconnect(store);
    connect_both(store);
    assert_int_equal(high_version(store, store->writer), 80);
    apply(store, put(store, "sess:c", "one", 75));
    assert_int_equal(high_version(store, store->writer), 80);
    apply(store, touch_of(store, 75, "sess:c", "one", 0, (1ull << 62) + 1));
    assert_int_equal(high_version(store, store->writer), (1ull << 62) + 1);
}

TEST(rows_survive_the_connection) {
    struct store *store = *state;
    apply(store, put(store, "sess:a", "one", 1));
    apply(store, put(store, "sess:b", "two", 2));
    apply(store, delete (store, "sess:b", 3));
    disconnect(store);
    connect_both(store);
    assert_value(store, "sess:a", "one", 1);
    assert_absent(store, "sess:b");
}

struct collector {
    struct backend_visitor visitor;
    struct store *store;
    uint64_t versions[64];
    size_t count, stop_at;
};

/* Keys are sess:<version>, values "value <version>". */
static bool collect(struct backend_visitor *visitor, const struct entry *entry) {
    struct collector *collector = (struct collector *)visitor;
    char expected[32], key[32] = {0};
    assert_in_range(entry->key.size, strlen("sess:1"), sizeof key - 1);
    memcpy(key, entry->key.data, entry->key.size);
    uint64_t version = strtoull(key + strlen("sess:"), NULL, 10);
    sprintf(expected, "sess:%u", (unsigned)version);
    assert_slice(entry->key, slice_string(expected));
    if (!visitor->keys_only) {
        sprintf(expected, "value %u", (unsigned)version);
        assert_slice(entry->value, slice_string(expected));
        assert_int_equal(entry->version, version);
    }
    assert_true(collector->count < 64);
    collector->versions[collector->count++] = version;
    return collector->count != collector->stop_at;
}

/* While slots move, the newest may lack a few, all keys are a transient failure, and pages have no end: what is walked
 * has come to rest. */
static void come_to_rest(struct store *store) {
    if (store->kind->rest)
        store->kind->rest(store);
}

static struct collector scan_for(struct store *store, size_t limit, size_t stop_at, bool keys_only) {
    struct collector collector = {
        .visitor = {collect, .keys_only = keys_only}, .store = store, .stop_at = stop_at};
    struct backend_error error;
    if (type(store)->scan(store->reader, store->list[0], limit, store->now, &collector.visitor, &error) !=
        BACKEND_OK)
        fail_msg("%s", error.message);
    return collector;
}

static struct collector scan(struct store *store, size_t limit, size_t stop_at) {
    return scan_for(store, limit, stop_at, false);
}

struct key_counter {
    struct backend_visitor visitor;
    size_t count;
};

static bool count_key(struct backend_visitor *self, const struct entry *entry) {
    struct key_counter *counter = (struct key_counter *)(void *)self;
    counter->count += slice_starts_with(entry->key, SLICE("sess:"));
    return true;
}

static size_t count_all_keys(struct store *store) {
    struct key_counter counter = {.visitor = {count_key, .keys_only = true, .all_keys = true}};
    struct backend_error error;
    if (type(store)->scan(store->reader, store->list[0], SIZE_MAX, 0, &counter.visitor, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return counter.count;
}

TEST(a_scan_shows_the_newest_first) {
    struct store *store = *state;
    char name[16], value[16];
    assert_int_equal(scan(store, 10, 0).count, 0);
    for (unsigned i = 1; i <= 40; i++) {
        sprintf(name, "sess:%u", i * 17 % 41);
        sprintf(value, "value %u", i * 17 % 41);
        struct mutation mutation = put(store, name, value, i * 17 % 41);
        mutation.entry.expires_at = i * 17 % 41 == 38 ? store->now - 1 : i % 2 ? store->now + 100 : 0;
        apply(store, mutation);
    }
    struct mutation elsewhere = put(store, "other:1", "not of this table", 1000);
    elsewhere.table = store->list[1];
    apply_all(store, &elsewhere, 1);
    apply(store, delete (store, "sess:36", 41));
    come_to_rest(store);
    struct collector all = scan(store, 64, 0);
    assert_int_equal(all.count, 38);
    for (size_t i = 1; i < all.count; i++)
        assert_true(all.versions[i] < all.versions[i - 1]);
    struct collector some = scan(store, 4, 0);
    assert_int_equal(some.count, 4);
    uint64_t newest[] = {40, 39, 37, 35};
    assert_memory_equal(some.versions, newest, sizeof newest);
    assert_int_equal(scan(store, 64, 7).count, 7);
    struct collector keys = scan_for(store, 64, 0, true);
    assert_int_equal(keys.count, 38);
    assert_memory_equal(keys.versions, all.versions, 38 * sizeof all.versions[0]);
    assert_int_equal(scan_for(store, 4, 0, true).count, 4);
    assert_int_equal(scan_for(store, 64, 7, true).count, 7);
    assert_int_equal(scan(store, 0, 0).count, 0);
}

/* For a filter of the keys that the table has: what has expired may yet be touched, or the clock be set back. */
TEST(a_scan_of_all_keys_leaves_none_out) {
    struct store *store = *state;
    enum { ROWS = 2500 };
    char name[16];
    for (unsigned i = 0; i < ROWS; i++) {
        sprintf(name, "sess:%u", i);
        struct mutation mutation = put(store, name, "v", i + 1);
        mutation.entry.expires_at = i % 2 ? store->now + 100 : 0;
        apply(store, mutation);
    }
    struct mutation elsewhere = put(store, "other:1", "not of this table", 9000);
    elsewhere.table = store->list[1];
    apply_all(store, &elsewhere, 1);
    apply(store, delete (store, "sess:7", 9001));
    come_to_rest(store);
    store->now += 200; /* half of them have expired; a kind that removes such by itself may leave them out */
    assert_in_range(count_all_keys(store), ROWS / 2 - 1, ROWS - 1);
    store->now -= 200;
    assert_int_equal(count_all_keys(store), ROWS - 1);
}

struct page_reader {
    struct backend_visitor visitor;
    struct backend_place place;
    bool *seen;
    size_t stop_after; /* keys of a page; 0: it is not stopped */
    size_t shown;
};

static bool see_key(struct backend_visitor *self, const struct entry *entry) {
    struct page_reader *reader = (struct page_reader *)(void *)self;
    char number[16] = "";
    assert_true(slice_starts_with(entry->key, SLICE("sess:")));
    memcpy(number, entry->key.data + 5, entry->key.size - 5);
    reader->seen[atoi(number)] = true;
    return ++reader->shown != reader->stop_after;
}

static void read_page(struct store *store, struct backend_connection *connection,
                      struct page_reader *reader) {
    struct backend_error error;
    reader->shown = 0;
    if (type(store)->scan(connection, store->list[0], SIZE_MAX, 0, &reader->visitor, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
}

static bool is_same_place(const struct backend_place *one, const struct backend_place *other) {
    return one->size == other->size && one->end == other->end &&
           memcmp(one->bytes, other->bytes, one->size) == 0;
}

/* As a copy does that is interrupted: pages over one connection and another, one of them given up. */
TEST(pages_of_keys_leave_none_out) {
    struct store *store = *state;
    enum { ROWS = 2500 };
    bool seen[ROWS] = {false};
    char name[16];
    for (unsigned i = 0; i < ROWS; i++) {
        sprintf(name, "sess:%u", i);
        apply(store, put(store, name, "v", i + 1));
    }
    struct mutation elsewhere = put(store, "other:1", "not of this table", 9000);
    elsewhere.table = store->list[1];
    apply_all(store, &elsewhere, 1);
    come_to_rest(store);
    struct page_reader reader = {.visitor = {see_key, .keys_only = true, .all_keys = true}, .seen = seen};
    reader.visitor.place = &reader.place;
    size_t pages = 0;
    for (; !reader.place.end; pages++) {
        struct backend_place before = reader.place;
        reader.stop_after = 1;
        read_page(store, store->reader, &reader);
        assert_true(reader.shown == 0 || is_same_place(&before, &reader.place));
        reader.stop_after = 0;
        if (reader.shown > 0) /* else it was a page without keys */
            read_page(store, pages % 2 ? store->reader : store->writer, &reader);
    }
    assert_in_range(pages, 2, ROWS);
    for (size_t i = 0; i < ROWS; i++)
        assert_true(seen[i]);
    reader.place = (struct backend_place){.bytes = "of another store", .size = 16};
    read_page(store, store->reader, &reader);
}

static struct backend_extent extent_of(struct store *store, size_t most, uint64_t room) {
    struct backend_extent extent;
    struct backend_error error;
    if (type(store)->extent(store->reader, store->list[0], most, room, &extent, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
    return extent;
}

/* All that live, each once and whole, by pages. */
static size_t read_entries(struct store *store, struct collector *collector, struct backend_place *place) {
    struct backend_error error;
    size_t shown = 0;
    *place = (struct backend_place){.size = 0};
    while (!place->end) {
        *collector = (struct collector){.visitor = {collect, .place = place}, .store = store};
        if (type(store)->scan(store->reader, store->list[0], SIZE_MAX, store->now, &collector->visitor,
                              &error) != BACKEND_OK)
            fail_msg("%s", error.message);
        shown += collector->count;
    }
    return shown;
}

/* Of a kind that can tell how much there is; for the others there is nothing to be seen. */
TEST(entries_are_shown_in_no_order_where_their_extent_is_told) {
    struct store *store = *state;
    char name[16], value[16];
    struct collector all;
    struct backend_place place;
    for (unsigned i = 1; i <= 40; i++) {
        sprintf(name, "sess:%u", i);
        sprintf(value, "value %u", i);
        struct mutation mutation = put(store, name, value, i);
        mutation.entry.expires_at = i == 38 ? store->now - 1 : i % 2 ? store->now + 100 : 0;
        apply(store, mutation);
    }
    apply(store, delete (store, "sess:36", 41));
    struct backend_extent extent = extent_of(store, 39, 0), bound = extent_of(store, SIZE_MAX, UINT64_MAX);
    assert_int_equal(bound.rows, extent.rows);
    assert_true(extent_of(store, 30, 0).rows > 30);
    if (extent.rows == SIZE_MAX)
        return;
    assert_in_range(extent.rows, 38, 39);
    assert_in_range(extent.bytes, 38 * strlen("sess:1value 1"), 39 * strlen("sess:40value 40"));
    assert_true(bound.bytes >= extent.bytes);
    assert_int_equal(read_entries(store, &all, &place), 38);
    uint64_t sum = 0;
    for (size_t i = 0; i < all.count; i++)
        sum += all.versions[i];
    assert_int_equal(sum, 40 * 41 / 2 - 38 - 36);
    place = (struct backend_place){.size = 0};
    struct collector some = {.visitor = {collect, .place = &place}, .store = store, .stop_at = 7};
    struct backend_error error;
    assert_int_equal(
        type(store)->scan(store->reader, store->list[0], SIZE_MAX, store->now, &some.visitor, &error),
        BACKEND_OK);
    assert_int_equal(some.count, 7);
    assert_int_equal(place.size, 0);
}

/* ---- Whose fault ---- */

static enum backend_status try_apply(struct store *store, struct mutation *mutations, size_t count) {
    struct backend_error error;
    return type(store)->apply(store->writer, mutations, count, store->now, &error);
}

static enum backend_status try_load(struct store *store, unsigned table, const struct slice *keys,
                                    size_t count) {
    struct load_result results[8];
    struct backend_error error;
    assert_true(count <= 8);
    return type(store)->load(store->reader, store->list[table], keys, count, store->now, results, &error);
}

TEST(a_table_that_fails_leaves_the_others_alone) {
    struct store *store = *state;
    struct slice key = SLICE("sess:a"), other = SLICE("other:a");
    struct mutation both[] = {put(store, "sess:a", "one", 2), put(store, "other:a", "one", 2)};
    both[1].table = store->list[1];
    apply(store, put(store, "sess:a", "before", 1));
    assert_true(load(store, "sess:a").found);
    store->kind->change_table(store, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_apply(store, both, 2), BACKEND_TABLE_FAILED);
        assert_int_equal(try_apply(store, both, 1), BACKEND_TABLE_FAILED);
        assert_int_equal(try_load(store, 0, &key, 1), BACKEND_TABLE_FAILED);
        assert_int_equal(try_apply(store, &both[1], 1), BACKEND_OK);
        assert_int_equal(try_load(store, 1, &other, 1), BACKEND_OK);
    }
    store->kind->change_table(store, false);
    assert_int_equal(try_load(store, 0, &key, 1), BACKEND_OK);
    assert_int_equal(try_apply(store, both, 2), BACKEND_OK);
    assert_slice(load(store, "sess:a").entry.value, SLICE("one"));
}

/* It does not even keep a running server from opening its connections again. */
TEST(a_connection_opened_later_passes_over_a_table_that_fails) {
    struct store *store = *state;
    struct slice key = SLICE("sess:a"), other = SLICE("other:a");
    struct mutation mutation = put(store, "other:a", "one", 1);
    mutation.table = store->list[1];
    store->kind->change_table(store, true);
    disconnect(store);
    store->options.running = true;
    connect_both(store);
    assert_int_equal(try_apply(store, &mutation, 1), BACKEND_OK);
    assert_int_equal(try_load(store, 1, &other, 1), BACKEND_OK);
    assert_int_equal(try_load(store, 0, &key, 1), BACKEND_TABLE_FAILED);
    store->kind->change_table(store, false);
    assert_int_equal(try_load(store, 0, &key, 1), BACKEND_OK);
    apply(store, put(store, "sess:a", "two", 2));
    assert_true(load(store, "sess:a").found);
}

TEST(a_row_that_cannot_be_read_is_told_from_its_neighbours) {
    static char value[LARGE];
    struct store *store = *state;
    struct slice keys[] = {SLICE("sess:a"), SLICE("sess:bad"), SLICE("sess:c")};
    struct mutation bad = put(store, "sess:bad", "", 1);
    memset(value, 'Q', sizeof value);
    bad.entry.value = slice_of(value, sizeof value);
    apply(store, put(store, "sess:a", "one", 1));
    apply(store, bad);
    apply(store, put(store, "sess:c", "three", 1));
    store->kind->spoil_row(store);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_load(store, 0, keys, 3), BACKEND_PERMANENT);
        assert_int_equal(try_load(store, 0, &keys[1], 1), BACKEND_PERMANENT);
        assert_int_equal(try_load(store, 0, &keys[0], 1), BACKEND_OK);
        assert_int_equal(try_load(store, 0, &keys[2], 1), BACKEND_OK);
    }
    assert_slice(load(store, "sess:a").entry.value, SLICE("one"));
}

/* ---- A reader beside the writer ---- */

static void *read_on(void *context) {
    struct store *store = context;
    struct slice keys[] = {SLICE("sess:a"), SLICE("sess:b")};
    uint64_t seen[2] = {0};
    do {
        struct load_result results[2];
        struct backend_error error;
        enum backend_status status =
            type(store)->load(store->reader, store->list[0], keys, 2, store->now, results, &error);
        if (may_be_repeated(store, status))
            continue;
        for (unsigned i = 0; i < 2; i++) {
            uint64_t version = results[i].found ? results[i].entry.version : 0;
            if (status != BACKEND_OK || version < seen[i] ||
                strtoull(results[i].entry.value.data, NULL, 10) != version)
                return "a read failed or went back";
            seen[i] = version;
        }
        store->reads++;
    } while (!atomic_load(&store->stop));
    return NULL;
}

TEST(a_reader_beside_the_writer_only_moves_forward) {
    struct store *store = *state;
    struct mutation first[] = {put(store, "sess:a", "1", 1), put(store, "sess:b", "1", 1)};
    apply_all(store, first, 2);
    assert_int_equal(pthread_create(&store->race, NULL, read_on, store), 0);
    store->racing = true;
    for (unsigned version = 2; version < 500; version++) {
        char value[16] = {0};
        sprintf(value, "%u", version);
        struct mutation mutations[] = {put(store, "sess:a", value, version),
                                       put(store, "sess:b", value, version)};
        mutations[0].entry.value.size = mutations[1].entry.value.size = sizeof value;
        apply_all(store, mutations, 2);
    }
    const char *complaint = end_race(store);
    if (complaint)
        fail_msg("%s", complaint);
    assert_true(store->reads > 0);
}

/* It waits for a moment at most: on a busy machine that may be too short, for once. */
static uint64_t assert_probe(struct store *store, enum backend_status expected) {
    struct backend_error error = {""};
    uint64_t version = BACKEND_VERSION_HIDDEN;
    enum backend_status status;
    uint64_t began_us = monotonic_us();
    do
        status = type(store)->probe(&store->options, &version, &error);
    while (status == BACKEND_TRANSIENT && expected != status && has_time_since(began_us));
    if (status != expected)
        fail_msg("%d, not %d: %s", (int)status, (int)expected, error.message);
    return version;
}

TEST(a_probe_says_what_opening_would_come_to) {
    struct store *store = *state;
    assert_int_equal(assert_probe(store, BACKEND_OK), 0); /* beside the writer */
    apply(store, put(store, "sess:a", "value", 7));
    assert_int_equal(assert_probe(store, BACKEND_OK), 7);
    disconnect(store);
    assert_int_equal(assert_probe(store, BACKEND_OK), 7);
    connect_both(store);
    assert_value(store, "sess:a", "value", 7);
}

static bool is_empty(const struct redis_server *servers, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (strstr(redis_server_ask(&servers[i], "INFO keyspace"), "db"))
            return false;
    return true;
}

TEST(a_probe_makes_nothing) {
    struct store *store = *state;
    struct backend_error error;
    struct backend_connection *reader = NULL;
    disconnect(store);
    store->kind->stop(store);
    store->kind->start(store);
    store->options.data = store->folder.path;
    assert_probe(store, BACKEND_OK);
    if (strncmp(store->uri, "sqlite:", strlen("sqlite:")) == 0) /* no file: a reader makes none */
        assert_int_equal(type(store)->open(&store->options, BACKEND_READER, &reader, &error),
                         BACKEND_REFUSED);
    else
        assert_true(is_empty(strstr(store->uri, "+cluster") ? masters : &redis,
                             strstr(store->uri, "+cluster") ? MASTERS : 1));
    connect_both(store);
}

static int run(const struct kind *kind) {
    struct CMUnitTest tests[] = {
        CASE(an_absent_key_is_not_found),
        CASE(every_field_comes_back),
        CASE(an_overwrite_resets_every_field),
        CASE(keys_and_values_may_hold_any_bytes),
        CASE(a_value_may_be_empty),
        CASE(a_value_may_be_large),
        CASE(many_keys_are_loaded_together),
        CASE(tables_keep_apart_and_share_a_batch),
        CASE(the_writer_can_load_too),
        CASE(a_put_needs_a_higher_version),
        CASE(a_delete_needs_no_lower_version),
        CASE(a_delete_is_remembered_where_the_kind_says_so),
        CASE(a_put_after_a_delete_is_a_new_row),
        CASE(a_touch_changes_all_but_value_and_flags),
        CASE(a_touch_of_a_lost_row_stores_the_entry),
        CASE(a_touch_gives_way_to_a_newer_value),
        CASE(a_touch_of_an_older_row_stores_the_entry),
        CASE(a_touch_compares_all_bits_of_a_cas),
        CASE(a_touch_on_absence_is_no_touch_of_what_was_deleted),
        CASE(a_touch_on_absence_is_no_touch_of_what_has_died),
        CASE(a_touch_on_absence_gives_way_to_a_row),
        CASE(a_touch_may_be_on_a_cas),
        CASE(a_change_on_a_version_needs_that_version),
        CASE(a_change_on_absence_needs_no_row),
        CASE(a_change_may_be_on_a_version_or_on_absence),
        CASE(changes_on_each_other_share_a_batch),
        CASE(superseded_is_told_of_each_mutation),
        CASE(a_key_may_occur_often_in_a_batch),
        CASE(a_batch_can_be_repeated),
        CASE(a_row_past_its_expiry_is_not_found),
        CASE(an_entry_written_past_its_expiry_is_not_found),
        CASE(upkeep_spares_the_living),
        CASE(the_high_version_never_falls),
        CASE(rows_survive_the_connection),
        CASE(a_scan_shows_the_newest_first),
        CASE(a_scan_of_all_keys_leaves_none_out),
        CASE(pages_of_keys_leave_none_out),
        CASE(entries_are_shown_in_no_order_where_their_extent_is_told),
        CASE(a_table_that_fails_leaves_the_others_alone),
        CASE(a_connection_opened_later_passes_over_a_table_that_fails),
        CASE(a_row_that_cannot_be_read_is_told_from_its_neighbours),
        CASE(a_reader_beside_the_writer_only_moves_forward),
        CASE(a_probe_says_what_opening_would_come_to),
        CASE(a_probe_makes_nothing),
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tests[i].initial_state = (void *)kind;
    return _cmocka_run_group_tests(kind->name, tests, sizeof tests / sizeof tests[0], NULL, NULL);
}

static bool start_replicas(void) {
    for (unsigned i = 0; i < MASTERS; i++)
        if (!redis_server_start_replica(&replicas[i], &masters[i]))
            return false;
    return true;
}

int main(void) {
    int failed = 0;
    signal(SIGPIPE, SIG_IGN);
    bool started = redis_server_start(&redis);
    sentinel.watched_port = redis.port;
    if (!started || !redis_server_start(&sentinel) || !redis_server_start_cluster(masters, MASTERS) ||
        !start_replicas()) {
        fprintf(stderr, "redis-server (Debian: redis-server) is needed for these tests\n");
        return 1;
    }
    mover = slot_mover_create(masters, MASTERS);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        failed += run(&kinds[i]);
    if (slot_mover_destroy(mover) == 0) {
        fprintf(stderr, "no key has moved with its slot: these tests have shown nothing\n");
        failed++;
    }
    for (unsigned i = 0; i < MASTERS; i++) {
        redis_server_stop(&replicas[i]);
        redis_server_stop(&masters[i]);
    }
    redis_server_stop(&sentinel);
    redis_server_stop(&redis);
    return failed;
}
