/* SPDX-License-Identifier: MIT */
/*
 * How many entries a second the Redis backend applies and loads. Needs a Redis that may be written to:
 *
 *     bench_redis -u redis://127.0.0.1:6379/9 [-n entries] [-b batch] [-v value bytes] [-l hash|string] [-p
 * prefix]
 *
 * insert     new keys, -b entries an apply()
 * overwrite  every key again in another order, with a higher version
 * load       100 keys a load()
 *
 * docs/benchmarks-backends.md has the redis-benchmark line that sends commands of the same form.
 */
#include "backends/kinds.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { KEY_SIZE = 20, LOAD_KEYS = 100 };

struct bench {
    const char *uri, *layout, *prefix;
    unsigned entries, batch, value_size;
    char (*keys)[KEY_SIZE + 1];
    char *value;
    unsigned *order;
    uint64_t random, version;
    struct backend_table table;
    struct backend_connection *connection;
    struct mutation *mutations;
};

static uint64_t next_random(struct bench *bench) {
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return bench->random;
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what) {
    fprintf(stderr, "bench_redis: %s\n", what);
    exit(1);
}

static void shuffle(struct bench *bench) {
    for (unsigned i = bench->entries - 1; i > 0; i--) {
        unsigned other = (unsigned)(next_random(bench) % (i + 1)), kept = bench->order[i];
        bench->order[i] = bench->order[other];
        bench->order[other] = kept;
    }
}

static void open_store(struct bench *bench) {
    static const struct backend_table *list[1];
    struct backend_error error;
    bench->table = (struct backend_table){
        .name = "bench", .key_prefix = "sess:", .layout = bench->layout, .store_prefix = bench->prefix};
    list[0] = &bench->table;
    struct backend_options options = {
        .name = "bench", .uri = bench->uri, .timeout_ms = 60000, .tables = list, .table_count = 1};
    if (redis_backend.open(&options, BACKEND_WRITER, &bench->connection, &error) != BACKEND_OK)
        die(error.message);
}

static void apply_batch(struct bench *bench, const unsigned *order, unsigned count) {
    struct backend_error error;
    for (unsigned i = 0; i < count; i++)
        bench->mutations[i] = (struct mutation){.table = &bench->table,
                                                .kind = MUTATION_PUT,
                                                .entry = {.key = {bench->keys[order[i]], KEY_SIZE},
                                                          .value = {bench->value, bench->value_size},
                                                          .version = ++bench->version}};
    if (redis_backend.apply(bench->connection, bench->mutations, count, 1, &error) != BACKEND_OK)
        die(error.message);
}

static void apply_all(struct bench *bench, const char *name) {
    double start = seconds();
    for (unsigned done = 0; done < bench->entries; done += bench->batch)
        apply_batch(bench, bench->order + done,
                    bench->entries - done < bench->batch ? bench->entries - done : bench->batch);
    printf("%-10s %9.0f entries/s\n", name, bench->entries / (seconds() - start));
}

static void load_all(struct bench *bench) {
    struct slice keys[LOAD_KEYS];
    struct load_result results[LOAD_KEYS];
    struct backend_error error;
    unsigned found = 0;
    double start = seconds();
    for (unsigned done = 0, count; done < bench->entries; done += count) {
        count = bench->entries - done < LOAD_KEYS ? bench->entries - done : LOAD_KEYS;
        for (unsigned i = 0; i < count; i++)
            keys[i] = slice_of(bench->keys[bench->order[done + i]], KEY_SIZE);
        if (redis_backend.load(bench->connection, &bench->table, keys, count, 1, results, &error) !=
            BACKEND_OK)
            die(error.message);
        for (unsigned i = 0; i < count; i++)
            found += results[i].found;
    }
    printf("%-10s %9.0f entries/s\n", "load", bench->entries / (seconds() - start));
    if (found != bench->entries)
        die("entries are missing");
}

static void make_keys(struct bench *bench) {
    bench->random = 88172645463325252ull;
    bench->version = (uint64_t)time(NULL) << 32; /* above an earlier run */
    bench->keys = malloc((size_t)bench->entries * sizeof *bench->keys);
    bench->order = malloc(bench->entries * sizeof *bench->order);
    bench->value = malloc(bench->value_size + 1);
    bench->mutations = calloc(bench->batch, sizeof *bench->mutations);
    if (!bench->keys || !bench->order || !bench->value || !bench->mutations)
        die("out of memory");
    memset(bench->value, 'v', bench->value_size);
    for (unsigned i = 0; i < bench->entries; i++) {
        uint64_t number = next_random(bench) % 100000000 * 10000000 + i;
        snprintf(bench->keys[i], sizeof bench->keys[i], "sess:%015llu",
                 (unsigned long long)(number % 1000000000000000u));
        bench->order[i] = i;
    }
}

int main(int count, char **arguments) {
    struct bench bench = {
        .layout = "hash", .prefix = "forebay-bench:", .entries = 500000, .batch = 10000, .value_size = 100};
    for (int option; (option = getopt(count, arguments, "u:n:b:v:l:p:")) != -1;) {
        unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'u':
            bench.uri = optarg;
            break;
        case 'l':
            bench.layout = optarg;
            break;
        case 'p':
            bench.prefix = optarg;
            break;
        case 'n':
            bench.entries = number;
            break;
        case 'b':
            bench.batch = number;
            break;
        case 'v':
            bench.value_size = number;
            break;
        default:
            die("see the head of tools/bench/bench_redis.c");
        }
    }
    if (!bench.uri || !bench.batch || bench.entries < 1000 || bench.entries > 10000000)
        die("-u is missing or a number is out of range");
    signal(SIGPIPE, SIG_IGN);
    make_keys(&bench);
    open_store(&bench);
    shuffle(&bench);
    apply_all(&bench, "insert");
    shuffle(&bench);
    apply_all(&bench, "overwrite");
    load_all(&bench);
    redis_backend.close(bench.connection);
    free(bench.keys);
    free(bench.order);
    free(bench.value);
    free(bench.mutations);
    return 0;
}
