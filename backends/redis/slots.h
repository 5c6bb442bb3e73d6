/* SPDX-License-Identifier: MIT */
/*
 * The slots of a Redis Cluster: in which one a name is, which master has it, and what nodes say of that.
 * Pure: no socket, no allocation.
 */
#ifndef FOREBAY_BACKENDS_REDIS_SLOTS_H
#define FOREBAY_BACKENDS_REDIS_SLOTS_H

#include "backends/redis/address.h"
#include "cache/base/slice.h"
#include <hiredis.h>

enum {
    REDIS_SLOTS = 16384,
    REDIS_MASTERS_MAX = 128, /* of a cluster */
    REDIS_NOBODY = 255,      /* no master has the slot */
    REDIS_TAG_SIZE = 4
};

struct redis_slot_map {
    uint8_t owner[REDIS_SLOTS]; /* index into masters, or REDIS_NOBODY */
    struct redis_place masters[REDIS_MASTERS_MAX];
    size_t master_count;
};

/* What a node knows of its cluster. The masters are all that may have rows, or get some: those without slots are among
 * them, as a slot that is on its way to one has rows there; those that are dead for all, and have no slots, are not. */
struct redis_known {
    struct redis_place masters[REDIS_MASTERS_MAX];
    size_t count;
    uint8_t owner[REDIS_SLOTS]; /* as in redis_slot_map */
};

/* CRC-16 as XMODEM has it: polynomial 0x1021, from 0. */
uint16_t redis_crc16(struct slice bytes);

/* Of a name: of what is between its first '{' and the next '}', if anything is. */
unsigned redis_slot_of(struct slice name);

/* A tag that brings a name into this slot: "...{tag}...". Its letters are '@' to 'O'. Not terminated. */
void redis_slot_tag(unsigned slot, char ret_tag[REDIS_TAG_SIZE]);

/* Takes the answer to CLUSTER SLOTS, which the node at `asked` gave. False: it is none, or there are too many
 * masters. */
bool redis_slots_read(const redisReply *reply, const struct redis_place *asked,
                      struct redis_slot_map *ret_map);

/* Takes the answer to CLUSTER SHARDS, which the node at `asked` gave. False: it is none, a master has no place, or
 * there are too many. */
bool redis_shards_read(const redisReply *reply, const struct redis_place *asked,
                       struct redis_known *ret_known);

/* Takes the answer to INFO commandstats: how often slots were given to a node, or taken from it, by hand (ADDSLOTS,
 * DELSLOTS and the like). CONFIG RESETSTAT makes it 0. False: it is no such answer. */
bool redis_assignments_read(const redisReply *reply, uint64_t *ret_assigned);

/* Whether every slot has the same master. */
bool redis_slots_equal(const struct redis_slot_map *a, const struct redis_slot_map *b);

/* Whether some node, master or replica, is in two such answers: they are of one cluster. */
bool redis_slots_share_node(const redisReply *a, const redisReply *b);

/* Takes what is behind the first word of MOVED and ASK. False: it is something else. */
bool redis_redirection_read(struct slice error, const struct redis_place *asked, unsigned *ret_slot,
                            struct redis_place *ret_place);

#endif
