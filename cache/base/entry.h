/* SPDX-License-Identifier: MIT */
/*
 * The value types that the cache, the backends and the policies share.
 *
 * Time is Unix time, of a clock that does not jump (life_clock.h). An expiry is an absolute second; 0 is "never". An
 * entry with expires_at <= now is dead.
 *
 * A version orders every change of a key (docs/design.md, "Versions"): 51 bits of microseconds since 1970 in
 * the upper part; in the lower, 12 bits of node id and the upper 12 bits of the key's hash, xor-ed. 0 is "no
 * version". It is also the CAS value that clients see, unless a client dictated one (client_cas).
 */
#ifndef FOREBAY_CACHE_BASE_ENTRY_H
#define FOREBAY_CACHE_BASE_ENTRY_H

#include "cache/base/clock.h"
#include "cache/base/slice.h"
#include <stdint.h>

enum {
    ENTRY_KEY_MAX = 250,         /* bytes, memcached's limit (doc/protocol.txt) */
    ENTRY_VERSION_NODE_BITS = 12 /* lower bits of a version: the node that made it, and the key's hash */
};

/* One reading of the clocks; taken once per worker turn, never per request. The three differ only after a step of the
 * wall clock (life_clock.h). */
struct cache_time {
    uint64_t us;         /* wall clock, microseconds since 1970: of versions */
    uint32_t seconds;    /* the clock of lives: what expires by this second is dead */
    uint32_t lives_from; /* seconds: a life that begins now ends so much later than this */
};

/* For whoever has the wall clock alone: tests and measurements. */
static inline struct cache_time cache_time_from_us(uint64_t us) {
    return (struct cache_time){us, (uint32_t)(us / 1000000u), (uint32_t)(us / 1000000u)};
}

static inline struct cache_time cache_time_now(void) {
    return cache_time_from_us(wall_us());
}

/* lower: of version_lower; 0 for the least version of this time. */
static inline uint64_t version_from_us(uint64_t us, unsigned lower) {
    return (us << ENTRY_VERSION_NODE_BITS) | lower;
}

/* The lower bits of a node's versions of the key with this hash. Those of two nodes differ for every key. */
static inline unsigned version_lower(unsigned node, uint64_t hash) {
    return node ^ (unsigned)(hash >> (64 - ENTRY_VERSION_NODE_BITS));
}

static inline uint64_t version_us(uint64_t version) {
    return version >> ENTRY_VERSION_NODE_BITS;
}

/* The node that made this version of the key with this hash. */
static inline unsigned version_node(uint64_t version, uint64_t hash) {
    return version_lower((unsigned)(version & ((1u << ENTRY_VERSION_NODE_BITS) - 1)), hash);
}

/* The highest version that is believed, wherever it is read; its time is March 2040. Above it, 2^45 changes of a
 * shard are left before the 51 bits of time are used up: versions never wrap, whatever was read. */
#define ENTRY_VERSION_HIGHEST (((UINT64_C(1) << 51) - (UINT64_C(1) << 45)) << ENTRY_VERSION_NODE_BITS)

/* What versions take for the time that the wall clock shows: of one that shows March 2040 or later they take nothing,
 * and go on from the last. */
static inline uint64_t version_time(uint64_t wall_us) {
    return wall_us < version_us(ENTRY_VERSION_HIGHEST) ? wall_us : 0;
}

/* Lease marks of memcached's meta commands; they travel with the entry to the backend. */
enum entry_mark {
    ENTRY_STALE = 1,      /* invalidated (md I, ms I): served with W/X so that one client recaches it */
    ENTRY_TOKEN_SENT = 2, /* the recache token (W) was handed out; the next readers get Z */
};

/* A whole live entry outside the cache: what a backend stores and loads. */
struct entry {
    struct slice key;    /* the whole key as the client sends it, 1 to ENTRY_KEY_MAX bytes */
    struct slice value;  /* any bytes */
    uint64_t version;    /* 0 only for rows that somebody else put into the backend */
    uint64_t client_cas; /* the CAS that clients see where it is not the version; else 0 */
    uint32_t flags;      /* the client's 32 bits */
    uint32_t expires_at; /* Unix seconds, 0: never */
    uint8_t marks;       /* enum entry_mark, or-ed */
};

#endif
