/* SPDX-License-Identifier: MIT */
/*
 * The masters of a Redis Cluster, and who has which slot.
 *
 *     a seed, or any node that is known --CLUSTER SLOTS--> the map --a slot is asked for--> its master is connected
 *                    ^                                                                             |
 *                    +--------- at most every ASK_AGAIN_MS: MOVED, CLUSTERDOWN, a lost link ------+
 *
 * The map is asked for over a link of its own, for a moment: the links to the nodes may have answers under way. Nodes
 * that serve are asked first, each server beginning with another one, then the seeds, then those that do not: after a
 * master's death the others know first.
 *
 * A node that is not in a new map is forgotten with its link. It comes back by a map, or by a redirection.
 *
 * Names of a cluster: what Forebay keeps beside a row has a tag of the slot of that row (slots.h), so it is where the
 * row is, also if the key holds braces. Only the high version of a single row cannot be: each master raises one in a
 * slot of its own before its rows, and an opening connection reads those of all slots.
 */
#include "backends/redis/cluster.h"
#include "backends/failure.h"
#include "cache/base/clock.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    MOMENT_MS = 200, /* for a node that is asked for the map, and at most half of what the call has left */
    ASK_AGAIN_US = 100000,
    TRY_PAUSE_US = 20000,
    TRY_PAUSE_LONGEST_US = 2000000,
    REST_SHARE = 20, /* times what an attempt has taken */
    PLACES_MAX = REDIS_MASTERS_MAX + REDIS_SEEDS_MAX
};

/* ---- Nodes ---- */

struct redis_cluster *redis_cluster_create(void) {
    struct redis_cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster)
        return NULL;
    memset(cluster->map.owner, REDIS_NOBODY, sizeof cluster->map.owner);
    cluster->wants_map = true;
    return cluster;
}

static void free_node(struct redis_node *node) {
    if (node && node->link.context)
        redisFree(node->link.context);
    free(node);
}

void redis_cluster_destroy(struct redis_cluster *cluster) {
    for (size_t i = 0; cluster && i < cluster->node_count; i++)
        free_node(cluster->nodes[i]);
    if (cluster)
        free(cluster->shown);
    free(cluster);
}

static struct redis_node *make_node(const struct redis_connection *connection,
                                    const struct redis_place *place) {
    struct redis_node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->address = connection->address;
    redis_address_take_node(&node->address, place);
    node->link.address = &node->address;
    node->guard_slot = REDIS_SLOTS;
    return node;
}

static size_t find_place(const struct redis_cluster *cluster, const struct redis_place *place) {
    size_t index = 0;
    while (index < cluster->node_count && !redis_is_one_place(&cluster->nodes[index]->address.place, place))
        index++;
    return index;
}

size_t redis_cluster_find(const struct redis_cluster *cluster, const struct redis_node *node) {
    size_t index = 0;
    while (cluster->nodes[index] != node)
        index++;
    return index;
}

bool redis_node_has_slots(const struct redis_cluster *cluster, const struct redis_node *node) {
    return memchr(cluster->map.owner, (int)redis_cluster_find(cluster, node), REDIS_SLOTS) != NULL;
}

struct redis_node *redis_cluster_node(struct redis_connection *connection, const struct redis_place *place) {
    struct redis_cluster *cluster = connection->cluster;
    size_t index = find_place(cluster, place);
    if (index == REDIS_MASTERS_MAX)
        return NULL;
    if (index == cluster->node_count) {
        struct redis_node *node = make_node(connection, place);
        if (!node)
            return NULL;
        cluster->nodes[cluster->node_count++] = node;
    }
    return cluster->nodes[index];
}

