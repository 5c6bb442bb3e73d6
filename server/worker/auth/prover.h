/* SPDX-License-Identifier: MIT */
/*
 * Whether a password is a user's, found out by a thread of its own: a hash that is worth having takes tens of
 * milliseconds and megabytes, and a worker has other clients meanwhile.
 *
 * One thread and a bounded queue, so what strangers ask takes a processor and the memory of one hash at most. Those who
 * come from where passwords have been wrong lately (login.c) wait behind all others, in half of the queue, and the
 * thread rests as long after each of them as it took: whoever goes on guessing keeps nobody else out, and takes half a
 * processor. Where a proof waits is decided when it is submitted: a burst of guesses from where none was wrong before
 * may fill the queue, once, and others come again until it is proven.
 *
 *     worker: prover_submit --> prover's thread --> worker: proof.done, in the prover's thread
 */
#ifndef FOREBAY_SERVER_WORKER_AUTH_PROVER_H
#define FOREBAY_SERVER_WORKER_AUTH_PROVER_H

#include "server/accepted.h"
#include "server/worker/auth/users.h"

enum {
    PROOF_PASSWORD_MAX = 511, /* bytes; libcrypt takes no more */
    PROVER_QUEUE = 64,        /* proofs that wait at a time */
};

struct prover;

struct proof {
    struct proof *next;
    void (*done)(struct proof *proof); /* called by the prover's thread, which forgets the proof with that */
    void *owner, *about;               /* of whoever has submitted it */
    struct peer peer;                  /* the same */
    bool is_trusted;
    bool is_done; /* its owner's */
    /* in: users, and the user that it says it is, or NULL; out: hash, or user NULL */
    struct identity identity;
    char password[PROOF_PASSWORD_MAX + 1];
};

/* A proof to fill in; NULL: no memory. */
struct proof *proof_create(struct slice password);
void proof_free(struct proof *proof);

/* NULL: no memory, or no thread. */
struct prover *prover_create(void);

/* False: the queue is full; the proof is still the caller's. Any thread. */
bool prover_submit(struct prover *prover, struct proof *proof);

/* Ends the thread and frees what waits, of which nobody is told; others may still be told of until it returns. So who
 * has submitted points to no proof any more by then (worker_stop), and is there until later (worker_free). */
void prover_free(struct prover *prover);

#endif
