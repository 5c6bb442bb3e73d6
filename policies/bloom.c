/* SPDX-License-Identifier: MIT */
/* See bloom.h. */
#include "policies/bloom.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64, /* bytes of a block */
    WORDS = LINE / 8,
    BITS = 6,       /* of a hash: with 12 to 10 bits for each, as good as 7 */
    BIT_NUMBER = 9, /* bits that number one in a block */
    BYTES_MIN = 4096,
    CROWD_SHARE = 8, /* beyond full by this part: 0.73 % of others are found then */
};

struct bloom {
    size_t blocks;
    size_t full; /* hashes */
    atomic_size_t count;
    _Alignas(LINE) atomic_uint_fast64_t words[];
};

/* Where a hash is: its block, and 54 bits that number six in it. */
struct spot {
    size_t block;
    uint64_t numbers;
};

static uint64_t mixed(uint64_t hash) {
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (hash ^ hash >> 29) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct spot spot_of(const struct bloom *bloom, uint64_t hash) {
    uint64_t first = mixed(hash);
    size_t block = (size_t)(((unsigned __int128)first * bloom->blocks) >> 64);
    return (struct spot){block * WORDS, mixed(first ^ hash) >> (64 - BITS * BIT_NUMBER)};
}

static unsigned next_number(struct spot *spot) {
    unsigned number = (unsigned)spot->numbers & ((1u << BIT_NUMBER) - 1);
    spot->numbers >>= BIT_NUMBER;
    return number;
}

size_t bloom_bytes(size_t keys) {
    size_t bytes = keys / 8 * BLOOM_BITS_PER_KEY;
    return (bytes < BYTES_MIN ? BYTES_MIN : bytes) / LINE * LINE;
}

struct bloom *bloom_create(size_t keys) {
    size_t bytes = bloom_bytes(keys), size = sizeof(struct bloom) + bytes;
    struct bloom *bloom = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    if (!bloom)
        return NULL;
    memset((void *)bloom, 0, size);
    bloom->blocks = bytes / LINE;
    bloom->full = bytes * 8 / BLOOM_BITS_PER_KEY;
    return bloom;
}

void bloom_destroy(struct bloom *bloom) {
    free(bloom);
}

void bloom_add(struct bloom *bloom, uint64_t hash) {
    struct spot spot = spot_of(bloom, hash);
    bool is_new = false;
    for (unsigned i = 0; i < BITS; i++) {
        unsigned number = next_number(&spot);
        atomic_uint_fast64_t *word = &bloom->words[spot.block + number / 64];
        uint64_t bit = UINT64_C(1) << number % 64;
        if (!(atomic_load_explicit(word, memory_order_relaxed) & bit))
            is_new |= !(atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit);
    }
    if (is_new)
        atomic_fetch_add_explicit(&bloom->count, 1, memory_order_relaxed);
}

bool bloom_has(const struct bloom *bloom, uint64_t hash) {
    struct spot spot = spot_of(bloom, hash);
    for (unsigned i = 0; i < BITS; i++) {
        unsigned number = next_number(&spot);
        if (!(atomic_load_explicit(&bloom->words[spot.block + number / 64], memory_order_relaxed) >>
                  number % 64 &
              1))
            return false;
    }
    return true;
}

size_t bloom_count(const struct bloom *bloom) {
    return atomic_load_explicit(&bloom->count, memory_order_relaxed);
}

bool bloom_is_crowded(const struct bloom *bloom) {
    return bloom_count(bloom) > bloom->full + bloom->full / CROWD_SHARE;
}

size_t bloom_size(const struct bloom *bloom) {
    return bloom->blocks * LINE;
}
