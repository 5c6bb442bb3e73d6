/* SPDX-License-Identifier: MIT */
/* What every kind of backend asks of a batch. */
#ifndef FOREBAY_BACKENDS_MUTATIONS_H
#define FOREBAY_BACKENDS_MUTATIONS_H

#include "backends/backend.h"

/* 0 of an empty batch. */
static inline uint64_t mutations_highest_version(const struct mutation *mutations, size_t count) {
    uint64_t highest = 0;
    for (size_t i = 0; i < count; i++)
        if (mutations[i].entry.version > highest)
            highest = mutations[i].entry.version;
    return highest;
}

static inline bool mutations_have_version(const struct mutation *mutations, size_t count, uint64_t version) {
    for (size_t i = 0; i < count; i++)
        if (mutations[i].entry.version == version)
            return true;
    return false;
}

/* Before apply: none is known to be superseded or refused yet. */
static inline void mutations_forget_answers(struct mutation *mutations, size_t count) {
    for (size_t i = 0; i < count; i++) {
        mutations[i].superseded = false;
        mutations[i].superseded_by = 0;
        mutations[i].refused = false;
        mutations[i].refusal = NULL;
        mutations[i].done = false;
    }
}

#endif
