/* SPDX-License-Identifier: MIT */
/*
 * Where a Redis is, taken from a URI:
 *
 *     redis://[[user]:password@]host[:port][/db]
 *     redis+unix://[[user]:password@]/path/of/socket[?db=N]
 *     redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master[?db=N]
 *     redis+cluster://[[user]:password@]host[:port][,host[:port]...]
 *
 * User and password may be percent-encoded, and have to be where they hold a '/' or '%'; an IPv6 host is in
 * brackets. With Sentinels they are the master's; where that is, the Sentinels have to be asked (sentinel.c). A cluster
 * is known by some of its nodes, and has one database (cluster.c).
 * Pure: no socket, no allocation.
 */
#ifndef FOREBAY_BACKENDS_REDIS_ADDRESS_H
#define FOREBAY_BACKENDS_REDIS_ADDRESS_H

#include "backends/backend.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { REDIS_SENTINELS_MAX = 16, REDIS_SEEDS_MAX = 16 };

struct redis_place {
    char host[256];
    int port;
};

struct redis_address {
    struct redis_place place; /* host "" for a socket file, and for a master that is not known yet */
    char path[108];           /* of the socket file, as long as the kernel takes */
    unsigned database;
    char user[128], password[256]; /* "" for none */
    struct redis_place sentinels[REDIS_SENTINELS_MAX];
    size_t sentinel_count;                     /* 0: nobody has to be asked */
    char master[128];                          /* the name that the Sentinels know it by */
    struct redis_place seeds[REDIS_SEEDS_MAX]; /* nodes of a cluster */
    size_t seed_count;                         /* 0: it is no cluster */
    char shown[448];                           /* the address without user and password, for messages */
};

/* Takes a URI apart. false: *ret_problem says what is wrong, without quoting the URI, which may hold a
 * password. */
bool redis_address_parse(const char *uri, struct redis_address *ret_address, const char **ret_problem);

/* Where the master is now; NULL: not known. */
void redis_address_take_master(struct redis_address *address, const struct redis_place *place);

static inline bool redis_is_one_place(const struct redis_place *a, const struct redis_place *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The address of a node of the cluster. */
void redis_address_take_node(struct redis_address *address, const struct redis_place *place);

/* "host:port", or "[host]:port". */
enum { REDIS_PLACE_SHOWN = BACKEND_PLACE_SHOWN };
void redis_place_show(const struct redis_place *place, char ret_text[REDIS_PLACE_SHOWN]);

#endif
