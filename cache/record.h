/* SPDX-License-Identifier: MIT */
/*
 * A record: an entry as it lies in a segment.
 *
 *     shape | use | expires_at | version | key | value | [client flags] [residency] [client CAS] | padding to
 * 4 4      4     4            8         1..250        4              4           8
 *
 * shape, from its low bit: key size 8, value size 15, kind 2, has flags, has residency, has CAS, state 2, ttl
 * only, flushed out. use: last access 27 (seconds, modulo 2^27: about four years), frequency 2, fetched,
 * lease marks 2. The optional fields stand behind the value and only where they are not zero, so that key and
 * value lie at offsets that need no look at them. The value of a LARGE record is the address of its struct
 * cache_large.
 *
 * A hole (a record that died, or the rest that an overwrite left) has key size 0, and in the upper 24 bits of
 * shape its size in units of RECORD_UNIT: a segment can be walked from its start at any time.
 */
#ifndef FOREBAY_CACHE_RECORD_H
#define FOREBAY_CACHE_RECORD_H

#include "cache/cache.h"

struct record {
    uint32_t shape, use;
    uint32_t expires_at;
    uint32_t version_low, version_high;
    char data[];
};

enum { RECORD_UNIT = 4, RECORD_HEAD = sizeof(struct record), RECORD_EXTRA_MAX = 16 };
_Static_assert(sizeof(struct record) == 20, "the header of an entry stays small");

enum record_kind { RECORD_VALUE, RECORD_LARGE, RECORD_TOMBSTONE, RECORD_ABSENCE };

enum {
    SHAPE_VALUE_SHIFT = 8,
    SHAPE_KIND_SHIFT = 23,
    SHAPE_FLAGS = 1 << 25,
    SHAPE_RESIDENCY = 1 << 26,
    SHAPE_CAS = 1 << 27,
    SHAPE_STATE_SHIFT = 28,
    SHAPE_TTL_ONLY = 1 << 30,
    USE_FREQUENCY_SHIFT = 27,
    USE_FETCHED = 1 << 29,
    USE_MARKS_SHIFT = 30,
    RECORD_FREQUENCY_MAX = 3
};
#define SHAPE_FLUSHED      0x80000000u /* to be dropped when it is settled: flush_all came by */
#define USE_ACCESS_MASK    0x07ffffffu
#define SHAPE_STATE_MASK   (3u << SHAPE_STATE_SHIFT)
#define USE_FREQUENCY_MASK (3u << USE_FREQUENCY_SHIFT)

static inline bool record_is_hole(const struct record *record) {
    return (record->shape & 0xff) == 0;
}
static inline uint32_t record_key_size(const struct record *record) {
    return record->shape & 0xff;
}
static inline uint32_t record_value_size(const struct record *record) {
    return record->shape >> SHAPE_VALUE_SHIFT & 0x7fff;
}
static inline enum record_kind record_kind(const struct record *record) {
    return (enum record_kind)(record->shape >> SHAPE_KIND_SHIFT & 3);
}
static inline enum cache_state record_state(const struct record *record) {
    return (enum cache_state)(record->shape >> SHAPE_STATE_SHIFT & 3);
}
static inline void record_set_state(struct record *record, enum cache_state state) {
    record->shape = (record->shape & ~SHAPE_STATE_MASK) | (uint32_t)state << SHAPE_STATE_SHIFT;
}
static inline uint64_t record_version(const struct record *record) {
    return (uint64_t)record->version_high << 32 | record->version_low;
}
static inline void record_set_version(struct record *record, uint64_t version) {
    record->version_low = (uint32_t)version;
    record->version_high = (uint32_t)(version >> 32);
}
static inline uint32_t record_frequency(const struct record *record) {
    return record->use >> USE_FREQUENCY_SHIFT & 3;
}
static inline void record_set_frequency(struct record *record, uint32_t frequency) {
    record->use = (record->use & ~USE_FREQUENCY_MASK) | frequency << USE_FREQUENCY_SHIFT;
}
static inline uint8_t record_marks(const struct record *record) {
    return (uint8_t)(record->use >> USE_MARKS_SHIFT);
}

