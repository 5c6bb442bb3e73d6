/* SPDX-License-Identifier: MIT */
/*
 * A lookup of one key, with all the loads that wait for it, its passengers; and how it lands: what the cache takes, and
 * what the passengers are told. Whoever lands a flight has it for himself: nobody boards it any more (loader.c).
 */
#ifndef FOREBAY_POLICIES_LOAD_FLIGHT_H
#define FOREBAY_POLICIES_LOAD_FLIGHT_H

#include "policies/tier_parts.h"

struct flight {
    struct flight *chain; /* in the table */
    struct flight *next;  /* in the queue of its namespace */
    struct load *passengers;
    struct space *space;
    uint64_t hash, stamp, deadline_us;
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

/* The backend has this row. A touch that has yet to reach it counts already. */
void flight_land_found(struct flight *flight, const struct entry *entry, const struct cache_time *now);

/* The backend has no row. */
void flight_land_absent(struct flight *flight, const struct cache_time *now);

/* The backend has a row that cannot be taken. Nothing is kept: whoever asks next asks the backend again. */
void flight_land_unfit(struct flight *flight, const struct cache_time *now);

/* What the quarantine holds is newer than what the backend has. False: it holds nothing of the key, and the flight goes
 * on. */
bool flight_land_quarantined(struct flight *flight, const struct cache_time *now);

/* The cache learns nothing. */
void flight_end(struct flight *flight, enum load_answer result);

#endif
