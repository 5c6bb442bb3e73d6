/* SPDX-License-Identifier: MIT */
/*
 * Which store a backend's threads have open, so that they all have the same one.
 *
 * The writer finds out that the store is no longer the one at its address, and opens what is there now. Meanwhile no
 * reader opens anything: the writer readies the new one first, and no connection to the old one may be left by then.
 *
 *     none --the writer has opened it--> open --BACKEND_REPLACED--> lost --all have closed, opened anew--> open
 *
 * Its mutex is a leaf, taken when connections are opened and closed, never for a call.
 */
#ifndef FOREBAY_POLICIES_STORE_H
#define FOREBAY_POLICIES_STORE_H

#include "backends/backend.h"
#include <pthread.h>
#include <stdatomic.h>

struct store {
    atomic_bool lost; /* changed under the mutex */
    pthread_mutex_t mutex;
    struct backend_identity identity; /* as the writer had it last */
    bool known;                       /* it has had one */
    struct backend_sighting sighting; /* the writer's: of before */
    unsigned readers;                 /* connections that are open, or being opened */
    char place[BACKEND_PLACE_SHOWN];  /* where the writer found it last, if it was looked for */
    atomic_uint moves; /* how often it was found, or found elsewhere, or may be; changed under the mutex */
    /* The last batch that it has acknowledged to the writer (backend_connection.applied); 0: it is not known by one. */
    atomic_uint_fast64_t acknowledged;
};

/* NULL: no memory. */
struct store *store_create(void);
void store_destroy(struct store *store);

static inline bool store_is_lost(struct store *store) {
    return atomic_load_explicit(&store->lost, memory_order_relaxed);
}

/* Any thread. "": the store is where its address says. */
void store_get_place(struct store *store, char ret_text[BACKEND_PLACE_SHOWN]);

/* Connections that were opened when this was less lead to where the store was before. */
static inline unsigned store_moves(struct store *store) {
    return atomic_load_explicit(&store->moves, memory_order_relaxed);
}

/* ---- Readers ---- */

/* Before one opens a connection. False: not now. */
bool store_admit(struct store *store);

/* It has one: is that the store that the writer has open? */
bool store_fits(struct store *store, const struct backend_identity *identity);

/* It has closed it, or could not open it. */
void store_leave(struct store *store);

/* ---- The watcher ---- */

/* It did not hear the store for a while: what others have open may lead to where it was before. Gives store_moves as it
 * is from now on. */
unsigned store_shift(struct store *store);

/* ---- The writer ---- */

/* Its store is gone. False: that was known. */
bool store_lose(struct store *store);

/* The identity that it had last; false: none so far. */
bool store_expected(struct store *store, struct backend_identity *ret_identity);

/* It has found the store there (backend_connection.place), whereas it was elsewhere before, or nowhere: "". False: it
 * was there. */
bool store_note_place(struct store *store, const char *place, char ret_before[BACKEND_PLACE_SHOWN]);

/* May it open it anew? Not while readers have the old one open. */
bool store_is_free(struct store *store);

/* Is one of this identity another store than the writer had last, as far as it tells? */
bool store_is_other(struct store *store, const struct backend_identity *identity);

/* It has opened it. True: it was lost before, or it is another one than the writer had last. */
bool store_found(struct store *store, const struct backend_identity *identity);

#endif
