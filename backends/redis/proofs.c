/* SPDX-License-Identifier: MIT */
/*
 * What the masters of a cluster are known to have.
 *
 * A replica that is promoted before it has got everything, or a master that comes back with an older file, answers like
 * any other. So what a batch has for a master ends, in the same pipeline, with
 *
 *     SET forebay: applied:NODE:{tag} number [XX]   in the guard slot of that master (guard.c); numbers only grow
 *     WAIT replicas milliseconds                    where `replicas` is set
 *
 * and counts as done there when both have succeeded: it is sealed. Replication and files keep the order of execution,
 * so who has the number has all that was executed before it. And the key goes where its slot goes: to the replica that
 * is promoted, and to the master that the slot is moved to. So what was seen is kept by slot, and not by address:
 *
 *     none --a batch is sealed--> proven over this link --another link, or another master of the slot--> to be asked for
 *                                  ^                                                                   |     |
 *                                  +-------------------------- not less -------------------------------+     | less
 *                                                                                                            v
 *                                                                   BACKEND_REPLACED, and all proofs are forgotten
 *
 * A master is asked for what it has to prove before it is written to. While the slot is on its way the key is at one
 * master or the other, and that one is asked in the end; the rows of this master get another slot for their next
 * number.
 *
 * A number that is sealed at a master covers what came there before in any slot: proofs of others of its slots are
 * dropped, and there are about as many as masters. Slots that come to a master have their rows copied to it; they are
 * covered once a batch is sealed there, or a look has set a number (wants_seal).
 *
 * WAIT counts the replicas that have the last write of this connection. Of a batch that is repeated because they were
 * too few, that is its number: so without one that was set, there is nothing to wait for.
 *
 * They outlive the connection: one that is opened anew would not know what to expect. So does what is owed after a loss
 * (to_mark, to_tell: mark_cluster.c).
 *
 * Readers have copies of them, and ask each master over a new link, or by a new map, before they believe what it has: a
 * reader may be there before the writer. A number alone that was evicted proves nothing to them. Two servers may answer
 * for a slot for a while, as one that was stopped goes on before it hears that another one was promoted. Then what the
 * writer has acknowledged by one of them is missing at the other one, over links that stay. So a reader asks whoever is
 * not the server where the writer has seen that slot last (run) with each deal, until it is; else that costs it a look
 * at a number (moves).
 */
#include "backends/redis/proofs.h"
#include "backends/failure.h"
#include "cache/base/clock.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    PATIENCE_MS = 200, /* for replicas that were too few the last time, at first */
    MISSES_MAX = 2     /* numbers that found their slot on its way, where no replicas have to be waited for */
};

/* ---- Kept ---- */

struct redis_proofs *redis_proofs_take(struct redis_connection *connection) {
    struct redis_proofs *proofs = backend_nodes_take(connection->nodes);
    for (size_t i = 0; proofs && i < proofs->count; i++)
        proofs->list[i].link = 0;
    return proofs ? proofs : calloc(1, sizeof *proofs);
}

void redis_proofs_leave(struct redis_connection *connection) {
    if (connection->cluster && connection->cluster->proofs)
        backend_nodes_leave(connection->nodes, connection->cluster->proofs);
}

void redis_proofs_forget(struct redis_proofs *proofs) {
    proofs->count = 0;
    proofs->moves++;
}

struct redis_proof *redis_proof_of(struct redis_proofs *proofs, unsigned slot) {
    for (size_t i = 0; i < proofs->count; i++)
        if (proofs->list[i].slot == slot)
            return &proofs->list[i];
    return NULL;
}

/* NULL: there is no room. Then that slot proves nothing. */
static struct redis_proof *make(struct redis_proofs *proofs, unsigned slot) {
    struct redis_proof *proof = redis_proof_of(proofs, slot);
    if (proof || proofs->count == sizeof proofs->list / sizeof *proofs->list)
        return proof;
    proof = &proofs->list[proofs->count++];
    *proof = (struct redis_proof){.slot = slot};
    return proof;
}

