/* SPDX-License-Identifier: MIT */
/*
 * How many entries a second the Redis backend applies and loads, and the CPU time of this process for each. Needs a
 * Redis, or a Redis Cluster, that may be written to:
 *
 *     bench_redis -u redis://127.0.0.1:6379/9 [-n entries] [-b batch] [-v value bytes]
 *                 [-l hash|string] [-p prefix] [-o entries]
 *
 * insert     new keys, -b entries an apply()
 * overwrite  every key again in another order, with a higher version
 * load       100 keys a load()
 * load_one   one key a load(), as many entries as -o says
 *
 * bench_redis_single is the same program, whose calls to one Redis carry one entry each, not up to 16.
 * docs/benchmarks-backends.md has the redis-benchmark line that sends commands of the same form. tools/bench/cluster
 * runs both programs, and reads a line as soon as a phase is over.
 */
#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "tools/bench/entries.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct bench {
    const char *uri;
    struct entries entries;
    struct redis_table_options table_options;
    struct backend_table table;
    struct backend_connection *connection;
    struct mutation *mutations;
    unsigned one_by_one; /* entries */
    double began, used;  /* of the phase: seconds, and those of CPU */
};

static void open_store(struct bench *bench) {
    static const struct backend_table *list[1];
    struct backend_error error;
    uint64_t version;
    bench->table_options.base.type = &redis_backend;
    bench->table = (struct backend_table){
        .name = "bench", .key_prefix = "sess:", .specific = &bench->table_options.base};
    list[0] = &bench->table;
    struct backend_options options = {
        .name = "bench", .uri = bench->uri, .timeout_ms = 60000, .tables = list, .table_count = 1};
    if (redis_backend.open(&options, BACKEND_WRITER, &bench->connection, &error) != BACKEND_OK ||
        redis_backend.high_version(bench->connection, &version, &error) != BACKEND_OK)
        bench_die(error.message);
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void begin(struct bench *bench) {
    entries_shuffle(&bench->entries);
    bench->used = cpu_seconds();
    bench->began = bench_seconds();
}

static void end(const struct bench *bench, const char *name) {
    const unsigned count = bench->entries.count;
    double took = bench_seconds() - bench->began, used = cpu_seconds() - bench->used;
    printf("%-10s %9.0f entries/s %8.3f us of CPU an entry\n", name, count / took, used / count * 1e6);
    fflush(stdout);
}

static void apply_all(struct bench *bench, const char *name) {
    struct entries *entries = &bench->entries;
    begin(bench);
    for (unsigned done = 0; done < entries->count; done += entries->batch)
        entries_apply(entries, bench->connection, &bench->table, bench->mutations, entries->order + done,
                      entries->count - done < entries->batch ? entries->count - done : entries->batch);
    end(bench, name);
}

static void load_all(struct bench *bench, const char *name, unsigned together) {
    begin(bench);
    entries_load(&bench->entries, bench->connection, &bench->table, together);
    end(bench, name);
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
    load_all(bench, "load", LOAD_KEYS);
    if (bench->one_by_one && bench->one_by_one < bench->entries.count)
        bench->entries.count = bench->one_by_one; /* the first of their order */
    if (bench->one_by_one)
        load_all(bench, "load_one", 1);
    redis_backend.close(bench->connection);
    entries_free(&bench->entries);
    free(bench->mutations);
}

int main(int count, char **arguments) {
    struct bench bench = {.table_options = {.layout = "hash", .store_prefix = "forebay-bench:"},
                          .entries = {.count = 500000, .value_size = 100, .batch = 10000}};
    for (int option; (option = getopt(count, arguments, "u:n:b:v:l:p:o:")) != -1;) {
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
        case 'o':
            bench.one_by_one = bench_number(optarg);
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
