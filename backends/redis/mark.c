/* SPDX-License-Identifier: MIT */
/*
 * Whether the store still has what it had.
 *
 * A Redis comes back empty or with an older file, a replica that had not everything is promoted, somebody says
 * FLUSHALL: a connection does not tell, not even by the run id of the server, which a restart with all data changes and
 * FLUSHALL does not. Two things do, and the apply scripts compare them before they change anything (script.c):
 *
 *     the mark of the store   a random number under a key of ours, which the first writer gives it. It is gone when the store
 *                             was emptied, and another one in another store
 *     the high version        never goes back in one store. It is lower in an older copy, whose mark is the same
 *
 * A script that meets an older copy gives it a new mark in the same step. So other nodes find out as well, although by
 * then the high version may have been raised above what they knew. After a store was emptied, nothing is written to it
 * before some writer has opened it anew and given it a mark.
 *
 * A writer that is idle looks by a call of the script without changes.
 */
#include "backends/failure.h"
#include "backends/redis/internal.h"
#include "cache/base/clock.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

void redis_make_mark(struct redis_connection *connection) {
    uint64_t parts[2];
    if (getrandom(parts, sizeof parts, 0) != sizeof parts) {
        parts[0] = monotonic_us();
        parts[1] = (uint64_t)getpid();
    }
    snprintf(connection->new_mark, sizeof connection->new_mark, "%016" PRIx64 "%016" PRIx64, parts[0],
             parts[1]);
}

/* ---- Learning it ---- */

bool redis_is_mark(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING && reply->len == REDIS_MARK_SIZE &&
           strspn(reply->str, "0123456789abcdef") == REDIS_MARK_SIZE;
}

void redis_take_mark(struct redis_connection *connection, const redisReply *reply) {
    char half[REDIS_MARK_SIZE / 2 + 1] = "";
    memcpy(connection->mark, reply->str, REDIS_MARK_SIZE);
    if (strcmp(connection->mark, connection->new_mark) == 0)
        redis_make_mark(connection); /* it is used */
    memcpy(half, reply->str, REDIS_MARK_SIZE / 2);
    connection->base.identity.parts[0] = strtoull(half, NULL, 16);
    connection->base.identity.parts[1] = strtoull(connection->mark + REDIS_MARK_SIZE / 2, NULL, 16);
}

bool redis_send_set_mark(struct redis_connection *connection, bool replaces) {
    const char *words[] = {"SET", REDIS_MARK_KEY, connection->new_mark, "NX"};
    const size_t sizes[] = {3, sizeof REDIS_MARK_KEY - 1, REDIS_MARK_SIZE, 2};
    return redis_append(connection, replaces ? 3 : 4, words, sizes);
}

bool redis_send_get_mark(struct redis_connection *connection) {
    const char *words[] = {"GET", REDIS_MARK_KEY};
    const size_t sizes[] = {3, sizeof REDIS_MARK_KEY - 1};
    return redis_append(connection, 2, words, sizes);
}

static enum redis_step hear_mark(struct redis_connection *connection) {
    redisReply *set = NULL, *get = NULL;
    enum redis_step step = redis_answer(connection, &set);
    if (step == REDIS_DONE)
        step = redis_answer(connection, &get);
    if (step == REDIS_DONE && redis_is_mark(get))
        redis_take_mark(connection, get);
    if (set)
        freeReplyObject(set);
    if (get)
        freeReplyObject(get);
    return step;
}

enum redis_step redis_learn_mark(struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    for (unsigned replaces = 0; replaces < 2 && step == REDIS_DONE && !*connection->mark; replaces++) {
        if (!redis_send_set_mark(connection, replaces) || !redis_send_get_mark(connection))
            return redis_out_of_memory(connection, ret_status, ret_error);
        step = hear_mark(connection);
    }
    return step;
}

/* ---- Another store ---- */

bool redis_is_replaced(const struct redis_connection *connection, const redisReply *reply,
                       enum backend_status *ret_status, struct backend_error *ret_error) {
    if (!redis_begins_with(reply, "OTHERSTORE "))
        return false;
    const char *what = strstr(reply->str, "older") ? "went back to an older state"
                                                   : "was emptied or replaced by another store";
    *ret_status = backend_fail(ret_error, BACKEND_REPLACED, "backend \"%s\", redis at %s: %s",
                               connection->name, redis_shown(connection), what);
    return true;
}

/* ---- Looking ---- */

static enum redis_step look_work(struct redis_connection *connection, void *task,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    (void)task;
    enum redis_step step = redis_learn_mark(connection, ret_status, ret_error);
    if (step == REDIS_DONE)
        step = redis_compare(connection, ret_status, ret_error);
    if (step == REDIS_DONE)
        step = redis_look_for_applied(connection, ret_status, ret_error);
    return step == REDIS_DONE ? redis_register(connection, ret_status, ret_error) : step;
}

enum backend_status redis_look(struct backend_connection *base, struct backend_error *ret_error) {
    struct redis_connection *connection = redis_connection_of(base);
    if (connection->cluster)
        return redis_cluster_look(connection, ret_error);
    if (!redis_is_still_master(connection))
        redis_disconnect(connection); /* and the next link leads to the one that is */
    return redis_try(connection, look_work, NULL, ret_error);
}
