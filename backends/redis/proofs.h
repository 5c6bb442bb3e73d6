/* SPDX-License-Identifier: MIT */
/* What the masters of a cluster are known to have. The design is told in proofs.c. The writer's connection alone, but
 * for redis_prove. */
#ifndef FOREBAY_BACKENDS_REDIS_PROOFS_H
#define FOREBAY_BACKENDS_REDIS_PROOFS_H

#include "backends/redis/cluster.h"

/* What the master of a slot has, wherever that slot is by now. */
struct redis_proof {
    unsigned slot;
    uint64_t high;    /* the high version in this slot; 0: not known */
    uint64_t applied; /* the number of a batch there, behind all that was acknowledged before; 0: not known */
    uint64_t link;    /* over which it was seen last (redis_link.serial); 0: over none of this connection */
    uint64_t run;     /* of the server where it was seen last, a part of what it calls that; 0: not known */
    char replicates[REDIS_RUN_MAX + 1], place[BACKEND_NODE_NAME]; /* of the master, as it was then */
};

/* One piece of memory, which outlives a connection (backend_nodes_leave). */
struct redis_proofs {
    size_t count;
    uint64_t last_number;
    uint64_t moves; /* how often one was seen at another server than before */
    bool to_mark;   /* a loss was found, and the cluster has no new mark yet, by which others find out */
    bool to_tell;   /* a loss was found by an opening, of which none has succeeded since */
    /* Of the cluster: as it was known last, and in its place, by this server, since the last opening that succeeded.
     * "": not known, and none. */
    char mark[REDIS_MARK_SIZE + 1], given[REDIS_MARK_SIZE + 1];
    struct redis_proof list[2 * REDIS_MASTERS_MAX];
};

/* What the connection before has left, or none yet. NULL: out of memory. */
struct redis_proofs *redis_proofs_take(struct redis_connection *connection);
void redis_proofs_leave(struct redis_connection *connection);

/* After a loss: what is there now is all that is expected from now on. */
void redis_proofs_forget(struct redis_proofs *proofs);

/* That of a slot; NULL: none. */
struct redis_proof *redis_proof_of(struct redis_proofs *proofs, unsigned slot);

/* The slot of the newest proof that is this node's now; REDIS_SLOTS: there is none. */
unsigned redis_proofs_slot(const struct redis_cluster *cluster, size_t node);

/* The node in hand was seen to have this high version in the slot. */
void redis_proofs_note_high(struct redis_connection *connection, struct redis_node *node, unsigned slot,
                            uint64_t version);

/* Shows readers what there is. Not before those that would be misled are held back: behind a call that was answered. */
void redis_proofs_show(struct redis_connection *connection);

/* Over the link in hand, which is the node's: has it what it has to have? Asks only for what was not seen over this
 * link; a reader that is not where the writer is asks with each deal. REDIS_DONE, REDIS_LOST, or REDIS_FAILED: with
 * BACKEND_REPLACED it has less; else it does not serve now. */
enum redis_step redis_prove(struct redis_connection *connection, struct redis_node *node,
                            enum backend_status *ret_status, struct backend_error *ret_error);

/* Whether rows of the node are behind a number, so that a loss will be noticed. */
bool redis_is_sealed(const struct redis_cluster *cluster, const struct redis_node *node);

/* Behind the rows of a batch: adds the number, and where it waits the WAIT for replicas. False: out of memory. */
bool redis_seal_send(struct redis_connection *connection, struct redis_node *node, bool waits,
                     unsigned *ret_commands);

/* The nth answer to that, also to be freed. */
enum redis_seal redis_seal_hear(struct redis_connection *connection, struct redis_node *node, unsigned nth,
                                redisReply *reply, enum backend_status *ret_status,
                                struct backend_error *ret_error);

#endif
