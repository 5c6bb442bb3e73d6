/* SPDX-License-Identifier: MIT */
/*
 * The order in which a batch is best applied to a sorted store, without moving the caller's array.
 *
 * Rows next to each other in a B-tree should be written one after the other, and rows of one table and kind
 * can share a statement. What must not change is the order of the mutations of one key. So a batch is cut
 * into rounds: round 0 holds the first mutation of each key, round 1 the second, and so on; in practice there
 * is one round. Within a round all keys are distinct, and it is sorted by table, kind and key.
 */
#ifndef FOREBAY_BACKENDS_BATCH_ORDER_H
#define FOREBAY_BACKENDS_BATCH_ORDER_H

#include "backends/backend.h"

struct batch_place {
    uint64_t lead;  /* 8 bytes of the key beyond what all keys have in common: most comparisons end here */
    uint32_t index; /* into the mutations */
    uint32_t round;
};

/* Fills places[0..count) with every index once, in the order described above. count < UINT32_MAX. */
void batch_order(const struct mutation *mutations, size_t count, struct batch_place *places);

/* Length of the run that begins at places[from]: mutations of one round, table and kind. At least 1. */
size_t batch_run(const struct mutation *mutations, const struct batch_place *places, size_t from,
                 size_t count);

#endif