void redis_node_fails(struct redis_node *node) {
    uint64_t now_us = monotonic_us(), pause_us = 2 * node->try_pause_us;
    if (node->trouble_since_us == 0)
        node->trouble_since_us = now_us;
    if (now_us < node->try_at_us) /* the answers to a pipeline all say so */
        return;
    node->try_pause_us = pause_us < TRY_PAUSE_US           ? TRY_PAUSE_US
                         : pause_us > TRY_PAUSE_LONGEST_US ? TRY_PAUSE_LONGEST_US
                                                           : pause_us;
    node->try_at_us = now_us + node->try_pause_us;
}

void redis_node_rests(struct redis_node *node, uint64_t spent_us) {
    uint64_t rest_us = REST_SHARE * spent_us;
    uint64_t until_us = monotonic_us() + (rest_us < TRY_PAUSE_LONGEST_US ? rest_us : TRY_PAUSE_LONGEST_US);
    if (node->try_at_us < until_us)
        node->try_at_us = until_us;
}

bool redis_node_may_be_back(struct redis_node *node) {
    if (node->trouble_since_us)
        return false;
    node->trouble_since_us = monotonic_us();
    return true;
}

void redis_node_serves(struct redis_node *node) {
    node->trouble_since_us = node->try_at_us = node->try_pause_us = node->late_since_us = 0;
}

bool redis_node_connect(struct redis_connection *connection, struct redis_node *node, uint64_t most_ms,
                        struct backend_error *ret_error) {
    uint64_t deadline = connection->deadline, soon = monotonic_us() / US_PER_MS + most_ms;
    enum backend_status status;
    connection->link = &node->link;
    if (node->link.context && node->owed == 0)
        return true;
    node->owed = 0; /* with the link */
    if (soon < deadline)
        connection->deadline = soon;
    uint64_t began_us = monotonic_us();
    enum redis_step step = redis_connect(connection, &status, ret_error);
    connection->deadline = deadline;
    if (step == REDIS_DONE)
        node->reach_us = monotonic_us() - began_us;
    return step == REDIS_DONE;
}

unsigned redis_cluster_parts_away(const struct redis_cluster *cluster) {
    unsigned away = cluster->uncovered_since_us != 0;
    for (size_t i = 0; i < cluster->map.master_count; i++)
        away += cluster->nodes[i]->trouble_since_us != 0;
    return away;
}

bool redis_cluster_is_partial(const struct redis_cluster *cluster) {
    for (size_t i = 0; i < cluster->map.master_count && cluster->is_reached; i++)
        if (cluster->nodes[i]->trouble_since_us == 0)
            return true;
    return false;
}

/* ---- A new map ---- */

static void tell_map(const struct redis_connection *connection) {
    const struct redis_cluster *cluster = connection->cluster;
    struct backend_node *masters = calloc(REDIS_MASTERS_MAX, sizeof *masters);
    if (!masters)
        return; /* only statistics want it */
    for (size_t i = 0; i < cluster->map.master_count; i++)
        snprintf(masters[i].name, sizeof masters[i].name, "%.95s", cluster->nodes[i]->address.shown);
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
        if (cluster->map.owner[slot] != REDIS_NOBODY)
            masters[cluster->map.owner[slot]].slots++;
    backend_nodes_set(connection->nodes, masters, cluster->map.master_count);
    free(masters);
}

/* Rows that have come to a node are not behind its number. */
static void note_arrivals(struct redis_cluster *cluster, struct redis_node *const *nodes) {
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        unsigned old = cluster->map.owner[slot], owner = cluster->next.owner[slot];
        if (owner != REDIS_NOBODY && (old == REDIS_NOBODY || cluster->nodes[old] != nodes[owner]))
            nodes[owner]->wants_seal = true;
    }
}

