/* SPDX-License-Identifier: MIT */
/*
 * See deal.h. A call goes in rounds until all jobs are done, or its time is over:
 *
 *     the map, if it is old -> jobs dealt to lanes, one for each node -> all lanes sent, then heard as they answer -> again
 *
 * What an answer means for its job:
 *
 *     MOVED                       the map is corrected, and the job goes there in the next round
 *     ASK                         the job goes to that node once, behind an ASKING; the map stays
 *     NOSCRIPT                    the link is made anew, which loads the scripts, and the job goes again
 *     TRYAGAIN                    it goes again after a pause: its keys are on their way from one node to another
 *     CLUSTERDOWN, LOADING, ...   the node does not serve now; again after a pause, by a new map
 *     a lost link                 it is made anew at once; where that fails, the same
 *     anything else               the job is done, or has failed: the task says so
 *
 * While no node serves, all of them are waited for as long as a call lasts. Where some do, nobody waits for the others, as the
 * keys of those that serve would wait behind them for their thread: the call ends once there is nothing more to do at once, and
 * says which jobs are not done. A node that does not serve is tried again with pauses that grow, by the calls that come then.
 * Slots on their way are waited for, for a moment.
 *
 * Versions of a key rise within a batch, so that the version guard keeps its order also where a slot moves between two jobs.
 */
#include "backends/redis/deal.h"
#include "backends/failure.h"
#include "cache/base/clock.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
    WINDOW = 512, /* jobs under way to one node */
    ROUNDS_AT_ONCE = 5,
    PAUSE_FIRST_MS = 10,
    PAUSE_LONGEST_MS = 500,
    CONNECT_MS = 200,
    PATIENCE_MS = 200, /* for slots on their way, while other nodes serve */
};

enum job_state { JOB_WAITS, JOB_DONE, JOB_FAILED };

enum { NO_JOB = UINT32_MAX };

struct job {
    uint32_t next; /* of the lane */
    uint16_t slot;
    uint8_t state;
    struct redis_node *asks; /* the node that takes it once; NULL: the master of its slot */
};

/* What goes to one node in a round. */
struct lane {
    struct redis_node *node;
    uint32_t unsent, unheard, last;
    size_t under_way;
    bool greeted;
    bool greeting;    /* its answer comes first */
    bool asking;      /* the answer to ASKING was heard, that of the job comes */
    bool loads_again; /* scripts are gone */
    uint64_t commands, errors, redirections, heard_us; /* for statistics */
};

struct dealing {
    struct redis_connection *connection;
    struct redis_cluster *cluster;
    const struct redis_deal *deal;
    struct job *jobs;
    struct lane lanes[REDIS_MASTERS_MAX];
    size_t lane_count;
    bool pauses;                 /* before the next round */
    bool moving;                 /* a slot is on its way */
    bool asks;                   /* some job has another node to go to */
    enum backend_status failed;  /* of a job; BACKEND_OK: none has */
    struct backend_error reason; /* why it failed */
    struct backend_error *error; /* what was met last */
};

/* ---- Nodes ---- */

static void take_up(struct dealing *dealing, struct redis_node *node) {
    dealing->connection->link = &node->link;
}

static void fail_node(struct dealing *dealing, struct redis_node *node) {
    node->error = *dealing->error;
    redis_node_fails(node);
    dealing->pauses = dealing->cluster->wants_map = true;
}

static void lose_lane(struct dealing *dealing, struct lane *lane) {
    take_up(dealing, lane->node);
    redis_lose(dealing->connection, dealing->error);
    if (redis_node_may_be_back(lane->node))
        dealing->cluster->wants_map = true;
    else
        fail_node(dealing, lane->node);
    lane->errors++;
    lane->unsent = lane->unheard = NO_JOB;
    lane->under_way = 0;
    lane->greeting = false;
}

