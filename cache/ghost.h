/* SPDX-License-Identifier: MIT */
/*
 * The ghosts of s3-fifo: fingerprints of keys that were evicted from the small queue not long ago. A key that
 * comes back while its ghost still exists goes to the main queue at once.
 *
 * A table of lines of 16 fingerprints of 16 bits; a line is a queue, the newest in front, the oldest falls
 * out. With 16 in a line a false ghost appears once in 4096 misses.
 */
#ifndef FOREBAY_CACHE_GHOST_H
#define FOREBAY_CACHE_GHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ghost;

/* Room for that many ghosts, rounded up to a power of two. NULL: no memory. */
struct ghost *ghost_create(size_t entries);
void ghost_destroy(struct ghost *ghost);

/* Bytes of resident memory when it is full. */
size_t ghost_bytes(const struct ghost *ghost);

void ghost_add(struct ghost *ghost, uint64_t hash);

/* Takes a ghost out. True when there was one. */
bool ghost_take(struct ghost *ghost, uint64_t hash);

#endif
