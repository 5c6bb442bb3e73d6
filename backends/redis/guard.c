/* SPDX-License-Identifier: MIT */
/*
 * What a cluster is known by, and how it is noticed that a master has lost what it had. In one Redis the apply scripts
 * see to it, as all keys are in one place (mark.c). In a cluster a script reaches the keys of one slot, so
 *
 *     the high version   each master raises one before it is given rows, in the same pipeline, in a slot of its own: its guard
 *                        slot. Versions start above the highest of all slots, which is read when a connection is opened.
 *                        It must not be lower than it was: then this master lost what it had
 *     the mark           is one for the cluster (mark_cluster.c). A server that finds a master with less than it had sets
 *                        another one, and all others find out by it
 *
 * While a guard slot is on its way to another master, that has to be asked; then another slot is taken for it, and
 * raised behind the rows of the same call (deal.c, seal_again).
 *
 * What a master is known to have is kept in proofs (proofs.c), which go with the slots; the high version that it is
 * raised to is one of them once its batch is sealed.
 */
#include "backends/redis/deal.h"
#include "backends/redis/proofs.h"
#include "cache/base/clock.h"
#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS = 200 };

static const char high_start[] = REDIS_OWN " high_version:", mark_start[] = REDIS_OWN " store:";

/* ---- The guard slot of a node ---- */

/* Neighbours are often on their way together, so the next one is far away. Prime to their number: all slots are come
 * by. */
enum { STRIDE = 4099 };

static void scan(const struct redis_cluster *cluster, struct redis_node *node, unsigned from) {
    size_t index = redis_cluster_find(cluster, node);
    for (unsigned i = 0; i < REDIS_SLOTS; i++) {
        unsigned slot = (from + i * STRIDE) % REDIS_SLOTS;
        if (cluster->map.owner[slot] == index) {
            node->guard_slot = slot;
            return;
        }
    }
    node->guard_slot = 0; /* it has none, and says so */
}

/* Keeps the one that it has, while it is the node's; a node that was promoted goes on with that of the one before. */
static void find_guard_slot(const struct redis_cluster *cluster, struct redis_node *node) {
    size_t index = redis_cluster_find(cluster, node);
    if (node->guard_slot < REDIS_SLOTS && cluster->map.owner[node->guard_slot] == index)
        return;
    unsigned proven = redis_proofs_slot(cluster, index);
    if (proven < REDIS_SLOTS)
        node->guard_slot = proven;
    else
        scan(cluster, node, 0);
}

void redis_guard_take_next(const struct redis_cluster *cluster, struct redis_node *node) {
    node->raised_version = 0;
    scan(cluster, node, node->guard_slot + STRIDE);
}

/* 0: not known. */
static uint64_t known_version(const struct redis_cluster *cluster, const struct redis_node *node) {
    const struct redis_proof *proof = redis_proof_of(cluster->proofs, node->guard_slot);
    return proof ? proof->high : 0;
}

struct slice redis_high_key(struct redis_connection *connection, unsigned slot) {
    return redis_tagged(connection, high_start, slot);
}

bool redis_guard_send(struct redis_connection *connection, struct redis_node *node, uint64_t version) {
    find_guard_slot(connection->cluster, node);
    node->raised_version = 0;
    const struct slice list[] = {SLICE("EVALSHA"),
                                 slice_of(node->link.sha[REDIS_APPLY_HASH], REDIS_SHA_SIZE),
                                 SLICE("2"),
                                 redis_high_key(connection, node->guard_slot),
                                 redis_tagged(connection, mark_start, node->guard_slot),
                                 SLICE("0"),
                                 slice_string(connection->tombstone_seconds),
                                 redis_number(connection, version),
                                 SLICE(""),
                                 redis_number(connection, known_version(connection->cluster, node)),
                                 slice_string(connection->new_mark)};
    return redis_append_slices(connection, sizeof list / sizeof list[0], list);
}