static enum backend_status give_up(struct dealing *dealing, enum backend_status status,
                                   const struct backend_error *reason) {
    if (dealing->failed == BACKEND_OK || status == BACKEND_REPLACED) {
        dealing->failed = status;
        dealing->reason = *reason;
    }
    return status;
}

static void run_out_of_memory(struct dealing *dealing) {
    enum backend_status status;
    redis_out_of_memory(dealing->connection, &status, dealing->error);
    give_up(dealing, status, dealing->error);
}

/* ---- Dealing ---- */

/* The node that has what a job is about; NULL: none. */
static struct redis_node *node_of(const struct dealing *dealing, const struct job *job) {
    unsigned owner = dealing->cluster->map.owner[job->slot];
    return job->asks ? job->asks : owner != REDIS_NOBODY ? dealing->cluster->nodes[owner] : NULL;
}

/* The same, if the job goes there now; NULL: it waits. */
static struct redis_node *node_for(struct dealing *dealing, const struct job *job) {
    struct redis_node *node = node_of(dealing, job);
    if (node && (node->try_at_us == 0 || monotonic_us() >= node->try_at_us))
        return node;
    if (node)
        *dealing->error = node->error;
    else
        redis_cluster_tell_uncovered(dealing->connection, job->slot, dealing->error);
    dealing->cluster->wants_map = dealing->pauses = true;
    return NULL;
}

static struct lane *lane_of(struct dealing *dealing, struct redis_node *node) {
    for (size_t i = 0; i < dealing->lane_count; i++)
        if (dealing->lanes[i].node == node)
            return &dealing->lanes[i];
    struct lane *lane = &dealing->lanes[dealing->lane_count++];
    *lane = (struct lane){.node = node, .unsent = NO_JOB, .unheard = NO_JOB};
    return lane;
}

static void add_job(struct dealing *dealing, struct lane *lane, uint32_t index) {
    dealing->jobs[index].next = NO_JOB;
    if (lane->unsent == NO_JOB)
        lane->unsent = index;
    else
        dealing->jobs[lane->last].next = index;
    lane->last = index;
}

/* Jobs that wait go to lanes. */
static void deal_out(struct dealing *dealing) {
    dealing->lane_count = 0;
    for (size_t i = 0; i < dealing->deal->count; i++) {
        const struct job *job = &dealing->jobs[i];
        struct redis_node *node = job->state == JOB_WAITS ? node_for(dealing, job) : NULL;
        if (node)
            add_job(dealing, lane_of(dealing, node), (uint32_t)i);
    }
}

/* What went over a lane since then. */
static void note_exchange(const struct dealing *dealing, const struct lane *lane, uint64_t since_us) {
    struct backend_node exchange = {.away = lane->node->trouble_since_us != 0,
                                    .commands = lane->commands,
                                    .errors = lane->errors,
                                    .redirections = lane->redirections,
                                    .exchange_us = lane->heard_us > since_us ? lane->heard_us - since_us : 0};
    snprintf(exchange.name, sizeof exchange.name, "%.95s", lane->node->address.shown);
    backend_nodes_note(dealing->connection->nodes, &exchange);
}

static void connect_lanes(struct dealing *dealing) {
    size_t kept = 0;
    for (size_t i = 0; i < dealing->lane_count; i++) {
        struct lane *lane = &dealing->lanes[i];
        uint64_t since_us = monotonic_us();
        if (redis_node_connect(dealing->connection, lane->node, CONNECT_MS, dealing->error)) {
            dealing->lanes[kept++] = *lane;
            continue;
        }
        fail_node(dealing, lane->node);
        if (redis_cluster_is_partial(dealing->cluster))
            redis_node_rests(lane->node, monotonic_us() - since_us);
        lane->errors++;
        note_exchange(dealing, lane, monotonic_us());
    }
    dealing->lane_count = kept;
}

/* ---- Sending ---- */

