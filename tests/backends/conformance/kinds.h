/* SPDX-License-Identifier: MIT */
/*
 * The kinds of store that the conformance tests run against, and how each is started, spoilt and ended.
 *
 * A kind is known to the tests by these functions alone. To add one: its row in kinds.c, with functions of its own or
 * of a kind like it; what they need that takes long to start is started once, in servers.c.
 */
#ifndef FOREBAY_TESTS_BACKENDS_CONFORMANCE_KINDS_H
#define FOREBAY_TESTS_BACKENDS_CONFORMANCE_KINDS_H

#include "backends/backend.h"
#include <stdbool.h>
#include <stddef.h>

struct store;

/* A test lies between a `start` and a `stop`. All of these assert that they succeed. */
struct kind {
    const char *name;
    const struct backend_specific *options, *specific[2]; /* of the backend, and of its tables */
    void (*start)(struct store *store);                   /* fills uri; the store is empty */
    void (*stop)(struct store *store);
    /* Makes calls for the first table fail, or ends that. */
    void (*change_table)(struct store *store, bool broken);
    /* Makes "sess:bad", LARGE bytes of 'Q', a row that cannot be read. */
    void (*spoil_row)(struct store *store);
    /* Ends what goes on in the store by itself; NULL: nothing does. */
    void (*rest)(struct store *store);
};

enum { LARGE = 20000 };

extern const struct kind kinds[];
extern const size_t kind_count;

#endif
