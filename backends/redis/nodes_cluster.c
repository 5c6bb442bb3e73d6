/* SPDX-License-Identifier: MIT */
/* Which servers there are (nodes.c), in a cluster: the hash of them is at the master of its slot. */
#include "backends/redis/deal.h"
#include "cache/base/clock.h"

static unsigned slot_of_nodes(struct redis_connection *connection, void *context, size_t job) {
    (void)connection, (void)context, (void)job;
    return redis_slot_of(SLICE(REDIS_NODES_KEY));
}

/* ---- Registering ---- */

struct register_task {
    uint64_t asked_us; /* wall clock */
    bool again;
};

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

enum backend_status redis_cluster_register(struct redis_connection *connection,
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

/* ---- Only looking ---- */

struct rival_task {
    long running_pid;
    redisReply *time;
    bool found;
};

enum { RIVAL_TIME, RIVAL_HOLDER, RIVAL_JOBS };

static bool send_rival(struct redis_connection *connection, void *context, size_t job) {
    (void)context;
    return job == RIVAL_TIME ? redis_rival_send_time(connection) : redis_rival_send_holder(connection);
}

static enum redis_step hear_rival(struct redis_connection *connection, void *context, size_t job,
                                  redisReply *reply, enum backend_status *ret_status,
                                  struct backend_error *ret_error) {
    struct rival_task *task = context;
    if (job == RIVAL_TIME) {
        task->time = reply;
        return REDIS_DONE;
    }
    task->found = redis_is_rival(connection, task->time, reply, task->running_pid, ret_error);
    freeReplyObject(reply);
    if (!task->found)
        return REDIS_DONE;
    *ret_status = BACKEND_REFUSED;
    return REDIS_FAILED;
}

enum backend_status redis_cluster_look_for_rival(struct redis_connection *connection, long running_pid,
                                                 struct backend_error *ret_error) {
    struct rival_task task = {.running_pid = running_pid};
    const struct redis_deal deal = {
        .count = RIVAL_JOBS, .task = &task, .slot = slot_of_nodes, .send = send_rival, .hear = hear_rival};
    bool done[RIVAL_JOBS];
    redis_begin_call(connection);
    enum backend_status status = redis_deal(connection, &deal, done, ret_error);
    freeReplyObject(task.time);
    return task.found ? BACKEND_REFUSED : status;
}
