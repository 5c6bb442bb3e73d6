/* SPDX-License-Identifier: MIT */
/*
 * How many entries a second the Redis backend applies and loads. Needs a Redis that may be written to:
 *
 *     bench_redis -u redis://127.0.0.1:6379/9 [-n entries] [-b batch] [-v value bytes]
 *                 [-l hash|string] [-p prefix]
 *
 * insert     new keys, -b entries an apply()
 * overwrite  every key again in another order, with a higher version
 * load       100 keys a load()
 *
 * docs/benchmarks-backends.md has the redis-benchmark line that sends commands of the same form.
 */
#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "tools/bench/entries.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct bench {
    const char *uri;
    struct entries entries;
    struct redis_table_options table_options;
    struct backend_table table;
    struct backend_connection *connection;
    struct mutation *mutations;
};

static void open_store(struct bench *bench) {
    static const struct backend_table *list[1];
    struct backend_error error;
    bench->table_options.base.type = &redis_backend;
    bench->table = (struct backend_table){
        .name = "bench", .key_prefix = "sess:", .specific = &bench->table_options.base};
    list[0] = &bench->table;
    struct backend_options options = {
        .name = "bench", .uri = bench->uri, .timeout_ms = 60000, .tables = list, .table_count = 1};
    if (redis_backend.open(&options, BACKEND_WRITER, &bench->connection, &error) != BACKEND_OK)
        bench_die(error.message);
}

static void show(const char *name, double rate) {
    printf("%-10s %9.0f entries/s\n", name, rate);
}

static void apply_all(struct bench *bench, const char *name) {
    struct entries *entries = &bench->entries;
    entries_shuffle(entries);
    double start = bench_seconds();
    for (unsigned done = 0; done < entries->count; done += entries->batch)
        entries_apply(entries, bench->connection, &bench->table, bench->mutations, entries->order + done,
                      entries->count - done < entries->batch ? entries->count - done : entries->batch);
    show(name, entries->count / (bench_seconds() - start));
}

static void run(struct bench *bench) {
    bench->mutations = calloc(bench->entries.batch, sizeof *bench->mutations);
    if (!bench->mutations)
        bench_die("out of memory");
    entries_make(&bench->entries);
    bench->entries.version = (uint64_t)time(NULL) << 32; /* above an earlier run */
    open_store(bench);
    apply_all(bench, "insert");
    apply_all(bench, "overwrite");
    show("load", entries_load(&bench->entries, bench->connection, &bench->table, LOAD_KEYS));
    redis_backend.close(bench->connection);
    entries_free(&bench->entries);
    free(bench->mutations);
}

int main(int count, char **arguments) {
    struct bench bench = {.table_options = {.layout = "hash", .store_prefix = "forebay-bench:"},
                          .entries = {.count = 500000, .value_size = 100, .batch = 10000}};
    for (int option; (option = getopt(count, arguments, "u:n:b:v:l:p:")) != -1;) {
        switch (option) {
        case 'u':
            bench.uri = optarg;
            break;
        case 'l':
            bench.table_options.layout = optarg;
            break;
        case 'p':
            bench.table_options.store_prefix = optarg;
            break;
        default:
            entries_take_option(&bench.entries, option, optarg);
        }
    }
    if (!bench.uri || !bench.entries.batch)
        bench_die("-u is missing or a number is out of range");
    signal(SIGPIPE, SIG_IGN);
    run(&bench);
    return 0;
}
