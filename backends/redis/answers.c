/* SPDX-License-Identifier: MIT */
/* What the nodes of a cluster answer in a deal, and what becomes of its jobs by that: the table in deal.c. */
#include "backends/failure.h"
#include "backends/redis/dealing.h"
#include "cache/base/clock.h"
#include <errno.h>
#include <poll.h>

#define NOT_LOCAL "ERR Script attempted to access a non local key"

/* ---- Nodes ---- */

void redis_dealing_fail_node(struct dealing *dealing, struct redis_node *node) {
    if (!*dealing->error->message) /* NOSCRIPT to a number that was to be set */
        redis_odd_answer(dealing->connection, &(enum backend_status){BACKEND_OK}, dealing->error);
    node->error = *dealing->error;
    node->is_short = false;
    redis_node_fails(node);
    dealing->pauses = dealing->cluster->wants_map = true;
}

/* It has done what it was told, and is told no more for a while. */
static void fail_replicas(struct dealing *dealing, struct redis_node *node) {
    redis_dealing_fail_node(dealing, node);
    node->is_short = true;
    backend_fail(
        &node->error, BACKEND_TRANSIENT,
        "backend \"%s\", redis at %.100s: waits for its replicas, of which too few have what was written: see whether they are connected (INFO replication), or lower replicas",
        dealing->connection->name, node->address.shown);
}

/* What becomes of its jobs that were heard. */
static void end_jobs(struct dealing *dealing, const struct lane *lane, enum job_state state) {
    for (uint32_t i = lane->first; i != NO_JOB; i = dealing->jobs[i].next)
        if (dealing->jobs[i].state == JOB_HEARD)
            dealing->jobs[i].state = (uint8_t)state;
}

void redis_dealing_lose_lane(struct dealing *dealing, struct lane *lane) {
    redis_dealing_take_up(dealing, lane->node);
    redis_lose(dealing->connection, dealing->error);
    lane->node->error = *dealing->error;
    if (redis_node_may_be_back(lane->node))
        dealing->cluster->wants_map = true;
    else
        redis_dealing_fail_node(dealing, lane->node);
    end_jobs(dealing, lane, JOB_WAITS);
    lane->errors++;
    lane->unsent = lane->unheard = NO_JOB;
    lane->under_way = lane->due = lane->seals = lane->seals_heard = 0;
    lane->greeting = lane->unguarded = lane->unsealed = false;
}

static bool is_waiting(const struct lane *lane) {
    return lane->greeting || lane->under_way > 0 || lane->seals_heard < lane->seals;
}

void redis_dealing_give_up(struct dealing *dealing, enum backend_status status,
                           const struct backend_error *reason) {
    if (dealing->failed == BACKEND_OK || status == BACKEND_REPLACED) {
        dealing->failed = status;
        dealing->reason = *reason;
    }
}

/* ---- Answers ---- */

static void move_slot(struct dealing *dealing, struct lane *lane, struct job *job,
                      const struct redis_place *place) {
    struct redis_node *node = redis_cluster_node(dealing->connection, place);
    bool itself = node == lane->node;
    dealing->cluster->wants_map = true;
    dealing->pauses |= !node || itself;
    if (node) {
        node->wants_seal = true;
        dealing->cluster->map.owner[job->slot] = (uint8_t)redis_cluster_find(dealing->cluster, node);
    }
    char shown[REDIS_PLACE_SHOWN];
    redis_place_show(place, shown);
    backend_fail(dealing->error, BACKEND_TRANSIENT,
                 "backend \"%s\", redis at %.60s: slot %u is at %.60s, it says%s: see CLUSTER NODES there",
                 dealing->connection->name, redis_shown(dealing->connection), job->slot, shown,
                 itself ? ", which is itself, and refuses it" : "");
}

static bool redirect(struct dealing *dealing, struct lane *lane, struct job *job, const redisReply *reply) {
    unsigned slot;
    struct redis_place place;
    if (!redis_redirection_read(slice_of(reply->str, (size_t)reply->len), &lane->node->address.place, &slot,
                                &place))
        return false;
    lane->redirections++;
    if (redis_begins_with(reply, "ASK ")) {
        job->asks = redis_cluster_node(dealing->connection, &place);
        dealing->pauses |= !job->asks || job->asks == lane->node;
        dealing->asks = true;
    } else {
        move_slot(dealing, lane, job, &place);
    }
    return true;
}

