/* SPDX-License-Identifier: MIT */
/*
 * What each memcached command means, as a pure function: the request and the entry as it stands go in, the
 * answer and the change to make come out. Nothing is looked up, stored or sent here; so the same meaning
 * holds under all four policies, on the worker (memory) and on the writer thread (write-through), and it is
 * tested without either.
 */
#ifndef FOREBAY_POLICIES_EVALUATE_H
#define FOREBAY_POLICIES_EVALUATE_H

#include "policies/request.h"

/* What the request has to know of the entry: never NEED_BY_FLAGS. */
enum need evaluate_need(const struct request *request);

/* True for requests that can change nothing but recency (get, gets, mg without T, N, R and E): the fast path.
 * An mg on an entry with marks may still change them. */
bool evaluate_is_read(const struct request *request);

/* Delete, or md that only deletes: what can be applied to a row that nobody has looked at. */
bool evaluate_is_plain_delete(const struct request *request);

enum change_kind {
    CHANGE_NONE,
    CHANGE_PUT,   /* value, flags, expires_at, client_cas, marks; a new version */
    CHANGE_TOUCH, /* expires_at; and marks are added to the entry's, in memory (mg T with a token won) */
    CHANGE_DELETE,
    CHANGE_MARKS,  /* marks alone, in memory alone */
    CHANGE_VIVIFY, /* an empty placeholder with marks, expires_at and client_cas, in memory alone (mg N) */
};

struct change {
    enum change_kind kind;
    uint8_t marks;
    bool hit; /* counts as an access: call cache_hit, after a PUT too: what changes in place stays fetched */
    uint32_t flags;
    uint32_t expires_at; /* absolute */
    uint64_t client_cas; /* 0: none */
    struct slice value;  /* into the request or the scratch, never into the cache */
};

/* A loaded entry as evaluate takes it. */
struct cache_view view_of_entry(const struct entry *entry, uint32_t now);

/* What evaluation may need beside the entry. */
struct evaluate_context {
    struct cache_time now;
    uint32_t default_ttl; /* seconds for a client's exptime 0; 0: never */
    size_t item_max;      /* bytes of key + value + overhead, memcached's -I */
    char *scratch;        /* at least item_max + 32 bytes, for values that are built (append, incr): base must
                             not lie there */
    bool unknown; /* base is NULL because nobody could look: a miss, and nothing is made in its place */
};

/* The absolute expiry of an exptime as sent (memcached's realtime()): 0 -> default_ttl or never, negative ->
 * 1 (dead since 1970), up to 30 days -> relative to now, more -> as given. */
uint32_t evaluate_expiry(int64_t exptime, uint32_t default_ttl, uint32_t now);

/* Evaluates. base is the live entry, its value no longer than item_max, or NULL when there is none. Fills
 * status, won, stale, lost, number, error, hit_before, last_access, ttl_now, expires_before, expires_between
 * and view of the outcome (for PUTs and VIVIFY: the new value, flags, expires_at, client_cas; version is the
 * caller's to add) and the change to make. A change may come with any status: a set that is too large is
 * OUTCOME_ERROR and CHANGE_DELETE (with base NULL, as it NEEDs nothing). Never touches holds_lock or cursor. */
void evaluate(const struct request *request, const struct cache_view *base,
              const struct evaluate_context *context, struct outcome *ret_outcome, struct change *ret_change);

#endif
