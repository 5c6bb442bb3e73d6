/* SPDX-License-Identifier: MIT */
/* What a watcher (backend_type.changes) was told, for tests of what a store tells. */
#ifndef FOREBAY_TESTS_SUPPORT_HEARD_H
#define FOREBAY_TESTS_SUPPORT_HEARD_H

#include "backends/backend.h"

struct heard {
    struct backend_listener listener; /* first */
    char keys[2000];                  /* "table/key ", each once, in the order in which they came */
    unsigned lost, moved;
    uint64_t proven_us;
};

/* To begin with. */
struct heard heard_nothing(void);

/* One call: adds what it tells. */
enum backend_status hear_once(struct backend_connection *watcher, struct heard *heard,
                              struct backend_error *ret_error);

/* All that was changed before now, and not told yet; the test fails where a call does. */
struct heard hear_all(struct backend_connection *watcher);

/* How many keys. */
unsigned heard_keys(const struct heard *heard);

#endif