static inline struct slice record_key(const struct record *record) {
    return slice_of(record->data, record_key_size(record));
}

static inline uint32_t shape_extra(uint32_t shape) {
    return (shape >> 23 & 4) + (shape >> 24 & 4) + (shape >> 24 & 8);
}

/* Bytes that a record takes in its segment. */
static inline uint32_t record_size(const struct record *record) {
    uint32_t shape = record->shape;
    if ((shape & 0xff) == 0)
        return (shape >> 8) * RECORD_UNIT;
    uint32_t size = RECORD_HEAD + (shape & 0xff) + (shape >> SHAPE_VALUE_SHIFT & 0x7fff) + shape_extra(shape);
    return (size + RECORD_UNIT - 1) & ~(uint32_t)(RECORD_UNIT - 1);
}

static inline void record_make_hole(struct record *record, uint32_t size) {
    record->shape = size / RECORD_UNIT << 8;
}

static inline const char *record_extra(const struct record *record) {
    return record->data + record_key_size(record) + record_value_size(record);
}

static inline uint32_t record_flags(const struct record *record) {
    uint32_t flags = 0;
    if (record->shape & SHAPE_FLAGS)
        memcpy(&flags, record_extra(record), sizeof(flags));
    return flags;
}

/* The second from which a clean record is to be loaded anew; 0: none. */
static inline uint32_t record_residency(const struct record *record) {
    uint32_t second = 0;
    if (record->shape & SHAPE_RESIDENCY)
        memcpy(&second, record_extra(record) + (record->shape >> 23 & 4), sizeof(second));
    return second;
}

/* Its residency has ended, by everybody's clock. */
static inline void record_end_residency(struct record *record) {
    const uint32_t past = 1;
    memcpy(record->data + record_key_size(record) + record_value_size(record) + (record->shape >> 23 & 4),
           &past, sizeof(past));
}

static inline uint64_t record_client_cas(const struct record *record) {
    uint64_t cas = 0;
    if (record->shape & SHAPE_CAS)
        memcpy(&cas, record_extra(record) + (record->shape >> 23 & 4) + (record->shape >> 24 & 4),
               sizeof(cas));
    return cas;
}

static inline struct cache_large *record_large(const struct record *record) {
    struct cache_large *large = NULL;
    if (record_kind(record) == RECORD_LARGE)
        memcpy(&large, record->data + record_key_size(record), sizeof(large));
    return large;
}

static inline bool record_expired(const struct record *record, uint32_t now) {
    return record->expires_at && record->expires_at <= now;
}

/* The second at which memory may let go of it: its expiry or the end of its residency; 0: never. */
static inline uint32_t record_deadline(const struct record *record) {
    uint32_t residency = record_residency(record), expiry = record->expires_at;
    return !residency || (expiry && expiry < residency) ? expiry : residency;
}

/* True when a read must not see it any more, and nothing has to be learnt from it either. */
static inline bool record_is_over(const struct record *record, uint32_t now) {
    if (record_state(record) != CACHE_CLEAN)
        return false;
    if (record_expired(record, now))
        return true;
    return (record->shape & SHAPE_RESIDENCY) && record_residency(record) <= now;
}

static inline void record_set_access(struct record *record, uint32_t now) {
    record->use = (record->use & ~USE_ACCESS_MASK) | (now & USE_ACCESS_MASK);
}
static inline uint32_t record_last_access(const struct record *record, uint32_t now) {
    return now - ((now - record->use) & USE_ACCESS_MASK);
}

/* What is to be written; record_write lays it out. */
struct draft {
    struct slice key, value;   /* value: of a VALUE; else empty */
    struct cache_large *large; /* of a LARGE */
    enum record_kind kind;
    enum cache_state state;
    uint64_t version, client_cas;
    uint32_t flags, expires_at, residency, access, frequency;
    uint8_t marks;
    bool fetched, ttl_only, flushed;
};

uint32_t draft_size(const struct draft *draft);
void record_write(struct record *record, const struct draft *draft);

/* What a record says, as a draft. Its slices point into the record. */
struct draft record_read(const struct record *record, uint32_t now);

#endif