enum redis_step redis_guard_hear(struct redis_connection *connection, struct redis_node *node,
                                 uint64_t version, redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    if (reply->type != REDIS_REPLY_ERROR) {
        node->raised_version = version;
    } else if (redis_is_elsewhere(reply)) {
        redis_guard_take_next(connection->cluster, node);
        connection->cluster->wants_map = true;
    } else {
        step = redis_error_means(connection, reply, ret_status, ret_error);
        connection->cluster->lost |= step == REDIS_FAILED && *ret_status == BACKEND_REPLACED;
    }
    freeReplyObject(reply);
    return step;
}

/* ---- The high version ---- */

struct high_task {
    uint64_t versions[REDIS_SLOTS];
    bool refused;
};

static unsigned slot_itself(struct redis_connection *connection, void *context, size_t job) {
    (void)connection, (void)context;
    return (unsigned)job;
}

static bool ask_high(struct redis_connection *connection, void *context, size_t job) {
    struct slice key = redis_high_key(connection, (unsigned)job);
    const char *words[] = {"GET", key.data};
    const size_t sizes[] = {3, key.size};
    (void)context;
    return redis_append(connection, 2, words, sizes);
}

static enum redis_step hear_high(struct redis_connection *connection, void *context, size_t job,
                                 redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    struct high_task *task = context;
    struct slice name = redis_high_key(connection, (unsigned)job);
    char key[64];
    bool refused = false;
    snprintf(key, sizeof key, "%.*s", (int)name.size, name.data ? name.data : "");
    enum redis_step step =
        redis_read_high(connection, key, reply, &task->versions[job], &refused, ret_status, ret_error);
    task->refused |= refused;
    arena_reset(&connection->words);
    freeReplyObject(reply);
    return step;
}

/* The slot with the highest version of a node becomes its guard slot: it was that of whoever wrote last. */
static void note_versions(struct redis_connection *connection, const struct high_task *task) {
    struct redis_cluster *cluster = connection->cluster;
    unsigned best[REDIS_MASTERS_MAX];
    memset(best, 0xff, sizeof best);
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        unsigned owner = cluster->map.owner[slot];
        if (task->versions[slot] && owner != REDIS_NOBODY &&
            (best[owner] >= REDIS_SLOTS || task->versions[slot] > task->versions[best[owner]]))
            best[owner] = slot;
    }
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct redis_node *node = cluster->nodes[i];
        if (best[i] >= REDIS_SLOTS || task->versions[best[i]] <= known_version(cluster, node))
            continue;
        node->guard_slot = best[i];
        redis_proofs_note_high(connection, node, best[i], task->versions[best[i]]);
    }
}

/* That of a master that is away is what it is known to have: it has to prove that when it is there again. */
static uint64_t take_versions(struct redis_connection *connection, const struct high_task *task) {
    const struct redis_proofs *proofs = connection->cluster->proofs;
    uint64_t highest = 0;
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++)
        highest = task->versions[slot] > highest ? task->versions[slot] : highest;
    if (connection->role == BACKEND_WRITER)
        note_versions(connection, task);
    for (size_t i = 0; proofs && i < proofs->count; i++)
        highest = proofs->list[i].high > highest ? proofs->list[i].high : highest;
    return highest;
}

/* ---- Looking ---- */

struct look_task {
    unsigned slots[REDIS_MASTERS_MAX + 1];
    size_t count;
    bool has_mark; /* the first job is about the mark, the others are about guard slots */
};

static unsigned slot_of_look(struct redis_connection *connection, void *context, size_t job) {
    const struct look_task *task = context;
    (void)connection;
    return task->slots[job];
}

/* Another one than was meant, if the slot has another master by now; which is as well. */
static struct redis_node *node_in_hand(const struct redis_connection *connection) {
    struct redis_cluster *cluster = connection->cluster;
    size_t index = 0;
    while (&cluster->nodes[index]->link != connection->link)
        index++;
    return cluster->nodes[index];
}

