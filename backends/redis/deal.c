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
 * While no node serves, all of them are waited for as long as a call lasts. Where some do, nobody waits for the others,
 * as the keys of those that serve would wait behind them for their thread: the call ends once there is nothing more to
 * do at once, and says which jobs are not done. A node that does not serve is tried again with pauses that grow, by the
 * calls that come then. A hasty deal does not wait for one that is silent either (late.c).
 * Slots on their way are waited for, for a moment.
 *
 * Where a deal has an end for each node, which says that others have what it did as well (proofs.c), a job counts as
 * done when that has come back in the same round. While too few replicas have it, its node is in trouble for whatever
 * is sealed, and serves the rest.
 *
 * Versions of a key rise within a batch, so that the version guard keeps its order also where a slot moves between two
 * jobs.
 */
#include "backends/redis/deal.h"
#include "backends/failure.h"
#include "backends/redis/dealing.h"
#include "backends/redis/proofs.h"
#include "cache/base/clock.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    WINDOW = 512, /* jobs under way to one node */
    ROUNDS_AT_ONCE = 5,
    PAUSE_FIRST_MS = 10,
    PAUSE_LONGEST_MS = 500,
    CONNECT_MS = 200,
    SHORT_OF_US = 2000, /* by so much the time of a link may end early, as it is counted in ms */
    PATIENCE_MS = 200,  /* for slots on their way, while other nodes serve */
};

/* ---- Dealing ---- */

/* The node that has what a job is about; NULL: none. */
static struct redis_node *node_of(const struct dealing *dealing, const struct job *job) {
    unsigned owner = dealing->cluster->map.owner[job->slot];
    return job->asks ? job->asks : owner != REDIS_NOBODY ? dealing->cluster->nodes[owner] : NULL;
}

/* The same, if the job goes there now; NULL: it waits. */
static struct redis_node *node_for(struct dealing *dealing, const struct job *job) {
    struct redis_node *node = node_of(dealing, job);
    if (node && (node->try_at_us == 0 || monotonic_us() >= node->try_at_us ||
                 (node->is_short && !dealing->deal->waits)))
        return node;
    if (node)
        *dealing->error = node->error;
    else if (!dealing->told_uncovered)
        redis_cluster_tell_uncovered(dealing->connection, job->slot, dealing->error);
    dealing->told_uncovered |= !node;
    dealing->cluster->wants_map = dealing->pauses = true;
    return NULL;
}

static struct lane *lane_of(struct dealing *dealing, struct redis_node *node) {
    for (size_t i = 0; i < dealing->lane_count; i++)
        if (dealing->lanes[i].node == node)
            return &dealing->lanes[i];
    struct lane *lane = &dealing->lanes[dealing->lane_count++];
    *lane = (struct lane){.node = node, .first = NO_JOB, .unsent = NO_JOB, .unheard = NO_JOB};
    return lane;
}

static void add_job(struct dealing *dealing, struct lane *lane, uint32_t index) {
    dealing->jobs[index].next = NO_JOB;
    if (lane->first == NO_JOB)
        lane->first = lane->unsent = index;
    else
        dealing->jobs[lane->last].next = index;
    lane->last = index;
}

/* Those of nodes that are late. */
static void leave_late(struct dealing *dealing) {
    const struct redis_node *late[REDIS_MASTERS_MAX] = {NULL};
    const struct redis_cluster *cluster = dealing->cluster;
    size_t late_count = 0;
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i]->late_since_us && redis_dealing_goes_without(dealing, cluster->nodes[i]))
            late[late_count++] = cluster->nodes[i];
    for (size_t i = 0; late_count > 0 && i < dealing->deal->count; i++) {
        struct job *job = &dealing->jobs[i];
        const struct redis_node *node = job->state == JOB_WAITS ? node_of(dealing, job) : NULL;
        for (size_t at = 0; node && at < late_count; at++)
            if (late[at] == node)
                job->state = JOB_LATE;
    }
}

/* Jobs that wait go to lanes. */
static void deal_out(struct dealing *dealing) {
    dealing->lane_count = 0;
    if (redis_is_hasty(dealing))
        leave_late(dealing);
    for (size_t i = 0; i < dealing->deal->count; i++) {
        const struct job *job = &dealing->jobs[i];
        struct redis_node *node = job->state == JOB_WAITS ? node_for(dealing, job) : NULL;
        if (node)
            add_job(dealing, lane_of(dealing, node), (uint32_t)i);
    }
}

