/* SPDX-License-Identifier: MIT */
/*
 * What replies wait for: nobody is shown what a kill -9 (under journal = always: a power loss) could take back.
 *
 * A change is in memory, where every worker sees it, before its record is in the journal: that is written at the
 * end of the turn. An answer that shows a DIRTY or FLUSHING entry is therefore held (TIER_HELD) until
 *
 *     os, interval   the turn that made the entry has written its records
 *     always         they are synced as well, be it by the same worker or another
 *
 * CLEAN entries are in the backend and cost nothing here.
 *
 * Who made an entry is found out by what each worker publishes of its turn: that it has records which are not
 * written yet, the floor below which none of their versions lies, and a filter of the hashes of their keys; and
 * of its records that are not synced, the floor alone. An answer that was held once waits for every worker of
 * which the floor leaves it possible, one after the other: rather too long than too short, and for no more than
 * one turn of each.
 *
 * Holds have numbers, which grow; a worker's are released in their order.
 */
#ifndef FOREBAY_POLICIES_HOLD_H
#define FOREBAY_POLICIES_HOLD_H

#include "policies/tier_parts.h"

void hold_init(struct tier_worker *worker);

/* A record of a key with this hash goes into the turn's journal; its version is not below the turn's floor. To be
 * called while the key's shard is locked, once the change is certain. */
void hold_changed(struct tier_worker *worker, uint64_t hash);

/* hold_shown of an entry that is not known to be kept. */
bool hold_look_closer(struct tier_worker *worker, const struct space *space, uint64_t version, uint64_t hash);

/* An answer shows an entry that is not CLEAN, or that there is none any more: is it held? To be called while the
 * shard is locked. It is on the way of every hit of such an entry, and nearly always one comparison: what is older
 * than a millisecond or two is below kept_floor, unless its record cannot be written. */
static inline bool hold_shown(struct tier_worker *worker, const struct space *space, uint64_t version,
                              uint64_t hash) {
    return version >= worker->kept_floor && hold_look_closer(worker, space, version, hash);
}

/* The journal was written at the end of the turn, or not; position is what journal_write gave. Returns the number
 * of the hold of this turn, 0: nothing is held, or it has yet to be written and a later turn's number counts. */
uint64_t hold_turn_end(struct tier_worker *worker, bool written, uint64_t position);

/* The highest number whose replies may go. */
uint64_t hold_released(struct tier_worker *worker);

/* Wakes the workers that wait for this one's turn to be written. After hold_turn_end, behind a full barrier. */
void hold_wake_written(const struct tier_worker *worker);

/* The worker's journal is on the disk up to here. Wakes those that wait for it, itself included. Any thread. */
void hold_durable(struct tier_worker *worker, uint64_t position);

#endif
