/* SPDX-License-Identifier: MIT */
/* See nodes.h. */
#include "backends/nodes.h"
#include "cache/base/clock.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct backend_nodes {
    pthread_mutex_t mutex;
    struct backend_nodes_copy now;
    void *legacy; /* NULL: none */
    void *shown;  /* the same */
    size_t shown_size, shown_room;
};

struct backend_nodes *backend_nodes_create(void) {
    struct backend_nodes *nodes = calloc(1, sizeof *nodes);
    if (nodes)
        pthread_mutex_init(&nodes->mutex, NULL);
    return nodes;
}

void backend_nodes_destroy(struct backend_nodes *nodes) {
    if (!nodes)
        return;
    pthread_mutex_destroy(&nodes->mutex);
    free(nodes->legacy);
    free(nodes->shown);
    free(nodes);
}

/* Where there is no room, one that is no master any more goes. NULL: there is none. */
static struct backend_node *find(struct backend_nodes_copy *now, const char *name) {
    struct backend_node *spare = now->count < BACKEND_NODES_MAX ? &now->list[now->count] : NULL;
    for (size_t i = 0; i < now->count; i++) {
        if (strcmp(now->list[i].name, name) == 0)
            return &now->list[i];
        if (!spare && now->list[i].slots == 0)
            spare = &now->list[i];
    }
    if (!spare)
        return NULL;
    now->count += spare == &now->list[now->count];
    *spare = (struct backend_node){.slots = 0};
    memcpy(spare->name, name, strlen(name) + 1);
    return spare;
}

void backend_nodes_set(struct backend_nodes *nodes, const struct backend_node *masters, size_t count) {
    if (!nodes)
        return;
    pthread_mutex_lock(&nodes->mutex);
    for (size_t i = 0; i < nodes->now.count; i++)
        nodes->now.list[i].slots = 0;
    for (size_t i = 0; i < count; i++) {
        struct backend_node *node = find(&nodes->now, masters[i].name);
        if (node)
            node->slots = masters[i].slots;
    }
    nodes->now.map_us = monotonic_us();
    pthread_mutex_unlock(&nodes->mutex);
}

void backend_nodes_note(struct backend_nodes *nodes, const struct backend_node *exchange) {
    if (!nodes)
        return;
    pthread_mutex_lock(&nodes->mutex);
    struct backend_node *node = find(&nodes->now, exchange->name);
    if (node) {
        node->away = exchange->away;
        node->commands += exchange->commands;
        node->errors += exchange->errors;
        node->redirections += exchange->redirections;
        node->replica_waits += exchange->replica_waits;
        node->replica_short += exchange->replica_short;
        node->exchanges++;
        node->exchange_us += exchange->exchange_us;
        if (exchange->exchange_us > node->exchange_max_us)
            node->exchange_max_us = exchange->exchange_us;
    }
    pthread_mutex_unlock(&nodes->mutex);
}

void backend_nodes_leave(struct backend_nodes *nodes, void *legacy) {
    void *old = legacy;
    if (nodes) {
        pthread_mutex_lock(&nodes->mutex);
        old = nodes->legacy;
        nodes->legacy = legacy;
        pthread_mutex_unlock(&nodes->mutex);
    }
    free(old);
}

void *backend_nodes_take(struct backend_nodes *nodes) {
    if (!nodes)
        return NULL;
    pthread_mutex_lock(&nodes->mutex);
    void *legacy = nodes->legacy;
    nodes->legacy = NULL;
    pthread_mutex_unlock(&nodes->mutex);
    return legacy;
}

/* False: no memory. */
static bool make_room(struct backend_nodes *nodes, size_t size) {
    void *shown = size <= nodes->shown_room ? nodes->shown : realloc(nodes->shown, size);
    if (size > nodes->shown_room && !shown)
        return false;
    nodes->shown_room = size > nodes->shown_room ? size : nodes->shown_room;
    nodes->shown = shown;
    return true;
}

void backend_nodes_show(struct backend_nodes *nodes, const void *bytes, size_t size) {
    if (!nodes)
        return;
    pthread_mutex_lock(&nodes->mutex);
    if (make_room(nodes, size)) {
        if (size > 0)
            memcpy(nodes->shown, bytes, size);
        nodes->shown_size = size;
    }
    pthread_mutex_unlock(&nodes->mutex);
}

size_t backend_nodes_see(struct backend_nodes *nodes, void *ret_bytes, size_t room) {
    if (!nodes)
        return 0;
    pthread_mutex_lock(&nodes->mutex);
    size_t size = nodes->shown_size;
    if (size > 0)
        memcpy(ret_bytes, nodes->shown, size < room ? size : room);
    pthread_mutex_unlock(&nodes->mutex);
    return size;
}

void backend_nodes_hear(struct backend_nodes *nodes, const char *name, bool is_heard) {
    if (!nodes)
        return;
    pthread_mutex_lock(&nodes->mutex);
    struct backend_node *node = find(&nodes->now, name);
    if (node)
        node->heard = is_heard;
    pthread_mutex_unlock(&nodes->mutex);
}

void backend_nodes_read(struct backend_nodes *nodes, struct backend_nodes_copy *ret_copy) {
    pthread_mutex_lock(&nodes->mutex);
    *ret_copy = nodes->now;
    pthread_mutex_unlock(&nodes->mutex);
}
