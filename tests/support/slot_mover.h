/* SPDX-License-Identifier: MIT */
/* Moves slots of a cluster from master to master, one after the other, beside whatever a test does. */
#ifndef FOREBAY_TESTS_SUPPORT_SLOT_MOVER_H
#define FOREBAY_TESTS_SUPPORT_SLOT_MOVER_H

#include "tests/support/redis_server.h"

struct slot_mover;

/* Its thread, at rest. The masters have to run until it is destroyed. What a test forbids the user "default" does not
 * concern it. */
struct slot_mover *slot_mover_create(const struct redis_server *masters, unsigned count);

/* Goes on, or comes to rest: then no slot is under way, and somebody may ask the masters for keys by hand. */
void slot_mover_go(struct slot_mover *mover);
void slot_mover_rest(struct slot_mover *mover);

/* Returns how many keys it has moved. */
unsigned long slot_mover_destroy(struct slot_mover *mover);

#endif
