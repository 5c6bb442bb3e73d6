/* SPDX-License-Identifier: MIT */
#include "tools/bench/entries.h"
#include "cache/base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

double bench_seconds(void) {
    return (double)monotonic_us() / US_PER_SECOND;
}

void bench_die(const char *what) {
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

unsigned bench_number(const char *text) {
    return (unsigned)strtoul(text, NULL, 10);
}

static uint64_t next_random(struct entries *entries) {
    entries->random ^= entries->random << 13;
    entries->random ^= entries->random >> 7;
    entries->random ^= entries->random << 17;
    return entries->random;
}

void entries_take_option(struct entries *entries, int option, const char *argument) {
    switch (option) {
    case 'n':
        entries->count = bench_number(argument);
        break;
    case 'b':
        entries->batch = bench_number(argument);
        break;
    case 'v':
        entries->value_size = bench_number(argument);
        break;
    default:
        bench_die("the head of its source in tools/bench has the options");
    }
}

void entries_make(struct entries *entries) {
    if (entries->count < ENTRIES_LEAST || entries->count > ENTRIES_MOST)
        bench_die("the number of entries is out of range");
    entries->random = 88172645463325252ull;
    entries->keys = malloc((size_t)entries->count * sizeof *entries->keys);
    entries->order = malloc(entries->count * sizeof *entries->order);
    entries->value = malloc((size_t)entries->value_size + 1);
    if (!entries->keys || !entries->order || !entries->value)
        bench_die("out of memory");
    memset(entries->value, 'v', entries->value_size);
    for (unsigned i = 0; i < entries->count; i++) {
        /* Random to the eye and to a B-tree, distinct by the low digits. */
        uint64_t number = next_random(entries) % 100000000 * 10000000 + i;
        snprintf(entries->keys[i], sizeof entries->keys[i], "sess:%015llu",
                 (unsigned long long)(number % 1000000000000000u));
        entries->order[i] = i;
    }
}

void entries_free(struct entries *entries) {
    free(entries->keys);
    free(entries->order);
    free(entries->value);
}

void entries_shuffle(struct entries *entries) {
    for (unsigned i = entries->count - 1; i > 0; i--) {
        unsigned other = (unsigned)(next_random(entries) % (i + 1)), kept = entries->order[i];
        entries->order[i] = entries->order[other];
        entries->order[other] = kept;
    }
}

void entries_apply(struct entries *entries, struct backend_connection *connection,
                   const struct backend_table *table, struct mutation *mutations, const unsigned *order,
                   unsigned count) {
    struct backend_error error;
    for (unsigned i = 0; i < count; i++)
        mutations[i] = (struct mutation){.table = table,
                                         .kind = MUTATION_PUT,
                                         .entry = {.key = {entries->keys[order[i]], KEY_SIZE},
                                                   .value = {entries->value, entries->value_size},
                                                   .version = ++entries->version}};
    if (connection->type->apply(connection, mutations, count, 1, &error) != BACKEND_OK)
        bench_die(error.message);
}

double entries_load(const struct entries *entries, struct backend_connection *connection,
                    const struct backend_table *table, unsigned together) {
    struct slice keys[LOAD_KEYS];
    struct load_result results[LOAD_KEYS];
    struct backend_error error;
    unsigned found = 0;
    double start = bench_seconds();
    for (unsigned done = 0, count; done < entries->count; done += count) {
        count = entries->count - done < together ? entries->count - done : together;
        for (unsigned i = 0; i < count; i++)
            keys[i] = slice_of(entries->keys[entries->order[done + i]], KEY_SIZE);
        if (connection->type->load(connection, table, keys, count, 1, results, &error) != BACKEND_OK)
            bench_die(error.message);
        for (unsigned i = 0; i < count; i++)
            found += results[i].found;
    }
    double rate = entries->count / (bench_seconds() - start);
    if (found != entries->count)
        bench_die("entries are missing");
    return rate;
}
