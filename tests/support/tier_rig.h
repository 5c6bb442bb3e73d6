/* SPDX-License-Identifier: MIT */
/*
 * A tier for tests: one or more workers driven by the test's own threads, over a store in memory that fails
 * on command.
 *
 *     RIG_TEST(what_was_set_can_be_read, write_behind) {
 *         rig->spaces[0].flush_delay = 60000;
 *         rig_start(rig);
 *         rig_expect(rig, "set a 1", "STORED");
 *         rig_expect(rig, "get a", "1");
 *     }
 *     ... RIG_CASE(what_was_set_can_be_read) in the list of tests
 *
 * Whatever a test makes with a rig (threads, tickets, the data folder) ends with it, also when an assertion
 * fails.
 *
 * A command is words: set|add|replace|append|prepend KEY VALUE [EXPTIME], cas KEY VALUE CAS, get|gets KEY, gat KEY
 * EXPTIME, touch KEY EXPTIME, delete KEY, incr|decr KEY DELTA, vivify KEY TTL [CAS] (mg N, E), flush_all, sync
 * [NAMESPACE], forget KEY. A reply is: the value (gets: value, blank, CAS), MISS, STORED, NOT_STORED, EXISTS,
 * NOT_FOUND, DELETED, TOUCHED, the number, WON (a hit that won the token), FORGOTTEN, HELD_BACK, or the error line.
 */
#ifndef FOREBAY_TESTS_SUPPORT_TIER_RIG_H
#define FOREBAY_TESTS_SUPPORT_TIER_RIG_H

#include "policies/policy.h"
#include "policies/tier.h"
#include "tests/support/check.h"
#include "tests/support/faulty.h"
#include "tests/support/memory_store.h"
#include "tests/support/temp_folder.h"
#include <pthread.h>

enum { RIG_SPACES = 4, RIG_WORKERS = 4, RIG_REPLY = 4096, RIG_PIPELINE = 300 };

struct rig_worker {
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    bool wake;
    struct tier_ticket *common; /* while the tier runs */
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
    struct temp_folder folder; /* data folder; path is "" until rig_use_folder */
    char reply[RIG_REPLY];
    const char *awaited_log; /* log lines with this text are counted */
    int64_t clock_shift_us;  /* added to the time that workers see */
    pthread_mutex_t mutex;   /* of all below */
    char last_log[1024];
    unsigned awaited_logs;
    struct rig_call *calls; /* not freed yet */
};

/* A request under way. */
struct rig_call {
    struct rig_call *next, **link; /* in rig->calls */
    struct tier_rig *rig;
    unsigned worker;
    struct tier_ticket *ticket;
    struct request request;
    char text[RIG_REPLY];
    char reply[RIG_REPLY];
    bool done;
    bool kept;     /* what tier_turn_end said of the turn in which it began */
    bool held;     /* the reply waits until the tier has released this number */
    uint64_t hold; /* 0: not known yet */
};

/* ---- Tests over a rig ---- */

/* Defines a test over a rig of one of the policies (policy_...), which is not started yet. */
#define RIG_TEST(name, kind)                                                                                 \
    static const struct policy *const name##_policy = &policy_##kind;                                        \
    static void name##_over(struct tier_rig *rig);                                                           \
    static void name(void **state) {                                                                         \
        name##_over(*state);                                                                                 \
    }                                                                                                        \
    static void name##_over(struct tier_rig *rig)

