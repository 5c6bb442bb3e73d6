/* SPDX-License-Identifier: MIT */
/* A reload under way, between the files of this folder. reload.c has the whole of it. */
#ifndef FOREBAY_POLICIES_RELOAD_INTERNAL_H
#define FOREBAY_POLICIES_RELOAD_INTERNAL_H

#include "policies/tier_parts.h"

struct reloading {
    struct tier *tier;
    const struct tier_options *wanted;
    char *error;
    size_t error_size;
    struct space *added[CACHE_SPACES_MAX], *removed[CACHE_SPACES_MAX];
    size_t added_count, removed_count;
    struct space_map *map; /* the new one; once it is there, the former one, to be freed */
    size_t memory_before;
    struct cache_space_options cached_before[CACHE_SPACES_MAX];
    size_t cached_count;
    const struct tier_backend *silent[CACHE_SPACES_MAX]; /* were waited for in vain */
    size_t silent_count;
};

/* Writes a sentence into the error; always false. */
__attribute__((format(printf, 2, 3))) bool reloading_refuse(struct reloading *self, const char *format, ...);

/* Is the server about to stop (tier_stop_reloading)? */
bool reloading_is_stopped(const struct reloading *self);

/* False with a sentence: it is. */
bool reloading_goes_on(struct reloading *self);

bool reloading_removes(const struct reloading *self, const struct space *space);
bool reloading_adds(const struct reloading *self, const struct space *space);

/* Makes what is wanted and not there, into `added`: retired, without a key, for nobody to see yet. False with a
 * sentence; what was made stays, and serves the next attempt. */
bool reloading_make_added(struct reloading *self);

/* Makes the map of what is there afterwards, into `map`. False: no memory. */
bool reloading_make_map(struct reloading *self);

/* Puts that map in place, in a halt. False with a sentence: something of what is removed is in no store, or no halt
 * comes about, and nothing has changed. */
bool reloading_switch_map(struct reloading *self);

/* What follows the switch, and cannot fail: those that were added get their policies, those that were removed leave
 * nothing to a later start. */
void reloading_settle_map(struct reloading *self);

#endif
