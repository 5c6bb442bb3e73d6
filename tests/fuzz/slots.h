/* SPDX-License-Identifier: MIT */
/* Whatever a node of a Redis Cluster says is taken for a map, or a redirection, or refused. */
#ifndef FOREBAY_TESTS_FUZZ_SLOTS_H
#define FOREBAY_TESTS_FUZZ_SLOTS_H

#include "backends/redis/internal.h"
#include "backends/redis/slots.h"
#include <stdlib.h>

static inline void check_place(const struct redis_place *place) {
    if (!memchr(place->host, '\0', sizeof place->host) || place->port <= 0 || place->port > UINT16_MAX)
        abort();
}

static inline void check_map(const struct redis_slot_map *map) {
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
        if (map->owner[slot] != REDIS_NOBODY && map->owner[slot] >= map->master_count)
            abort();
    for (size_t i = 0; i < map->master_count; i++)
        check_place(&map->masters[i]);
}

static inline void check_known(const struct redis_known *known) {
    if (known->count > REDIS_MASTERS_MAX)
        abort();
    for (size_t i = 0; i < known->count; i++)
        check_place(&known->masters[i]);
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
        if (known->owner[slot] != REDIS_NOBODY && known->owner[slot] >= known->count)
            abort();
}

/* An exact copy, so that a step beyond it is seen. */
static inline void check_redirection(const char *bytes, size_t size, const struct redis_place *asked) {
    char *copy = malloc(size + 1);
    struct redis_place place;
    unsigned slot;
    if (!copy)
        abort();
    if (size)
        memcpy(copy, bytes, size);
    if (redis_redirection_read(slice_of(copy, size), asked, &slot, &place)) {
        check_place(&place);
        if (slot >= REDIS_SLOTS)
            abort();
    }
    free(copy);
}

static inline void check_slots(const char *bytes, size_t size) {
    static const struct redis_place asked = {.host = "a", .port = 1};
    static struct redis_slot_map map;
    static struct redis_known known;
    uint64_t assigned = 0;
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    if (!reader)
        abort();
    redis_bound_arrays(reader);
    check_redirection(bytes, size, &asked);
    if (redisReaderFeed(reader, bytes, size) == REDIS_OK && redisReaderGetReply(reader, &reply) == REDIS_OK &&
        reply && redis_slots_read(reply, &asked, &map)) {
        check_map(&map);
        redis_slots_share_node(reply, reply);
    }
    if (reply && redis_shards_read(reply, &asked, &known))
        check_known(&known);
    if (reply)
        redis_assignments_read(reply, &assigned);
    if (reply)
        freeReplyObject(reply);
    redisReaderFree(reader);
}

#endif
