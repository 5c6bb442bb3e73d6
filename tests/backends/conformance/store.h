/* SPDX-License-Identifier: MIT */
/* The store of one test: empty at its beginning, with two tables, a connection that writes and one that reads. */
#ifndef FOREBAY_TESTS_BACKENDS_CONFORMANCE_STORE_H
#define FOREBAY_TESTS_BACKENDS_CONFORMANCE_STORE_H

#include "tests/backends/conformance/kinds.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <pthread.h>
#include <stdatomic.h>

struct store {
    const struct kind *kind;
    struct temp_folder folder;
    char uri[300];
    struct backend_table tables[2]; /* their keys begin with "sess:" and "other:" */
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

/* Of each case (CASE in tests/support/check.h): *state is the kind before and after, the store meanwhile. */
int set_up(void **state);
int tear_down(void **state);

const struct backend_type *type(const struct store *store);

/* Opens both connections with the store's options, and closes them. */
void connect_both(struct store *store);
void disconnect(struct store *store);

/* Joins the thread, if there is one. What it has to complain of; NULL: nothing. */
const char *end_race(struct store *store);

#endif