/* What asking another node, or later, may mend. False: it is something else. */
static bool puts_off(struct dealing *dealing, struct lane *lane, const redisReply *reply) {
    static const char *const words[] = {"CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY"};
    enum backend_status status;
    if (redis_begins_with(reply, "NOSCRIPT")) {
        lane->loads_again = true;
        return true;
    }
    if (redis_begins_with(reply, "TRYAGAIN") || redis_begins_with(reply, NOT_LOCAL)) {
        redis_say(dealing->connection, reply, BACKEND_TRANSIENT, &status, dealing->error);
        dealing->pauses = dealing->moving = dealing->cluster->wants_map = true;
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (redis_begins_with(reply, words[i])) {
            redis_say(dealing->connection, reply, BACKEND_TRANSIENT, &status, dealing->error);
            redis_dealing_fail_node(dealing, lane->node);
            return true;
        }
    return false;
}

static void judge(struct dealing *dealing, struct lane *lane, enum redis_step step,
                  enum backend_status status) {
    if (step == REDIS_DONE && lane->node->is_short)
        return; /* what is known of its replicas stands */
    if (step == REDIS_DONE) {
        redis_node_serves(lane->node);
        return;
    }
    redis_dealing_give_up(dealing, status, dealing->error);
    if (status == BACKEND_TRANSIENT)
        redis_dealing_fail_node(dealing, lane->node);
}

static void hear_greeting(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    enum backend_status status = BACKEND_TRANSIENT;
    lane->greeting = false;
    bool is_error = reply->type == REDIS_REPLY_ERROR && !redis_begins_with(reply, "TRYAGAIN");
    lane->unguarded = reply->type == REDIS_REPLY_ERROR && redis_is_elsewhere(reply);
    if (is_error && puts_off(dealing, lane, reply)) {
        freeReplyObject(reply);
        return;
    }
    enum redis_step step = dealing->deal->hear_greeting(dealing->connection, dealing->deal->task, lane->node,
                                                        reply, &status, dealing->error);
    judge(dealing, lane, step, status);
}

/* Whether the node was to do it elsewhere or later, and so has not done it. (A script that met a key of another node
 * may have begun.) */
static bool is_put_off(struct dealing *dealing, struct lane *lane, uint32_t index, const redisReply *reply) {
    if (reply->type != REDIS_REPLY_ERROR ||
        !(redirect(dealing, lane, &dealing->jobs[index], reply) || puts_off(dealing, lane, reply)))
        return false;
    if (dealing->deal->put_off && !redis_begins_with(reply, NOT_LOCAL))
        dealing->deal->put_off(dealing->deal->task, index);
    return true;
}

static void hear_job(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    uint32_t index = lane->unheard;
    struct job *job = &dealing->jobs[index];
    enum backend_status status = BACKEND_TRANSIENT;
    lane->unheard = job->next == lane->unsent ? NO_JOB : job->next;
    lane->under_way--;
    lane->due--;
    lane->asking = false;
    job->asks = NULL;
    if (is_put_off(dealing, lane, index, reply)) {
        freeReplyObject(reply);
        return;
    }
    enum redis_step step =
        dealing->deal->hear(dealing->connection, dealing->deal->task, index, reply, &status, dealing->error);
    job->state = step != REDIS_DONE ? JOB_FAILED : dealing->deal->seal ? JOB_HEARD : JOB_DONE;
    judge(dealing, lane, step, status);
}

static void tell_short(struct dealing *dealing, const struct lane *lane) {
    for (uint32_t i = lane->first; i != NO_JOB && dealing->deal->short_of; i = dealing->jobs[i].next)
        if (dealing->jobs[i].state == JOB_HEARD)
            dealing->deal->short_of(dealing->deal->task, i);
}

/* Else all of its jobs went elsewhere, and there is nothing that an end would be for. */
static bool any_is_heard(const struct dealing *dealing, const struct lane *lane) {
    for (uint32_t i = lane->first; i != NO_JOB; i = dealing->jobs[i].next)
        if (dealing->jobs[i].state == JOB_HEARD)
            return true;
    return false;
}

/* All answers to its end are there. */
static void take_seal(struct dealing *dealing, struct lane *lane) {
    switch (lane->seal) {
    case REDIS_SEALED:
        if (!lane->node->is_short)
            redis_node_serves(lane->node);
        end_jobs(dealing, lane, JOB_DONE);
        return;
    case REDIS_UNSEALED:
        dealing->moving = true;
        lane->unsealed = any_is_heard(dealing, lane);
        return;
    case REDIS_SEAL_SHORT:
        tell_short(dealing, lane);
        redis_dealing_give_up(dealing, BACKEND_TRANSIENT, dealing->error);
        fail_replicas(dealing, lane->node);
        break;
    case REDIS_SEAL_FAILED:
        redis_dealing_give_up(dealing, BACKEND_TRANSIENT, dealing->error);
        redis_dealing_fail_node(dealing, lane->node);
        break;
    }
    end_jobs(dealing, lane, JOB_FAILED);
}

/* Its greeting is given once more, in another slot. Not to a master that has no slot yet. */
static bool has_to_be_guarded(const struct dealing *dealing, const struct lane *lane) {
    return lane->unguarded && redis_node_has_slots(dealing->cluster, lane->node);
}

static void hear_seal(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    enum backend_status status = BACKEND_TRANSIENT;
    unsigned nth = lane->seals_heard++;
    bool is_error = reply->type == REDIS_REPLY_ERROR && !redis_is_elsewhere(reply);
    bool moves = redis_begins_with(reply, "TRYAGAIN") || redis_begins_with(reply, NOT_LOCAL);
    enum redis_seal seal = moves ? REDIS_UNSEALED : REDIS_SEAL_FAILED;
    if (is_error && puts_off(dealing, lane, reply))
        freeReplyObject(reply);
    else
        seal = dealing->deal->hear_seal(dealing->connection, lane->node, nth, reply, &status, dealing->error);
    if (seal == REDIS_SEALED && has_to_be_guarded(dealing, lane))
        seal = REDIS_UNSEALED;
    lane->seal = seal > lane->seal ? seal : lane->seal;
    if (lane->seals_heard == lane->seals)
        take_seal(dealing, lane);
}

void redis_dealing_end_jobs(struct dealing *dealing, const struct lane *lane) {
    end_jobs(dealing, lane, JOB_DONE);
}

void redis_dealing_leave_unsealed(struct dealing *dealing, struct lane *lane) {
    redis_dealing_give_up(dealing, BACKEND_TRANSIENT, dealing->error);
    end_jobs(dealing, lane, JOB_FAILED);
}

static void hear_one(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    lane->errors += reply->type == REDIS_REPLY_ERROR;
    const struct job *job = lane->unheard == NO_JOB ? NULL : &dealing->jobs[lane->unheard];
    if (lane->greeting) {
        hear_greeting(dealing, lane, reply);
    } else if (job && job->asks && !lane->asking) {
        lane->asking = true;
        lane->due--;
        freeReplyObject(reply);
    } else if (job) {
        hear_job(dealing, lane, reply);
    } else if (lane->seals_heard < lane->seals) {
        hear_seal(dealing, lane, reply);
    } else {
        freeReplyObject(reply);
    }
}

/* All that has come. */
static void hear_lane(struct dealing *dealing, struct lane *lane) {
    void *reply = NULL;
    redis_dealing_take_up(dealing, lane->node);
    redisContext *context = lane->node->link.context;
    bool good = redis_read_in(context) == REDIS_OK;
    while (good && is_waiting(lane) && (good = redisReaderGetReply(context->reader, &reply) == REDIS_OK) &&
           reply) {
        hear_one(dealing, lane, reply);
        good = lane->node->link.context != NULL; /* gone, where there was no memory for the answer */
    }
    lane->heard_us = monotonic_us();
    if (lane->ended && lane->seals == 0 && lane->under_way == 0)
        end_jobs(dealing, lane, JOB_DONE);
    if (!good && is_waiting(lane))
        redis_dealing_lose_lane(dealing, lane);
}

static size_t list_waiting(struct dealing *dealing, struct pollfd *fds, struct lane **lanes) {
    size_t count = 0;
    for (size_t i = 0; i < dealing->lane_count; i++) {
        struct lane *lane = &dealing->lanes[i];
        if (!is_waiting(lane))
            continue;
        lanes[count] = lane;
        fds[count++] = (struct pollfd){.fd = lane->node->link.context->fd, .events = POLLIN};
    }
    return count;
}

static uint64_t longest_haste_us(struct lane *const *lanes, size_t count) {
    uint64_t longest_us = 0;
    for (size_t i = 0; i < count; i++)
        if (redis_haste_us(lanes[i]->node) > longest_us)
            longest_us = redis_haste_us(lanes[i]->node);
    return longest_us;
}

/* There was no answer in time (EAGAIN), or none could be waited for. */
static void end_lane(struct dealing *dealing, struct lane *lane, int failure) {
    lane->node->link.context->err = REDIS_ERR_IO;
    errno = failure;
    redis_dealing_lose_lane(dealing, lane);
}

/* False: nothing is under way any more. */
bool redis_dealing_hear(struct dealing *dealing) {
    struct pollfd fds[REDIS_MASTERS_MAX];
    struct lane *lanes[REDIS_MASTERS_MAX];
    size_t count = list_waiting(dealing, fds, lanes);
    uint64_t end_us = dealing->connection->deadline * US_PER_MS,
             haste_us = dealing->heard_us + longest_haste_us(lanes, count);
    bool hurries = redis_is_hasty(dealing) && haste_us < end_us;
    int ready = count ? redis_poll(fds, count, hurries ? haste_us : end_us) : 0, failure = errno;
    if (ready > 0)
        dealing->heard_us = monotonic_us();
    for (size_t i = 0; i < count; i++)
        if (fds[i].revents)
            hear_lane(dealing, lanes[i]);
        else if (ready == 0 && hurries)
            redis_dealing_leave_lane(dealing, lanes[i]);
        else if (ready <= 0)
            end_lane(dealing, lanes[i], ready == 0 ? EAGAIN : failure);
    return count > 0;
}
