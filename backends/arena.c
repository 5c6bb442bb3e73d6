/* SPDX-License-Identifier: MIT */
/* See arena.h. A list of blocks, newest first; only the newest is filled. */
#include "backends/arena.h"
#include <assert.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 64 << 10 /* bytes: a read of 100 keys of common sizes fits into one */ };

struct arena_block {
    struct arena_block *older;
    size_t used, size; /* bytes of room */
    _Alignas(max_align_t) char room[];
};

static size_t aligned(size_t size) {
    const size_t step = _Alignof(max_align_t);
    return (size + step - 1) / step * step;
}

static struct arena_block *add_block(struct arena *arena, size_t size) {
    size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
    struct arena_block *block = malloc(sizeof *block + room);
    if (!block)
        return NULL;
    block->older = arena->newest;
    block->used = 0;
    block->size = room;
    arena->newest = block;
    return block;
}

void *arena_take(struct arena *arena, size_t size) {
    size_t need = aligned(size);
    struct arena_block *block = arena->newest;
    if (need < size)
        return NULL;
    if (!block || block->size - block->used < need)
        block = add_block(arena, need);
    if (!block)
        return NULL;
    void *bytes = block->room + block->used;
    block->used += need;
    assert(block->used <= block->size);
    return bytes;
}

bool arena_copy(struct arena *arena, struct slice bytes, struct slice *ret_copy) {
    if (bytes.size == 0) {
        *ret_copy = slice_of("", 0);
        return true;
    }
    char *copy = arena_take(arena, bytes.size);
    if (!copy)
        return false;
    memcpy(copy, bytes.data, bytes.size);
    *ret_copy = slice_of(copy, bytes.size);
    return true;
}

void arena_reset(struct arena *arena) {
    struct arena_block *kept = NULL;
    while (arena->newest) {
        struct arena_block *block = arena->newest;
        arena->newest = block->older;
        if (!kept && block->size == ARENA_BLOCK)
            kept = block;
        else
            free(block);
    }
    if (kept) {
        kept->older = NULL;
        kept->used = 0;
    }
    arena->newest = kept;
}

void arena_free(struct arena *arena) {
    while (arena->newest) {
        struct arena_block *block = arena->newest;
        arena->newest = block->older;
        free(block);
    }
}
