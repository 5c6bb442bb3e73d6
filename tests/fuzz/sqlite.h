/* SPDX-License-Identifier: MIT */
/*
 * A database into which somebody else has put anything: rows of any type in each column of a table that has the columns
 * of ours without their types, and a high version that is none; asked by a reader and a writer. What comes of it is fit
 * for an entry; and a put that the store has taken is what is loaded then.
 */
#ifndef FOREBAY_TESTS_FUZZ_SQLITE_H
#define FOREBAY_TESTS_FUZZ_SQLITE_H

#include "backends/sqlite/options.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/store.h"
#include <sqlite3.h>

enum { SQLITE_ROWS = 6, SQLITE_CALLS = 6, SQLITE_COLUMNS = 7 };

static const struct slice sqlite_asked[2][STORE_KEYS] = {{{"sess:a", 6}, {"sess:b", 6}, {"sess:c", 6}},
                                                         {{"str:a", 5}, {"str:b", 5}, {"str:c", 5}}};

/* The shell of somebody else, and our connection; one for the whole program. */
struct sqlite_bench {
    sqlite3 *shell;
    sqlite3_stmt *insert[2], *set_high;
    struct sqlite_options own;
    struct store store;
};

static inline void sqlite_shell(const struct sqlite_bench *bench, const char *sql) {
    if (sqlite3_exec(bench->shell, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(bench->shell));
        abort();
    }
}

static inline struct sqlite_bench *sqlite_bench(void) {
    static struct sqlite_bench bench;
    char path[512];
    if (bench.shell)
        return &bench;
    snprintf(path, sizeof path, "%s/store.db", fuzz_folder());
    FUZZ_CHECK(sqlite3_open(path, &bench.shell) == SQLITE_OK);
    sqlite_shell(
        &bench,
        "CREATE TABLE sessions(key PRIMARY KEY, value, flags, expires_at, version, client_cas, marks);"
        "CREATE TABLE shared(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL,"
        " flags INTEGER NOT NULL DEFAULT 0, expires_at INTEGER NOT NULL DEFAULT 0,"
        " version INTEGER NOT NULL DEFAULT 0, client_cas INTEGER, marks INTEGER)");
    bench.own = (struct sqlite_options){{&sqlite_backend}, .synchronous = "normal"};
    store_begin(&bench.store, "sqlite:store.db", fuzz_folder_path, &sqlite_backend);
    bench.store.options.specific = &bench.own.base;
    bench.store.writes = true;
    FUZZ_CHECK(sqlite_backend.open(&bench.store.options, BACKEND_WRITER, &bench.store.connection,
                                   &bench.store.error) == BACKEND_OK);
    static const char *const inserts[2] = {"INSERT OR REPLACE INTO sessions VALUES(?,?,?,?,?,?,?)",
                                           "INSERT OR IGNORE INTO shared VALUES(?,?,?,?,?,?,?)"};
    for (int i = 0; i < 2; i++)
        FUZZ_CHECK(sqlite3_prepare_v2(bench.shell, inserts[i], -1, &bench.insert[i], NULL) == SQLITE_OK);
    FUZZ_CHECK(sqlite3_prepare_v2(bench.shell,
                                  "UPDATE forebay_meta SET value = ? WHERE name = 'high_version'", -1,
                                  &bench.set_high, NULL) == SQLITE_OK);
    return &bench;
}

/* Any value in any column. */
static inline void sqlite_bind_any(sqlite3_stmt *statement, int column, struct choices *choices) {
    static const char bytes[] = "sess:asess:bstr:a\0\x80\xff 42 9079256848778919937 -1";
    static const sqlite3_int64 numbers[] = {0,
                                            1,
                                            -1,
                                            2,
                                            255,
                                            256,
                                            STORE_NOW,
                                            STORE_NOW + 1,
                                            UINT32_MAX,
                                            (sqlite3_int64)UINT32_MAX + 1,
                                            INT64_MAX,
                                            INT64_MIN,
                                            9079256848778919936,
                                            9079256848778919937};
    size_t at = choose(choices, sizeof bytes), size = choose(choices, sizeof bytes);
    size = size < sizeof bytes - at ? size : sizeof bytes - at;
    switch (choose(choices, 6)) {
    case 0:
        sqlite3_bind_null(statement, column);
        return;
    case 1:
        sqlite3_bind_double(statement, column, (double)numbers[at % 14] * 1.5);
        return;
    case 2:
        sqlite3_bind_text(statement, column, bytes + at, (int)size, SQLITE_STATIC);
        return;
    case 3:
        sqlite3_bind_zeroblob(statement, column, (int)choose_bits(choices, 2));
        return;
    case 4:
        sqlite3_bind_blob(statement, column, bytes + at, (int)size, SQLITE_STATIC);
        return;
    default:
        sqlite3_bind_int64(statement, column, numbers[at % 14]);
    }
}

/* Mostly a key that is asked for. */
static inline void sqlite_put_row(struct sqlite_bench *bench, struct choices *choices) {
    unsigned table = choose(choices, 2), key = choose(choices, STORE_KEYS + 2);
    sqlite3_stmt *statement = bench->insert[table];
    for (int column = 1; column <= SQLITE_COLUMNS; column++)
        sqlite_bind_any(statement, column, choices);
    if (key < STORE_KEYS)
        sqlite3_bind_blob(statement, 1, sqlite_asked[table][key].data, (int)sqlite_asked[table][key].size,
                          SQLITE_STATIC);
    sqlite3_step(statement);
    sqlite3_reset(statement);
}

static inline void sqlite_put_high(const struct sqlite_bench *bench, struct choices *choices) {
    if (choose(choices, 8) == 0)
        sqlite_bind_any(bench->set_high, 1, choices);
    else
        sqlite3_bind_int64(bench->set_high, 1, (sqlite3_int64)choose_bits(choices, choose(choices, 8)));
    sqlite3_step(bench->set_high);
    sqlite3_reset(bench->set_high);
}

/* Whatever the rows are, they give way to what is newer than any version that counts. */
static inline void sqlite_check_put(struct store *store, unsigned table) {
    struct mutation put = {.table = store->list[table],
                           .kind = MUTATION_PUT,
                           .entry = {.key = sqlite_asked[table][0],
                                     .value = SLICE("what is put"),
                                     .version = ENTRY_VERSION_HIGHEST}};
    struct load_result result = {0};
    enum backend_status status = sqlite_backend.apply(store->connection, &put, 1, STORE_NOW, &store->error);
    store_check_status(store, status);
    if (status != BACKEND_OK || put.superseded)
        return;
    FUZZ_CHECK(sqlite_backend.load(store->connection, store->list[table], sqlite_asked[table], 1, STORE_NOW,
                                   &result, &store->error) == BACKEND_OK);
    FUZZ_CHECK(result.found && slice_equal(result.entry.value, put.entry.value) &&
               result.entry.version == put.entry.version);
}

static inline void check_sqlite(const uint8_t *data, size_t size) {
    struct sqlite_bench *bench = sqlite_bench();
    struct choices choices = choices_of(data, size);
    sqlite_shell(bench, "BEGIN; DELETE FROM sessions; DELETE FROM shared");
    for (unsigned rows = choose(&choices, SQLITE_ROWS); rows > 0; rows--)
        sqlite_put_row(bench, &choices);
    sqlite_put_high(bench, &choices);
    sqlite_shell(bench, "COMMIT");
    for (unsigned calls = 1 + choose(&choices, SQLITE_CALLS); calls > 0; calls--)
        store_ask(&bench->store, &choices, sqlite_asked);
    sqlite_check_put(&bench->store, choose(&choices, 2));
}

#endif
