/* SPDX-License-Identifier: MIT */
/*
 * A server that has another number than before, which is in the names of what a store keeps for each (acknowledged.c,
 * nodes.c). The number of its last batch is at the old name. It counts as if it were at the new one, so nothing is
 * taken for lost; and the server takes its old number off the list of those that are about, if a kill has left it
 * there.
 *
 * Unless another server has the old number by now: then what is at the old name is that one's, and may be later than
 * what was lost of ours. It is told by the list, where each is known by its data folder (nodes.c): an entry of another,
 * however old, means that. A server that had the number meanwhile and was stopped has left no entry; its batches came
 * behind ours, and it is of no matter unless the store went back as well.
 */
#include "backends/redis/internal.h"
#include <stdio.h>

static enum redis_step ask(struct redis_connection *connection, size_t count, const struct slice *words,
                           redisReply **ret_reply, enum backend_status *ret_status,
                           struct backend_error *ret_error) {
    if (!redis_append_slices(connection, count, words))
        return redis_out_of_memory(connection, ret_status, ret_error);
    return redis_answer(connection, ret_reply);
}

/* The value is seconds, home, and what follows (nodes.c). */
static bool is_ours(const struct redis_connection *connection, const redisReply *entry) {
    char home[REDIS_SELF_SIZE];
    _Static_assert(REDIS_SELF_SIZE == 100, "the form below has another");
    return entry->type == REDIS_REPLY_STRING && sscanf(entry->str, "%*u %99s ", home) == 1 &&
           strcmp(home, connection->home) == 0;
}

static enum redis_step forget_entry(struct redis_connection *connection, struct slice node,
                                    enum backend_status *ret_status, struct backend_error *ret_error) {
    const struct slice words[] = {SLICE("HDEL"), SLICE(REDIS_NODES_KEY), node};
    redisReply *reply = NULL;
    enum redis_step step = ask(connection, 3, words, &reply, ret_status, ret_error);
    freeReplyObject(reply);
    return step;
}

/* Where the list may not be read, nobody knows whose it is. */
static enum redis_step look_whose(struct redis_connection *connection, struct slice node, bool *ret_ours,
                                  enum backend_status *ret_status, struct backend_error *ret_error) {
    const struct slice words[] = {SLICE("HGET"), SLICE(REDIS_NODES_KEY), node};
    redisReply *reply = NULL;
    enum redis_step step = ask(connection, 3, words, &reply, ret_status, ret_error);
    if (step != REDIS_DONE)
        return step;
    bool left = is_ours(connection, reply);
    *ret_ours = left || reply->type == REDIS_REPLY_NIL;
    freeReplyObject(reply);
    return left ? forget_entry(connection, node, ret_status, ret_error) : REDIS_DONE;
}

enum redis_step redis_learn_former(struct redis_connection *connection, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    char key[sizeof REDIS_APPLIED_KEY + 20], number[20];
    bool ours = false;
    connection->former_applied = 0;
    if (connection->former_node == connection->node)
        return REDIS_DONE;
    struct slice node = slice_of(number, (size_t)sprintf(number, "%u", connection->former_node));
    enum redis_step step = look_whose(connection, node, &ours, ret_status, ret_error);
    if (step != REDIS_DONE || !ours)
        return step;
    size_t size = (size_t)sprintf(key, REDIS_APPLIED_KEY "%u", connection->former_node);
    const struct slice words[] = {SLICE("GET"), slice_of(key, size)};
    redisReply *reply = NULL;
    step = ask(connection, 2, words, &reply, ret_status, ret_error);
    if (step != REDIS_DONE)
        return step;
    connection->former_applied = redis_number_in(reply, UINT64_MAX);
    freeReplyObject(reply);
    return REDIS_DONE;
}