unsigned redis_proofs_slot(const struct redis_cluster *cluster, size_t node) {
    const struct redis_proof *newest = NULL;
    for (size_t i = 0; i < cluster->proofs->count; i++) {
        const struct redis_proof *proof = &cluster->proofs->list[i];
        if (cluster->map.owner[proof->slot] == node && (!newest || proof->applied > newest->applied))
            newest = proof;
    }
    return newest ? newest->slot : REDIS_SLOTS;
}

/* 16 of 40 hexadecimal digits. Where it is not told, all are the same: 0. */
static uint64_t run_of(const struct redis_node *node) {
    char start[17];
    snprintf(start, sizeof start, "%.16s", node->link.run);
    return strtoull(start, NULL, 16);
}

/* It is as it has to be over this link. */
static void see(struct redis_proofs *proofs, struct redis_proof *proof, const struct redis_node *node) {
    proofs->moves += proof->run != run_of(node);
    proof->run = run_of(node);
    proof->link = node->link.serial;
    snprintf(proof->replicates, sizeof proof->replicates, "%s", node->link.replicates);
    snprintf(proof->place, sizeof proof->place, "%.95s", node->address.shown);
}

void redis_proofs_note_high(struct redis_connection *connection, struct redis_node *node, unsigned slot,
                            uint64_t version) {
    struct redis_proof *proof = make(connection->cluster->proofs, slot);
    if (!proof || version <= proof->high)
        return;
    proof->high = version;
    if (proof->applied == 0)
        see(connection->cluster->proofs, proof, node);
}

/* ---- Shown to readers ---- */

struct shown_proof {
    unsigned slot;
    uint64_t high, applied, run;
};

struct shown_proofs {
    uint64_t moves; /* first, as it is asked for alone */
    struct shown_proof list[2 * REDIS_MASTERS_MAX];
};

void redis_proofs_show(struct redis_connection *connection) {
    const struct redis_proofs *proofs = connection->cluster->proofs;
    struct shown_proofs shown = {.moves = proofs->moves};
    for (size_t i = 0; i < proofs->count; i++) {
        const struct redis_proof *proof = &proofs->list[i];
        shown.list[i] = (struct shown_proof){proof->slot, proof->high, proof->applied, proof->run};
    }
    backend_nodes_show(connection->nodes, &shown,
                       offsetof(struct shown_proofs, list) + proofs->count * sizeof *shown.list);
}

static uint64_t shown_moves(const struct redis_connection *connection) {
    uint64_t moves = 0;
    backend_nodes_see(connection->nodes, &moves, sizeof moves);
    return moves;
}

static void see_shown(struct redis_connection *connection) {
    struct redis_proofs *proofs = connection->cluster->shown;
    struct shown_proofs shown = {.moves = 0};
    size_t size = backend_nodes_see(connection->nodes, &shown, sizeof shown);
    proofs->moves = shown.moves;
    proofs->count = size ? (size - offsetof(struct shown_proofs, list)) / sizeof *shown.list : 0;
    for (size_t i = 0; i < proofs->count; i++) {
        const struct shown_proof *one = &shown.list[i];
        proofs->list[i] = (struct redis_proof){
            .slot = one->slot, .high = one->high, .applied = one->applied, .run = one->run};
    }
}

/* ---- Asked for ---- */

static struct slice key_of(struct redis_connection *connection, unsigned slot) {
    char start[sizeof REDIS_APPLIED_KEY + 24];
    snprintf(start, sizeof start, REDIS_APPLIED_KEY "%u:", connection->node);
    return redis_tagged(connection, start, slot);
}

static bool is_to_be_asked_for(const struct redis_cluster *cluster, const struct redis_node *node,
                               const struct redis_proof *proof) {
    return proof->link != node->link.serial &&
           cluster->map.owner[proof->slot] == redis_cluster_find(cluster, node);
}

