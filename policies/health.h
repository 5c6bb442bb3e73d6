/* SPDX-License-Identifier: MIT */
/*
 * Whether a tier goes on, and can do what it is there for: what /livez and /readyz tell of it.
 *
 * Any thread, between tier_create and tier_destroy. Nothing here takes a lock, or asks a backend: it reads what the
 * threads leave behind as they go on, so it says what they met last.
 */
#ifndef FOREBAY_POLICIES_HEALTH_H
#define FOREBAY_POLICIES_HEALTH_H

#include "policies/tier.h"

/* is_fault: a reason why the check fails; else worth knowing. The text has no end of line, and lasts as long as the
 * call. */
struct health_judge {
    void (*find)(struct health_judge *self, bool is_fault, const char *text);
};

/* Has the journal, or a quarantine, been in one step at the disk for longer than stall_ms? Whatever else stands still
 * then may wait for that step, and no restart mends a disk. */
bool health_disk_hangs(struct tier *tier, uint32_t stall_ms);

/* Faults: a writer has been busy for longer than stall_ms without a call to its backend, unless the disk hangs. One
 * that does not return from a call is none: a restart would call the same backend, and lose what memory holds. */
void health_judge_writers(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* Faults: all readers of a backend have been in one call for longer than stall_ms and the backend's timeout. */
void health_judge_readers(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* Faults: changes of write-behind namespaces are refused because of the journal, or it, or a quarantine, has been in
 * one step at the disk for longer than stall_ms. */
void health_judge_journal(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* Faults: a namespace answers with errors as its backend cannot be asked, and that is not what write-behind and
 * on_backend_down are for. One that keeps its writer in a call for longer than stall_ms and its timeout cannot be
 * asked. */
void health_judge_backends(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* Faults: a write-behind namespace refuses changes, as too much waits (on_full = reject), or its quarantine is full. */
void health_judge_room(struct tier *tier, struct health_judge *judge);

#endif
