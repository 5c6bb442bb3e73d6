/* SPDX-License-Identifier: MIT */
/*
 * Who has failed to authenticate lately. A worker's own: nothing is shared, and no other
 * thread may touch it. All times are monotonic microseconds.
 *
 * An address that has failed a few times is trusted no longer, and is forgiven a failure every few seconds. What that
 * means for it is for login.c to say: it gets in all the same, and waits a little for it. Addresses share the
 * places of a table of fixed size, by a hash that is seeded at random, so that nobody can choose whom to share with.
 */
#ifndef FOREBAY_SERVER_WORKER_AUTH_GATE_H
#define FOREBAY_SERVER_WORKER_AUTH_GATE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GATE_FAILURES = 10, /* of an address, before it is trusted no longer */
    GATE_PLACES = 256,
};

/* How long until one failure is forgiven. */
#define GATE_FORGIVEN_US 6000000ull

struct peer; /* server/accepted.h */

struct gate {
    uint64_t seed;
    uint64_t calm_us[GATE_PLACES]; /* when all failures of the addresses here are forgiven */
};

void gate_init(struct gate *gate);

/* Whether an address may be answered at once. Clients of a Unix socket are one address, and so is an IPv6 network of
 * 64 bits, which is what one machine has. */
bool gate_trusts(const struct gate *gate, const struct peer *peer, uint64_t now_us);

/* It has failed. */
void gate_note_failure(struct gate *gate, const struct peer *peer, uint64_t now_us);

#endif
