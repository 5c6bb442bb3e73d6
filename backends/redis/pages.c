/* SPDX-License-Identifier: MIT */
/*
 * All keys of a namespace, page by page (backend_place): each shows the names of one SCAN step as they come, tombstones
 * included.
 *
 * A place is the run of the server and the cursor, which means something in that run alone. In a cluster the masters
 * are walked in the order of their lowest slots, which is in the place as well, with a fingerprint of the map: where a
 * slot has moved since the beginning, or moves as a master has been walked, a key may have been met at none, and the
 * walk begins anew. A place that does not fit is the beginning.
 */
#include "backends/redis/cluster.h"
#include "cache/base/clock.h"
#include <inttypes.h>
#include <stdio.h>

#define ANY_RUN "-" /* before the first page of a master */

struct page_walk {
    const struct redis_table *table;
    struct backend_visitor *visitor;
    uint64_t map;  /* of a cluster, as it is; 0: one Redis */
    unsigned slot; /* the lowest of the master that is walked; 0: one Redis */
    char run[REDIS_RUN_MAX + 1];
    char cursor[REDIS_CURSOR_SIZE]; /* where the page begins; then, where it ends */
    redisReply *page;
};

/* ---- The masters of a cluster ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Two nodes may list the same masters in another order. FNV-1a. */
static uint64_t fingerprint(const struct redis_slot_map *map) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        unsigned owner = map->owner[slot];
        if ((slot > 0 && owner == map->owner[slot - 1]) || owner == REDIS_NOBODY)
            continue;
        const struct redis_place *place = &map->masters[owner];
        hash = mix(hash, &slot, sizeof slot);
        hash = mix(hash, place->host, strlen(place->host));
        hash = mix(hash, &place->port, sizeof place->port);
    }
    return hash;
}

/* The lowest slot, from this one on, of a master that has none below it. REDIS_SLOTS: there is none. */
static unsigned lowest_from(const struct redis_slot_map *map, unsigned slot) {
    while (slot < REDIS_SLOTS && (map->owner[slot] == REDIS_NOBODY ||
                                  memchr(map->owner, map->owner[slot], REDIS_SLOTS) != &map->owner[slot]))
        slot++;
    return slot;
}

static enum backend_status learn_map(struct redis_connection *connection, uint64_t *ret_map,
                                     struct backend_error *ret_error) {
    enum backend_status status = BACKEND_TRANSIENT;
    redis_begin_call(connection);
    if (!redis_cluster_refresh_now(connection, &status, ret_error))
        return BACKEND_TRANSIENT;
    if (connection->cluster->uncovered_since_us) {
        redis_cluster_tell_uncovered(connection, redis_cluster_first_uncovered(connection->cluster),
                                     ret_error);
        return BACKEND_TRANSIENT;
    }
    *ret_map = fingerprint(&connection->cluster->map);
    return BACKEND_OK;
}

/* ---- Places ---- */

/* Where the page begins. */
static void find_place(const struct redis_connection *connection, struct page_walk *walk) {
    const struct backend_place *place = walk->visitor->place;
    const struct redis_cluster *cluster = connection->cluster;
    char text[BACKEND_PLACE_MAX + 1] = "", run[REDIS_RUN_MAX + 1], cursor[REDIS_CURSOR_SIZE];
    uint64_t map = 0;
    unsigned slot = 0;
    if (place->size <= BACKEND_PLACE_MAX)
        memcpy(text, place->bytes, place->size);
    bool known = sscanf(text, "%63s %23s %u %" SCNx64, run, cursor, &slot, &map) == 4 && map == walk->map &&
                 slot < REDIS_SLOTS && (cluster ? lowest_from(&cluster->map, slot) == slot : slot == 0);
    snprintf(walk->run, sizeof walk->run, "%s", known ? run : ANY_RUN);
    snprintf(walk->cursor, sizeof walk->cursor, "%s", known ? cursor : "0");
    walk->slot = known ? slot : cluster ? lowest_from(&cluster->map, 0) : 0;
}

static void move_place(const struct page_walk *walk) {
    struct backend_place *place = walk->visitor->place;
    place->size = (size_t)snprintf(place->bytes, sizeof place->bytes, "%s %s %u %" PRIx64, walk->run,
                                   walk->cursor, walk->slot, walk->map);
}