static bool append_word(struct redis_connection *connection, const char *word) {
    const size_t size = strlen(word);
    return redis_append(connection, 1, &word, &size);
}

/* The first command to a node in a round. */
static bool greet(struct dealing *dealing, struct lane *lane) {
    if (!dealing->deal->greet || lane->greeted)
        return true;
    lane->greeted = lane->greeting = true;
    bool sent = dealing->deal->greet(dealing->connection, dealing->deal->task, lane->node);
    arena_reset(&dealing->connection->words);
    return sent;
}

static bool send_job(struct dealing *dealing, struct lane *lane) {
    struct job *job = &dealing->jobs[lane->unsent];
    bool sent = (!job->asks || append_word(dealing->connection, "ASKING")) &&
                dealing->deal->send(dealing->connection, dealing->deal->task, lane->unsent);
    arena_reset(&dealing->connection->words);
    if (lane->unheard == NO_JOB)
        lane->unheard = lane->unsent;
    lane->unsent = job->next;
    lane->under_way++;
    lane->commands++;
    return sent;
}

static void fill(struct dealing *dealing, struct lane *lane) {
    if (lane->unsent == NO_JOB || lane->under_way > WINDOW / 2)
        return;
    take_up(dealing, lane->node);
    bool sent = greet(dealing, lane);
    while (sent && lane->unsent != NO_JOB && lane->under_way < WINDOW)
        sent = send_job(dealing, lane);
    if (!sent)
        run_out_of_memory(dealing);
    if (!sent || redis_send(dealing->connection) != REDIS_DONE)
        lose_lane(dealing, lane);
}

/* ---- Answers ---- */

