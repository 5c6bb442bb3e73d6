/* SPDX-License-Identifier: MIT */
/* The bytes of one batch: taken piece by piece, given back all at once. Pieces never move. Unlike a plain
 * arena it can promise room before a lock is taken, so that nothing is allocated, and nothing fails, under
 * it. */
#ifndef FOREBAY_POLICIES_WRITE_BYTES_H
#define FOREBAY_POLICIES_WRITE_BYTES_H

#include "cache/base/slice.h"

struct bytes_block;

/* Zero-initialised is empty and ready. */
struct bytes {
    struct bytes_block *newest;
    size_t used; /* bytes taken since the last reset */
};

/* Promises that pieces of size bytes together can be taken. False: no memory. */
bool bytes_reserve(struct bytes *bytes, size_t size);

/* A copy; data is NULL when there is no memory. */
struct slice bytes_copy(struct bytes *bytes, struct slice slice);

/* Gives all back but one block of ordinary size. */
void bytes_reset(struct bytes *bytes);
void bytes_free(struct bytes *bytes);

#endif
