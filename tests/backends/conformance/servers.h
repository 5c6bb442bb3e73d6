/* SPDX-License-Identifier: MIT */
/*
 * The servers behind the kinds of Redis. They are those of the whole run, as starting them takes seconds: a Redis with
 * a Sentinel that watches it, and a cluster of masters with a replica each. Each test begins with FLUSHALL.
 */
#ifndef FOREBAY_TESTS_BACKENDS_CONFORMANCE_SERVERS_H
#define FOREBAY_TESTS_BACKENDS_CONFORMANCE_SERVERS_H

#include "tests/support/redis_server.h"
#include "tests/support/slot_mover.h"

enum { MASTERS = 3 };

extern struct redis_server redis, sentinel;
extern struct redis_server masters[MASTERS]; /* of a cluster */
extern struct slot_mover *mover; /* of the masters; it moves while a store of such a kind is there */

/* False: redis-server cannot be run here; what has been started ends with the program. */
bool servers_start(void);

/* After a start that succeeded. Returns how many keys have moved with their slots. */
unsigned long servers_stop(void);

#endif
