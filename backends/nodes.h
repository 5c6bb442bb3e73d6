/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a store that has several: what is known of each, from all connections to it together. For statistics;
 * any thread, a lock for each copy and each note.
 */
#ifndef FOREBAY_BACKENDS_NODES_H
#define FOREBAY_BACKENDS_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BACKEND_NODES_MAX = 128, BACKEND_NODE_NAME = 96 };

struct backend_node {
    char name[BACKEND_NODE_NAME]; /* its place, fit to be shown */
    unsigned slots;               /* of which it is the master; 0: of none any more */
    bool away;                    /* it did not serve when it was asked last */
    bool heard;                   /* what is changed there is heard of (backend_type.changes) */
    uint64_t commands, errors, redirections;
    uint64_t replica_waits,
        replica_short; /* batches that waited for its replicas, and those that too few had */
    uint64_t exchanges, exchange_us, exchange_max_us; /* commands sent together, until all were answered */
};

struct backend_nodes_copy {
    struct backend_node list[BACKEND_NODES_MAX];
    size_t count;
    uint64_t map_us; /* when it was last learnt which node has what, monotonic; 0: never */
};

struct backend_nodes;

/* NULL: out of memory. */
struct backend_nodes *backend_nodes_create(void);
void backend_nodes_destroy(struct backend_nodes *nodes);

/* It was learnt who has what: nodes (of which name and slots count) are the masters. NULL nodes: nobody wants to
 * know. */
void backend_nodes_set(struct backend_nodes *nodes, const struct backend_node *masters, size_t count);

/* An exchange with a node: its counts are added, exchange_us is the time that it took. NULL: as above. */
void backend_nodes_note(struct backend_nodes *nodes, const struct backend_node *exchange);

/* What one writer's connection leaves for the next one, of the kind's own making: taken once, and ended by free() where
 * nobody does. NULL: nothing. Without nodes it is freed at once. */
void backend_nodes_leave(struct backend_nodes *nodes, void *legacy);
void *backend_nodes_take(struct backend_nodes *nodes);

/* What the writer's connection has readers know, of the kind's own making: copied, in the place of what was shown
 * before (which stays where there is no memory). NULL: as above. */
void backend_nodes_show(struct backend_nodes *nodes, const void *bytes, size_t size);

/* Copies of it what has room. Returns its size; 0: nothing is shown. */
size_t backend_nodes_see(struct backend_nodes *nodes, void *ret_bytes, size_t room);

/* Whether it is heard, from now on. NULL: as above. */
void backend_nodes_hear(struct backend_nodes *nodes, const char *name, bool is_heard);

void backend_nodes_read(struct backend_nodes *nodes, struct backend_nodes_copy *ret_copy);

#endif
