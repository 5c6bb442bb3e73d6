/* SPDX-License-Identifier: MIT */
/*
 * Bytes that live until the next reset: what a connection's load() hands out.
 *
 * Allocations never move, so slices into the arena stay valid while it grows. A reset keeps one block of
 * ordinary size, so that small loads allocate nothing.
 */
#ifndef FOREBAY_BACKENDS_ARENA_H
#define FOREBAY_BACKENDS_ARENA_H

#include "cache/base/slice.h"

struct arena_block;

/* Zero-initialised is empty and ready. */
struct arena {
    struct arena_block *newest;
};

/* Room for size bytes, aligned for any type; NULL when out of memory. */
void *arena_take(struct arena *arena, size_t size);

/* Copies bytes into the arena. false: out of memory. An empty slice needs no room. */
bool arena_copy(struct arena *arena, struct slice bytes, struct slice *ret_copy);

/* Forgets all that was taken. */
void arena_reset(struct arena *arena);

/* Frees all. The arena is empty and ready afterwards. */
void arena_free(struct arena *arena);

#endif
