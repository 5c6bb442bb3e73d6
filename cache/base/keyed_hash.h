/* SPDX-License-Identifier: MIT */
/*
 * A hash of short keys that nobody can foresee: clients choose the keys, and would choose those that meet in one place
 * of a table. Whoever has a table of keys draws a secret for it, anew in each process, so nothing that outlives the
 * process may depend on this hash, and no answer may show it.
 *
 * A seed beside constants that everybody knows is not enough: where a word of a key cancels such a constant, all keys
 * with that word collide under every seed. Here each word has a secret number of its own:
 *
 *     sum     = (word 0 + secret 0) * (word 1 + secret 1) + (word 2 + secret 2) * (word 3 + secret 3) + ...
 *     folded  = the two halves of a product, xor-ed
 *     hash    = folded((lower half of sum ^ secret) * ((upper half of sum ^ secret) + size))
 *
 * The sum, of 128 bits, is NH (UMAC, RFC 4418): two different keys of one size have the same one with a chance of
 * 2^-64, whichever they are. What follows spreads it over all bits of the hash.
 */
#ifndef FOREBAY_CACHE_BASE_KEYED_HASH_H
#define FOREBAY_CACHE_BASE_KEYED_HASH_H

#include "cache/base/entry.h"
#include <assert.h>
#include <string.h>

enum {
    KEYED_HASH_LAST =
        (ENTRY_KEY_MAX / 16 + 1) * 2, /* secrets of the last 16 bytes; before them those of the others */
    KEYED_HASH_SECRETS = KEYED_HASH_LAST + 4
};

struct keyed_hash {
    uint64_t secrets[KEYED_HASH_SECRETS];
};

/* Draws the secrets: at random with seed 0, else always the same for the same seed, for tests that have to go the same
 * way again. False: the kernel gives no random numbers. */
bool keyed_hash_draw(uint64_t seed, struct keyed_hash *ret_hash);

typedef unsigned __int128 keyed_hash_sum; /* of 128 bits */

static inline uint64_t keyed_hash_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Words of 1 to 7 bytes: every byte is in, and the size tells apart what is in twice. */
static inline uint64_t keyed_hash_short_word(struct slice key) {
    uint32_t first, last;
    if (key.size < sizeof first)
        return key.size ? (uint64_t)(unsigned char)key.data[0] << 16 |
                              (uint64_t)(unsigned char)key.data[key.size / 2] << 8 |
                              (unsigned char)key.data[key.size - 1]
                        : 0;
    memcpy(&first, key.data, sizeof first);
    memcpy(&last, key.data + key.size - sizeof last, sizeof last);
    return (uint64_t)first << 32 | last;
}

static inline keyed_hash_sum keyed_hash_pair(const uint64_t *secrets, uint64_t first, uint64_t second) {
    return (keyed_hash_sum)(first + secrets[0]) * (second + secrets[1]);
}

static inline uint64_t keyed_hash_fold(uint64_t a, uint64_t b) {
    keyed_hash_sum product = (keyed_hash_sum)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t keyed_hash_finish(const struct keyed_hash *hash, keyed_hash_sum sum, size_t size) {
    const uint64_t *secrets = &hash->secrets[KEYED_HASH_LAST + 2];
    return keyed_hash_fold((uint64_t)sum ^ secrets[0], ((uint64_t)(sum >> 64) ^ secrets[1]) + size);
}

/* The hash of a key of at most ENTRY_KEY_MAX bytes. */
static inline uint64_t keyed_hash_of(const struct keyed_hash *hash, struct slice key) {
    const uint64_t *secrets = hash->secrets, *last_secrets = &secrets[KEYED_HASH_LAST];
    assert(key.size <= ENTRY_KEY_MAX);
    if (__builtin_expect(key.size < 8, 0))
        return keyed_hash_finish(hash, keyed_hash_pair(last_secrets, keyed_hash_short_word(key), 0),
                                 key.size);
    const char *end = key.data + key.size, *last = key.size <= 16 ? key.data : end - 16;
    keyed_hash_sum sum = keyed_hash_pair(last_secrets, keyed_hash_word(last), keyed_hash_word(end - 8));
    for (const char *at = key.data; at < last; at += 16, secrets += 2)
        sum += keyed_hash_pair(secrets, keyed_hash_word(at), keyed_hash_word(at + 8));
    return keyed_hash_finish(hash, sum, key.size);
}

#endif