static bool ask(struct redis_connection *connection, const struct redis_proof *proof) {
    const struct slice high[] = {SLICE("GET"), redis_high_key(connection, proof->slot)};
    const struct slice applied[] = {SLICE("GET"), key_of(connection, proof->slot)};
    bool sent = redis_append_slices(connection, 2, high) && redis_append_slices(connection, 2, applied);
    arena_reset(&connection->words);
    return sent;
}

/* Its master was promoted: it has replicated what the one before has given out. */
static void note_failover(struct redis_connection *connection, const struct redis_node *node,
                          const struct redis_proof *proof) {
    struct backend_failovers *failovers = &connection->base.failovers;
    if (!*proof->replicates || strcmp(node->link.replicated, proof->replicates) != 0 ||
        strncmp(proof->place, node->address.shown, sizeof proof->place - 1) == 0)
        return;
    if (failovers->count && strcmp(failovers->from, proof->place) == 0 &&
        strcmp(failovers->to, node->address.shown) == 0)
        return; /* by another slot */
    failovers->count++;
    snprintf(failovers->from, sizeof failovers->from, "%s", proof->place);
    snprintf(failovers->to, sizeof failovers->to, "%.250s", node->address.shown);
}

static enum redis_step tell_less(struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    connection->cluster->lost = true;
    *ret_status =
        backend_fail(ret_error, BACKEND_REPLACED, "backend \"%s\", redis at %s: went back to an older state",
                     connection->name, redis_shown(connection));
    return REDIS_FAILED;
}

static enum redis_step judge(struct redis_connection *connection, struct redis_node *node,
                             struct redis_proof *proof, const redisReply *high, const redisReply *applied,
                             enum backend_status *ret_status, struct backend_error *ret_error) {
    const redisReply *error = high->type == REDIS_REPLY_ERROR      ? high
                              : applied->type == REDIS_REPLY_ERROR ? applied
                                                                   : NULL;
    if (error && redis_is_elsewhere(error)) {
        connection->cluster->wants_map = true; /* and whoever has it by then is asked */
        return REDIS_DONE;
    }
    if (error)
        return redis_say(connection, error, BACKEND_TRANSIENT, ret_status, ret_error);
    note_failover(connection, node, proof);
    bool evicted = applied->type == REDIS_REPLY_NIL && proof->high && connection->role != BACKEND_WRITER;
    if (redis_number_in(high, ENTRY_VERSION_HIGHEST) < proof->high ||
        (redis_number_in(applied, UINT64_MAX) < proof->applied && !evicted))
        return tell_less(connection, ret_status, ret_error);
    if (connection->role == BACKEND_WRITER)
        see(connection->cluster->proofs, proof, node);
    return REDIS_DONE;
}

static enum redis_step hear(struct redis_connection *connection, struct redis_node *node,
                            struct redis_proof *proof, enum backend_status *ret_status,
                            struct backend_error *ret_error) {
    redisReply *high = NULL, *applied = NULL;
    enum redis_step step = redis_answer(connection, &high);
    if (step == REDIS_DONE)
        step = redis_answer(connection, &applied);
    if (step == REDIS_DONE)
        step = judge(connection, node, proof, high, applied, ret_status, ret_error);
    if (high)
        freeReplyObject(high);
    if (applied)
        freeReplyObject(applied);
    return step;
}

static bool is_proven(const struct redis_connection *connection, const struct redis_node *node) {
    return node->proven_link == node->link.serial && node->proven_us == connection->cluster->asked_us &&
           node->proven_moves == shown_moves(connection);
}

/* Whether the writer has seen all that this node has to prove here. Else what it has acknowledged since may be
 * elsewhere. */
static bool is_with_writer(const struct redis_cluster *cluster, const struct redis_node *node) {
    size_t index = redis_cluster_find(cluster, node);
    for (size_t i = 0; i < cluster->shown->count; i++)
        if (cluster->map.owner[cluster->shown->list[i].slot] == index &&
            cluster->shown->list[i].run != run_of(node))
            return false;
    return true;
}

static void note_proven(struct redis_cluster *cluster, struct redis_node *node) {
    node->proven_link = is_with_writer(cluster, node) ? node->link.serial : 0;
    node->proven_us = cluster->asked_us;
    node->proven_moves = cluster->shown->moves;
}