/* In the list of tests. RIG_CASE_WITH: where a file prepares the rig further; its functions call these. */
#define RIG_CASE_WITH(name, set_up, tear_down)                                                               \
    { #name, name, set_up, tear_down, (void *)name##_policy }
#define RIG_CASE(name) RIG_CASE_WITH(name, rig_set_up, rig_tear_down)

/* Makes the rig of the policy in *state, in its place; and takes it down. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* In a test: takes the rig down and makes it anew. */
void rig_renew(struct tier_rig *rig, const struct policy *policy);

/* ---- Making ---- */

/* One namespace "test" with prefix "" and this policy, one worker, 16 MB. Nothing is started. */
void rig_init(struct tier_rig *rig, const struct policy *policy);
/* Ends the tier, frees all. Orders that hold or delay the store end before. */
void rig_stop(struct tier_rig *rig);
/* Adds a namespace. */
struct space_options *rig_add_space(struct tier_rig *rig, const char *name, const char *prefix,
                                    const struct policy *policy);
/* A data folder, removed by rig_stop. */
void rig_use_folder(struct tier_rig *rig);

/* The test fails if it cannot be started. */
void rig_start(struct tier_rig *rig);
/* Takes over what the test has changed of options and namespaces since; NULL, or why it is refused. */
const char *rig_reload(struct tier_rig *rig);
/* The same, but it may fail: the message, else NULL. */
const char *rig_try_start(struct tier_rig *rig);
/* Ends the tier; the store stays, and rig_start may follow. */
void rig_end_tier(struct tier_rig *rig);

/* ---- Commands ---- */

/* Does a command on worker 0 and waits for the answer. */
const char *rig_do(struct tier_rig *rig, const char *command);
/* The same; the test fails if the reply is another. */
void rig_expect(struct tier_rig *rig, const char *command, const char *reply);

/* A command that stores something, formatted; the test fails if the reply is not STORED. */
__attribute__((format(printf, 2, 3))) void rig_store(struct tier_rig *rig, const char *format, ...);

/* The same on any worker: begins, and waits. Freed with rig_free, or the rig. */
struct rig_call *rig_begin(struct tier_rig *rig, unsigned worker, const char *command);
bool rig_is_done(struct rig_call *call);       /* looks for returned tickets first */
const char *rig_finish(struct rig_call *call); /* waits */
/* Begins one in a turn that goes on until rig_end_turn: its journal is not written before. Nothing else may be done
 * on this worker meanwhile. */
struct rig_call *rig_begin_turn(struct tier_rig *rig, unsigned worker, const char *command);
void rig_end_turn(struct rig_call *call);
void rig_free(struct rig_call *call);

/* From now on files of this process cannot be written (EFBIG, as from a disk that fails), or they can. rig_stop
 * allows it again. */
void rig_files_can_be_written(bool can);

/* Commands on keys, joined by ';', sent by one client of worker 0 at once: when one parks those behind it are
 * anticipated. Replies joined by ','. */
const char *rig_pipeline(struct tier_rig *rig, const char *commands);

/* ---- Looking ---- */

/* Waits until nothing is dirty any more; false: it took too long. */
bool rig_wait_clean(struct tier_rig *rig);

/* A statistic by its whole name ("test:batches"), from tier_stat_write_behind and tier_stat_backends. */
uint64_t rig_stat(struct tier_rig *rig, const char *name);

/* The same; false: there is no such line. */
bool rig_find_stat(struct tier_rig *rig, const char *name, uint64_t *ret_value);

/* Was this in the last line of the log? */
bool rig_said(struct tier_rig *rig, const char *text);

/* Lines with awaited_log so far, whatever came after them. */
unsigned rig_count_awaited(struct tier_rig *rig);

/* ---- The store ---- */

/* Writes a row of table "test", with a version that is older than all of the tier's. */
void rig_put_row(struct tier_rig *rig, const char *key, const char *value);
/* The expiry of a row; 0: it has none, or there is no row. */
uint32_t rig_row_expiry(struct tier_rig *rig, const char *key);
/* Mutations that the store has applied. */
size_t rig_mutations(struct tier_rig *rig);
/* The value of a row in table "test", to be freed; NULL: none. */
char *rig_row(struct tier_rig *rig, const char *key);
/* The test fails if the row has another value; NULL: if there is one. */
void rig_assert_row(struct tier_rig *rig, const char *key, const char *value);

#endif
