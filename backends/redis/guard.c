/* SPDX-License-Identifier: MIT */
/*
 * What a cluster is known by, and how it is noticed that a master has lost what it had. In one Redis the apply scripts see to
 * it, as all keys are in one place (mark.c). In a cluster a script reaches the keys of one slot, so
 *
 *     the high version   each master raises one before it is given rows, in the same pipeline, in a slot of its own: its guard
 *                        slot. Versions start above the highest of all slots, which is read when a connection is opened.
 *                        It must not be lower than it was: then this master lost what it had
 *     the mark           is one for the cluster. A server that finds a master with less than it had sets another one, and
 *                        all others find out by it
 *
 * While a guard slot is on its way to another master, that has to be asked; then another slot is taken for it. What a master
 * that is replaced had raised is expected of the replica that takes its place (cluster.c).
 */
#include "backends/failure.h"
#include "backends/redis/deal.h"
#include "cache/base/clock.h"
#include <stdlib.h>

enum { LOOK_MS = 200 };

static const char high_start[] = REDIS_OWN " high_version:", mark_start[] = REDIS_OWN " store:";

/* ---- The guard slot of a node ---- */

/* Keeps the one that it has, while it is the node's. */
static bool find_guard_slot(const struct redis_cluster *cluster, struct redis_node *node) {
    size_t index = redis_cluster_find(cluster, node);
    unsigned from = node->guard_slot < REDIS_SLOTS ? node->guard_slot : 0;
    for (unsigned i = 0; i < REDIS_SLOTS; i++) {
        unsigned slot = (from + i) % REDIS_SLOTS;
        if (cluster->map.owner[slot] != index)
            continue;
        if (slot != node->guard_slot)
            node->known_version = 0;
        node->guard_slot = slot;
        return true;
    }
    return false;
}

static void take_next_guard_slot(struct redis_node *node) {
    node->guard_slot = (node->guard_slot + 1) % REDIS_SLOTS;
    node->known_version = 0;
}

bool redis_guard_send(struct redis_connection *connection, struct redis_node *node, uint64_t version) {
    enum { WORDS = 11 };
    if (!find_guard_slot(connection->cluster, node))
        node->guard_slot = 0; /* it has none, and says so */
    const struct slice list[WORDS] = {SLICE("EVALSHA"),
                                      slice_of(node->link.sha[REDIS_APPLY_HASH], REDIS_SHA_SIZE),
                                      SLICE("2"),
                                      redis_tagged(connection, high_start, node->guard_slot),
                                      redis_tagged(connection, mark_start, node->guard_slot),
                                      SLICE("0"),
                                      slice_string(connection->tombstone_seconds),
                                      redis_number(connection, version),
                                      SLICE(""),
                                      redis_number(connection, node->known_version),
                                      slice_string(connection->new_mark)};
    const char *words[WORDS];
    size_t sizes[WORDS];
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = list[i].data;
        sizes[i] = list[i].size;
    }
    return redis_append(connection, WORDS, words, sizes);
}

