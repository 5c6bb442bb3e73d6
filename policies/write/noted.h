/* SPDX-License-Identifier: MIT */
/*
 * What of the journal's records has to wait, at the start, until all of them are read: touches without a value, and the
 * expiry of entries whose time is over unless a later touch has prolonged it. Of an entry that is touched again and
 * again one touch is kept. One thread at a time.
 */
#ifndef FOREBAY_POLICIES_WRITE_NOTED_H
#define FOREBAY_POLICIES_WRITE_NOTED_H

#include "policies/space.h"

struct noted {
    struct space *space;
    uint64_t version, client_cas;
    uint64_t first;   /* a touch: its version, or that of the first of those that it stands for; else 0 */
    uint32_t second;  /* a touch: when it was made itself, */
    uint32_t made_at; /* and when the first was */
    uint32_t expires_at;
    uint8_t key_size;
    char key[];
};

/* All zero at first; ended by noted_clear. */
struct noted_list {
    struct noted **list;
    size_t count, capacity;
    size_t bytes; /* of memory that they take */
};

/* Valid as long as it is in its list. */
static inline struct slice noted_key(const struct noted *noted) {
    return slice_of(noted->key, noted->key_size);
}

/* Notes key, version, client_cas and expiry of an entry, which are copied; of a touch, also when it was made. False: no
 * memory. */
bool noted_add(struct noted_list *list, struct space *space, const struct entry *entry);
bool noted_add_touch(struct noted_list *list, struct space *space, const struct entry *entry);

/* Sorts them by key and version, and frees those that a later one stands for. */
void noted_fold(struct noted_list *list);

/* Frees those that `matches`; the others keep their order. */
void noted_remove(struct noted_list *list, bool (*matches)(const void *context, const struct noted *noted),
                  const void *context);

void noted_clear(struct noted_list *list);

#endif