/* Behind the last page of a master: on to the next one, or to the beginning. */
static enum backend_status leave_master(struct redis_connection *connection, struct page_walk *walk,
                                        struct backend_error *ret_error) {
    struct backend_place *place = walk->visitor->place;
    uint64_t map = walk->map;
    bool moves = false;
    enum backend_status status = redis_do(connection, redis_scan_sees_moves, &moves, ret_error);
    unsigned next = lowest_from(&connection->cluster->map, walk->slot + 1);
    if (status == BACKEND_OK && !moves && next == REDIS_SLOTS)
        status = learn_map(connection, &map, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (moves || map != walk->map) {
        place->size = 0;
        return BACKEND_OK;
    }
    place->end = next == REDIS_SLOTS;
    walk->slot = place->end ? 0 : next;
    snprintf(walk->run, sizeof walk->run, ANY_RUN);
    move_place(walk);
    return BACKEND_OK;
}

/* ---- A page ---- */

/* Starts over at the place, whatever became of the link since. Of another run, the cursor
 * means nothing: then this server is walked from its beginning. */
static enum redis_step page_work(struct redis_connection *connection, void *context,
                                 enum backend_status *ret_status, struct backend_error *ret_error) {
    struct page_walk *walk = context;
    find_place(connection, walk);
    if (strcmp(walk->run, connection->link->run) != 0)
        snprintf(walk->cursor, sizeof walk->cursor, "0");
    snprintf(walk->run, sizeof walk->run, "%s", connection->link->run);
    return redis_scan_names(connection, walk->table, walk->cursor, &walk->page, ret_status, ret_error);
}

static bool show_names(const struct redis_connection *connection, const struct page_walk *walk) {
    const redisReply *names = walk->page->element[1];
    bool wanted = true;
    for (size_t i = 0; i < names->elements && wanted; i++) {
        struct entry entry = {0};
        struct slice name = slice_of(names->element[i]->str, (size_t)names->element[i]->len);
        if (redis_scan_belongs(connection, walk->table, name, &entry.key))
            wanted = walk->visitor->entry(walk->visitor, &entry);
    }
    return wanted;
}

/* NULL: one Redis. */
static struct redis_node *node_of(const struct redis_connection *connection, const struct page_walk *walk) {
    const struct redis_cluster *cluster = connection->cluster;
    return cluster ? cluster->nodes[cluster->map.owner[walk->slot]] : NULL;
}

/* Its trouble is not only that it has too few replicas. */
static bool is_in_trouble(const struct redis_node *node) {
    return node && node->trouble_since_us && !node->is_short;
}

/* Others wait behind a walk, so a master that does not serve is waited for once. */
static enum backend_status read_page(struct redis_connection *connection, struct page_walk *walk,
                                     struct backend_error *ret_error) {
    struct redis_node *node = node_of(connection, walk);
    bool troubled = is_in_trouble(node);
    if (troubled && monotonic_us() < node->try_at_us) {
        *ret_error = node->error;
        return BACKEND_TRANSIENT;
    }
    enum backend_status status = (troubled ? redis_try : redis_do)(connection, page_work, walk, ret_error);
    if (node && status == BACKEND_TRANSIENT) {
        node->error = *ret_error;
        node->is_short = false; /* whatever its trouble was: it does not serve */
        redis_node_fails(node);
    }
    return status;
}

static enum backend_status show_page(struct redis_connection *connection, struct page_walk *walk,
                                     struct backend_error *ret_error) {
    enum backend_status status = read_page(connection, walk, ret_error);
    if (status != BACKEND_OK)
        return status;
    bool wanted = show_names(connection, walk), is_last = strcmp(walk->cursor, "0") == 0;
    freeReplyObject(walk->page);
    if (!wanted)
        return BACKEND_OK;
    if (is_last && connection->cluster)
        return leave_master(connection, walk, ret_error);
    walk->visitor->place->end = is_last;
    move_place(walk);
    return BACKEND_OK;
}

enum backend_status redis_scan_page(struct redis_connection *connection, const struct redis_table *table,
                                    struct backend_visitor *visitor, struct backend_error *ret_error) {
    struct page_walk walk = {.table = table, .visitor = visitor};
    enum backend_status status = BACKEND_OK;
    if (connection->cluster)
        status = learn_map(connection, &walk.map, ret_error);
    if (status == BACKEND_OK && connection->cluster) {
        find_place(connection, &walk);
        connection->link = &node_of(connection, &walk)->link;
    }
    if (status == BACKEND_OK)
        status = show_page(connection, &walk, ret_error);
    connection->link = &connection->only;
    return status;
}