static void move_slot(struct dealing *dealing, struct lane *lane, struct job *job,
                      const struct redis_place *place) {
    struct redis_node *node = redis_cluster_node(dealing->connection, place);
    bool itself = node == lane->node;
    dealing->cluster->wants_map = true;
    dealing->pauses |= !node || itself;
    if (node)
        dealing->cluster->map.owner[job->slot] = (uint8_t)redis_cluster_find(dealing->cluster, node);
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
    if (redis_begins_with(reply, "TRYAGAIN") ||
        redis_begins_with(reply, "ERR Script attempted to access a non local key")) {
        redis_say(dealing->connection, reply, BACKEND_TRANSIENT, &status, dealing->error);
        dealing->pauses = dealing->moving = dealing->cluster->wants_map = true;
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (redis_begins_with(reply, words[i])) {
            redis_say(dealing->connection, reply, BACKEND_TRANSIENT, &status, dealing->error);
            fail_node(dealing, lane->node);
            return true;
        }
    return false;
}

static void judge(struct dealing *dealing, struct lane *lane, enum redis_step step,
                  enum backend_status status) {
    if (step == REDIS_DONE) {
        redis_node_serves(lane->node);
        return;
    }
    give_up(dealing, status, dealing->error);
    if (status == BACKEND_TRANSIENT)
        fail_node(dealing, lane->node);
}

static void hear_greeting(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    enum backend_status status = BACKEND_TRANSIENT;
    lane->greeting = false;
    bool is_error = reply->type == REDIS_REPLY_ERROR && !redis_begins_with(reply, "TRYAGAIN");
    if (is_error && puts_off(dealing, lane, reply)) {
        freeReplyObject(reply);
        return;
    }
    enum redis_step step = dealing->deal->hear_greeting(dealing->connection, dealing->deal->task, lane->node,
                                                        reply, &status, dealing->error);
    judge(dealing, lane, step, status);
}

static void hear_job(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    uint32_t index = lane->unheard;
    struct job *job = &dealing->jobs[index];
    enum backend_status status = BACKEND_TRANSIENT;
    lane->unheard = job->next == lane->unsent ? NO_JOB : job->next;
    lane->under_way--;
    lane->asking = false;
    job->asks = NULL;
    if (reply->type == REDIS_REPLY_ERROR &&
        (redirect(dealing, lane, job, reply) || puts_off(dealing, lane, reply))) {
        freeReplyObject(reply);
        return;
    }
    enum redis_step step =
        dealing->deal->hear(dealing->connection, dealing->deal->task, index, reply, &status, dealing->error);
    job->state = step == REDIS_DONE ? JOB_DONE : JOB_FAILED;
    judge(dealing, lane, step, status);
}

static void hear_one(struct dealing *dealing, struct lane *lane, redisReply *reply) {
    lane->errors += reply->type == REDIS_REPLY_ERROR;
    const struct job *job = lane->unheard == NO_JOB ? NULL : &dealing->jobs[lane->unheard];
    if (lane->greeting) {
        hear_greeting(dealing, lane, reply);
    } else if (job && job->asks && !lane->asking) {
        lane->asking = true;
        freeReplyObject(reply);
    } else if (job) {
        hear_job(dealing, lane, reply);
    } else {
        freeReplyObject(reply);
    }
}

/* All that has come. */
static void hear_lane(struct dealing *dealing, struct lane *lane) {
    void *reply = NULL;
    take_up(dealing, lane->node);
    redisContext *context = lane->node->link.context;
    bool good = redisBufferRead(context) == REDIS_OK;
    while (good && lane->under_way && (good = redisReaderGetReply(context->reader, &reply) == REDIS_OK) &&
           reply)
        hear_one(dealing, lane, reply);
    lane->heard_us = monotonic_us();
    if (!good && lane->under_way)
        lose_lane(dealing, lane);
}

static size_t list_waiting(struct dealing *dealing, struct pollfd *fds, struct lane **lanes) {
    size_t count = 0;
    for (size_t i = 0; i < dealing->lane_count; i++) {
        struct lane *lane = &dealing->lanes[i];
        if (lane->under_way == 0)
            continue;
        lanes[count] = lane;
        fds[count++] = (struct pollfd){.fd = lane->node->link.context->fd, .events = POLLIN};
    }
    return count;
}

/* False: nothing is under way any more. */
static bool hear_some(struct dealing *dealing) {
    struct pollfd fds[REDIS_MASTERS_MAX];
    struct lane *lanes[REDIS_MASTERS_MAX];
    size_t count = list_waiting(dealing, fds, lanes);
    struct timeval left = redis_time_left(dealing->connection, INT32_MAX);
    int ready = count ? poll(fds, count, (int)(left.tv_sec * 1000 + left.tv_usec / 1000)) : 0;
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents)
            hear_lane(dealing, lanes[i]);
        else if (ready <= 0) {
            lanes[i]->node->link.context->err = REDIS_ERR_IO; /* no answer in time */
            errno = EAGAIN;
            lose_lane(dealing, lanes[i]);
        }
    }
    return count > 0;
}

/* ---- The whole ---- */

static void load_scripts_again(struct dealing *dealing) {
    for (size_t i = 0; i < dealing->lane_count; i++)
        if (dealing->lanes[i].loads_again) {
            take_up(dealing, dealing->lanes[i].node);
            redis_disconnect(dealing->connection);
        }
}

static void round_of(struct dealing *dealing) {
    enum backend_status status;
    if (dealing->cluster->wants_map && !dealing->asks)
        redis_cluster_refresh(dealing->connection, &status, dealing->error);
    dealing->pauses = dealing->asks = dealing->moving = false;
    deal_out(dealing);
    connect_lanes(dealing);
    uint64_t since_us = monotonic_us();
    do
        for (size_t i = 0; i < dealing->lane_count; i++)
            fill(dealing, &dealing->lanes[i]);
    while (hear_some(dealing));
    for (size_t i = 0; i < dealing->lane_count; i++)
        note_exchange(dealing, &dealing->lanes[i], since_us);
    load_scripts_again(dealing);
}

