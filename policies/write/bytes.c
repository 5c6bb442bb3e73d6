/* SPDX-License-Identifier: MIT */
#include "policies/write/bytes.h"
#include <stdlib.h>

enum { BLOCK_SIZE = 1 << 20 };

struct bytes_block {
    struct bytes_block *older;
    size_t size, used;
    char data[];
};

bool bytes_reserve(struct bytes *bytes, size_t size) {
    struct bytes_block *block = bytes->newest;
    if (block && block->size - block->used >= size)
        return true;
    /* Several times the reserve, so that a large promise does not cost a block for each small piece. */
    size_t wanted = size > BLOCK_SIZE / 4 ? size * 4 : BLOCK_SIZE;
    block = malloc(sizeof *block + wanted);
    if (!block)
        return false;
    block->older = bytes->newest;
    block->size = wanted;
    block->used = 0;
    bytes->newest = block;
    return true;
}

/* A piece, unaligned, or NULL. */
static char *take(struct bytes *bytes, size_t size) {
    if (!bytes_reserve(bytes, size))
        return NULL;
    char *piece = bytes->newest->data + bytes->newest->used;
    bytes->newest->used += size;
    bytes->used += size;
    return piece;
}

struct slice bytes_copy(struct bytes *bytes, struct slice slice) {
    char *copy = take(bytes, slice.size);
    if (copy && slice.size)
        memcpy(copy, slice.data, slice.size);
    return slice_of(copy, slice.size);
}

void bytes_reset(struct bytes *bytes) {
    struct bytes_block *kept = NULL, *older;
    for (struct bytes_block *block = bytes->newest; block; block = older) {
        older = block->older;
        if (!kept && block->size <= 8 * (size_t)BLOCK_SIZE && block->used <= 8 * (size_t)BLOCK_SIZE) {
            kept = block;
            kept->older = NULL;
            kept->used = 0;
        } else {
            free(block);
        }
    }
    bytes->newest = kept;
    bytes->used = 0;
}

void bytes_free(struct bytes *bytes) {
    while (bytes->newest) {
        struct bytes_block *block = bytes->newest;
        bytes->newest = block->older;
        free(block);
    }
    bytes->used = 0;
}