static bool send_look(struct redis_connection *connection, void *context, size_t job) {
    const struct look_task *task = context;
    return job > 0 || !task->has_mark ? redis_guard_send(connection, node_in_hand(connection), 0)
                                      : redis_cluster_ask_mark(connection);
}

static enum redis_step hear_look(struct redis_connection *connection, void *context, size_t job,
                                 redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    const struct look_task *task = context;
    return job > 0 || !task->has_mark
               ? redis_guard_hear(connection, node_in_hand(connection), 0, reply, ret_status, ret_error)
               : redis_cluster_compare_mark(connection, reply, ret_status, ret_error);
}

/* Whoever has rows that are behind no number gets one. Nobody waits for replicas of that. */
static bool seal_look(struct redis_connection *connection, void *context, struct redis_node *node,
                      unsigned *ret_commands) {
    (void)context;
    *ret_commands = 0;
    return redis_is_sealed(connection->cluster, node) ||
           redis_seal_send(connection, node, false, ret_commands);
}

static bool serves(const struct redis_node *node) {
    return node->trouble_since_us == 0 || node->is_short;
}

/* What is in trouble is not asked: it says nothing. */
static void list_looks(const struct redis_cluster *cluster, struct look_task *task) {
    unsigned of_mark = redis_slot_of(SLICE(REDIS_MARK_KEY)), owner = cluster->map.owner[of_mark];
    task->has_mark = owner != REDIS_NOBODY && serves(cluster->nodes[owner]);
    if (task->has_mark)
        task->slots[task->count++] = of_mark;
    for (size_t i = 0; i < cluster->map.master_count; i++) {
        struct redis_node *node = cluster->nodes[i];
        find_guard_slot(cluster, node);
        if (serves(node) && cluster->map.owner[node->guard_slot] == i)
            task->slots[task->count++] = node->guard_slot;
    }
}

static enum backend_status look(struct redis_connection *connection, struct backend_error *ret_error) {
    struct look_task task = {.count = 0};
    bool done[REDIS_MASTERS_MAX + 1];
    /* Nobody else may want to know who has taken over. */
    connection->cluster->wants_map |= redis_cluster_parts_away(connection->cluster) > 0;
    list_looks(connection->cluster, &task);
    const struct redis_deal deal = {.count = task.count,
                                    .task = &task,
                                    .slot = slot_of_look,
                                    .send = send_look,
                                    .hear = hear_look,
                                    .proves = true,
                                    .seal = seal_look,
                                    .hear_seal = redis_seal_hear};
    return redis_deal(connection, &deal, done, ret_error);
}

/* One that did not serve may be there again: the next look asks it, then. */
static void try_again(struct redis_connection *connection, struct redis_node *node) {
    if (monotonic_us() < node->try_at_us)
        return;
    if (redis_node_connect(connection, node, LOOK_MS, &node->error))
        redis_node_serves(node);
    else
        redis_node_fails(node);
    connection->link = &connection->only;
}

/* What a master that does not serve has, nobody knows: the look has not seen all. */
static enum backend_status see_all(struct redis_connection *connection, struct backend_error *ret_error) {
    const struct redis_cluster *cluster = connection->cluster;
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < cluster->map.master_count; i++)
        if (!serves(cluster->nodes[i])) {
            *ret_error = cluster->nodes[i]->error;
            connection->base.partial = true;
            status = BACKEND_TRANSIENT;
            try_again(connection, cluster->nodes[i]);
        }
    return status;
}

/* By a new map: a master that was replaced may go on as if it were not. */
enum backend_status redis_cluster_look(struct redis_connection *connection, struct backend_error *ret_error) {
    uint64_t until_us = connection->base.call_until_us;
    connection->base.call_until_us = monotonic_us() + LOOK_MS * US_PER_MS;
    enum backend_status status;
    redis_begin_call(connection);
    redis_cluster_refresh_now(connection, &status, ret_error); /* else by the old one */
    status = look(connection, ret_error);
    if (status == BACKEND_OK)
        status = redis_cluster_register(connection, ret_error);
    if (status == BACKEND_OK)
        status = see_all(connection, ret_error);
    connection->base.call_until_us = until_us;
    if (status == BACKEND_REPLACED)
        redis_cluster_mark_anew(connection);
    else
        redis_proofs_show(connection);
    return status;
}

