/* SPDX-License-Identifier: MIT */
/*
 * A tier for tests: one or more workers driven by the test's own threads, over a store in memory that fails
 * on command.
 *
 *     struct tier_rig rig;
 *     rig_init(&rig, &policy_write_behind);
 *     rig.spaces[0].flush_delay = 60000;
 *     rig_start(&rig);
 *     rig_expect(&rig, "set a 1", "STORED");
 *     rig_stop(&rig);
 *
 * A command is words: set|add|replace|append|prepend KEY VALUE [EXPTIME], cas KEY VALUE CAS, get|gets KEY,
 * gat KEY EXPTIME, touch KEY EXPTIME, delete KEY, incr|decr KEY DELTA, vivify KEY TTL (mg N), flush_all, sync
 * [NAMESPACE]. A reply is: the value (gets: value, blank, CAS), MISS, STORED, NOT_STORED, EXISTS, NOT_FOUND,
 * DELETED, TOUCHED, the number, WON (a hit that won the token), or the error line.
 */
#ifndef FOREBAY_TESTS_SUPPORT_TIER_RIG_H
#define FOREBAY_TESTS_SUPPORT_TIER_RIG_H

#include "policies/policy.h"
#include "policies/tier.h"
#include "tests/support/faulty.h"
#include "tests/support/memory_store.h"
#include <pthread.h>

enum { RIG_SPACES = 4, RIG_WORKERS = 4, RIG_REPLY = 4096, RIG_PIPELINE = 300 };

struct rig_worker {
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    bool wake;
    uint64_t position; /* of its last turn that had one */
};

struct tier_rig {
    struct memory_store *store;
    struct faulty *faulty;
    struct tier_options options;
    struct tier_backend_options backend;
    struct space_options spaces[RIG_SPACES];
    size_t space_count;
    struct tier *tier;
    struct rig_worker workers[RIG_WORKERS];
    char folder[64]; /* data folder; "" until rig_use_folder */
    char reply[RIG_REPLY];
    char last_log[1024];
    const char *awaited_log; /* log lines with this text are counted */
    unsigned awaited_logs;
    pthread_mutex_t log_mutex;
    int64_t clock_shift_us; /* added to the time that workers see */
};

/* A request under way. */
struct rig_call {
    struct tier_rig *rig;
    unsigned worker;
    struct tier_ticket *ticket;
    struct request request;
    char text[RIG_REPLY];
    char reply[RIG_REPLY];
    bool done, is_sync;
    bool kept; /* what tier_turn_end said of the turn in which it began */
    bool held; /* the reply waits until the journal is durable up to position */
    uint64_t position;
};

/* One namespace "test" with prefix "" and this policy, one worker, 16 MB. Nothing is started. */
void rig_init(struct tier_rig *rig, const struct policy *policy);
/* Adds a namespace. */
struct space_options *rig_add_space(struct tier_rig *rig, const char *name, const char *prefix,
                                    const struct policy *policy);
/* A data folder of its own, removed by rig_stop. */
void rig_use_folder(struct tier_rig *rig);

void rig_start(struct tier_rig *rig);
/* The same, but it may fail: the message, else NULL. */
const char *rig_try_start(struct tier_rig *rig);
/* Ends the tier; the store stays, and rig_start may follow. */
void rig_end_tier(struct tier_rig *rig);
void rig_stop(struct tier_rig *rig);

/* Does a command on worker 0 and waits for the answer. */
const char *rig_do(struct tier_rig *rig, const char *command);
/* The same; the test fails if the reply is another. */
void rig_expect(struct tier_rig *rig, const char *command, const char *reply);

/* The same on any worker: begins, and waits. To be freed by rig_finish's caller with rig_free. */
struct rig_call *rig_begin(struct tier_rig *rig, unsigned worker, const char *command);
bool rig_is_done(struct rig_call *call);       /* looks for returned tickets first */
const char *rig_finish(struct rig_call *call); /* waits */
void rig_free(struct rig_call *call);

/* Commands on keys, joined by ';', sent by one client of worker 0 at once: when one parks those behind it are
 * anticipated. Replies joined by ','. */
const char *rig_pipeline(struct tier_rig *rig, const char *commands);

/* Waits until nothing is dirty any more; false: it took too long. */
bool rig_wait_clean(struct tier_rig *rig);

/* A statistic by its whole name ("test:batches"), from tier_stat_write_behind and tier_stat_backends. */
uint64_t rig_stat(struct tier_rig *rig, const char *name);

/* The value of a row in table "test", to be freed; NULL: none. */
char *rig_row(struct tier_rig *rig, const char *key);
/* The test fails if the row has another value; NULL: if there is one. */
void rig_assert_row(struct tier_rig *rig, const char *key, const char *value);

#endif
