/* SPDX-License-Identifier: MIT */
/*
 * What a batch ends with, in the same pipeline, once all its calls are under way:
 *
 *     SET forebay: applied:NODE number XX  the number of the batch, which grows from batch to batch of this node
 *     WAIT replicas milliseconds           where `replicas` is set
 *
 * The key is made when the writer opens the store: into one that was emptied since, nothing is written.
 *
 * Replication and the files of Redis keep the order of execution: a store that has the number of a batch has all that
 * was acknowledged up to it. So a writer that comes over a new link, which is the only way to another Redis or to one
 * that was started anew, compares: below what it had acknowledged, the store has lost some of it. So does a reader,
 * which may be there before the writer, and must not take what the store went back to for what is acknowledged. The
 * high version (mark.c) says less: it stays the same where a batch that is lost had older versions than one before it.
 *
 * WAIT counts the replicas that have all that this connection has written. For a batch that is repeated because there
 * were too few, the scripts change nothing; the number that is set behind them is what the replicas have to catch up
 * with, and with it all before it.
 *
 * Over Sentinel a link that stays may come to lead to an older store, where a master is told to follow another one, or
 * two answer as masters for a while. So each load there, the writer's as well, ends with a GET of the number, in the
 * same pipeline.
 *
 * A server whose number was changed goes on from what is at the name of the one before (former.c).
 *
 * In a cluster each master has an end and a number of its own (proofs.c).
 */
#include "backends/failure.h"
#include "backends/redis/internal.h"
#include "cache/base/clock.h"
#include <inttypes.h>

/* So it tells a time as well; and two servers with the same node number, which they should not have, do no harm. */
static uint64_t next_number(const struct redis_connection *connection) {
    uint64_t former = connection->former_applied, before = connection->base.applied;
    uint64_t now_us = wall_us(), next = (before > former ? before : former) + 1;
    return now_us > next ? now_us : next;
}

static struct slice key_of(struct redis_connection *connection) {
    char *name = arena_take(&connection->words, sizeof REDIS_APPLIED_KEY + 20);
    if (!name)
        return slice_of(NULL, 0);
    return slice_of(name, (size_t)sprintf(name, REDIS_APPLIED_KEY "%u", connection->node));
}

/* ---- The end of a batch ---- */

