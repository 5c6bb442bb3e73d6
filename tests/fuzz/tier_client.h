/* SPDX-License-Identifier: MIT */
/*
 * A client of a tier with stores: one line of the text protocol goes in, its answer comes out. What parks is waited
 * for, and what is held until it is released, as a worker does it (policies/tier.h); so a wake-up that is lost is a
 * hang.
 */
#ifndef FOREBAY_TESTS_FUZZ_TIER_CLIENT_H
#define FOREBAY_TESTS_FUZZ_TIER_CLIENT_H

#include "policies/tier.h"
#include "server/protocol/parser.h"
#include "tests/fuzz/replies.h"
#include "tests/support/reply_room.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { TIER_CLIENT_ITEM_MAX = 1200, TIER_CLIENT_ANSWER = 4 << 10 };

struct tier_client {
    struct tier *tier;
    struct tier_worker *worker;
    struct tier_ticket *common, *own; /* own: while a request waits */
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    bool wake; /* under the mutex */
    bool held; /* the answer waits until this number is released; 0: a later turn tells it */
    uint64_t hold;
    uint64_t waits; /* how often a request was parked so far */
    size_t size;
    char answer[TIER_CLIENT_ANSWER];
};

/* The wake function of tier_options; the client is its context. */
static inline void tier_client_wake(void *context, unsigned worker) {
    struct tier_client *client = context;
    (void)worker;
    pthread_mutex_lock(&client->mutex);
    client->wake = true;
    pthread_cond_signal(&client->woken);
    pthread_mutex_unlock(&client->mutex);
}

/* A minute is as good as for ever. */
static inline void tier_client_wait(struct tier_client *client) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&client->mutex);
    while (!client->wake)
        FUZZ_CHECK(pthread_cond_timedwait(&client->woken, &client->mutex, &until) != ETIMEDOUT);
    client->wake = false;
    pthread_mutex_unlock(&client->mutex);
}

static inline void tier_client_begin(struct tier_client *client, struct tier *tier) {
    client->tier = tier;
    client->worker = tier_get_worker(tier, 0);
    client->common = tier_ticket_create(client->worker, NULL);
    FUZZ_CHECK(client->common);
}

static inline void tier_client_end(struct tier_client *client) {
    tier_ticket_destroy(client->common);
    client->common = client->own = NULL;
}

static inline void tier_client_turn_begin(struct tier_client *client) {
    struct cache_time now = tier_now(client->tier);
    tier_turn_begin(client->worker, &now);
}

static inline void tier_client_turn_end(struct tier_client *client) {
    uint64_t hold;
    FUZZ_CHECK(tier_turn_end(client->worker, &hold));
    if (client->held && client->hold == 0)
        client->hold = hold;
}

static inline void tier_client_write(struct tier_client *client, const struct request *request,
                                     struct outcome *outcome) {
    char *value_at;
    FUZZ_CHECK(!outcome || reply_room(request, outcome) <= TIER_CLIENT_ANSWER);
    char *end = reply_write(client->answer, request, outcome, &value_at);
    FUZZ_CHECK(!value_at); /* none is as large as that */
    client->size = (size_t)(end - client->answer);
    replies_check_text(slice_of(client->answer, client->size));
    if (outcome && outcome->holds_lock)
        tier_release(outcome);
}

static inline void tier_client_park(struct tier_client *client) {
    client->waits++;
    if (!client->own)
        client->own = tier_ticket_take(client->common, client);
    FUZZ_CHECK(client->own);
    tier_submit(client->worker, client->own);
}

/* In a turn. False: it waits. request NULL: sync of everything, for so many ms. */
static inline bool tier_client_execute(struct tier_client *client, struct request *request,
                                       uint32_t timeout_ms) {
    struct tier_ticket *ticket = client->own ? client->own : client->common;
    struct outcome outcome;
    enum tier_status status;
    if (request) {
        tier_prepare(client->worker, request);
        status = tier_execute(client->worker, ticket, request, &outcome);
    } else {
        status = tier_sync(client->worker, ticket, slice_of("", 0), timeout_ms, &outcome);
    }
    if (status == TIER_PARKED) {
        tier_client_park(client);
        return false;
    }
    client->held = status == TIER_HELD;
    client->hold = 0;
    if (request)
        tier_client_write(client, request, &outcome);
    else
        client->size = outcome.status == OUTCOME_NUMBER;
    return true;
}

/* Until the answer may be sent. */
static inline void tier_client_hold(struct tier_client *client) {
    while (client->held && (client->hold == 0 || tier_released(client->worker) < client->hold)) {
        tier_client_wait(client);
        tier_client_turn_begin(client);
        tier_client_turn_end(client);
    }
    client->held = false;
}

/* Until it is answered. */
static inline void tier_client_do(struct tier_client *client, struct request *request, uint32_t timeout_ms) {
    tier_client_turn_begin(client);
    bool is_done = tier_client_execute(client, request, timeout_ms);
    tier_client_turn_end(client);
    while (!is_done) {
        tier_client_wait(client);
        tier_client_turn_begin(client);
        struct tier_ticket *back = tier_next_ready(client->worker);
        FUZZ_CHECK(!back || tier_ticket_owner(back) == client);
        is_done = back && tier_client_execute(client, request, timeout_ms);
        tier_client_turn_end(client);
    }
    if (client->own)
        tier_ticket_give_back(client->common, client->own);
    client->own = NULL;
    tier_client_hold(client);
}

/* The answer to one line with its block: valid until the next. */
static inline struct slice tier_client_ask(struct tier_client *client, struct slice line) {
    struct parser parser;
    struct request request;
    char key[ENTRY_KEY_MAX + 2];
    size_t consumed = 0, wanted = 0;
    parser_init(&parser, TIER_CLIENT_ITEM_MAX);
    FUZZ_CHECK(parse(&parser, line.data, line.size, key, &request, &consumed, &wanted) == PARSE_OK);
    FUZZ_CHECK(consumed == line.size);
    client->size = 0;
    if (request.command == COMMAND_BAD)
        tier_client_write(client, &request, NULL);
    else
        tier_client_do(client, &request, 0);
    return slice_of(client->answer, client->size);
}

/* Whether all that was dirty is in the store, or given up there. */
static inline bool tier_client_sync(struct tier_client *client, uint32_t timeout_ms) {
    tier_client_do(client, NULL, timeout_ms);
    return client->size;
}

#endif
