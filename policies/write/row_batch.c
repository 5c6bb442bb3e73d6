/* SPDX-License-Identifier: MIT */
/* See row_batch.h. */
#include "policies/write/row_batch.h"
#include "policies/write/concern.h"
#include "policies/write/internal.h"
#include <stdlib.h>
#include <string.h>

static bool make_room(struct row_batch *batch) {
    if (batch->count < batch->capacity)
        return true;
    size_t capacity = batch->capacity ? 2 * batch->capacity : 256;
    struct mutation *longer = realloc(batch->mutations, capacity * sizeof *longer);
    if (!longer)
        return false;
    batch->mutations = longer;
    batch->capacity = capacity;
    return true;
}

void row_batch_add(struct row_batch *batch, const struct backend_table *table, enum mutation_kind kind,
                   const struct entry *entry) {
    char *bytes = make_room(batch) ? malloc(entry->key.size + entry->value.size + 1) : NULL;
    if (!bytes) {
        batch->no_memory = true;
        return;
    }
    memcpy(bytes, entry->key.data, entry->key.size);
    if (entry->value.size)
        memcpy(bytes + entry->key.size, entry->value.data, entry->value.size);
    struct mutation *added = &batch->mutations[batch->count++];
    *added = (struct mutation){.table = table, .kind = kind, .entry = *entry};
    added->entry.key = slice_of(bytes, entry->key.size);
    added->entry.value = slice_of(bytes + entry->key.size, entry->value.size);
    added->on = change_is_on(kind, entry);
    batch->bytes += entry->key.size + entry->value.size;
}

static void tell_written(struct space *space, struct mutation *mutations, size_t count_written,
                         row_batch_written *written) {
    for (size_t i = 0; i < count_written; i++)
        written(space, &mutations[i]);
}

static bool write_rows(struct writer *writer, struct space *space, struct mutation *mutations,
                       size_t count_rows, row_batch_written *written) {
    if (count_rows == 0)
        return true;
    bool partial;
    enum backend_status status = call_apply_parts(writer, space, mutations, count_rows, &partial);
    writer->rewrite.partial |= partial;
    if (partial)
        return !writer->rewrite.in_journal; /* of memory there is another walk */
    if (status == BACKEND_OK)
        tell_written(space, mutations, count_rows, written);
    if (status == BACKEND_OK || (status == BACKEND_PERMANENT && count_rows == 1))
        return true;
    if (status != BACKEND_PERMANENT)
        return false;
    size_t refused = call_part_refused(mutations, NULL, count_rows);
    if (refused > 0)
        return write_rows(writer, space, mutations + refused, count_rows - refused, written);
    size_t middle = count_rows / 2;
    return write_rows(writer, space, mutations, middle, written) &&
           write_rows(writer, space, mutations + middle, count_rows - middle, written);
}

bool row_batch_write(struct writer *writer, struct space *space, struct row_batch *batch,
                     row_batch_written *written) {
    return write_rows(writer, space, batch->mutations, batch->count, written);
}

void row_batch_clear(struct row_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        free((void *)(uintptr_t)batch->mutations[i].entry.key.data);
    batch->count = batch->bytes = 0;
    batch->no_memory = false;
}

void row_batch_free(struct row_batch *batch) {
    row_batch_clear(batch);
    free(batch->mutations);
    *batch = (struct row_batch){0};
}
