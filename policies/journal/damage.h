/* SPDX-License-Identifier: MIT */
/*
 * How damage is told, in the same words by whoever finds it: the start, which refuses or skips it (replay_damage.c),
 * and whoever only looks (survey.c). Any thread.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_DAMAGE_H
#define FOREBAY_POLICIES_JOURNAL_DAMAGE_H

#include <stddef.h>
#include <stdint.h>

/* A place in a file. */
struct damage {
    const char *what; /* one of the texts below */
    uint64_t offset, bytes;
};

#define DAMAGE_NO_RECORD    "no record that passes its check"
#define DAMAGE_MISSING      "records that were synced are missing"
#define DAMAGE_BAD_HEADER   "its header fails its check"
#define DAMAGE_SHORT_HEADER "it is shorter than its header"

/* What refuses a start, and how to start all the same. */
void damage_refuses(const char *folder, const char *name, const struct damage *damage, char *ret_text,
                    size_t size);
void damage_of_missing_refuses(const char *folder, const char *name, char *ret_text, size_t size);
void damage_of_low_water_refuses(const char *folder, char *ret_text, size_t size);

#endif