/* What went over a lane since then. */
static void note_exchange(const struct dealing *dealing, const struct lane *lane, uint64_t since_us) {
    struct redis_node *node = lane->node;
    struct backend_node exchange = {.away = node->trouble_since_us != 0 && !node->is_short,
                                    .commands = lane->commands,
                                    .errors = lane->errors,
                                    .redirections = lane->redirections,
                                    .replica_waits = node->replica_waits,
                                    .replica_short = node->replica_short,
                                    .exchange_us = lane->heard_us > since_us ? lane->heard_us - since_us : 0};
    node->replica_waits = node->replica_short = 0;
    snprintf(exchange.name, sizeof exchange.name, "%.95s", node->address.shown);
    backend_nodes_note(dealing->connection->nodes, &exchange);
}

/* How long it may take to connect a node. One that never was may be far away. */
static uint64_t connect_ms(const struct dealing *dealing, const struct redis_node *node) {
    if (dealing->deal->patience == BACKEND_PATIENT)
        return dealing->connection->timeout_ms;
    return redis_is_hasty(dealing) && node->reach_us ? redis_haste_us(node) / US_PER_MS + 1 : CONNECT_MS;
}

/* Connected, and known to have what it had. */
static bool is_ready(struct dealing *dealing, const struct lane *lane) {
    enum backend_status status = BACKEND_TRANSIENT;
    if (!redis_node_connect(dealing->connection, lane->node, connect_ms(dealing, lane->node), dealing->error))
        return false;
    if (!dealing->deal->proves)
        return true;
    enum redis_step step = redis_prove(dealing->connection, lane->node, &status, dealing->error);
    if (step == REDIS_LOST)
        redis_lose(dealing->connection, dealing->error);
    else if (step != REDIS_DONE && status == BACKEND_REPLACED)
        redis_dealing_give_up(dealing, status, dealing->error);
    return step == REDIS_DONE;
}

static void connect_lanes(struct dealing *dealing) {
    size_t kept = 0;
    for (size_t i = 0; i < dealing->lane_count; i++) {
        struct lane *lane = &dealing->lanes[i];
        uint64_t since_us = monotonic_us(), most_us = connect_ms(dealing, lane->node) * US_PER_MS;
        if (is_ready(dealing, lane)) {
            dealing->lanes[kept++] = *lane;
            continue;
        }
        uint64_t spent_us = monotonic_us() - since_us;
        redis_dealing_fail_node(dealing, lane->node);
        if (redis_cluster_is_partial(dealing->cluster))
            redis_node_rests(lane->node, spent_us);
        if (redis_is_hasty(dealing))
            redis_dealing_miss_lane(dealing, lane, spent_us + SHORT_OF_US >= most_us);
        lane->errors++;
        note_exchange(dealing, lane, monotonic_us());
    }
    dealing->lane_count = dealing->failed == BACKEND_REPLACED ? 0 : kept;
}

/* ---- Sending ---- */

static void run_out_of_memory(struct dealing *dealing) {
    enum backend_status status;
    redis_out_of_memory(dealing->connection, &status, dealing->error);
    redis_dealing_give_up(dealing, status, dealing->error);
}

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
    lane->due += job->asks ? 2 : 1;
    lane->commands++;
    return sent;
}

/* The last ones. */
static bool end_lane(struct dealing *dealing, struct lane *lane) {
    if (!dealing->deal->seal || lane->ended)
        return true;
    lane->ended = true;
    return dealing->deal->seal(dealing->connection, dealing->deal->task, lane->node, &lane->seals);
}

static void fill(struct dealing *dealing, struct lane *lane) {
    if (lane->unsent == NO_JOB || lane->under_way > WINDOW / 2)
        return;
    redis_dealing_take_up(dealing, lane->node);
    bool sent = greet(dealing, lane);
    while (sent && lane->unsent != NO_JOB && lane->under_way < WINDOW)
        sent = send_job(dealing, lane);
    if (sent && lane->unsent == NO_JOB)
        sent = end_lane(dealing, lane);
    if (!sent)
        run_out_of_memory(dealing);
    if (!sent || redis_send(dealing->connection) != REDIS_DONE)
        redis_dealing_lose_lane(dealing, lane);
}

