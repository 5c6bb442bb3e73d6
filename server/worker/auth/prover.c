/* SPDX-License-Identifier: MIT */
#include "server/worker/auth/prover.h"
#include "cache/base/clock.h"
#include "cache/base/secret.h"
#include "cache/base/thread.h"
#include <crypt.h>
#include <stdlib.h>

struct lane {
    struct proof *first, **last;
    size_t count;
};

struct prover {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under mutex */
    struct lane trusted, others;
    bool ends;
    /* the thread's */
    struct crypt_data data;
    uint64_t rest_until_us; /* of the others */
};

/* ---- Proofs ---- */

struct proof *proof_create(struct slice password) {
    struct proof *proof = password.size <= PROOF_PASSWORD_MAX ? calloc(1, sizeof *proof) : NULL;
    if (proof)
        memcpy(proof->password, password.data, password.size);
    return proof;
}

void proof_free(struct proof *proof) {
    if (proof)
        explicit_bzero(proof->password, sizeof proof->password);
    free(proof);
}

static bool is_of(struct prover *prover, const char *password, const char *hash) {
    const char *made = crypt_rn(password, hash, &prover->data, (int)sizeof prover->data);
    return made && secret_difference(slice_string(made), slice_string(hash)) == 0;
}

/* As many hashes as the user with most of them has, whoever it is about: its time tells nobody who there is, where all
 * of them cost the same. */
static void prove(struct prover *prover, struct proof *proof) {
    const struct identity *said = &proof->identity;
    const struct user *user = said->user;
    const char *found = NULL;
    for (size_t i = 0; i < users_most_hashes(said->users); i++) {
        bool counts = user && i < user->hash_count;
        const char *hash = counts ? user->hashes[i] : users_any_hash(said->users);
        if (is_of(prover, proof->password, hash) && counts)
            found = hash;
    }
    proof->identity.hash = found;
    if (!found)
        proof->identity.user = NULL;
}

/* ---- The queue ---- */

static void lane_add(struct lane *lane, struct proof *proof) {
    proof->next = NULL;
    *lane->last = proof;
    lane->last = &proof->next;
    lane->count++;
}

static struct proof *lane_take(struct lane *lane) {
    struct proof *first = lane->first;
    if (!first)
        return NULL;
    lane->first = first->next;
    if (!lane->first)
        lane->last = &lane->first;
    lane->count--;
    return first;
}

bool prover_submit(struct prover *prover, struct proof *proof) {
    pthread_mutex_lock(&prover->mutex);
    bool room = prover->trusted.count + prover->others.count < PROVER_QUEUE &&
                (proof->is_trusted || prover->others.count < PROVER_QUEUE / 2);
    if (room) {
        lane_add(proof->is_trusted ? &prover->trusted : &prover->others, proof);
        pthread_cond_signal(&prover->changed);
    }
    pthread_mutex_unlock(&prover->mutex);
    return room;
}

/* ---- The thread ---- */

/* NULL: it is to end. */
static struct proof *await(struct prover *prover) {
    struct proof *proof = NULL;
    pthread_mutex_lock(&prover->mutex);
    while (!prover->ends && !proof) {
        proof = lane_take(&prover->trusted);
        if (!proof && prover->others.first && monotonic_us() < prover->rest_until_us)
            condition_wait_until(&prover->changed, &prover->mutex, prover->rest_until_us);
        else if (!proof && !(proof = lane_take(&prover->others)))
            pthread_cond_wait(&prover->changed, &prover->mutex);
    }
    pthread_mutex_unlock(&prover->mutex);
    return proof;
}

static void *prover_main(void *context) {
    struct prover *prover = context;
    struct proof *proof;
    while ((proof = await(prover))) {
        uint64_t began_us = monotonic_us();
        bool is_trusted = proof->is_trusted;
        prove(prover, proof);
        explicit_bzero(proof->password, sizeof proof->password);
        proof->done(proof);
        uint64_t ended_us = monotonic_us();
        if (!is_trusted)
            prover->rest_until_us = ended_us + (ended_us - began_us);
    }
    return NULL;
}

struct prover *prover_create(void) {
    struct prover *prover = calloc(1, sizeof *prover);
    if (!prover)
        return NULL;
    prover->trusted.last = &prover->trusted.first;
    prover->others.last = &prover->others.first;
    pthread_mutex_init(&prover->mutex, NULL);
    condition_init(&prover->changed);
    if (thread_start(&prover->thread, "passwords", prover_main, prover) == 0)
        return prover;
    pthread_cond_destroy(&prover->changed);
    pthread_mutex_destroy(&prover->mutex);
    free(prover);
    return NULL;
}

static void free_lane(struct lane *lane) {
    struct proof *proof;
    while ((proof = lane_take(lane)))
        proof_free(proof);
}

void prover_free(struct prover *prover) {
    if (!prover)
        return;
    pthread_mutex_lock(&prover->mutex);
    prover->ends = true;
    pthread_cond_signal(&prover->changed);
    pthread_mutex_unlock(&prover->mutex);
    pthread_join(prover->thread, NULL);
    free_lane(&prover->trusted);
    free_lane(&prover->others);
    pthread_cond_destroy(&prover->changed);
    pthread_mutex_destroy(&prover->mutex);
    explicit_bzero(&prover->data, sizeof prover->data);
    free(prover);
}
