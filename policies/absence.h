/* SPDX-License-Identifier: MIT */
/*
 * Which keys a namespace's table has (absent_filter = true), so that reads of keys that it does not have need not ask
 * the store. docs/policies.md says where this is allowed, and what is promised.
 *
 *     NONE --a scan of the table is complete--> ASKED --crowded, or full of keys that are gone--> ASKED, another one
 *       ^------somebody else may have written, or the store is another one: distrusted------'
 *
 * A scan begins, and its filter is asked, only while the writer has a connection, which tells when somebody else
 * writes.
 *
 * What keeps it true:
 *
 *     - A key that comes into the table comes through the writer, which adds it before the store has it; and no entry
 *       leaves memory before that, as it is dirty.
 *     - A filter that is being filled is known to the writer before the scan begins, and no call that the writer began
 *       before that is under way any more. So the scan shows what the writer did not add.
 *     - Keys are never taken out. What was deleted or has expired is found until the next filter.
 *     - Whoever asks has looked into memory before, under the lock of the key's shard.
 *
 * Who may do what: workers ask and tell within their turns; the writer's thread of the backend adds and distrusts; one
 * thread builds (load/absence_build.h), and alone frees filters, once no worker's turn and no call of the writer is
 * left that may have seen them.
 */
#ifndef FOREBAY_POLICIES_ABSENCE_H
#define FOREBAY_POLICIES_ABSENCE_H

#include "policies/bloom.h"
#include "policies/tier_parts.h"

struct mutation;

struct absence_worker {            /* written by one worker */
    _Alignas(64) counter answered; /* reads that needed not ask the store */
};

struct absence {
    struct space *space;
    _Atomic(struct bloom *) asked;   /* complete; NULL: none */
    _Atomic(struct bloom *) filling; /* NULL: none is being filled */
    atomic_uint_fast64_t applying;   /* odd: the writer is in a call that writes */
    pthread_mutex_t mutex;           /* a leaf: of the changes of the two, and of distrusts */
    struct bloom *retired; /* under the mutex: was asked until it was distrusted. For the builder to free */
    atomic_uint_fast64_t distrusts; /* changed under the mutex, */
    atomic_bool watched;            /* and so is this: the writer would see others' writes */
    counter builds;                 /* by the builder */
    counter asked_in_vain;    /* reads for which the store was asked in vain; by readers, with fetch_add */
    uint64_t foreign;         /* as the writer's connection said last: the writer */
    uint64_t foreign_told_us; /* monotonic: the writer */
    struct bloom *unused;     /* out of use, but perhaps not out of sight: the builder */
    uint64_t distrusts_then;  /* when the scan began: the builder */
    uint64_t answered_then, in_vain_then; /* when the last one was complete: the builder */
    struct absence_worker *workers;
};

/* NULL: no memory. */
struct absence *absence_create(struct space *space);
void absence_destroy(struct absence *absence); /* no other thread uses it any more; NULL is allowed */

/* ---- Workers, in a turn ---- */

/* The store has no row of the key with this hash, which memory does not know. */
bool absence_excludes(const struct space *space, uint64_t hash);
/* The same for a read that is answered by it, which is counted. */
bool absence_answers(const struct tier_worker *worker, const struct space *space, uint64_t hash);

/* Somebody says that he has written to the row. */
void absence_tell(const struct space *space, uint64_t hash);

/* ---- The writer of the backend ---- */

/* Around each call that writes: these changes may come into the store. */
void absence_begin_writing(struct tier_backend *backend, const struct mutation *mutations, size_t count);
void absence_end_writing(struct tier_backend *backend);

/* The quarantine has a change of this key, which the store refused, perhaps before the filter that is filled now was
 * known; and memory still has it. */
void absence_hold(const struct space *space, uint64_t hash);

/* The store is, or may be, another one than was scanned; its connection says this of others' writes, from now on. */
void absence_distrust(struct tier_backend *backend, uint64_t foreign);

/* There is no connection any more that tells of others' writes: until the next absence_distrust no filter is asked. */
void absence_lose_sight(struct tier_backend *backend);

/* What the writer's connection knows of others' writes (backend_connection.foreign). */
void absence_note_foreign(struct tier_backend *backend, uint64_t foreign);

/* ---- The builder ---- */

/* Whether there is any use in a scan. */
static inline bool absence_is_watched(const struct absence *absence) {
    return atomic_load(&absence->watched);
}

/* Makes room for so many keys and begins: from here on the writer and whoever tells add to it as well, and nothing that
 * was written without that is under way any more when this returns. False: no memory, or `stop` was set. */
bool absence_begin_filling(struct absence *absence, size_t keys, const atomic_bool *stop);

/* For each key that the scan shows. */
void absence_fill(struct absence *absence, struct slice key);

/* True: it is complete, was not distrusted meanwhile, and is asked from here on. Else it is given up. */
bool absence_end_filling(struct absence *absence, bool complete);

/* Frees what is out of use, once nobody can see it any more. With `stop` set it may be left to absence_destroy. */
void absence_free_unused(struct absence *absence, const atomic_bool *stop);

/* Whether it is time for another filter: there is none, it is crowded, or more than one in 100 of the absent keys that
 * were asked for since it was built was looked up in the store. */
bool absence_is_worn(struct absence *absence);

/* ---- Any thread ---- */

struct absence_stats {
    bool asked, filling;
    size_t keys, bytes;
    uint64_t answered, in_vain, builds, distrusts;
};
void absence_get_stats(struct absence *absence, struct absence_stats *ret_stats);

#endif
