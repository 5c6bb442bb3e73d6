/* SPDX-License-Identifier: MIT */
/* What the benchmarks of the backends write and read: many keys of 20 bytes, one value, and an order to go
 * through the keys that is shuffled again and again. */
#ifndef FOREBAY_TOOLS_BENCH_ENTRIES_H
#define FOREBAY_TOOLS_BENCH_ENTRIES_H

#include "backends/backend.h"

/* LOAD_KEYS: at most in one load(). */
enum { KEY_SIZE = 20, LOAD_KEYS = 100, ENTRIES_LEAST = 1000, ENTRIES_MOST = 10000000 };

struct entries {
    unsigned count, value_size;
    unsigned batch; /* in one apply() */
    char (*keys)[KEY_SIZE + 1];
    char *value;
    unsigned *order; /* of the keys */
    uint64_t random;
    uint64_t version; /* of the last change */
};

/* Takes one of the options that all of these programs have: -n entries, -b batch, -v value bytes. Any other
 * ends the program. */
void entries_take_option(struct entries *entries, int option, const char *argument);

/* Makes count keys and a value of value_size bytes: the same in every run. */
void entries_make(struct entries *entries);
void entries_free(struct entries *entries);

void entries_shuffle(struct entries *entries);

/* Puts the entries at these positions, each with a new version, by one apply(). mutations has room for
 * count. */
void entries_apply(struct entries *entries, struct backend_connection *connection,
                   const struct backend_table *table, struct mutation *mutations, const unsigned *order,
                   unsigned count);

/* Loads all entries in their order, `together` of them (up to LOAD_KEYS) by each load(). Returns entries per
 * second. */
double entries_load(const struct entries *entries, struct backend_connection *connection,
                    const struct backend_table *table, unsigned together);

/* The monotonic clock, in seconds. */
double bench_seconds(void);

/* An option's argument. */
unsigned bench_number(const char *text);

/* Ends the program with a message. */
__attribute__((noreturn)) void bench_die(const char *what);

#endif