/* The nodes in the order of the map, with what was known of them. False: out of memory; the old map stays. */
static bool take_map(struct redis_connection *connection) {
    struct redis_cluster *cluster = connection->cluster;
    const struct redis_slot_map *next = &cluster->next;
    struct redis_node *nodes[REDIS_MASTERS_MAX];
    for (size_t i = 0; i < next->master_count; i++) {
        nodes[i] = redis_cluster_node(connection, &next->masters[i]);
        if (!nodes[i])
            return false;
    }
    note_arrivals(cluster, nodes);
    for (size_t i = 0; i < next->master_count; i++)
        cluster->nodes[redis_cluster_find(cluster, nodes[i])] = NULL;
    for (size_t i = 0; i < cluster->node_count; i++)
        free_node(cluster->nodes[i]);
    memcpy(cluster->nodes, nodes, next->master_count * sizeof *nodes);
    cluster->node_count = next->master_count;
    cluster->map = *next;
    if (redis_cluster_first_uncovered(cluster) == REDIS_SLOTS)
        cluster->uncovered_since_us = 0;
    else if (cluster->uncovered_since_us == 0)
        cluster->uncovered_since_us = monotonic_us();
    tell_map(connection);
    return true;
}

bool redis_is_elsewhere(const redisReply *reply) {
    return redis_begins_with(reply, "MOVED ") || redis_begins_with(reply, "ASK ") ||
           redis_begins_with(reply, "TRYAGAIN");
}

unsigned redis_cluster_first_uncovered(const struct redis_cluster *cluster) {
    const uint8_t *slot = memchr(cluster->map.owner, REDIS_NOBODY, REDIS_SLOTS);
    return slot ? (unsigned)(slot - cluster->map.owner) : REDIS_SLOTS;
}

void redis_cluster_tell_uncovered(const struct redis_connection *connection, unsigned slot,
                                  struct backend_error *ret_error) {
    size_t count = 0;
    char others[40] = "";
    for (size_t i = 0; i < REDIS_SLOTS; i++)
        count += connection->cluster->map.owner[i] == REDIS_NOBODY;
    if (count == 2)
        snprintf(others, sizeof others, ", nor has another");
    else if (count > 2)
        snprintf(others, sizeof others, ", nor have %zu others", count - 1);
    backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", redis cluster: slot %u has no master%s: start their nodes, or give the slots away (redis-cli --cluster fix)",
        connection->name, slot, others);
}

enum backend_status redis_cluster_probe(const struct redis_connection *connection,
                                        struct backend_error *ret_error) {
    unsigned slot = redis_cluster_first_uncovered(connection->cluster);
    if (connection->base.partial || slot == REDIS_SLOTS)
        return connection->base.partial ? BACKEND_TRANSIENT : BACKEND_OK;
    redis_cluster_tell_uncovered(connection, slot, ret_error);
    return BACKEND_TRANSIENT;
}

/* ---- Asking for it ---- */

/* Where it is asked, and what was said. */
struct asking {
    struct redis_connection *connection;
    struct redis_place place;
    struct redis_node *node; /* a link for a moment */
};

static redisReply *say(redisContext *context, size_t count, const char **words) {
    size_t sizes[3];
    for (size_t i = 0; i < count; i++)
        sizes[i] = strlen(words[i]);
    return redis_command(context, count, words, sizes);
}

/* What is wrong with the answer of a node. */
static enum redis_step judge_refusal(struct redis_connection *connection, const redisReply *reply,
                                     enum backend_status *ret_status, struct backend_error *ret_error) {
    if (reply->type != REDIS_REPLY_ERROR)
        return redis_odd_answer(connection, ret_status, ret_error);
    if (redis_begins_with(reply, "ERR This instance has cluster support disabled")) {
        *ret_status = backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", redis at %s: it is no node of a cluster: write redis:// into its uri, or name nodes of one",
            connection->name, redis_shown(connection));
        return REDIS_FAILED;
    }
    return redis_say(connection, reply, redis_is_refusal(reply) ? BACKEND_REFUSED : BACKEND_TRANSIENT,
                     ret_status, ret_error);
}

