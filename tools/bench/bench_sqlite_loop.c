/* SPDX-License-Identifier: MIT */
/*
 * What the SQLite backend costs over the best plain loop: the same rows, schema, statements and pragmas, once
 * written straight with the SQLite library and once through apply() and load(), in turns, on the same disk.
 *
 *     bench_sqlite_loop [-d folder] [-n rows] [-b batch] [-v value bytes] [-g group] [-r rounds]
 *                       [-s full|normal]
 *
 * insert     fresh table, keys in random order, -b rows a transaction
 * overwrite  every key again in another order, with a higher version
 * load       SELECT by key: one prepared statement a key; 100 keys a read transaction; load() with 100 keys
 * group      -g rows a transaction: a group of concurrent write-through requests that share a commit
 *
 * Each line: median of the rounds in rows a second, plain and backend, and the ratio of the medians.
 */
#include "backends/kinds.h"
#include "backends/sqlite/options.h"
#include "tools/bench/entries.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BLOCK_ROWS = 32,
    CHECKPOINT_PAGES = 16000, /* as the backend's upkeep */
    ROUNDS_MAX = 15
};

struct bench {
    const char *folder, *synchronous;
    unsigned group, rounds;
    char path[400], uri[420];
    struct entries entries;
};

static void remove_store(const struct bench *bench) {
    const char *endings[] = {"", "-wal", "-shm"};
    char path[410];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", bench->path, endings[i]);
        unlink(path);
    }
}

/* ---- The plain loop ---- */

struct plain {
    struct bench *bench;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *block, *row, *select;
    int wal_pages;
};

static int committed(void *context, sqlite3 *db, const char *name, int pages) {
    (void)db, (void)name;
    ((struct plain *)context)->wal_pages = pages;
    return SQLITE_OK;
}

