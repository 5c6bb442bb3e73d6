/* SPDX-License-Identifier: MIT */
/* See entry_copy.h. */
#include "policies/entry_copy.h"
#include <stdlib.h>
#include <string.h>

struct entry_copy *entry_copy_make(const struct entry *entry) {
    struct entry_copy *copy = malloc(sizeof *copy + entry->key.size + entry->value.size);
    if (!copy)
        return NULL;
    atomic_init(&copy->references, 1);
    copy->entry = *entry;
    memcpy(copy->bytes, entry->key.data, entry->key.size);
    if (entry->value.size)
        memcpy(copy->bytes + entry->key.size, entry->value.data, entry->value.size);
    copy->entry.key.data = copy->bytes;
    copy->entry.value.data = copy->bytes + entry->key.size;
    return copy;
}

void entry_copy_drop(struct entry_copy *copy) {
    if (copy && atomic_fetch_sub_explicit(&copy->references, 1, memory_order_acq_rel) == 1)
        free(copy);
}