/* One after the other: there is mostly one, and only after another link or another map; or, of a reader, as long as it
 * is not where the writer is. */
static enum redis_step prove(struct redis_connection *connection, struct redis_node *node,
                             struct redis_proofs *proofs, enum backend_status *ret_status,
                             struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    for (size_t i = 0; i < proofs->count && step == REDIS_DONE; i++) {
        struct redis_proof *proof = &proofs->list[i];
        if (!is_to_be_asked_for(connection->cluster, node, proof))
            continue;
        if (!ask(connection, proof))
            return redis_out_of_memory(connection, ret_status, ret_error);
        redisSetTimeout(connection->link->context, redis_time_left(connection, PATIENCE_MS));
        step = hear(connection, node, proof, ret_status, ret_error);
    }
    return step;
}

enum redis_step redis_prove(struct redis_connection *connection, struct redis_node *node,
                            enum backend_status *ret_status, struct backend_error *ret_error) {
    struct redis_cluster *cluster = connection->cluster;
    if (cluster->proofs)
        return prove(connection, node, cluster->proofs, ret_status, ret_error);
    if (!cluster->shown || is_proven(connection, node))
        return REDIS_DONE;
    see_shown(connection);
    enum redis_step step = prove(connection, node, cluster->shown, ret_status, ret_error);
    if (step == REDIS_DONE)
        note_proven(cluster, node);
    return step;
}

/* ---- Sealed ---- */

bool redis_is_sealed(const struct redis_cluster *cluster, const struct redis_node *node) {
    const struct redis_proof *proof = redis_proof_of(cluster->proofs, node->guard_slot);
    return proof && proof->applied && !node->wants_seal;
}

/* A time as well. It grows also where clocks go back, and from one connection to the next. */
static uint64_t next_number(struct redis_proofs *proofs) {
    uint64_t now_us = wall_us(), next = proofs->last_number + 1;
    proofs->last_number = now_us > next ? now_us : next;
    return proofs->last_number;
}

/* Replicas that were too few the last time are given as long as they get for a pause, as others wait meanwhile: so in
 * the end enough for those that are slow. */
static uint64_t wait_ms(const struct redis_connection *connection, const struct redis_node *node) {
    uint64_t most_ms = redis_wait_ms(connection), pause_ms = node->try_pause_us / US_PER_MS;
    if (!node->is_short)
        return most_ms;
    pause_ms = pause_ms > PATIENCE_MS ? pause_ms : PATIENCE_MS;
    return pause_ms < most_ms ? pause_ms : most_ms;
}

bool redis_seal_send(struct redis_connection *connection, struct redis_node *node, bool waits,
                     unsigned *ret_commands) {
    const struct redis_proof *proof = redis_proof_of(connection->cluster->proofs, node->guard_slot);
    node->seal_number = next_number(connection->cluster->proofs);
    node->seal_slot = node->guard_slot;
    node->seal_waits = waits && connection->replicas > 0;
    const struct slice set[] = {SLICE("SET"), key_of(connection, node->guard_slot),
                                redis_number(connection, node->seal_number), SLICE("XX")};
    bool sent = redis_append_slices(connection, proof && proof->applied ? 4 : 3, set);
    if (sent && node->seal_waits)
        sent = redis_append_wait(connection, wait_ms(connection, node));
    arena_reset(&connection->words);
    *ret_commands = node->seal_waits ? 2 : 1;
    return sent;
}

/* What came to this master before, in whatever slot, is behind the number. */
static void drop_others(struct redis_cluster *cluster, const struct redis_node *node) {
    struct redis_proofs *proofs = cluster->proofs;
    size_t kept = 0, index = redis_cluster_find(cluster, node);
    for (size_t i = 0; i < proofs->count; i++) {
        const struct redis_proof *proof = &proofs->list[i];
        bool covered = cluster->map.owner[proof->slot] == index && proof->link == node->link.serial &&
                       proof->slot != node->seal_slot;
        if (!covered)
            proofs->list[kept++] = *proof;
    }
    proofs->count = kept;
}