/* ---- Opening ---- */

static enum backend_status read_versions(struct redis_connection *connection, struct high_task *task,
                                         struct backend_error *ret_error) {
    const struct redis_deal deal = {.count = REDIS_SLOTS,
                                    .task = task,
                                    .slot = slot_itself,
                                    .send = ask_high,
                                    .hear = hear_high,
                                    .proves = true};
    enum backend_status status = BACKEND_TRANSIENT;
    bool *done = calloc(REDIS_SLOTS, sizeof *done);
    if (done)
        status = redis_deal(connection, &deal, done, ret_error);
    else
        redis_out_of_memory(connection, &status, ret_error);
    free(done);
    return status;
}

/* Where a part of the cluster is away, the others are served. */
static bool fails(const struct redis_connection *connection, enum backend_status status) {
    return status != BACKEND_OK && !(status == BACKEND_TRANSIENT && connection->base.partial);
}

/* The versions, once no loss shows any more. One that the connection before has not seen yet is told with the first
 * answer (went_back), as there is nothing to leave; by the next opening, if this one goes wrong after all. */
static enum backend_status read_past_losses(struct redis_connection *connection, struct high_task *task,
                                            struct backend_error *ret_error) {
    enum backend_status status = read_versions(connection, task, ret_error);
    if (status != BACKEND_REPLACED || connection->role != BACKEND_WRITER)
        return status;
    if (connection->is_known) {
        redis_cluster_mark_anew(connection);
        return status;
    }
    redis_cluster_note_loss(connection);
    connection->cluster->proofs->to_tell = true;
    return read_versions(connection, task, ret_error);
}

/* Makes itself known, and knows what it is to find there from now on. */
static enum backend_status take_possession(struct redis_connection *connection,
                                           struct backend_error *ret_error) {
    if (!*connection->mark)
        redis_cluster_mark_loss(connection);
    enum backend_status status = redis_cluster_learn_mark(connection, ret_error);
    if (status == BACKEND_OK)
        status = redis_cluster_register(connection, ret_error);
    return status == BACKEND_OK ? look(connection, ret_error) : status;
}

/* What was lost until now is told by that. */
static void take_as_known(struct redis_connection *connection) {
    struct redis_proofs *proofs = connection->cluster->proofs;
    connection->is_known = true;
    connection->base.went_back |= proofs->to_tell;
    proofs->to_tell = false;
    redis_cluster_know_mark(connection);
}

static enum backend_status learn_versions(struct redis_connection *connection, struct high_task *task,
                                          uint64_t *ret_version, struct backend_error *ret_error) {
    bool writes = connection->role == BACKEND_WRITER;
    enum backend_status status = read_past_losses(connection, task, ret_error);
    uint64_t version = 0;
    if (!fails(connection, status)) {
        version = take_versions(connection, task);
        status = writes ? take_possession(connection, ret_error) : status;
    }
    if (task->refused)
        return BACKEND_REFUSED;
    if (fails(connection, status))
        return status;
    if (writes)
        take_as_known(connection);
    *ret_version = version;
    return BACKEND_OK; /* what is away is learnt by a look */
}

enum backend_status redis_cluster_high_version(struct redis_connection *connection, uint64_t *ret_version,
                                               struct backend_error *ret_error) {
    struct high_task *task = calloc(1, sizeof *task);
    enum backend_status status = BACKEND_TRANSIENT;
    if (task)
        status = learn_versions(connection, task, ret_version, ret_error);
    else
        redis_out_of_memory(connection, &status, ret_error);
    free(task);
    return status;
}
