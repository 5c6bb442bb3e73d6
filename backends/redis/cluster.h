/* SPDX-License-Identifier: MIT */
/*
 * A Redis Cluster: which of its masters has which slot, and a link to each. The design is told in cluster.c.
 */
#ifndef FOREBAY_BACKENDS_REDIS_CLUSTER_H
#define FOREBAY_BACKENDS_REDIS_CLUSTER_H

#include "backends/redis/internal.h"
#include "backends/redis/slots.h"

struct redis_node {
    struct redis_link link;
    struct redis_address address;
    /* Since when it does not serve, monotonic, 0: it does; when it may be tried again, and how long not after that. */
    uint64_t trouble_since_us, try_at_us, try_pause_us;
    struct backend_error error; /* what its trouble is, while it has some */
    /* Since when hasty deals go on without it, monotonic, 0: none does; and answers that are still to come, to be
     * dropped (late.c). */
    uint64_t late_since_us;
    size_t owed;
    uint64_t reach_us; /* what it took to make its link */
    /* The writer's: the slot whose high version this node's rows raise, REDIS_SLOTS: none yet; and to what they did in
     * this batch, 0: to nothing. */
    unsigned guard_slot;
    uint64_t raised_version;
    /* And of the end of its batches (proofs.c). */
    bool is_short;   /* its trouble is that it has too few replicas; else it serves */
    bool wants_seal; /* slots have come to it */
    unsigned seal_slot, seal_misses;
    uint64_t seal_number;
    bool seal_waits, seal_is_set;
    /* A reader's: over this link, by the map of that moment, and with the writer where it was then, which is here, it
     * has shown what it has to have (redis_prove). */
    uint64_t proven_link, proven_us, proven_moves;
    uint64_t replica_waits, replica_short; /* not told yet */
};

/* What the answers to the end of a batch say; the later, the worse. */
enum redis_seal {
    REDIS_SEALED,
    REDIS_UNSEALED,   /* it has to be done again */
    REDIS_SEAL_SHORT, /* it is done, and too few replicas have it */
    REDIS_SEAL_FAILED
};

struct redis_cluster {
    struct redis_slot_map map;
    /* The masters of the map; then those that it does not know yet. */
    struct redis_node *nodes[REDIS_MASTERS_MAX];
    size_t node_count;
    uint64_t asked_us;           /* when nodes were last asked for the map, monotonic */
    uint64_t uncovered_since_us; /* some slot has no master; 0: all have one */
    bool is_reached;             /* some node gave the map when it was last asked for */
    bool lost;                   /* a master has less than it had */
    bool wants_map;              /* the map is known to be old */
    struct redis_slot_map next;  /* while it is read */
    struct redis_proofs *proofs; /* the writer's, else NULL */
    struct redis_proofs *shown;  /* a reader's, else NULL: what the writer's were when it looked last */
};

/* NULL: out of memory. */
struct redis_cluster *redis_cluster_create(void);
void redis_cluster_destroy(struct redis_cluster *cluster);

/* Asks nodes for the map, unless that was a moment ago; false with a message: none gives it. BACKEND_REFUSED: what all
 * say will not change by itself. The link in hand is none of a node afterwards. */
bool redis_cluster_refresh(struct redis_connection *connection, enum backend_status *ret_status,
                           struct backend_error *ret_error);

/* The same, but also if that was a moment ago. */
bool redis_cluster_refresh_now(struct redis_connection *connection, enum backend_status *ret_status,
                               struct backend_error *ret_error);

/* The first contact. all_seeds: each is asked, as they might be of two clusters. */
enum backend_status redis_cluster_open(struct redis_connection *connection, bool all_seeds,
                                       struct backend_error *ret_error);

/* The node at this place, also if the map does not know it. NULL: out of memory, or of room. */
struct redis_node *redis_cluster_node(struct redis_connection *connection, const struct redis_place *place);

/* Its index. */
size_t redis_cluster_find(const struct redis_cluster *cluster, const struct redis_node *node);

/* Whether any slot is its own, by the map. */
bool redis_node_has_slots(const struct redis_cluster *cluster, const struct redis_node *node);