static void execute(struct plain *plain, const char *sql) {
    if (sqlite3_exec(plain->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        bench_die(sqlite3_errmsg(plain->db));
}

static sqlite3_stmt *prepare(struct plain *plain, const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(plain->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        bench_die(sqlite3_errmsg(plain->db));
    return statement;
}

static sqlite3_stmt *prepare_upsert(struct plain *plain, int rows) {
    char sql[2000] =
        "INSERT INTO sessions(key, value, flags, expires_at, version, client_cas, marks) VALUES ";
    for (int i = 0; i < rows; i++)
        strcat(sql, i ? ",(?,?,?,?,?,?,?)" : "(?,?,?,?,?,?,?)");
    strcat(sql,
           " ON CONFLICT(key) DO UPDATE SET value = excluded.value, flags = excluded.flags, "
           "expires_at = excluded.expires_at, version = excluded.version, client_cas = excluded.client_cas, "
           "marks = excluded.marks WHERE excluded.version > version");
    return prepare(plain, sql);
}

static void plain_open(struct plain *plain, struct bench *bench) {
    char sql[200];
    plain->bench = bench;
    plain->wal_pages = 0;
    if (sqlite3_open_v2(bench->path, &plain->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        bench_die(sqlite3_errmsg(plain->db));
    snprintf(sql, sizeof sql,
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s; PRAGMA wal_autocheckpoint = 0;"
             "PRAGMA cache_size = -8192; PRAGMA secure_delete = off",
             bench->synchronous);
    execute(plain, sql);
    execute(plain, "CREATE TABLE IF NOT EXISTS sessions (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, "
                   "flags INTEGER NOT NULL DEFAULT 0, expires_at INTEGER NOT NULL DEFAULT 0, "
                   "version INTEGER NOT NULL DEFAULT 0, client_cas INTEGER, marks INTEGER)");
    sqlite3_wal_hook(plain->db, committed, plain);
    plain->begin = prepare(plain, "BEGIN IMMEDIATE");
    plain->commit = prepare(plain, "COMMIT");
    plain->block = prepare_upsert(plain, BLOCK_ROWS);
    plain->row = prepare_upsert(plain, 1);
    plain->select = prepare(
        plain, "SELECT value, flags, expires_at, version, client_cas, marks FROM sessions WHERE key = ?");
}

static void plain_close(struct plain *plain) {
    sqlite3_finalize(plain->begin);
    sqlite3_finalize(plain->commit);
    sqlite3_finalize(plain->block);
    sqlite3_finalize(plain->row);
    sqlite3_finalize(plain->select);
    sqlite3_close(plain->db);
}

static void step(struct plain *plain, sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE)
        bench_die(sqlite3_errmsg(plain->db));
    sqlite3_reset(statement);
}

static void bind_row(struct bench *bench, sqlite3_stmt *statement, int row, unsigned key) {
    int first = row * 7 + 1;
    sqlite3_bind_blob(statement, first, bench->entries.keys[key], KEY_SIZE, SQLITE_STATIC);
    sqlite3_bind_blob(statement, first + 1, bench->entries.value, (int)bench->entries.value_size,
                      SQLITE_STATIC);
    sqlite3_bind_int64(statement, first + 2, 0);
    sqlite3_bind_int64(statement, first + 3, 0);
    sqlite3_bind_int64(statement, first + 4, (sqlite3_int64)++bench->entries.version);
    sqlite3_bind_null(statement, first + 5);
    sqlite3_bind_null(statement, first + 6);
}

static int by_key(const void *left, const void *right, void *context) {
    const struct bench *bench = context;
    return memcmp(bench->entries.keys[*(const unsigned *)left], bench->entries.keys[*(const unsigned *)right],
                  KEY_SIZE);
}

/* Sorts the batch in place: that is the loop's own array. */
static void plain_batch(struct plain *plain, unsigned *order, unsigned count) {
    unsigned done = 0;
    qsort_r(order, count, sizeof *order, by_key, plain->bench);
    step(plain, plain->begin);
    for (; done + BLOCK_ROWS <= count; done += BLOCK_ROWS) {
        for (unsigned i = 0; i < BLOCK_ROWS; i++)
            bind_row(plain->bench, plain->block, (int)i, order[done + i]);
        step(plain, plain->block);
    }
    for (; done < count; done++) {
        bind_row(plain->bench, plain->row, 0, order[done]);
        step(plain, plain->row);
    }
    step(plain, plain->commit);
    if (plain->wal_pages >= CHECKPOINT_PAGES)
        sqlite3_wal_checkpoint_v2(plain->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static double plain_write(struct bench *bench, unsigned rows, unsigned batch) {
    struct plain plain;
    plain_open(&plain, bench);
    double start = bench_seconds();
    for (unsigned done = 0; done < rows; done += batch)
        plain_batch(&plain, bench->entries.order + done, rows - done < batch ? rows - done : batch);
    double rate = rows / (bench_seconds() - start);
    plain_close(&plain);
    return rate;
}

static double plain_load(struct bench *bench, bool transactions) {
    struct plain plain;
    unsigned found = 0;
    char copy[1 << 16];
    plain_open(&plain, bench);
    double start = bench_seconds();
    for (unsigned i = 0; i < bench->entries.count; i++) {
        if (transactions && i % LOAD_KEYS == 0)
            execute(&plain, "BEGIN");
        sqlite3_bind_blob(plain.select, 1, bench->entries.keys[bench->entries.order[i]], KEY_SIZE,
                          SQLITE_STATIC);
        if (sqlite3_step(plain.select) == SQLITE_ROW) {
            memcpy(copy, sqlite3_column_blob(plain.select, 0), (size_t)sqlite3_column_bytes(plain.select, 0));
            found += sqlite3_column_int64(plain.select, 3) > 0;
        }
        sqlite3_reset(plain.select);
        if (transactions && i % LOAD_KEYS == LOAD_KEYS - 1)
            step(&plain, plain.commit);
    }
    double rate = bench->entries.count / (bench_seconds() - start);
    if (found != bench->entries.count)
        bench_die("rows are missing");
    plain_close(&plain);
    return rate;
}

/* ---- Through the backend ---- */

struct through {
    struct bench *bench;
    struct backend_table table;
    const struct backend_table *list[1];
    struct backend_connection *connection;
    struct mutation *mutations;
};

static void through_open(struct through *through, struct bench *bench, enum backend_role role) {
    struct backend_error error;
    through->bench = bench;
    through->table = (struct backend_table){.name = "sessions", .key_prefix = "sess:"};
    through->list[0] = &through->table;
    const struct sqlite_options own = {.base = {&sqlite_backend}, .synchronous = bench->synchronous};
    struct backend_options options = {.name = "bench",
                                      .uri = bench->uri,
                                      .data = ".",
                                      .timeout_ms = 5000,
                                      .specific = &own.base,
                                      .tables = through->list,
                                      .table_count = 1};
    if (sqlite_backend.open(&options, role, &through->connection, &error) != BACKEND_OK)
        bench_die(error.message);
    through->mutations = calloc(bench->entries.batch > bench->group ? bench->entries.batch : bench->group,
                                sizeof *through->mutations);
}

static void through_close(struct through *through) {
    sqlite_backend.close(through->connection);
    free(through->mutations);
}

static void through_batch(struct through *through, const unsigned *order, unsigned count) {
    struct backend_error error;
    bool more;
    entries_apply(&through->bench->entries, through->connection, &through->table, through->mutations, order,
                  count);
    if (sqlite_backend.maintain(through->connection, 1, &more, &error) != BACKEND_OK)
        bench_die(error.message);
}

static double through_write(struct bench *bench, unsigned rows, unsigned batch) {
    struct through through;
    through_open(&through, bench, BACKEND_WRITER);
    double start = bench_seconds();
    for (unsigned done = 0; done < rows; done += batch)
        through_batch(&through, bench->entries.order + done, rows - done < batch ? rows - done : batch);
    double rate = rows / (bench_seconds() - start);
    through_close(&through);
    return rate;
}

static double through_load(struct bench *bench, unsigned together) {
    struct through through;
    through_open(&through, bench, BACKEND_READER);
    double rate = entries_load(&bench->entries, through.connection, &through.table, together);
    through_close(&through);
    return rate;
}

/* ---- Rounds ---- */

struct pair {
    const char *name;
    double plain[ROUNDS_MAX], backend[ROUNDS_MAX];
};

static int by_number(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *numbers, unsigned count) {
    qsort(numbers, count, sizeof *numbers, by_number);
    return numbers[count / 2];
}

static void show(struct pair *pair, unsigned rounds) {
    double plain = median(pair->plain, rounds), backend = median(pair->backend, rounds);
    printf("%-22s plain %9.0f rows/s   backend %9.0f rows/s   ratio %.3f\n", pair->name, plain, backend,
           backend / plain);
}

/* One side of one round: fresh file, insert, overwrite, group. */
static void write_side(struct bench *bench, double (*write)(struct bench *, unsigned, unsigned),
                       double *ret_insert, double *ret_overwrite, double *ret_group) {
    unsigned grouped = bench->entries.count / 20;
    remove_store(bench);
    entries_shuffle(&bench->entries);
    *ret_insert = write(bench, bench->entries.count, bench->entries.batch);
    entries_shuffle(&bench->entries);
    *ret_overwrite = write(bench, bench->entries.count, bench->entries.batch);
    entries_shuffle(&bench->entries);
    *ret_group = write(bench, grouped, bench->group);
}

static void run(struct bench *bench) {
    struct pair insert = {.name = "insert"}, overwrite = {.name = "overwrite"},
                group = {.name = "group commit"};
    struct pair single = {.name = "load, 1 key a call"}, many = {.name = "load, 100 keys a call"};
    for (unsigned i = 0; i < bench->rounds; i++) {
        write_side(bench, plain_write, &insert.plain[i], &overwrite.plain[i], &group.plain[i]);
        write_side(bench, through_write, &insert.backend[i], &overwrite.backend[i], &group.backend[i]);
        entries_shuffle(&bench->entries);
        single.plain[i] = plain_load(bench, false);
        single.backend[i] = through_load(bench, 1);
        many.plain[i] = plain_load(bench, true);
        many.backend[i] = through_load(bench, LOAD_KEYS);
    }
    struct pair *all[] = {&insert, &overwrite, &group, &single, &many};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        show(all[i], bench->rounds);
}

int main(int count, char **arguments) {
    struct bench bench = {.folder = ".",
                          .synchronous = "full",
                          .group = 32,
                          .rounds = 3,
                          .entries = {.count = 500000, .value_size = 100, .batch = 10000}};
    for (int option; (option = getopt(count, arguments, "d:n:b:v:g:r:s:")) != -1;) {
        switch (option) {
        case 'd':
            bench.folder = optarg;
            break;
        case 's':
            bench.synchronous = optarg;
            break;
        case 'g':
            bench.group = bench_number(optarg);
            break;
        case 'r':
            bench.rounds = bench_number(optarg);
            break;
        default:
            entries_take_option(&bench.entries, option, optarg);
        }
    }
    if (!bench.entries.batch || !bench.group || !bench.rounds || bench.rounds > ROUNDS_MAX ||
        bench.entries.value_size > 1 << 16)
        bench_die("a number is out of range");
    snprintf(bench.path, sizeof bench.path, "%s/bench_sqlite_loop.db", bench.folder);
    snprintf(bench.uri, sizeof bench.uri, "sqlite:%s", bench.path);
    entries_make(&bench.entries);
    run(&bench);
    remove_store(&bench);
    entries_free(&bench.entries);
    return 0;
}
