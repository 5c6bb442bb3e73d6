/* SPDX-License-Identifier: MIT */
/*
 * A record: an entry as it lies in a segment.
 *
 *     offset  bytes
 *          0      4  shape
 *          4      4  use
 *          8      4  expires_at
 *         12      8  version
 *         20  1-250  key
 *                 *  value; of a LARGE record the address of its struct cache_large
 *                 4  client flags, where they are not 0
 *                 4  residency, where it is not 0
 *                 8  client CAS, where it is not 0
 *                    padding to a multiple of RECORD_UNIT
 *
 * The optional fields stand behind the value, so that key and value lie at offsets that need no look at them.
 *
 *     shape, from its low bit                     use, from its low bit
 *          8  key size; 0: a hole                     27  last access: seconds modulo 2^27, four years
 *         15  value size                               2  frequency
 *          2  kind                                     1  fetched
 *          1  has client flags                         2  lease marks
 *          1  has residency
 *          1  has client CAS
 *          2  state
 *          1  ttl only
 *          1  voided
 *
 * A hole (a record that died, or the rest that an overwrite left) has in the upper 24 bits of shape its size
 * in units of RECORD_UNIT: a segment can be walked from its start at any time.
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

enum { RECORD_UNIT = 4, RECORD_HEAD = sizeof(struct record) };
_Static_assert(sizeof(struct record) == 20, "the header of an entry stays small");

enum record_kind { RECORD_VALUE, RECORD_LARGE, RECORD_TOMBSTONE, RECORD_ABSENCE };

/* A SHIFT is where a field begins, a MAX is its highest value. */
enum {
    SHAPE_KEY_MAX = 0xff,
    SHAPE_HOLE_SHIFT = 8,
    SHAPE_VALUE_SHIFT = 8,
    SHAPE_VALUE_MAX = 0x7fff,
    SHAPE_KIND_SHIFT = 23,
    SHAPE_FLAGS = 1 << 25,
    SHAPE_RESIDENCY = 1 << 26,
    SHAPE_CAS = 1 << 27,
    SHAPE_STATE_SHIFT = 28,
    SHAPE_TTL_ONLY = 1 << 30,
    USE_FREQUENCY_SHIFT = 27,
    USE_FREQUENCY_MAX = 3,
    USE_FETCHED = 1 << 29,
    USE_MARKS_SHIFT = 30
};
#define SHAPE_KIND_MASK    (3u << SHAPE_KIND_SHIFT)
#define SHAPE_STATE_MASK   (3u << SHAPE_STATE_SHIFT)
#define SHAPE_VOIDED       (1u << 31) /* to be dropped when it is settled: flush_all came by */
#define USE_ACCESS_MASK    ((1u << USE_FREQUENCY_SHIFT) - 1)
#define USE_FREQUENCY_MASK ((uint32_t)USE_FREQUENCY_MAX << USE_FREQUENCY_SHIFT)
#define USE_MARKS_MASK     (3u << USE_MARKS_SHIFT)

static inline uint32_t record_key_size(const struct record *record) {
    return record->shape & SHAPE_KEY_MAX;
}
static inline bool record_is_hole(const struct record *record) {
    return record_key_size(record) == 0;
}
static inline uint32_t record_value_size(const struct record *record) {
    return record->shape >> SHAPE_VALUE_SHIFT & SHAPE_VALUE_MAX;
}
static inline enum record_kind record_kind(const struct record *record) {
    return (enum record_kind)((record->shape & SHAPE_KIND_MASK) >> SHAPE_KIND_SHIFT);
}
static inline enum cache_state record_state(const struct record *record) {
    return (enum cache_state)((record->shape & SHAPE_STATE_MASK) >> SHAPE_STATE_SHIFT);
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
    return record->use >> USE_FREQUENCY_SHIFT & USE_FREQUENCY_MAX;
}
static inline void record_set_frequency(struct record *record, uint32_t frequency) {
    record->use = (record->use & ~USE_FREQUENCY_MASK) | frequency << USE_FREQUENCY_SHIFT;
}
static inline uint8_t record_marks(const struct record *record) {
    return (uint8_t)(record->use >> USE_MARKS_SHIFT);
}
static inline void record_set_marks(struct record *record, uint8_t marks) {
    record->use = (record->use & ~USE_MARKS_MASK) | (uint32_t)marks << USE_MARKS_SHIFT;
}