/* The answer to the last of two commands, the login where there is one. */
static redisReply *log_in_and_ask(struct redis_connection *connection, redisContext *context) {
    const struct redis_address *address = connection->link->address;
    const char *ask[] = {"CLUSTER", "SLOTS"}, *login[3] = {"AUTH"};
    size_t count = 1;
    if (*address->user)
        login[count++] = address->user;
    login[count++] = address->password;
    redisReply *reply = *address->user || *address->password ? say(context, count, login) : NULL;
    if (reply && reply->type == REDIS_REPLY_ERROR)
        return reply;
    if (reply)
        freeReplyObject(reply);
    return context->err ? NULL : say(context, 2, ask);
}

/* One that does not answer, be it the first that is named, leaves time for the next: else a short call, as each look
 * is, would never come to them. */
static struct timeval moment_for(const struct redis_connection *connection) {
    struct timeval left = redis_time_left(connection, 2 * MOMENT_MS);
    uint64_t half_us = ((uint64_t)left.tv_sec * US_PER_SECOND + (uint64_t)left.tv_usec) / 2;
    return (struct timeval){(time_t)(half_us / US_PER_SECOND), (suseconds_t)(half_us % US_PER_SECOND)};
}

/* What the node in hand says. NULL: nothing that is a map. */
static redisReply *ask_node(struct redis_connection *connection, enum backend_status *ret_status,
                            struct backend_error *ret_error) {
    struct redis_cluster *cluster = connection->cluster;
    const struct redis_place *place = &connection->link->address->place;
    redisContext *context = redis_dial(place, NULL, moment_for(connection));
    redisReply *reply = NULL;
    connection->link->context = context;
    if (context && !context->err)
        reply = log_in_and_ask(connection, context);
    if (!reply) {
        *ret_status = BACKEND_TRANSIENT;
        redis_lose(connection, ret_error);
        return NULL;
    }
    redis_disconnect(connection);
    if (redis_slots_read(reply, place, &cluster->next))
        return reply;
    judge_refusal(connection, reply, ret_status, ret_error);
    freeReplyObject(reply);
    return NULL;
}

static redisReply *ask_place(struct redis_connection *connection, const struct redis_place *place,
                             enum backend_status *ret_status, struct backend_error *ret_error) {
    struct redis_node *node = make_node(connection, place); /* beside the one that may be known there */
    redisReply *reply = NULL;
    if (!node) {
        redis_out_of_memory(connection, ret_status, ret_error);
        return NULL;
    }
    connection->link = &node->link;
    reply = ask_node(connection, ret_status, ret_error);
    connection->link = &connection->only;
    free_node(node);
    return reply;
}

/* Each server begins with another one, so that all of them together ask all masters alike. */
static void add_masters(const struct redis_connection *connection, bool in_trouble,
                        struct redis_place *places, size_t *count) {
    const struct redis_cluster *cluster = connection->cluster;
    size_t masters = cluster->map.master_count;
    for (size_t i = 0; i < masters; i++) {
        const struct redis_node *node = cluster->nodes[(connection->node + i) % masters];
        if ((node->trouble_since_us != 0) == in_trouble)
            places[(*count)++] = node->address.place;
    }
}

/* Whom to ask, in this order. */
static size_t list_places(const struct redis_connection *connection, struct redis_place *places) {
    size_t count = 0;
    add_masters(connection, false, places, &count);
    for (size_t i = 0; i < connection->address.seed_count; i++)
        places[count++] = connection->address.seeds[i];
    add_masters(connection, true, places, &count);
    return count;
}

