/* SPDX-License-Identifier: MIT */
/* See store.h. */
#include "policies/store.h"
#include <stdlib.h>
#include <string.h>

struct store *store_create(void) {
    struct store *store = calloc(1, sizeof *store);
    if (store)
        pthread_mutex_init(&store->mutex, NULL);
    return store;
}

void store_destroy(struct store *store) {
    if (!store)
        return;
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

static bool equal(const struct backend_identity *a, const struct backend_identity *b) {
    return memcmp(a->parts, b->parts, sizeof a->parts) == 0;
}

/* Their first parts are the store's own. */
static bool differ(const struct backend_identity *a, const struct backend_identity *b) {
    return backend_identity_tells(a) && backend_identity_tells(b) &&
           (a->parts[0] != b->parts[0] || a->parts[1] != b->parts[1]);
}

bool store_admit(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    bool admitted = !store_is_lost(store);
    store->readers += admitted;
    pthread_mutex_unlock(&store->mutex);
    return admitted;
}

bool store_fits(struct store *store, const struct backend_identity *identity) {
    pthread_mutex_lock(&store->mutex);
    bool fits = !store_is_lost(store) &&
                (!store->known || !backend_identity_tells(identity) || equal(&store->identity, identity));
    pthread_mutex_unlock(&store->mutex);
    return fits;
}

void store_leave(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    store->readers--;
    pthread_mutex_unlock(&store->mutex);
}

bool store_lose(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    bool news = !store_is_lost(store);
    atomic_store(&store->lost, true);
    pthread_mutex_unlock(&store->mutex);
    return news;
}

bool store_expected(struct store *store, struct backend_identity *ret_identity) {
    pthread_mutex_lock(&store->mutex);
    bool known = store->known;
    *ret_identity = store->identity;
    pthread_mutex_unlock(&store->mutex);
    return known;
}

bool store_note_place(struct store *store, const char *place, char ret_before[BACKEND_PLACE_SHOWN]) {
    if (strcmp(store->place, place) == 0) /* nobody else changes it: no mutex for each call */
        return false;
    pthread_mutex_lock(&store->mutex);
    strcpy(ret_before, store->place);
    strcpy(store->place, place);
    atomic_fetch_add(&store->moves, 1);
    pthread_mutex_unlock(&store->mutex);
    return true;
}

unsigned store_shift(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    unsigned moves = atomic_fetch_add(&store->moves, 1) + 1;
    pthread_mutex_unlock(&store->mutex);
    return moves;
}

void store_get_place(struct store *store, char ret_text[BACKEND_PLACE_SHOWN]) {
    pthread_mutex_lock(&store->mutex);
    strcpy(ret_text, store->place);
    pthread_mutex_unlock(&store->mutex);
}

bool store_is_free(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    bool is_free = !store_is_lost(store) || store->readers == 0;
    pthread_mutex_unlock(&store->mutex);
    return is_free;
}

bool store_is_other(struct store *store, const struct backend_identity *identity) {
    pthread_mutex_lock(&store->mutex);
    bool other = store->known && differ(&store->identity, identity);
    pthread_mutex_unlock(&store->mutex);
    return other;
}

bool store_found(struct store *store, const struct backend_identity *identity) {
    pthread_mutex_lock(&store->mutex);
    bool other = store_is_lost(store) || (store->known && differ(&store->identity, identity));
    if (!store->known || backend_identity_tells(identity))
        store->identity = *identity;
    store->known = true;
    if (store_is_lost(store)) /* readers have closed what they had open; a watcher need not have noticed */
        atomic_fetch_add(&store->moves, 1);
    atomic_store(&store->lost, false);
    pthread_mutex_unlock(&store->mutex);
    return other;
}
