/* SPDX-License-Identifier: MIT */
/*
 * What a preload has put into memory, and what it could not put there yet.
 *
 * cache_fill refuses a row whose counter of changes has moved since its stamp was taken, and a counter is that of many
 * keys: one that the writer settles, or a client changes, refuses the rows of others as well. These are current all the
 * same, so their keys are kept, to be loaded again. One thread.
 */
#ifndef FOREBAY_POLICIES_LOAD_FILLING_H
#define FOREBAY_POLICIES_LOAD_FILLING_H

#include "policies/space.h"

/* Keys, one after the other. All zero: none. */
struct key_list {
    char *bytes; /* one byte of length, then the key, and so on */
    size_t size, capacity;
    size_t count;
};

/* False: no memory, and nothing was added. */
bool key_list_add(struct key_list *list, struct slice key);

/* The key at *at, which moves on to the next; at list->size there is none. Good until the list changes. */
static inline struct slice key_list_next(const struct key_list *list, size_t *at) {
    struct slice key = slice_of(list->bytes + *at + 1, (unsigned char)list->bytes[*at]);
    *at += 1 + key.size;
    return key;
}

/* It holds none, and all zero. */
void key_list_clear(struct key_list *list);

struct filling {
    struct space *space;
    size_t filled; /* entries that are in memory because of it */
    /* Refused, though memory does not know them. Where there is no memory for that some are missing. */
    struct key_list left;
};

/* Fills what was read of the store after the stamp was taken. The entry's key must hash to hash. */
void filling_take(struct filling *filling, struct entry *entry, uint64_t hash, uint64_t stamp,
                  const struct cache_time *now);

#endif