static bool any_is(const struct dealing *dealing, enum job_state state) {
    for (size_t i = 0; i < dealing->deal->count; i++)
        if (dealing->jobs[i].state == state)
            return true;
    return false;
}

/* It was sent to and fro. */
static bool any_waits_for_one_that_serves(const struct dealing *dealing) {
    for (size_t i = 0; i < dealing->deal->count; i++) {
        const struct redis_node *node = node_of(dealing, &dealing->jobs[i]);
        if (dealing->jobs[i].state == JOB_WAITS && node && node->trouble_since_us == 0)
            return true;
    }
    return false;
}

/* Whether to go on where a pause is needed. */
static bool is_worth_waiting(const struct dealing *dealing, uint64_t began_us) {
    if (!redis_cluster_is_partial(dealing->cluster))
        return true;
    bool in_time = monotonic_us() - began_us < PATIENCE_MS * US_PER_MS;
    return in_time &&
           (dealing->moving || (!any_is(dealing, JOB_DONE) && any_waits_for_one_that_serves(dealing)));
}

static void run(struct dealing *dealing) {
    uint64_t began_us = monotonic_us();
    unsigned pause_ms = PAUSE_FIRST_MS;
    for (unsigned rounds = 1;; rounds++) {
        round_of(dealing);
        if (dealing->failed == BACKEND_REPLACED || !any_is(dealing, JOB_WAITS))
            return;
        if (!dealing->pauses && rounds % ROUNDS_AT_ONCE != 0)
            continue;
        if (!is_worth_waiting(dealing, began_us) || !redis_pause(dealing->connection, pause_ms))
            return;
        pause_ms = pause_ms * 2 < PAUSE_LONGEST_MS ? pause_ms * 2 : PAUSE_LONGEST_MS;
    }
}

static enum backend_status sum_up(const struct dealing *dealing, bool *ret_done) {
    bool all = true;
    for (size_t i = 0; i < dealing->deal->count; i++) {
        ret_done[i] = dealing->jobs[i].state == JOB_DONE;
        all &= ret_done[i];
    }
    if (dealing->failed != BACKEND_OK)
        *dealing->error = dealing->reason;
    return dealing->failed != BACKEND_OK ? dealing->failed : all ? BACKEND_OK : BACKEND_TRANSIENT;
}

static bool find_slots(struct dealing *dealing) {
    for (size_t i = 0; i < dealing->deal->count; i++) {
        unsigned slot = dealing->deal->slot(dealing->connection, dealing->deal->task, i);
        arena_reset(&dealing->connection->words);
        if (slot >= REDIS_SLOTS)
            return false;
        dealing->jobs[i] = (struct job){.next = NO_JOB, .slot = (uint16_t)slot};
    }
    return true;
}

enum backend_status redis_deal(struct redis_connection *connection, const struct redis_deal *deal,
                               bool *ret_done, struct backend_error *ret_error) {
    struct dealing *dealing = calloc(1, sizeof *dealing);
    struct job *jobs = calloc(deal->count + 1, sizeof *jobs);
    enum backend_status status = BACKEND_TRANSIENT;
    memset(ret_done, 0, deal->count * sizeof *ret_done);
    connection->base.partial = false;
    *ret_error->message = '\0';
    redis_begin_call(connection);
    if (dealing)
        *dealing = (struct dealing){.connection = connection,
                                    .cluster = connection->cluster,
                                    .deal = deal,
                                    .jobs = jobs,
                                    .error = ret_error};
    if (dealing && jobs && find_slots(dealing)) {
        run(dealing);
        status = sum_up(dealing, ret_done);
    } else {
        redis_out_of_memory(connection, &status, ret_error);
    }
    connection->base.parts_away = redis_cluster_parts_away(connection->cluster);
    connection->base.partial = status == BACKEND_TRANSIENT && redis_cluster_is_partial(connection->cluster);
    connection->link = &connection->only;
    free(jobs);
    free(dealing);
    return status;
}
