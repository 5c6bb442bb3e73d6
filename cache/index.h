/* SPDX-License-Identifier: MIT */
/*
 * The index of a shard: from a hash to the places of records in the log (32-bit references).
 *
 * A bucket is one cache line: 12 tags (8 bits of the hash, 0: free), the number of an overflow bucket, 12
 * references. Tags are compared all at once. The used slots of a chain (a bucket and its overflow buckets)
 * are packed: only the last bucket of a chain has free ones, and no overflow bucket is empty. The number of overflow
 * buckets in a chain is bounded, so that no search is long, not even for keys that somebody has chosen.
 *
 * Growth is linear hashing: with n buckets, 2^L < n <= 2^(L+1), a hash belongs to bucket (hash mod 2^(L+1))
 * when that exists, else to (hash mod 2^L). Adding bucket n therefore splits exactly one bucket, n - 2^L, and
 * nothing else moves; an insertion adds at most one bucket. Shrinking goes the same way back, one bucket at a
 * time.
 *
 * The index does not know keys: whoever seeks compares them, and index_owner gives the hash of a record when
 * its bucket splits. All calls are made under the shard's lock, except index_prefetch and index_peek, which
 * read without it: every store to a bucket is therefore a relaxed atomic one (which costs nothing).
 */
#ifndef FOREBAY_CACHE_INDEX_H
#define FOREBAY_CACHE_INDEX_H

#include "cache/hash.h"
#include "cache/region.h"
#include <stdalign.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BUCKET_SLOTS = 12, INDEX_OVERFLOW = 1 << 27, INDEX_NONE = -1 };

/* A slot: the number of a bucket, and in the lowest bits the place in it. */
enum { SLOT_PLACE_BITS = 4 };
#define SLOT_NONE UINT32_MAX

static inline uint32_t slot_of(uint32_t bucket, uint32_t place) {
    return bucket << SLOT_PLACE_BITS | place;
}

static inline uint32_t slot_bucket(uint32_t slot) {
    return slot >> SLOT_PLACE_BITS;
}

static inline uint32_t slot_place(uint32_t slot) {
    return slot & ((1u << SLOT_PLACE_BITS) - 1);
}

struct bucket {
    alignas(64) uint8_t tags[BUCKET_SLOTS];
    uint32_t next; /* number of the next overflow bucket + 1, 0: none */
    uint32_t refs[BUCKET_SLOTS];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct index {
    struct bucket *buckets, *overflow; /* the bases of the two regions */
    uint32_t count;                    /* buckets; also read without the lock, as is */
    uint32_t mask;                     /* 2^(L+1) - 1, told from count once rather than in each search */
    uint32_t overflow_top;             /* overflow buckets ever used */
    uint32_t overflow_free;            /* list of unused ones below the top: number + 1, 0: end */
    uint32_t overflow_used;
    uint64_t entries;
    struct region bucket_region, overflow_region;
};

/* Gives the hash of the record behind a reference; prefetch brings the record near beforehand. */
struct index_owner {
    uint64_t (*hash)(const struct index_owner *self, uint32_t ref);
    void (*prefetch)(const struct index_owner *self, uint32_t ref);
};

/* huge: the first 2 MiB of buckets are resident at once, as a huge page. */
bool index_create(struct index *index, size_t reserve_bytes, bool huge);
void index_destroy(struct index *index);

/* Gives an empty index the buckets that so many entries will need: it does not grow meanwhile. */
void index_expect(struct index *index, uint64_t entries);

/* Bytes of resident memory that the buckets take. */
size_t index_bytes(const struct index *index);

/* Bucket numbers from INDEX_OVERFLOW on are those of overflow buckets. */
static inline struct bucket *index_bucket(const struct index *index, uint32_t number) {
    return number < INDEX_OVERFLOW ? &index->buckets[number] : &index->overflow[number - INDEX_OVERFLOW];
}

static inline uint32_t index_mask(uint32_t count) {
    return UINT32_MAX >> __builtin_clz((count - 1) | 1);
}

/* The bucket of a hash among `count`. */
static inline uint32_t index_home_among(uint32_t count, uint32_t mask, uint64_t hash) {
    uint32_t number = (uint32_t)hash & mask;
    return number < count ? number : number & mask >> 1;
}

/* The bucket of a hash. Without the lock, count and mask may be of different moments: then it is some bucket that is
 * there, or was. */
static inline uint32_t index_home(const struct index *index, uint64_t hash) {
    return index_home_among(__atomic_load_n(&index->count, __ATOMIC_RELAXED),
                            __atomic_load_n(&index->mask, __ATOMIC_RELAXED), hash);
}

/* One bit per slot of the bucket whose tag is this one (0: the free ones). */
static inline uint32_t bucket_match(const struct bucket *bucket, uint8_t tag) {
#ifdef __SSE2__
    const uint64_t *words = (const uint64_t *)(const void *)bucket->tags;
    __m128i tags = _mm_set_epi64x((int64_t)__atomic_load_n(&words[1], __ATOMIC_RELAXED),
                                  (int64_t)__atomic_load_n(&words[0], __ATOMIC_RELAXED));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) &
           ((1u << BUCKET_SLOTS) - 1); /* without next, which lies behind them */
#else
    uint32_t match = 0;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        match |= (uint32_t)(__atomic_load_n(&bucket->tags[i], __ATOMIC_RELAXED) == tag) << i;
    return match;
#endif
}

static inline void index_set_ref(struct index *index, uint32_t slot, uint32_t ref) {
    __atomic_store_n(&index_bucket(index, slot_bucket(slot))->refs[slot_place(slot)], ref, __ATOMIC_RELAXED);
}

/* The first bucket of the chain of a hash; without the lock, for index_peek alone. */
static inline const struct bucket *index_bucket_of(const struct index *index, uint64_t hash) {
    return &index->buckets[index_home(index, hash)];
}

/* Brings it near. Needs no lock. */
static inline const struct bucket *index_prefetch(const struct index *index, uint64_t hash) {
    const struct bucket *bucket = index_bucket_of(index, hash);
    __builtin_prefetch(bucket);
    return bucket;
}

/* A reference that this bucket has for the hash's tag, or INDEX_NONE. Needs no lock: what it says may be outdated, so
 * it is only a hint. */
static inline int64_t index_peek(const struct bucket *bucket, uint64_t hash) {
    uint32_t match = bucket_match(bucket, hash_tag(hash));
    return match ? (int64_t)__atomic_load_n(&bucket->refs[__builtin_ctz(match)], __ATOMIC_RELAXED)
                 : INDEX_NONE;
}

/* The slot that holds this very reference, or SLOT_NONE. */
uint32_t index_find_ref(const struct index *index, uint64_t hash, uint32_t ref);

/* Adds a reference; grows by a bucket when it is time. False: no memory, or the chain of the hash is as long as it may
 * be; nothing has changed. */
bool index_insert(struct index *index, uint64_t hash, uint32_t ref, const struct index_owner *owner);

/* Empties a slot; the last used slot of its chain may move into it. hash: of what the slot held. */
void index_remove(struct index *index, uint32_t slot, uint64_t hash);

/* Takes one bucket away when the index is far too large for what it holds. True: it was. */
bool index_shrink(struct index *index);

/* Aborts when the index breaks a rule above; else true. */
bool index_is_sane(const struct index *index, const struct index_owner *owner);

#endif
