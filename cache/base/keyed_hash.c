/* SPDX-License-Identifier: MIT */
/* Where the secrets of a keyed hash come from. */
#include "cache/base/keyed_hash.h"
#include <unistd.h>

enum { ENTROPY_MAX = 256 }; /* bytes that getentropy gives at once */

/* splitmix64. */
static uint64_t next_of(uint64_t *state) {
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static bool draw_at_random(struct keyed_hash *ret_hash) {
    char *to = (char *)ret_hash->secrets;
    size_t left = sizeof ret_hash->secrets;
    while (left) {
        size_t some = left < ENTROPY_MAX ? left : ENTROPY_MAX;
        if (getentropy(to, some) != 0)
            return false;
        to += some;
        left -= some;
    }
    return true;
}

bool keyed_hash_draw(uint64_t seed, struct keyed_hash *ret_hash) {
    if (seed == 0 && !draw_at_random(ret_hash))
        return false;
    for (size_t i = 0; seed != 0 && i < KEYED_HASH_SECRETS; i++)
        ret_hash->secrets[i] = next_of(&seed);
    return true;
}