/* While its slot moves, the greeting or the end of a lane may be for another node, and its jobs were done without: both
 * are given once more, in another slot, also where the greeting was heard: what it did in one slot is not so in the
 * other. All answers have been heard. */
static void seal_again(struct dealing *dealing, struct lane *lane) {
    enum { TRIES = 16 };
    for (unsigned tries = 0; lane->unsealed && tries < TRIES; tries++) {
        redis_dealing_take_up(dealing, lane->node);
        lane->unsealed = lane->ended = false;
        lane->seal = REDIS_SEALED;
        lane->seals = lane->seals_heard = 0;
        lane->greeted = false;
        bool sent = greet(dealing, lane) && end_lane(dealing, lane);
        if (!sent)
            run_out_of_memory(dealing);
        if (!sent || redis_send(dealing->connection) != REDIS_DONE)
            redis_dealing_lose_lane(dealing, lane);
        else if (lane->seals == 0)
            redis_dealing_end_jobs(dealing, lane);
        while (redis_dealing_hear(dealing))
            ;
    }
    if (lane->unsealed)
        redis_dealing_leave_unsealed(dealing, lane);
}

/* ---- The whole ---- */

static void load_scripts_again(struct dealing *dealing) {
    for (size_t i = 0; i < dealing->lane_count; i++)
        if (dealing->lanes[i].loads_again) {
            redis_dealing_take_up(dealing, dealing->lanes[i].node);
            redis_disconnect(dealing->connection);
        }
}

/* Of a node that the map does not know yet it cannot be said what it has to prove. A node that is not in a new map is
 * gone: whoever was sent there goes to the master first, and is sent on again. */
static void renew_map(struct dealing *dealing) {
    const struct redis_cluster *cluster = dealing->cluster;
    enum backend_status status;
    if (dealing->deal->proves && cluster->node_count > cluster->map.master_count)
        redis_cluster_refresh_now(dealing->connection, &status, dealing->error);
    else
        redis_cluster_refresh(dealing->connection, &status, dealing->error);
    for (size_t i = 0; i < dealing->deal->count; i++)
        dealing->jobs[i].asks = NULL;
}

static void round_of(struct dealing *dealing) {
    if (dealing->cluster->wants_map && !dealing->asks)
        renew_map(dealing);
    dealing->pauses = dealing->asks = dealing->moving = dealing->told_uncovered = false;
    deal_out(dealing);
    connect_lanes(dealing);
    uint64_t since_us = dealing->heard_us = monotonic_us();
    do
        for (size_t i = 0; i < dealing->lane_count; i++)
            fill(dealing, &dealing->lanes[i]);
    while (redis_dealing_hear(dealing));
    for (size_t i = 0; i < dealing->lane_count; i++)
        seal_again(dealing, &dealing->lanes[i]);
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
    if (dealing->deal->patient || !redis_cluster_is_partial(dealing->cluster))
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
        if (dealing->jobs[i].state == JOB_LATE)
            dealing->deal->late(dealing->deal->task, i);
    }
    if (dealing->failed != BACKEND_OK)
        *dealing->error = dealing->reason;
    enum backend_status status = dealing->failed != BACKEND_OK ? dealing->failed
                                 : all                         ? BACKEND_OK
                                                               : BACKEND_TRANSIENT;
    if (status != BACKEND_OK &&
        !*dealing->error->message) /* nothing was heard but that slots are elsewhere */
        backend_fail(dealing->error, status, "backend \"%s\", redis cluster: no answer in time",
                     dealing->connection->name);
    return status;
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
    bool late = false;
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
        late = any_is(dealing, JOB_LATE);
    } else {
        redis_out_of_memory(connection, &status, ret_error);
    }
    connection->base.parts_away = redis_cluster_parts_away(connection->cluster);
    connection->base.partial =
        status == BACKEND_TRANSIENT && (late || redis_cluster_is_partial(connection->cluster));
    connection->link = &connection->only;
    free(jobs);
    free(dealing);
    return status;
}
