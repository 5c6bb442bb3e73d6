/* SPDX-License-Identifier: MIT */
/*
 * Rows of one namespace that are written to a store again, be they from memory or from the journal: copies, as what
 * they were copied from may go meanwhile. The writer's thread alone.
 */
#ifndef FOREBAY_POLICIES_WRITE_ROW_BATCH_H
#define FOREBAY_POLICIES_WRITE_ROW_BATCH_H

#include "backends/backend.h"

struct space;
struct writer;

enum { ROW_BATCH_ROWS = 2000, ROW_BATCH_BYTES = 4 << 20 };

struct row_batch { /* all zero: empty */
    struct mutation *mutations;
    size_t count, capacity, bytes;
    bool no_memory; /* one could not be added */
};

static inline bool row_batch_is_full(const struct row_batch *batch) {
    return batch->no_memory || batch->count >= ROW_BATCH_ROWS || batch->bytes >= ROW_BATCH_BYTES;
}

void row_batch_add(struct row_batch *batch, const struct backend_table *table, enum mutation_kind kind,
                   const struct entry *entry);

/* Is told of each that the store has, or has something newer of: mutation.superseded. */
typedef void row_batch_written(struct space *space, const struct mutation *mutation);

/* A row that is refused for good, as those in the quarantine are, is passed over. False: not now. */
bool row_batch_write(struct writer *writer, struct space *space, struct row_batch *batch,
                     row_batch_written *written);

/* Empties it, and keeps its room; row_batch_free gives that back, too. */
void row_batch_clear(struct row_batch *batch);
void row_batch_free(struct row_batch *batch);

#endif