static void keep_proof(struct redis_connection *connection, struct redis_node *node) {
    struct redis_proof *proof = make(connection->cluster->proofs, node->seal_slot);
    if (!proof)
        return;
    proof->applied = node->seal_number;
    proof->high = node->raised_version > proof->high ? node->raised_version : proof->high;
    see(connection->cluster->proofs, proof, node);
    drop_others(connection->cluster, node);
    node->wants_seal = false;
    node->seal_misses = 0;
}

static enum redis_seal hold(struct redis_connection *connection, struct redis_node *node) {
    if (node->seal_number)
        keep_proof(connection, node);
    node->is_short &= connection->replicas > 0 && !node->seal_waits;
    return REDIS_SEALED;
}

/* No slot of the node takes the number. A loss of these rows would not be noticed, which is better than not to write
 * them. */
static enum redis_seal go_without(struct redis_connection *connection, struct redis_node *node) {
    node->seal_misses = 0;
    node->seal_number = 0;
    node->seal_is_set = true; /* replicas are waited for all the same */
    return node->seal_waits ? REDIS_SEALED : hold(connection, node);
}

/* The slot is on its way: the rows get a number in another one. Where all slots of a master are, there is none, and
 * neither is there at a new one that has only got the first rows of its first slot. */
static enum redis_seal take_another_slot(struct redis_connection *connection, struct redis_node *node,
                                         struct backend_error *ret_error) {
    if (node->guard_slot == node->seal_slot)
        redis_guard_take_next(connection->cluster, node);
    connection->cluster->wants_map = true;
    backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", redis at %s: slot %u is on its way to another node, and no other one was found for the number of a batch",
        connection->name, redis_shown(connection), node->seal_slot);
    if (!redis_node_has_slots(connection->cluster, node) ||
        (!node->seal_waits && ++node->seal_misses > MISSES_MAX))
        return go_without(connection, node);
    return REDIS_UNSEALED;
}

static enum redis_seal hear_number(struct redis_connection *connection, struct redis_node *node,
                                   const redisReply *reply, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    struct redis_proof *proof = redis_proof_of(connection->cluster->proofs, node->seal_slot);
    node->seal_is_set = false;
    if (reply->type == REDIS_REPLY_ERROR && redis_is_elsewhere(reply))
        return take_another_slot(connection, node, ret_error);
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_error_means(connection, reply, ret_status, ret_error);
        return REDIS_SEAL_FAILED;
    }
    if (reply->type == REDIS_REPLY_NIL && proof) {
        proof->applied = 0; /* somebody has removed the key alone: it is made anew */
        return REDIS_UNSEALED;
    }
    node->seal_is_set = true;
    return node->seal_waits ? REDIS_SEALED : hold(connection, node);
}

static enum redis_seal hear_wait(struct redis_connection *connection, struct redis_node *node,
                                 const redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_error_means(connection, reply, ret_status, ret_error);
        return REDIS_SEAL_FAILED;
    }
    if (!node->seal_is_set)
        return REDIS_UNSEALED; /* there was nothing to wait for */
    uint64_t waits = connection->base.replica_waits, too_few = connection->base.replica_short;
    enum redis_step step = redis_judge_wait(connection, reply, ret_status, ret_error);
    node->replica_waits += connection->base.replica_waits - waits;
    node->replica_short += connection->base.replica_short - too_few;
    return step == REDIS_DONE ? hold(connection, node) : REDIS_SEAL_SHORT;
}

enum redis_seal redis_seal_hear(struct redis_connection *connection, struct redis_node *node, unsigned nth,
                                redisReply *reply, enum backend_status *ret_status,
                                struct backend_error *ret_error) {
    enum redis_seal seal = nth == 0 ? hear_number(connection, node, reply, ret_status, ret_error)
                                    : hear_wait(connection, node, reply, ret_status, ret_error);
    freeReplyObject(reply);
    return seal;
}
