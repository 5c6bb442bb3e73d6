/* SPDX-License-Identifier: MIT */
/*
 * Commands dealt to the nodes of a cluster: each goes to the master of its slot, and all nodes have theirs before one
 * is listened to. How redirections and nodes that fail are met is told in deal.c.
 */
#ifndef FOREBAY_BACKENDS_REDIS_DEAL_H
#define FOREBAY_BACKENDS_REDIS_DEAL_H

#include "backends/redis/cluster.h"

struct redis_deal {
    size_t count; /* of the jobs: a command each */
    void *task;

    /* The slot of a job; REDIS_SLOTS: out of memory. */
    unsigned (*slot)(struct redis_connection *connection, void *task, size_t job);

    /* Adds its command to the link in hand. False: out of memory. Jobs of one slot are sent in their order. */
    bool (*send)(struct redis_connection *connection, void *task, size_t job);

    /* The node has not done it: another one will, or it later. NULL: nobody wants to know. */
    void (*put_off)(void *task, size_t job);

    /* Takes the answer, also to be freed. REDIS_DONE, or REDIS_FAILED with status and message: an error that asking
     * another node, or later, would not mend. */
    enum redis_step (*hear)(struct redis_connection *connection, void *task, size_t job, redisReply *reply,
                            enum backend_status *ret_status, struct backend_error *ret_error);

    /* Before the first job of a node: adds a command to the link in hand; NULL: there is none. What its answer
     * means. */
    bool (*greet)(struct redis_connection *connection, void *task, struct redis_node *node);
    enum redis_step (*hear_greeting)(struct redis_connection *connection, void *task, struct redis_node *node,
                                     redisReply *reply, enum backend_status *ret_status,
                                     struct backend_error *ret_error);

    /* Its nodes are waited for as long as the call lasts, whoever serves: nobody else would do it. */
    bool patient;

    /* Of BACKEND_HASTY (late.c), late is called for each job that is so, before redis_deal ends. Only where each job is
     * one command, and there is nothing before or behind them. */
    enum backend_patience patience;
    void (*late)(void *task, size_t job);

    /* Whether a node has to prove first that it has what it had (proofs.c): BACKEND_REPLACED, if not. */
    bool proves;

    /* Behind the last job of a node: adds commands, how many (0: it is sealed), and takes the answer to the nth; NULL:
     * there are none. Jobs count as done only when it is sealed. waits: for replicas. */
    bool waits;
    bool (*seal)(struct redis_connection *connection, void *task, struct redis_node *node,
                 unsigned *ret_commands);
    enum redis_seal (*hear_seal)(struct redis_connection *connection, struct redis_node *node, unsigned nth,
                                 redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error);

    /* The node has done the job, but too few replicas have it; NULL: nobody wants to know. */
    void (*short_of)(void *task, size_t job);
};

/* Does all of them, within the time of a call. ret_done: of each job, whether it was done; also where not all were.
 * connection->base.partial tells whether the others could be asked. The link in hand is none of a node afterwards. */
enum backend_status redis_deal(struct redis_connection *connection, const struct redis_deal *deal,
                               bool *ret_done, struct backend_error *ret_error);

#endif
