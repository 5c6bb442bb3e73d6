/* SPDX-License-Identifier: MIT */
/* Each kind is an SQLite file of the test's own, or one of the servers of the whole run, emptied. */
#include "tests/backends/conformance/kinds.h"
#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "backends/sqlite/options.h"
#include "tests/backends/conformance/servers.h"
#include "tests/backends/conformance/store.h"
#include <sqlite3.h>
#include <stdio.h>

/* ---- SQLite ---- */

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

/* ---- A Redis ---- */

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

/* ---- All of them ---- */

static const struct sqlite_options fast = {{&sqlite_backend}, .synchronous = "normal"};
static const struct redis_table_options hashes[] = {
    {{&redis_backend}, .layout = "hash", .store_prefix = ""},
    {{&redis_backend}, .layout = "hash", .store_prefix = "fb-"}};
static const struct redis_table_options strings[] = {
    {{&redis_backend}, .layout = "string", .store_prefix = ""},
    {{&redis_backend}, .layout = "string", .store_prefix = "fb-"}};

static const struct redis_options replicated = {
    {&redis_backend}, .tombstone_seconds = 24 * 60 * 60, .replicas = 1};

const struct kind kinds[] = {
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

const size_t kind_count = sizeof kinds / sizeof kinds[0];
