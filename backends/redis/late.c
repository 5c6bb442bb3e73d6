/* SPDX-License-Identifier: MIT */
/*
 * Masters that hasty deals go on without. While a reader waits for one that is silent, it loads no keys of the others.
 * So it waits for a moment (redis_haste_us) after the last answer of any of them, and no longer:
 *
 *     serves --silent for a moment--> late, answers owed --all have come--> serves
 *                                           |    ^------- not yet --------'
 *                                           |--the link is lost: it is in trouble as any other
 *                                           `--timeout--> late, no link --connected in a moment--> serves, once it answers
 *
 * Jobs of one that is late are JOB_LATE at once: they are for another connection, whose thread waits for it. What is
 * owed is dropped when it comes, so a master that was merely slow serves again by its answer, and nothing has to be
 * tried. While it is late it counts as in trouble: the map is asked for elsewhere.
 */
#include "backends/failure.h"
#include "backends/redis/dealing.h"
#include "cache/base/clock.h"
#include <errno.h>
#include <poll.h>

enum { HASTE_MS = 50 };

/* One that is far away is given the time that it needed before. */
uint64_t redis_haste_us(const struct redis_node *node) {
    return HASTE_MS * US_PER_MS + node->reach_us;
}

/* ---- Leaving one ---- */

void redis_dealing_leave_lane(struct dealing *dealing, struct lane *lane) {
    struct redis_node *node = lane->node;
    uint64_t now_us = monotonic_us();
    if (node->late_since_us == 0)
        node->late_since_us = now_us;
    if (node->trouble_since_us == 0)
        node->trouble_since_us = now_us;
    node->owed = lane->due;
    backend_fail(&node->error, BACKEND_TRANSIENT, "backend \"%s\", redis at %.100s: no answer yet",
                 dealing->connection->name, node->address.shown);
    *dealing->error = node->error;
    for (uint32_t i = lane->unheard; i != NO_JOB; i = dealing->jobs[i].next)
        dealing->jobs[i].state = JOB_LATE;
    lane->unsent = lane->unheard = NO_JOB;
    lane->under_way = lane->due = 0;
    dealing->cluster->wants_map = true;
}

/* ---- What it owes ---- */

/* Whether anything is there. */
static bool has_come(const redisContext *context) {
    struct pollfd wanted = {.fd = context->fd, .events = POLLIN};
    return redis_poll(&wanted, 1, 0) > 0;
}

/* Drops what has come. False: the link is lost. */
static bool take_owed(struct redis_node *node) {
    redisContext *context = node->link.context;
    bool good = true;
    while (good && node->owed > 0 && has_come(context)) {
        void *reply = NULL;
        good = redis_read_in(context) == REDIS_OK;
        while (good && node->owed > 0 && (good = redisReaderGetReply(context->reader, &reply) == REDIS_OK) &&
               reply) {
            freeReplyObject(reply);
            node->owed--;
        }
    }
    return good;
}

static bool is_overdue(const struct redis_connection *connection, const struct redis_node *node) {
    return monotonic_us() - node->late_since_us > (uint64_t)connection->timeout_ms * US_PER_MS;
}

/* Its link is closed. One that stays silent is no better for another one, and is not waited for over that either. */
static void give_up(struct dealing *dealing, struct redis_node *node, bool silent) {
    redis_dealing_take_up(dealing, node);
    if (silent) {
        node->link.context->err = REDIS_ERR_IO;
        errno = EAGAIN;
    } else {
        node->late_since_us = 0;
    }
    redis_lose(dealing->connection, dealing->error);
    node->owed = 0;
    redis_dealing_fail_node(dealing, node);
}

bool redis_dealing_goes_without(struct dealing *dealing, struct redis_node *node) {
    if (!node->link.context)
        node->owed = 0; /* with the link */
    if (node->late_since_us && node->owed > 0) {
        bool good = take_owed(node);
        if (good && node->owed == 0)
            redis_node_serves(node);
        else if (!good || is_overdue(dealing->connection, node))
            give_up(dealing, node, good);
    }
    bool goes = node->late_since_us && (node->owed > 0 || monotonic_us() < node->try_at_us);
    if (goes) {
        *dealing->error = node->error;
        dealing->cluster->wants_map = true;
    }
    return goes;
}

void redis_dealing_miss_lane(struct dealing *dealing, const struct lane *lane, bool silent) {
    struct redis_node *node = lane->node;
    if (!silent) { /* that is an answer */
        node->late_since_us = 0;
        return;
    }
    if (node->late_since_us == 0)
        node->late_since_us = monotonic_us();
    for (uint32_t i = lane->first; i != NO_JOB; i = dealing->jobs[i].next)
        dealing->jobs[i].state = JOB_LATE;
}
