/* SPDX-License-Identifier: MIT */
/* The newest of the keys that a walk comes by: a heap with the oldest on top, which makes room for a newer one. */
#ifndef FOREBAY_BACKENDS_REDIS_PICKS_H
#define FOREBAY_BACKENDS_REDIS_PICKS_H

#include "cache/base/slice.h"
#include <stdint.h>

struct picked {
    uint64_t version;
    size_t size;
    char *key; /* the whole key as the client knows it; ours */
};

/* All zero except limit: empty. */
struct picks {
    struct picked *heap;
    size_t count, room, limit;
};

/* Copies the key, unless it has `limit` newer ones. false: out of memory. */
bool picks_add(struct picks *picks, struct slice key, uint64_t version);

/* The end of adding: heap becomes a list, newest first, without keys that were added twice. */
void picks_sort(struct picks *picks);

void picks_free(struct picks *picks);

#endif
