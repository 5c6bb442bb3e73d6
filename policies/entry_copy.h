/* SPDX-License-Identifier: MIT */
/* A copy of an entry that outlives the cache's: shared by those who hold a reference, namely tickets that wait
 * for it, and the quarantine. Any thread. */
#ifndef FOREBAY_POLICIES_ENTRY_COPY_H
#define FOREBAY_POLICIES_ENTRY_COPY_H

#include "cache/base/entry.h"
#include <stdatomic.h>

struct entry_copy {
    atomic_uint references;
    struct entry entry; /* its slices point into bytes */
    char bytes[];
};

/* With one reference, the caller's; NULL: no memory. */
struct entry_copy *entry_copy_make(const struct entry *entry);

/* One more reference; returns the copy. */
static inline struct entry_copy *entry_copy_share(struct entry_copy *copy) {
    atomic_fetch_add_explicit(&copy->references, 1, memory_order_relaxed);
    return copy;
}

/* Gives a reference back; NULL is fine. */
void entry_copy_drop(struct entry_copy *copy);

#endif
