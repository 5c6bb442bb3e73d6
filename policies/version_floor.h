/* SPDX-License-Identifier: MIT */
/* The announced version, above which turns begin (proof: at the head of write/low_water.c). */
#ifndef FOREBAY_POLICIES_VERSION_FLOOR_H
#define FOREBAY_POLICIES_VERSION_FLOOR_H

#include "policies/tier_parts.h"

/* Announces a version, unless a higher one is announced already, and returns what is: all versions of turns that begin
 * afterwards are above it. Who wants a bound from it reads the floors of the workers after this call. Any thread. */
static inline uint64_t version_floor_announce(struct tier *tier, uint64_t version) {
    uint64_t floor = atomic_load(&tier->version_floor);
    while (floor < version && !atomic_compare_exchange_weak(&tier->version_floor, &floor, version))
        continue;
    return floor < version ? version : floor;
}

#endif
