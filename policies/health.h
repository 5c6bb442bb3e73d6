/* SPDX-License-Identifier: MIT */
/*
 * Whether a tier goes on, and can do what it is there for: what /livez and /readyz tell of it.
 *
 * Any thread, between tier_create and tier_destroy. Nothing here takes a lock, or asks a backend: it reads what the threads
 * leave behind as they go on, so it says what they met last.
 */
#ifndef FOREBAY_POLICIES_HEALTH_H
#define FOREBAY_POLICIES_HEALTH_H

#include "policies/tier.h"

/* is_fault: a reason why the check fails; else worth knowing. The text has no end of line, and lasts as long as the call. */
struct health_judge {
    void (*find)(struct health_judge *self, bool is_fault, const char *text);
};

/* Faults: a writer has been busy for longer than stall_ms without a call to its backend, or in one call for longer than
 * that and the backend's timeout. */
void health_judge_writers(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* The same of readers, where all of a backend are stuck. */
void health_judge_readers(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* Faults: changes of write-behind namespaces are refused because of the journal, or a sync has taken longer than
 * stall_ms. */
void health_judge_journal(struct tier *tier, uint32_t stall_ms, struct health_judge *judge);

/* Faults: a namespace answers with errors as its backend cannot be asked, and that is not what write-behind and
 * on_backend_down are for. */
void health_judge_backends(struct tier *tier, struct health_judge *judge);

/* Faults: a write-behind namespace refuses changes, as too much waits (on_full = reject), or its quarantine is full. */
void health_judge_room(struct tier *tier, struct health_judge *judge);

#endif
