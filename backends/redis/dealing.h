/* SPDX-License-Identifier: MIT */
/* A deal under way: what deal.c and answers.c share. */
#ifndef FOREBAY_BACKENDS_REDIS_DEALING_H
#define FOREBAY_BACKENDS_REDIS_DEALING_H

#include "backends/redis/deal.h"

enum job_state {
    JOB_WAITS,
    JOB_HEARD, /* not yet sealed */
    JOB_DONE,
    JOB_FAILED,
    JOB_LATE /* of a hasty deal: its node is silent */
};

enum { NO_JOB = UINT32_MAX };

struct job {
    uint32_t next; /* of the lane */
    uint16_t slot;
    uint8_t state;
    struct redis_node *asks; /* the node that takes it once; NULL: the master of its slot */
};

/* What goes to one node in a round. */
struct lane {
    struct redis_node *node;
    uint32_t first, unsent, unheard, last;
    size_t under_way;
    size_t due;                  /* answers to jobs, and to their ASKING */
    unsigned seals, seals_heard; /* commands of its end, and answers to them */
    bool ended;                  /* they were sent */
    enum redis_seal seal;        /* so far */
    bool greeted;
    bool greeting;    /* its answer comes first */
    bool unguarded;   /* its greeting was for another node */
    bool unsealed;    /* so was its end; its jobs are done, and wait for another one */
    bool asking;      /* the answer to ASKING was heard, that of the job comes */
    bool loads_again; /* scripts are gone */
    uint64_t commands, errors, redirections, heard_us; /* for statistics */
};

struct dealing {
    struct redis_connection *connection;
    struct redis_cluster *cluster;
    const struct redis_deal *deal;
    struct job *jobs;
    struct lane lanes[REDIS_MASTERS_MAX];
    size_t lane_count;
    bool pauses;                 /* before the next round */
    bool moving;                 /* a slot is on its way */
    bool told_uncovered;         /* in this round: to say how many slots have no master all are counted */
    bool asks;                   /* some job has another node to go to */
    uint64_t heard_us;           /* when something came last, or this round began; monotonic */
    enum backend_status failed;  /* of a job; BACKEND_OK: none has */
    struct backend_error reason; /* why it failed */
    struct backend_error *error; /* what was met last */
};

static inline void redis_dealing_take_up(struct dealing *dealing, struct redis_node *node) {
    dealing->connection->link = &node->link;
}

/* ---- answers.c ---- */

/* The node does not serve, as dealing->error says. */
void redis_dealing_fail_node(struct dealing *dealing, struct redis_node *node);

/* So with its link. What has come back over it and was not sealed is done again. */
void redis_dealing_lose_lane(struct dealing *dealing, struct lane *lane);

/* Why the whole deal fails: the first reason stays, but for a loss. */
void redis_dealing_give_up(struct dealing *dealing, enum backend_status status,
                           const struct backend_error *reason);

/* Its jobs that were heard are done: it needs no end. */
void redis_dealing_end_jobs(struct dealing *dealing, const struct lane *lane);

/* No end was found for what it did. */
void redis_dealing_leave_unsealed(struct dealing *dealing, struct lane *lane);

/* Takes the answers that come next, of whichever node. False: nothing is under way any more. */
bool redis_dealing_hear(struct dealing *dealing);

/* ---- late.c: of hasty deals ---- */

static inline bool redis_is_hasty(const struct dealing *dealing) {
    return dealing->deal->patience == BACKEND_HASTY;
}

/* How long it waits for a node that is silent. */
uint64_t redis_haste_us(const struct redis_node *node);

/* The node of this lane is silent: the deal goes on without it. */
void redis_dealing_leave_lane(struct dealing *dealing, struct lane *lane);

/* Whether a node is late, and so not asked for anything now. What has come of what it owes is dropped. */
bool redis_dealing_goes_without(struct dealing *dealing, struct redis_node *node);

/* It could not be connected; silent: or is not yet. */
void redis_dealing_miss_lane(struct dealing *dealing, const struct lane *lane, bool silent);

#endif