bool redis_cluster_refresh(struct redis_connection *connection, enum backend_status *ret_status,
                           struct backend_error *ret_error) {
    struct redis_cluster *cluster = connection->cluster;
    uint64_t now_us = monotonic_us();
    connection->link = &connection->only;
    if (cluster->asked_us && now_us - cluster->asked_us < ASK_AGAIN_US)
        return true;
    cluster->asked_us = now_us;
    struct redis_place *places = calloc(PLACES_MAX, sizeof *places);
    size_t count = places ? list_places(connection, places) : 0;
    if (!places)
        redis_out_of_memory(connection, ret_status, ret_error);
    redisReply *reply = NULL;
    for (size_t i = 0; i < count && !reply; i++)
        reply = ask_place(connection, &places[i], ret_status, ret_error);
    free(places);
    cluster->is_reached = reply != NULL;
    if (reply && take_map(connection))
        cluster->wants_map = false;
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

bool redis_cluster_refresh_now(struct redis_connection *connection, enum backend_status *ret_status,
                               struct backend_error *ret_error) {
    connection->cluster->asked_us = 0;
    return redis_cluster_refresh(connection, ret_status, ret_error);
}

bool redis_cluster_seed_is_away(struct redis_connection *connection, struct backend_error *ret_error) {
    const struct redis_address *address = &connection->address;
    bool away = false;
    redis_begin_call(connection);
    for (size_t i = 0; i < address->seed_count && !away; i++) {
        enum backend_status status;
        redisReply *reply = ask_place(connection, &address->seeds[i], &status, ret_error);
        away = !reply;
        if (reply)
            freeReplyObject(reply);
    }
    return away;
}

/* ---- The first contact ---- */

/* The first answer, and where it came from. */
struct first_answer {
    redisReply *reply;
    const struct redis_place *place;
    bool is_contradicted;
};

static enum backend_status refuse_two(const struct redis_connection *connection,
                                      const struct redis_place *one, const struct redis_place *other,
                                      struct backend_error *ret_error) {
    char a[REDIS_PLACE_SHOWN], b[REDIS_PLACE_SHOWN];
    redis_place_show(one, a);
    redis_place_show(other, b);
    return backend_fail(
        ret_error, BACKEND_REFUSED,
        "backend \"%s\", redis at %.80s and %.80s: they are of two clusters: name nodes of one in its uri",
        connection->name, a, b);
}

static enum backend_status compare_seed(struct redis_connection *connection, const struct redis_place *seed,
                                        struct first_answer *first, struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    redisReply *reply = ask_place(connection, seed, &status, ret_error);
    if (!reply)
        return status;
    if (!first->reply) {
        *first = (struct first_answer){.reply = reply, .place = seed};
        return BACKEND_OK;
    }
    bool one_is_empty = reply->elements == 0 || first->reply->elements == 0;
    first->is_contradicted = !one_is_empty && !redis_slots_share_node(first->reply, reply);
    freeReplyObject(reply);
    return first->is_contradicted ? refuse_two(connection, first->place, seed, ret_error) : BACKEND_OK;
}

/* Seeds that name nodes of two clusters would make one store of them today and another tomorrow. What one of them
 * refuses does not matter while another one answers. */
static enum backend_status compare_seeds(struct redis_connection *connection,
                                         struct backend_error *ret_error) {
    const struct redis_address *address = &connection->address;
    enum backend_status status = BACKEND_TRANSIENT;
    struct first_answer first = {.reply = NULL};
    for (size_t i = 0; i < address->seed_count && !first.is_contradicted; i++) {
        bool knew_one = first.reply != NULL;
        struct backend_error error = {.message = ""};
        enum backend_status one = compare_seed(connection, &address->seeds[i], &first, &error);
        if (!knew_one || first.is_contradicted) {
            status = one;
            *ret_error = error;
        }
    }
    if (first.reply)
        freeReplyObject(first.reply);
    return status;
}

enum backend_status redis_cluster_open(struct redis_connection *connection, bool all_seeds,
                                       struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    redis_begin_call(connection);
    if (all_seeds && (status = compare_seeds(connection, ret_error)) != BACKEND_OK)
        return status;
    status = BACKEND_TRANSIENT;
    return redis_cluster_refresh(connection, &status, ret_error) ? BACKEND_OK : status;
}