enum redis_step redis_guard_hear(struct redis_connection *connection, struct redis_node *node,
                                 uint64_t version, redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    if (reply->type != REDIS_REPLY_ERROR) {
        node->known_version = version > node->known_version ? version : node->known_version;
    } else if (redis_is_elsewhere(reply)) {
        take_next_guard_slot(node);
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
    struct slice key = redis_tagged(connection, high_start, (unsigned)job);
    const char *words[] = {"GET", key.data};
    const size_t sizes[] = {3, key.size};
    (void)context;
    return redis_append(connection, 2, words, sizes);
}

static enum redis_step hear_high(struct redis_connection *connection, void *context, size_t job,
                                 redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    struct high_task *task = context;
    struct slice name = redis_tagged(connection, high_start, (unsigned)job);
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
static uint64_t take_versions(struct redis_cluster *cluster, const struct high_task *task) {
    uint64_t highest = 0;
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        uint64_t version = task->versions[slot];
        highest = version > highest ? version : highest;
        if (version == 0 || cluster->map.owner[slot] == REDIS_NOBODY)
            continue;
        struct redis_node *node = cluster->nodes[cluster->map.owner[slot]];
        if (version > node->known_version) {
            node->guard_slot = slot;
            node->known_version = version;
        }
    }
    return highest;
}

/* ---- The mark ---- */

enum { MARK_SET, MARK_GET };

static unsigned slot_of_mark(struct redis_connection *connection, void *context, size_t job) {
    (void)connection, (void)context, (void)job;
    return redis_slot_of(SLICE(REDIS_MARK_KEY));
}

static bool send_mark(struct redis_connection *connection, void *context, size_t job) {
    const char *set[] = {"SET", REDIS_MARK_KEY, connection->new_mark, "NX"}, *get[] = {"GET", REDIS_MARK_KEY};
    const size_t sizes[] = {3, sizeof REDIS_MARK_KEY - 1, REDIS_MARK_SIZE, 2};
    const bool *replaces = context;
    return job == MARK_SET ? redis_append(connection, *replaces ? 3 : 4, set, sizes)
                           : redis_append(connection, 2, get, sizes);
}

/* A store that takes no writes now is known by none. */
static enum redis_step hear_mark(struct redis_connection *connection, void *context, size_t job,
                                 redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    (void)context, (void)ret_status, (void)ret_error;
    if (job == MARK_GET && redis_is_mark(reply))
        redis_take_mark(connection, reply);
    freeReplyObject(reply);
    return REDIS_DONE;
}

static enum backend_status set_mark(struct redis_connection *connection, bool replaces, size_t jobs,
                                    struct backend_error *ret_error) {
    const struct redis_deal deal = {
        .count = jobs, .task = &replaces, .slot = slot_of_mark, .send = send_mark, .hear = hear_mark};
    bool done[2];
    return redis_deal(connection, &deal, done, ret_error);
}

void redis_cluster_mark_anew(struct redis_connection *connection) {
    struct backend_error error; /* whoever knows of the loss tells it */
    if (!connection->cluster->lost)
        return; /* somebody else has found out, and set this mark */
    connection->cluster->lost = false;
    set_mark(connection, true, 1, &error);
}

/* ---- Which servers there are (nodes.c) ---- */

struct register_task {
    uint64_t asked_us; /* wall clock */
    bool again;
};

static unsigned slot_of_nodes(struct redis_connection *connection, void *context, size_t job) {
    (void)connection, (void)context, (void)job;
    return redis_slot_of(SLICE(REDIS_NODES_KEY));
}

static bool send_registration(struct redis_connection *connection, void *context, size_t job) {
    struct register_task *task = context;
    (void)job;
    task->asked_us = wall_us();
    return redis_register_send(connection);
}

static enum redis_step hear_registration(struct redis_connection *connection, void *context, size_t job,
                                         redisReply *reply, enum backend_status *ret_status,
                                         struct backend_error *ret_error) {
    struct register_task *task = context;
    (void)job;
    return redis_register_hear(connection, reply, task->asked_us, &task->again, ret_status, ret_error);
}

static enum backend_status register_server(struct redis_connection *connection,
                                           struct backend_error *ret_error) {
    enum { TRIES = 2 };
    struct register_task task = {.again = true};
    const struct redis_deal deal = {.count = 1,
                                    .task = &task,
                                    .slot = slot_of_nodes,
                                    .send = send_registration,
                                    .hear = hear_registration};
    enum backend_status status = BACKEND_OK;
    bool done;
    for (unsigned tries = 0; tries < TRIES && task.again && status == BACKEND_OK; tries++)
        status = redis_deal(connection, &deal, &done, ret_error);
    return status;
}

void redis_cluster_take_up_nodes(struct redis_connection *connection) {
    struct redis_cluster *cluster = connection->cluster;
    unsigned owner = cluster->map.owner[redis_slot_of(SLICE(REDIS_NODES_KEY))];
    if (owner != REDIS_NOBODY)
        connection->link = &cluster->nodes[owner]->link;
}

/* Where a part of the cluster is away, the others are served: their versions count. */
enum backend_status redis_cluster_high_version(struct redis_connection *connection, uint64_t *ret_version,
                                               struct backend_error *ret_error) {
    struct high_task *task = calloc(1, sizeof *task);
    bool *done = calloc(REDIS_SLOTS, sizeof *done);
    enum backend_status status = BACKEND_TRANSIENT;
    struct redis_deal deal = {
        .count = REDIS_SLOTS, .task = task, .slot = slot_itself, .send = ask_high, .hear = hear_high};
    if (task && done)
        status = redis_deal(connection, &deal, done, ret_error);
    else
        redis_out_of_memory(connection, &status, ret_error);
    if (status == BACKEND_TRANSIENT && connection->base.partial)
        status = BACKEND_OK;
    if (status == BACKEND_OK)
        *ret_version = take_versions(connection->cluster, task);
    if (status == BACKEND_OK && connection->role == BACKEND_WRITER)
        for (unsigned replaces = 0; replaces < 2 && status == BACKEND_OK && !*connection->mark; replaces++)
            status = set_mark(connection, replaces, 2, ret_error);
    if (status == BACKEND_OK && connection->role == BACKEND_WRITER)
        status = register_server(connection, ret_error);
    if (status == BACKEND_TRANSIENT && connection->base.partial)
        status = BACKEND_OK; /* the rest is learnt by a look */
    bool refused = (task && task->refused) || status == BACKEND_REFUSED;
    free(done);
    free(task);
    return refused ? BACKEND_REFUSED : status;
}

/* ---- Looking ---- */

struct look_task {
    struct redis_node *nodes[REDIS_MASTERS_MAX]; /* of the jobs; NULL: that of the mark */
    size_t count;
};

static unsigned slot_of_look(struct redis_connection *connection, void *context, size_t job) {
    const struct look_task *task = context;
    (void)connection;
    return task->nodes[job] ? task->nodes[job]->guard_slot : redis_slot_of(SLICE(REDIS_MARK_KEY));
}

static bool send_look(struct redis_connection *connection, void *context, size_t job) {
    const struct look_task *task = context;
    static const bool replaces = false;
    bool is_known = *connection->mark != '\0';
    if (task->nodes[job])
        return redis_guard_send(connection, task->nodes[job], 0);
    return send_mark(connection, (void *)(uintptr_t)&replaces, is_known ? MARK_GET : MARK_SET);
}

static enum redis_step compare_mark(struct redis_connection *connection, redisReply *reply,
                                    enum backend_status *ret_status, struct backend_error *ret_error) {
    bool same = reply->type == REDIS_REPLY_STRING && strcmp(reply->str, connection->mark) == 0;
    bool told =
        same || reply->type == REDIS_REPLY_ERROR || reply->type == REDIS_REPLY_STATUS || !*connection->mark;
    freeReplyObject(reply);
    if (told)
        return REDIS_DONE;
    *ret_status = backend_fail(
        ret_error, BACKEND_REPLACED,
        "backend \"%s\", redis at %s: the cluster was emptied or replaced by another store, or a part of it went back to an older state",
        connection->name, redis_shown(connection));
    return REDIS_FAILED;
}

static enum redis_step hear_look(struct redis_connection *connection, void *context, size_t job,
                                 redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    const struct look_task *task = context;
    return task->nodes[job] ? redis_guard_hear(connection, task->nodes[job], 0, reply, ret_status, ret_error)
                            : compare_mark(connection, reply, ret_status, ret_error);
}

static bool serves(const struct redis_node *node) {
    return node->trouble_since_us == 0;
}

/* What is in trouble is not asked: it says nothing. */
static void list_looks(const struct redis_cluster *cluster, struct look_task *task) {
    unsigned owner = cluster->map.owner[redis_slot_of(SLICE(REDIS_MARK_KEY))];
    if (owner != REDIS_NOBODY && serves(cluster->nodes[owner]))
        task->nodes[task->count++] = NULL;
    for (size_t i = 0; i < cluster->map.master_count && task->count < REDIS_MASTERS_MAX; i++)
        if (serves(cluster->nodes[i]) && cluster->nodes[i]->known_version)
            task->nodes[task->count++] = cluster->nodes[i];
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
    struct look_task task = {.count = 0};
    bool done[REDIS_MASTERS_MAX];
    uint64_t until_us = connection->base.call_until_us;
    enum backend_status status;
    connection->base.call_until_us = monotonic_us() + LOOK_MS * US_PER_MS;
    redis_begin_call(connection);
    redis_cluster_refresh_now(connection, &status, ret_error); /* else by the old one */
    list_looks(connection->cluster, &task);
    const struct redis_deal deal = {
        .count = task.count, .task = &task, .slot = slot_of_look, .send = send_look, .hear = hear_look};
    status = redis_deal(connection, &deal, done, ret_error);
    if (status == BACKEND_OK)
        status = register_server(connection, ret_error);
    if (status == BACKEND_OK)
        status = see_all(connection, ret_error);
    connection->base.call_until_us = until_us;
    if (status == BACKEND_REPLACED)
        redis_cluster_mark_anew(connection);
    return status;
}