/* Half of what the call has left, as the answer has to come as well. 0 would be for ever. */
uint64_t redis_wait_ms(const struct redis_connection *connection) {
    struct timeval left = redis_time_left(connection, UINT32_MAX);
    uint64_t half = ((uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000) / 2;
    return half ? half : 1;
}

bool redis_append_wait(struct redis_connection *connection, uint64_t milliseconds) {
    const struct slice wait[] = {SLICE("WAIT"), redis_number(connection, connection->replicas),
                                 redis_number(connection, milliseconds)};
    return redis_append_slices(connection, 3, wait);
}

bool redis_end_batch(struct redis_connection *connection) {
    connection->batch_number = next_number(connection);
    const struct slice set[] = {SLICE("SET"), key_of(connection),
                                redis_number(connection, connection->batch_number), SLICE("XX")};
    bool fine = redis_append_slices(connection, connection->base.applied ? 4 : 3, set);
    if (fine && connection->replicas)
        fine = redis_append_wait(connection, redis_wait_ms(connection));
    arena_reset(&connection->words);
    return fine;
}

enum redis_step redis_judge_wait(struct redis_connection *connection, const redisReply *reply,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    if (reply->type != REDIS_REPLY_INTEGER)
        return redis_odd_answer(connection, ret_status, ret_error);
    connection->base.replica_waits++;
    if (reply->integer >= (long long)connection->replicas)
        return REDIS_DONE;
    connection->base.replica_short++;
    connection->too_few = true;
    *ret_status = backend_fail(
        ret_error, BACKEND_TRANSIENT,
        "backend \"%s\", redis at %.100s: written, but only %lld of %u replicas have it: see whether they are connected (INFO replication), or lower replicas",
        connection->name, redis_shown(connection), reply->integer, connection->replicas);
    return REDIS_FAILED;
}

/* Whoever has removed the key has not removed what it is about (mark.c): it is made anew by the next batch. */
static enum redis_step judge_set(struct redis_connection *connection, const redisReply *reply) {
    connection->base.applied = reply->type == REDIS_REPLY_NIL ? 0 : connection->batch_number;
    return REDIS_DONE;
}

/* The answer to SET, or to WAIT. */
static enum redis_step hear(struct redis_connection *connection, bool waits, enum backend_status *ret_status,
                            struct backend_error *ret_error) {
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    if (reply->type == REDIS_REPLY_ERROR)
        step = redis_error_means(connection, reply, ret_status, ret_error);
    else if (waits)
        step = redis_judge_wait(connection, reply, ret_status, ret_error);
    else
        step = judge_set(connection, reply);
    freeReplyObject(reply);
    return step;
}

enum redis_step redis_hear_end(struct redis_connection *connection, enum backend_status *ret_status,
                               struct backend_error *ret_error) {
    enum redis_step step = hear(connection, false, ret_status, ret_error);
    if (step == REDIS_DONE && connection->replicas)
        step = hear(connection, true, ret_status, ret_error);
    return step;
}

/* ---- A new link ---- */

/* NULL: the answer to a command that may be refused, as by a store that takes no writes now. */
static enum redis_step hear_number(struct redis_connection *connection, uint64_t *ret_number,
                                   enum backend_status *ret_status, struct backend_error *ret_error) {
    redisReply *reply = NULL;
    enum redis_step step = redis_answer(connection, &reply);
    if (step != REDIS_DONE)
        return step;
    if (ret_number && reply->type == REDIS_REPLY_ERROR && !redis_begins_with(reply, "WRONGTYPE"))
        step = redis_error_means(connection, reply, ret_status, ret_error);
    else if (ret_number)
        *ret_number = redis_number_in(reply, UINT64_MAX);
    freeReplyObject(reply);
    return step;
}

/* Whether the number is set before it is read. */
enum making { MAKE_NEVER, MAKE_IF_NONE, MAKE_ANYWAY };

static enum redis_step read_number(struct redis_connection *connection, enum making makes,
                                   uint64_t *ret_number, enum backend_status *ret_status,
                                   struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    const struct slice set[] = {SLICE("SET"), key_of(connection),
                                redis_number(connection, next_number(connection)), SLICE("NX")};
    const struct slice get[] = {SLICE("GET"), set[1]};
    if ((makes != MAKE_NEVER && !redis_append_slices(connection, makes == MAKE_IF_NONE ? 4 : 3, set)) ||
        !redis_append_slices(connection, 2, get))
        return redis_out_of_memory(connection, ret_status, ret_error);
    if (makes != MAKE_NEVER)
        step = hear_number(connection, NULL, ret_status, ret_error);
    return step == REDIS_DONE ? hear_number(connection, ret_number, ret_status, ret_error) : step;
}

enum redis_step redis_learn_applied(struct redis_connection *connection, uint64_t *ret_found,
                                    uint64_t *ret_number, enum backend_status *ret_status,
                                    struct backend_error *ret_error) {
    uint64_t found = 0, former = connection->former_applied;
    enum redis_step step = read_number(connection, MAKE_NEVER, &found, ret_status, ret_error);
    uint64_t number = found;
    if (step == REDIS_DONE && (found == 0 || found < former))
        step =
            read_number(connection, found == 0 ? MAKE_IF_NONE : MAKE_ANYWAY, &number, ret_status, ret_error);
    if (step != REDIS_DONE)
        return step;
    *ret_found = found > former ? found : former;
    *ret_number = number;
    return REDIS_DONE;
}

static enum redis_step tell_less(const struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error) {
    *ret_status =
        backend_fail(ret_error, BACKEND_REPLACED, "backend \"%s\", redis at %s: went back to an older state",
                     connection->name, redis_shown(connection));
    return REDIS_FAILED;
}

/* A batch that the store has to have; 0: nobody knows of one. A reader's is read before the store is asked. */
static uint64_t expected(const struct redis_connection *connection) {
    if (connection->cluster)
        return 0; /* proofs.c */
    if (connection->role == BACKEND_WRITER)
        return connection->base.applied;
    return connection->acknowledged ? atomic_load(connection->acknowledged) : 0;
}

/* None at all is less as well: a replica may be promoted that has not even heard of this node, and by then has newer
 * changes of others, so the mark and the high version say nothing. */
enum redis_step redis_compare_applied(struct redis_connection *connection, enum backend_status *ret_status,
                                      struct backend_error *ret_error) {
    uint64_t number = 0, least = expected(connection);
    if (least == 0)
        return REDIS_DONE;
    enum redis_step step = read_number(connection, MAKE_NEVER, &number, ret_status, ret_error);
    if (step != REDIS_DONE || number >= least)
        return step;
    if (number == 0 && connection->role == BACKEND_WRITER) /* the mark knows better what has become of it */
        step = redis_compare(connection, ret_status, ret_error);
    return step == REDIS_DONE ? tell_less(connection, ret_status, ret_error) : step;
}

/* ---- The end of a load ---- */

uint64_t redis_load_proves(const struct redis_connection *connection) {
    return connection->address.sentinel_count > 0 ? expected(connection) : 0;
}

bool redis_end_load(struct redis_connection *connection, uint64_t least) {
    if (least == 0)
        return true;
    const struct slice get[] = {SLICE("GET"), key_of(connection)};
    return redis_append_slices(connection, 2, get);
}

/* Over a link that stays, a number that alone is missing was removed or evicted: no store that had never heard of this
 * node is at its other end. */
static enum redis_step judge_number(struct redis_connection *connection, uint64_t number, uint64_t least,
                                    enum backend_status *ret_status, struct backend_error *ret_error) {
    if (number >= least)
        return REDIS_DONE;
    if (number == 0 && connection->role == BACKEND_WRITER) /* the mark says whether that alone is missing */
        return redis_compare(connection, ret_status, ret_error);
    return tell_less(connection, ret_status, ret_error);
}

enum redis_step redis_hear_end_of_load(struct redis_connection *connection, uint64_t least,
                                       enum backend_status *ret_status, struct backend_error *ret_error) {
    uint64_t number = 0;
    if (least == 0)
        return REDIS_DONE;
    enum redis_step step = hear_number(connection, &number, ret_status, ret_error);
    return step == REDIS_DONE ? judge_number(connection, number, least, ret_status, ret_error) : step;
}

/* ---- A look ---- */

enum redis_step redis_look_for_applied(struct redis_connection *connection, enum backend_status *ret_status,
                                       struct backend_error *ret_error) {
    uint64_t number = 0;
    if (connection->base.applied == 0)
        return REDIS_DONE;
    enum redis_step step = read_number(connection, MAKE_NEVER, &number, ret_status, ret_error);
    if (step != REDIS_DONE || number >= connection->base.applied)
        return step;
    if (number != 0)
        return tell_less(connection, ret_status, ret_error);
    connection->base.applied = 0;
    return REDIS_DONE;
}
