/* SPDX-License-Identifier: MIT */
/*
 * The mark of a cluster: one key for all masters, by which each server finds out what another one has noticed.
 *
 * In one Redis the script that meets an older copy gives it a new mark (mark.c). Here it reaches the keys of one slot,
 * so the writer that finds a master with less than it had (redis_cluster.lost) sets it. What it still owes is kept with
 * the proofs, which outlive its connection (redis_proofs):
 *
 *     to_mark   this server has found a loss, and not by the mark. It is paid by a new mark, its own or, where that comes
 *               first, another server's: tried at once, and by each opening (redis_cluster_mark_loss)
 *     given     and that one is known again as its own, by which nothing new is told (backend_connection.renamed)
 *     to_tell   an opening has found one. It is paid by the first that succeeds (went_back; take_as_known in guard.c):
 *               calls and looks tell it themselves, by BACKEND_REPLACED
 *
 * So a loss is not forgotten with a connection that goes wrong, nor because the store takes no writes at that moment.
 */
#include "backends/failure.h"
#include "backends/redis/deal.h"
#include "backends/redis/proofs.h"

static unsigned slot_of_mark(struct redis_connection *connection, void *context, size_t job) {
    (void)connection, (void)context, (void)job;
    return redis_slot_of(SLICE(REDIS_MARK_KEY));
}

/* ---- Learning it ---- */

enum { JOB_SET, JOB_GET, LEARNING_JOBS };

static bool send_learning(struct redis_connection *connection, void *context, size_t job) {
    const bool *replaces = context;
    return job == JOB_SET ? redis_send_set_mark(connection, *replaces) : redis_send_get_mark(connection);
}

/* A store that takes no writes now is known by none. */
static enum redis_step hear_learning(struct redis_connection *connection, void *context, size_t job,
                                     redisReply *reply, enum backend_status *ret_status,
                                     struct backend_error *ret_error) {
    (void)context, (void)ret_status, (void)ret_error;
    if (job == JOB_GET && redis_is_mark(reply))
        redis_take_mark(connection, reply);
    freeReplyObject(reply);
    return REDIS_DONE;
}

enum backend_status redis_cluster_learn_mark(struct redis_connection *connection,
                                             struct backend_error *ret_error) {
    bool replaces = false, done[LEARNING_JOBS];
    const struct redis_deal deal = {.count = LEARNING_JOBS,
                                    .task = &replaces,
                                    .patient = true,
                                    .slot = slot_of_mark,
                                    .send = send_learning,
                                    .hear = hear_learning};
    enum backend_status status = BACKEND_OK;
    for (unsigned tries = 0; tries < 2 && status == BACKEND_OK && !*connection->mark; tries++) {
        replaces = tries > 0;
        status = redis_deal(connection, &deal, done, ret_error);
    }
    return status;
}

/* ---- Another one, after a loss ---- */

static bool send_replacement(struct redis_connection *connection, void *context, size_t job) {
    (void)context, (void)job;
    return redis_send_set_mark(connection, true);
}

static enum redis_step hear_replacement(struct redis_connection *connection, void *context, size_t job,
                                        redisReply *reply, enum backend_status *ret_status,
                                        struct backend_error *ret_error) {
    enum redis_step step = REDIS_DONE;
    (void)context, (void)job;
    if (reply->type == REDIS_REPLY_ERROR)
        step = redis_error_means(connection, reply, ret_status, ret_error);
    freeReplyObject(reply);
    return step;
}

/* The connection keeps the one that it knows. */
static bool replace_mark(struct redis_connection *connection) {
    const struct redis_deal deal = {.count = 1,
                                    .patient = true,
                                    .slot = slot_of_mark,
                                    .send = send_replacement,
                                    .hear = hear_replacement};
    struct backend_error error;
    bool done;
    return redis_deal(connection, &deal, &done, &error) == BACKEND_OK;
}

struct comparison {
    const char *known;
    bool differs;
};

static bool send_comparison(struct redis_connection *connection, void *context, size_t job) {
    (void)context, (void)job;
    return redis_send_get_mark(connection);
}

static enum redis_step hear_comparison(struct redis_connection *connection, void *context, size_t job,
                                       redisReply *reply, enum backend_status *ret_status,
                                       struct backend_error *ret_error) {
    struct comparison *comparison = context;
    (void)connection, (void)job, (void)ret_status, (void)ret_error;
    comparison->differs = redis_is_mark(reply) && strcmp(reply->str, comparison->known) != 0;
    freeReplyObject(reply);
    return REDIS_DONE;
}

/* Whether somebody else has replaced this mark. False: it cannot be asked for now. */
static bool compare_mark(struct redis_connection *connection, const char *known, bool *ret_differs) {
    struct comparison comparison = {.known = known};
    const struct redis_deal deal = {.count = 1,
                                    .task = &comparison,
                                    .patient = true,
                                    .slot = slot_of_mark,
                                    .send = send_comparison,
                                    .hear = hear_comparison};
    struct backend_error error;
    bool done;
    enum backend_status status = redis_deal(connection, &deal, &done, &error);
    *ret_differs = comparison.differs;
    return status == BACKEND_OK;
}

void redis_cluster_note_loss(struct redis_connection *connection) {
    struct redis_proofs *proofs = connection->cluster->proofs;
    redis_proofs_forget(proofs);
    if (*connection->mark)
        memcpy(proofs->mark, connection->mark, sizeof proofs->mark);
    proofs->to_mark |= connection->cluster->lost;
    connection->cluster->lost = false;
}

void redis_cluster_mark_loss(struct redis_connection *connection) {
    struct redis_proofs *proofs = connection->cluster->proofs;
    bool differs = false;
    if (!proofs->to_mark || (*proofs->mark && !compare_mark(connection, proofs->mark, &differs)))
        return;
    if (differs) { /* by which others find out */
        proofs->to_mark = false;
        return;
    }
    memcpy(proofs->given, connection->new_mark, sizeof proofs->given); /* it may get there unheard */
    proofs->to_mark = !replace_mark(connection);
}

void redis_cluster_know_mark(struct redis_connection *connection) {
    struct redis_proofs *proofs = connection->cluster->proofs;
    connection->base.renamed = *proofs->given && strcmp(proofs->given, connection->mark) == 0;
    if (!*connection->mark)
        return;
    *proofs->given = '\0';
    memcpy(proofs->mark, connection->mark, sizeof proofs->mark);
}

void redis_cluster_mark_anew(struct redis_connection *connection) {
    redis_cluster_note_loss(connection);
    redis_cluster_mark_loss(connection);
}

/* ---- Looking ---- */

bool redis_cluster_ask_mark(struct redis_connection *connection) {
    bool is_known = *connection->mark != '\0';
    return is_known ? redis_send_get_mark(connection) : redis_send_set_mark(connection, false);
}

enum redis_step redis_cluster_compare_mark(struct redis_connection *connection, redisReply *reply,
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
