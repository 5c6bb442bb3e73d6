/* SPDX-License-Identifier: MIT */
/* Which word of a list somebody has meant who has slipped. Pure; any thread. */
#ifndef FOREBAY_SERVER_CONFIG_NEAREST_H
#define FOREBAY_SERVER_CONFIG_NEAREST_H

#include "cache/base/slice.h"

struct nearest {
    struct slice word;
    const char *found; /* the nearest so far that is near enough to be meant; NULL: none */
    unsigned slips;    /* letters by which that differs */
};

struct nearest nearest_to(struct slice word);

/* One of the list, which stays. */
void nearest_consider(struct nearest *nearest, const char *known);

#endif