static inline struct slice record_key(const struct record *record) {
    return slice_of(record->data, record_key_size(record));
}

/* Bytes that the optional fields take: all of them, and those that stand before the residency and the CAS. */
static inline uint32_t shape_before_residency(uint32_t shape) {
    return shape & SHAPE_FLAGS ? sizeof(uint32_t) : 0;
}
static inline uint32_t shape_before_cas(uint32_t shape) {
    return shape_before_residency(shape) + (shape & SHAPE_RESIDENCY ? sizeof(uint32_t) : 0);
}
static inline uint32_t shape_extra(uint32_t shape) {
    return shape_before_cas(shape) + (shape & SHAPE_CAS ? sizeof(uint64_t) : 0);
}

/* Bytes that a record takes in its segment. */
static inline uint32_t record_size(const struct record *record) {
    if (record_is_hole(record))
        return (record->shape >> SHAPE_HOLE_SHIFT) * RECORD_UNIT;
    uint32_t size = RECORD_HEAD + record_key_size(record) + record_value_size(record);
    size += shape_extra(record->shape);
    return (size + RECORD_UNIT - 1) & ~(uint32_t)(RECORD_UNIT - 1);
}

static inline void record_make_hole(struct record *record, uint32_t size) {
    record->shape = size / RECORD_UNIT << SHAPE_HOLE_SHIFT;
}

/* Offset of the optional fields in data. */
static inline uint32_t record_extra(const struct record *record) {
    return record_key_size(record) + record_value_size(record);
}

static inline uint32_t record_flags(const struct record *record) {
    uint32_t flags = 0;
    if (record->shape & SHAPE_FLAGS)
        memcpy(&flags, record->data + record_extra(record), sizeof(flags));
    return flags;
}

static inline uint32_t record_residency_offset(const struct record *record) {
    return record_extra(record) + shape_before_residency(record->shape);
}

/* The second from which a clean record has to be loaded anew; 0: none. */
static inline uint32_t record_residency(const struct record *record) {
    uint32_t second = 0;
    if (record->shape & SHAPE_RESIDENCY)
        memcpy(&second, record->data + record_residency_offset(record), sizeof(second));
    return second;
}

/* Its residency has ended, by everybody's clock. */
static inline void record_end_residency(struct record *record) {
    const uint32_t past = 1;
    memcpy(record->data + record_residency_offset(record), &past, sizeof(past));
}

static inline uint64_t record_client_cas(const struct record *record) {
    uint64_t cas = 0;
    if (record->shape & SHAPE_CAS)
        memcpy(&cas, record->data + record_extra(record) + shape_before_cas(record->shape), sizeof(cas));
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

/* The second at which memory may let go of an entry: the earlier of its expiry and the end of its residency
 * (0: none); 0: never. */
static inline uint32_t earlier_deadline(uint32_t expiry, uint32_t residency) {
    return !residency || (expiry && expiry < residency) ? expiry : residency;
}
static inline uint32_t record_deadline(const struct record *record) {
    return earlier_deadline(record->expires_at, record_residency(record));
}

/* True when reads must not see it any more, and no backend has to learn anything from it. */
static inline bool record_is_over(const struct record *record, uint32_t now) {
    if (record_state(record) != CACHE_CLEAN)
        return false;
    if (record_expired(record, now))
        return true;
    return (record->shape & SHAPE_RESIDENCY) && record_residency(record) <= now;
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
    bool fetched, ttl_only, voided;
};

uint32_t draft_size(const struct draft *draft);
void record_write(struct record *record, const struct draft *draft);

/* What a record says, as a draft. Its slices point into the record. */
struct draft record_read(const struct record *record, uint32_t now);

#endif
