/* SPDX-License-Identifier: MIT */
/*
 * The calls of a backend: how long they took and how they ended, counted by whichever thread makes them. A call waits
 * for a store, so that what is shared here costs nothing by comparison.
 */
#ifndef FOREBAY_POLICIES_BACKEND_CALLS_H
#define FOREBAY_POLICIES_BACKEND_CALLS_H

#include "backends/backend.h"
#include "cache/base/clock.h"
#include "cache/base/histogram.h"

enum backend_call {
    CALL_OPEN,
    CALL_VERSION, /* the highest version that it holds, after the writer has opened it */
    CALL_LOAD,
    CALL_APPLY,
    CALL_SCAN,
    CALL_MAINTAIN, /* purge, checkpoint */
    CALL_LOOK,     /* is it still the same store? */
    CALL_COMPARE,  /* the versions of rows that were changed (coherent) */
    BACKEND_CALLS
};

enum { BACKEND_STATUSES = BACKEND_REFUSED + 1, BACKEND_ROLES = BACKEND_READER + 1 };

struct backend_calls {
    struct histogram times[BACKEND_CALLS];
    counter endings[BACKEND_CALLS][BACKEND_STATUSES];
    counter reconnects[BACKEND_ROLES]; /* connections that replaced one */
    counter log_bytes;                 /* backend_connection.log_bytes of the writer's, after its last call */
};

/* Read. */
struct backend_calls_sum {
    struct histogram_sum times[BACKEND_CALLS];
    uint64_t endings[BACKEND_CALLS][BACKEND_STATUSES];
    uint64_t reconnects[BACKEND_ROLES], log_bytes;
};

/* A call that took so long has ended. */
void backend_call_note(struct backend_calls *calls, enum backend_call call, uint64_t took_us,
                       enum backend_status status);

/* Any thread. */
void backend_calls_read(const struct backend_calls *calls, struct backend_calls_sum *ret_sum);

/* "load"; "transient"; "read", "write". */
const char *backend_call_name(enum backend_call call);
const char *backend_status_name(enum backend_status status);
const char *backend_role_name(enum backend_role role);

#endif
