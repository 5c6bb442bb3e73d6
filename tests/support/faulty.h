/* SPDX-License-Identifier: MIT */
/*
 * A backend that fails on command, around one that works.
 *
 *     struct faulty *faulty = faulty_create(&sqlite_backend);
 *     options.type = faulty_type(faulty);      // struct backend_options
 *     ... open, run ...
 *     faulty_fail_call(faulty, FAULTY_APPLY, 3, BACKEND_TRANSIENT);
 *     faulty_fail_all(faulty, FAULTY_LOAD, BACKEND_TRANSIENT);
 *     ...
 *     faulty_fail_all(faulty, FAULTY_LOAD, BACKEND_OK);
 *
 * The orders may be given from any thread at any time, also while calls are under way; they count from the
 * moment they are given and hold for all connections together. All connections must be closed before
 * faulty_destroy.
 */
#ifndef FOREBAY_TESTS_SUPPORT_FAULTY_H
#define FOREBAY_TESTS_SUPPORT_FAULTY_H

#include "backends/backend.h"

struct faulty;

/* The calls that can be made to fail. FAULTY_ANY: an order for each of them. */
enum faulty_call {
    FAULTY_OPEN,
    FAULTY_LOAD,
    FAULTY_APPLY,
    FAULTY_SCAN,
    FAULTY_MAINTAIN,
    FAULTY_HIGH_VERSION,
    FAULTY_ANY
};

struct faulty *faulty_create(const struct backend_type *inner);
void faulty_destroy(struct faulty *faulty);

/* What goes into backend_options.type. */
const struct backend_type *faulty_type(const struct faulty *faulty);

/* The nth call from now on (1: the next) answers status without reaching the inner backend. One such order a
 * kind of call; a new one replaces it. */
void faulty_fail_call(struct faulty *faulty, enum faulty_call call, unsigned nth, enum backend_status status);

/* Every call answers status, until BACKEND_OK is ordered. */
void faulty_fail_all(struct faulty *faulty, enum faulty_call call, enum backend_status status);

/* The calls sleep first, all of them, until 0 is ordered. */
void faulty_delay(struct faulty *faulty, enum faulty_call call, unsigned milliseconds);

/* The calls wait before they reach the inner backend, until hold is ordered false. faulty_wait_held returns
 * once at least one call waits. For tests that need something to happen in the middle of a call. */
void faulty_hold(struct faulty *faulty, enum faulty_call call, bool hold);
void faulty_wait_held(struct faulty *faulty, enum faulty_call call);

/* A batch with a mutation whose key contains text is refused whole (BACKEND_PERMANENT), as a store does with
 * a row it cannot take. NULL: no longer. */
void faulty_refuse_keys(struct faulty *faulty, const char *text);

/* Which mutations of such a batch are refused is told. */
void faulty_name_refused(struct faulty *faulty, bool named);

/* Calls for the table of this name answer BACKEND_TABLE_FAILED, as do batches with a mutation of it. NULL: no
 * longer. */
void faulty_fail_table(struct faulty *faulty, const char *name);

/* A load of keys of which one contains text answers BACKEND_PERMANENT, as a store does with a row that it cannot
 * read. NULL: no longer. */
void faulty_spoil_keys(struct faulty *faulty, const char *text);

/* Connections that are opened from now on say that the store has parts. */
void faulty_have_parts(struct faulty *faulty);

/* Keys that contain text are of a part of the store that is away: loads and batches do the rest, and answer
 * BACKEND_TRANSIENT with connection->partial. NULL: no longer. */
void faulty_lose_part(struct faulty *faulty, const char *text);

/* The same of a part that is silent: hasty loads go on without it, and others wait until it is no longer. */
void faulty_silence_part(struct faulty *faulty, const char *text);

/* The call_until_us of the load or apply that was begun last. */
uint64_t faulty_until_us(struct faulty *faulty, enum faulty_call call);

/* The next apply applies the first count mutations, then answers BACKEND_TRANSIENT. */
void faulty_tear(struct faulty *faulty, size_t count);

/* The next apply applies everything, then answers BACKEND_TRANSIENT: the answer was lost on its way. */
void faulty_lose_answer(struct faulty *faulty);
/* The same, and the apply that follows is held (faulty_hold). */
void faulty_lose_answer_and_hold(struct faulty *faulty);

/* Calls begun since creation, the failed ones included. */
unsigned faulty_calls(struct faulty *faulty, enum faulty_call call);

/* Mutations that the inner backend applied without an error; and the largest batch among them. */
size_t faulty_applied(struct faulty *faulty);
size_t faulty_largest_batch(struct faulty *faulty);

#endif
