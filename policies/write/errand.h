/* SPDX-License-Identifier: MIT */
/*
 * What one writer has another one do: a store has one writer's connection, so who wants to write to the store of
 * another backend as well (mirror.h, copy.h) asks that backend's writer, and waits.
 *
 * A writer does nothing else while it waits, so no chain of them may lead back to itself: a backend that is copied to
 * is not copied from (server/config/copies.c). Before the writers' threads start, and only then, the caller does the
 * errand itself.
 */
#ifndef FOREBAY_POLICIES_WRITE_ERRAND_H
#define FOREBAY_POLICIES_WRITE_ERRAND_H

#include "backends/backend.h"

struct writer;

enum errand_state { ERRAND_WAITS, ERRAND_RUNS, ERRAND_DONE };

struct errand {
    /* Does it, on the doer's thread. False: not done, and doer->session.error says why. */
    bool (*run)(struct writer *doer, struct errand *self);
    /* Monotonic: it is not begun later, and its calls end by then; 0: the doer's timeout counts. */
    uint64_t until_us;
    struct backend_error error; /* out, where it was not done */
    bool partial;               /* out: it was not done for the want of a part of the store alone */
    /* the doer's, under its mutex */
    struct errand *next;
    enum errand_state state;
    bool done;
};

/* From another writer's thread: has it done, and waits for that. False: it is not done, or not all of it; see its
 * error. */
bool errand_do(struct writer *doer, struct errand *errand);

/* ---- The doer's thread ---- */

void errands_run(struct writer *writer);

/* With the mutex, as it stops: those that wait are not done. */
void errands_refuse(struct writer *writer);

#endif