/* Connects the node if it is not, waiting at most so long. False with a message: it is in trouble. */
bool redis_node_connect(struct redis_connection *connection, struct redis_node *node, uint64_t most_ms,
                        struct backend_error *ret_error);

/* It does not serve, or too few replicas do; it does. */
void redis_node_fails(struct redis_node *node);
void redis_node_serves(struct redis_node *node);

/* An attempt to connect it has failed after so long, while others waited behind it: it is not tried again at once. */
void redis_node_rests(struct redis_node *node, uint64_t spent_us);

/* It served until its link was lost, which may be all that is wrong: it is in trouble, but may be tried again at once.
 * False: it was in trouble before. */
bool redis_node_may_be_back(struct redis_node *node);

/* REDIS_SLOTS: each has a master. */
unsigned redis_cluster_first_uncovered(const struct redis_cluster *cluster);

/* How many masters do not serve; slots without one count for one more. */
unsigned redis_cluster_parts_away(const struct redis_cluster *cluster);

/* Whether some master serves, as far as is known. */
bool redis_cluster_is_partial(const struct redis_cluster *cluster);

/* Whether an error answer says that the keys are at another node, or on their way there. */
bool redis_is_elsewhere(const redisReply *reply);

/* Whether a part does not serve, or a slot has no master, though others serve. A call was made, and *ret_error has what
 * a part of it came to. */
enum backend_status redis_cluster_probe(const struct redis_connection *connection,
                                        struct backend_error *ret_error);

/* Whether one of the nodes in the uri does not say where slots are, though others do, and why. */
bool redis_cluster_seed_is_away(struct redis_connection *connection, struct backend_error *ret_error);

/* Says that this slot has no master. */
void redis_cluster_tell_uncovered(const struct redis_connection *connection, unsigned slot,
                                  struct backend_error *ret_error);

/* ---- nodes_cluster.c: as redis_register and redis_look_for_rival ---- */

enum backend_status redis_cluster_register(struct redis_connection *connection,
                                           struct backend_error *ret_error);
enum backend_status redis_cluster_look_for_rival(struct redis_connection *connection, long running_pid,
                                                 struct backend_error *ret_error);

/* ---- guard.c ---- */

/* Adds a command to the link in hand, which is the node's: its high version is raised to this (0: to nothing), and must
 * not have gone back. False: out of memory. And takes the answer, also to be freed. */
bool redis_guard_send(struct redis_connection *connection, struct redis_node *node, uint64_t version);
enum redis_step redis_guard_hear(struct redis_connection *connection, struct redis_node *node,
                                 uint64_t version, redisReply *reply, enum backend_status *ret_status,
                                 struct backend_error *ret_error);

/* Gives the node another slot: the one that it has is on its way. */
void redis_guard_take_next(const struct redis_cluster *cluster, struct redis_node *node);

/* The key of a high version, as a word. */
struct slice redis_high_key(struct redis_connection *connection, unsigned slot);

/* ---- mark_cluster.c: the writer's ---- */

/* Reads it, and gives the cluster one where it has none; "" afterwards: it takes no writes now. */
enum backend_status redis_cluster_learn_mark(struct redis_connection *connection,
                                             struct backend_error *ret_error);

/* A master was found to have less than it had: what is there now is all that is expected from now on. */
void redis_cluster_note_loss(struct redis_connection *connection);

/* Gives the cluster another one for a loss that was noted, unless somebody else has; if it cannot be set now, that is
 * for the next opening to do. Whoever knows of the loss tells it. */
void redis_cluster_mark_loss(struct redis_connection *connection);

/* An opening has succeeded, and knows the mark, or that there is none: whether it is this server's own for a loss that
 * was told (renamed). */
void redis_cluster_know_mark(struct redis_connection *connection);

/* Adds a command to the link in hand by which it shows whether the mark is the one that the connection knows; where it
 * knows none, one is set. False: out of memory. And takes the answer, also to be freed: BACKEND_REPLACED, if not. */
bool redis_cluster_ask_mark(struct redis_connection *connection);
enum redis_step redis_cluster_compare_mark(struct redis_connection *connection, redisReply *reply,
                                           enum backend_status *ret_status, struct backend_error *ret_error);

#endif
