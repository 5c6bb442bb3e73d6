/* SPDX-License-Identifier: MIT */
/*
 * A namespace as it is configured: the keys that begin with a prefix, what is done with them, and where they live.
 * The code calls a namespace a space (namespace is a word of C++); users only ever meet "namespace".
 */
#ifndef FOREBAY_POLICIES_SPACE_OPTIONS_H
#define FOREBAY_POLICIES_SPACE_OPTIONS_H

#include "backends/backend.h"
#include "cache/cache.h"
#include "policies/journal/journal.h"

enum existence { EXISTENCE_BACKEND, EXISTENCE_MEMORY };
enum on_backend_down { DOWN_ERROR, DOWN_MISS, DOWN_STALE, DOWN_CLOSE };
enum unknown_set { UNKNOWN_SET_ACCEPT, UNKNOWN_SET_REFUSE };
enum on_full { FULL_WAIT, FULL_WRITE_THROUGH, FULL_REJECT };

/* What a setting of a namespace needs in order to mean something (setting.need). */
enum space_need {
    SPACE_NEEDS_NOTHING,
    SPACE_NEEDS_BACKEND,
    SPACE_NEEDS_HOLDING_BACK, /* a policy that holds writes back */
    SPACE_NEEDS_WRITING,      /* a policy that writes to the backend */
};

/* Of the namespace that is added where none has the prefix "". */
#define SPACE_DEFAULT_NAME "default"

struct policy; /* policies/policy.h */

enum { PRELOAD_PATIENCE_MS = 10000 }; /* how long a preload without an answer is waited for (preload_wait) */

/* As configured. Strings live as long as the tier. A reload may change what is atomic here (setting.change), one by
 * one; everything else is constant. */
struct space_options {
    const char *name;
    const char *prefix;          /* "" : the default namespace */
    const struct policy *policy; /* policy_find(name) */
    int backend;                 /* index into tier_options.backends, -1: none */
    unsigned copy_to; /* the number of another one there, counted from 1, that it is copied to; 0: none */
    _Atomic size_t memory; /* ceiling and floor, bytes; 0: none */
    _Atomic(enum cache_eviction) eviction;
    _Atomic uint32_t ttl;           /* seconds, when the client gives none; 0: for ever */
    _Atomic uint32_t max_residency; /* seconds; 0: for ever */
    /* ms; 0: absence is not remembered. Rounded up to whole seconds in the cache */
    _Atomic uint32_t negative_ttl;
    /* seconds: a touch that moves the expiry by less is answered but not recorded; 0: exact */
    _Atomic uint32_t touch_slack;
    _Atomic(enum existence) existence;
    _Atomic(enum on_backend_down) on_backend_down;
    _Atomic(enum unknown_set) unknown_set; /* a store over a row that cannot be looked at */
    _Atomic uint32_t flush_delay;          /* ms */
    /* entries: as many are due at once, and at most as many are collected together */
    _Atomic uint32_t flush_batch;
    _Atomic size_t dirty_limit;       /* bytes */
    _Atomic uint32_t dirty_age_limit; /* ms: older than this counts as full; 0: no bound */
    _Atomic size_t quarantine_limit;  /* bytes of memory */
    _Atomic(enum on_full) on_full;
    enum journal_mode journal;
    uint32_t preload;   /* entries; 0: none */
    bool preload_wait;  /* serve only afterwards */
    bool absent_filter; /* keys that the store does not have are known, and not asked for (absence.h) */
    struct backend_table table;      /* as the backend sees it */
    struct backend_table copy_table; /* as that does which it is copied to: what is specific to its kind */
};

/* The settings of a namespace whatever its backend is, with their defaults. */
extern const struct setting space_settings[];

/* A namespace without name, prefix and policy, of which nothing else is said. */
void space_options_set_defaults(struct space_options *ret_options);

/* Gives those that are 0 and cannot be their defaults: flush_delay, flush_batch, dirty_limit,
 * quarantine_limit. */
void space_options_complete(struct space_options *options);

#endif
