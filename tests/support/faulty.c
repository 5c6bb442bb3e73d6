/* SPDX-License-Identifier: MIT */
/*
 * See faulty.h. The orders live in struct faulty under one lock; a connection of ours wraps one of the inner
 * kind. The type that the tests hand out is the first member of struct faulty: that is how a call finds its
 * orders.
 */
#include "tests/support/faulty.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HELD_WITHIN_S = 60 }; /* as in check.h: nobody waits so long but a test that fails */

struct orders {
    unsigned calls;
    unsigned fail_in; /* 1: the next; 0: none */
    enum backend_status once, always;
    unsigned delay_ms;
    bool hold;
    unsigned held;     /* calls waiting */
    uint64_t until_us; /* of the last call */
};

struct faulty {
    struct backend_type type; /* first: see of_type */
    const struct backend_type *inner;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct orders orders[FAULTY_ANY];
    char *refused, *spoilt, *failing_table, *lost_part, *silent_part;
    bool tear, lose_answer, holds_next, names_refused, has_parts;
    size_t tear_after;
    size_t applied, largest_batch;
};

struct faulty_connection {
    struct backend_connection base;
    struct faulty *faulty;
    struct backend_connection *inner;
};

static enum backend_status faulty_open(const struct backend_options *options, enum backend_role role,
                                       struct backend_connection **ret_connection,
                                       struct backend_error *ret_error);

static struct faulty *of_type(const struct backend_type *type) {
    assert(type->open == faulty_open);
    return (struct faulty *)type;
}

static struct faulty_connection *of(struct backend_connection *base) {
    assert(base->type->open == faulty_open);
    return (struct faulty_connection *)base;
}

static enum backend_status failing(struct backend_error *ret_error, enum backend_status status) {
    snprintf(ret_error->message, sizeof ret_error->message, "a failure ordered by the test");
    return status;
}

static void sleep_ms(unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* What each call does first. BACKEND_OK: go on to the inner backend. */
static enum backend_status enter(struct faulty *faulty, enum faulty_call call,
                                 struct backend_error *ret_error) {
    struct orders *orders = &faulty->orders[call];
    pthread_mutex_lock(&faulty->lock);
    orders->calls++;
    enum backend_status status = orders->always;
    if (orders->fail_in && --orders->fail_in == 0)
        status = orders->once;
    unsigned delay = orders->delay_ms;
    orders->held++;
    pthread_cond_broadcast(&faulty->changed);
    while (orders->hold)
        pthread_cond_wait(&faulty->changed, &faulty->lock);
    orders->held--;
    pthread_mutex_unlock(&faulty->lock);
    if (delay)
        sleep_ms(delay);
    return status == BACKEND_OK ? BACKEND_OK : failing(ret_error, status);
}

/* ---- The type ---- */

static enum backend_status faulty_open(const struct backend_options *options, enum backend_role role,
                                       struct backend_connection **ret_connection,
                                       struct backend_error *ret_error) {
    struct faulty *faulty = of_type(options->type);
    struct backend_options inner = *options;
    inner.type = faulty->inner;
    enum backend_status status = enter(faulty, FAULTY_OPEN, ret_error);
    if (status != BACKEND_OK)
        return status;
    struct faulty_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return failing(ret_error, BACKEND_TRANSIENT);
    connection->base.type = &faulty->type;
    connection->faulty = faulty;
    pthread_mutex_lock(&faulty->lock);
    connection->base.has_parts = faulty->has_parts;
    pthread_mutex_unlock(&faulty->lock);
    status = faulty->inner->open(&inner, role, &connection->inner, ret_error);
    if (status != BACKEND_OK)
        free(connection);
    else
        *ret_connection = &connection->base;
    return status;
}

static void faulty_close(struct backend_connection *base) {
    if (!base)
        return;
    struct faulty_connection *connection = of(base);
    connection->faulty->inner->close(connection->inner);
    free(connection);
}

static enum backend_status faulty_high_version(struct backend_connection *base, uint64_t *ret_version,
                                               struct backend_error *ret_error) {
    struct faulty_connection *connection = of(base);
    enum backend_status status = enter(connection->faulty, FAULTY_HIGH_VERSION, ret_error);
    if (status == BACKEND_OK)
        status = connection->faulty->inner->high_version(connection->inner, ret_version, ret_error);
    base->foreign = connection->inner->foreign;
    return status;
}

static bool has_text(struct slice key, const char *text) {
    return text && memmem(key.data, key.size, text, strlen(text));
}

static bool table_fails(struct faulty *faulty, const struct backend_table *table) {
    pthread_mutex_lock(&faulty->lock);
    bool fails = faulty->failing_table && strcmp(faulty->failing_table, table->name) == 0;
    pthread_mutex_unlock(&faulty->lock);
    return fails;
}

static bool some_table_fails(struct faulty *faulty, const struct mutation *mutations, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (table_fails(faulty, mutations[i].table))
            return true;
    return false;
}

static bool is_spoilt(struct faulty *faulty, const struct slice *keys, size_t count) {
    bool spoilt = false;
    pthread_mutex_lock(&faulty->lock);
    for (size_t i = 0; i < count; i++)
        spoilt |= has_text(keys[i], faulty->spoilt);
    pthread_mutex_unlock(&faulty->lock);
    return spoilt;
}

static void pass_on_until(struct faulty_connection *connection, enum faulty_call call) {
    connection->inner->call_until_us = connection->base.call_until_us;
    pthread_mutex_lock(&connection->faulty->lock);
    connection->faulty->orders[call].until_us = connection->base.call_until_us;
    pthread_mutex_unlock(&connection->faulty->lock);
}

/* Whether a key is of a part that is away; silent: that does not answer, which is waited for, unless `hasty`. */
static bool is_lost(struct faulty *faulty, struct slice key, bool hasty, bool *ret_silent) {
    pthread_mutex_lock(&faulty->lock);
    while (!hasty && has_text(key, faulty->silent_part))
        pthread_cond_wait(&faulty->changed, &faulty->lock);
    *ret_silent = has_text(key, faulty->silent_part);
    bool lost = *ret_silent || has_text(key, faulty->lost_part);
    pthread_mutex_unlock(&faulty->lock);
    return lost;
}

static enum backend_status leave_parts_out(struct backend_connection *base, const struct slice *keys,
                                           size_t count, struct load_result *results,
                                           struct backend_error *ret_error) {
    for (size_t i = 0; i < count; i++) {
        results[i].failed =
            is_lost(of(base)->faulty, keys[i], base->patience == BACKEND_HASTY, &results[i].late);
        base->partial |= results[i].failed;
    }
    return base->partial ? failing(ret_error, BACKEND_TRANSIENT) : BACKEND_OK;
}

static enum backend_status faulty_load(struct backend_connection *base, const struct backend_table *table,
                                       const struct slice *keys, size_t count, uint32_t now,
                                       struct load_result *results, struct backend_error *ret_error) {
    struct faulty_connection *connection = of(base);
    pass_on_until(connection, FAULTY_LOAD);
    enum backend_status status = enter(connection->faulty, FAULTY_LOAD, ret_error);
    if (status == BACKEND_OK && table_fails(connection->faulty, table))
        return failing(ret_error, BACKEND_TABLE_FAILED);
    if (status == BACKEND_OK && is_spoilt(connection->faulty, keys, count))
        return failing(ret_error, BACKEND_PERMANENT);
    base->partial = false;
    if (status == BACKEND_OK)
        status =
            connection->faulty->inner->load(connection->inner, table, keys, count, now, results, ret_error);
    return status == BACKEND_OK ? leave_parts_out(base, keys, count, results, ret_error) : status;
}

static bool is_refused(struct faulty *faulty, struct mutation *mutations, size_t count) {
    bool refused = false;
    pthread_mutex_lock(&faulty->lock);
    for (size_t i = 0; i < count; i++) {
        bool one = has_text(mutations[i].entry.key, faulty->refused);
        refused |= one;
        mutations[i].refused = one && faulty->names_refused;
        if (mutations[i].refused)
            mutations[i].refusal = "a refusal ordered by the test";
    }
    pthread_mutex_unlock(&faulty->lock);
    return refused;
}

/* Takes the order to cut this batch short, if there is one. *ret_fail: the answer is a failure whatever
 * happens. */
static size_t take_tear(struct faulty *faulty, size_t count, bool *ret_fail) {
    pthread_mutex_lock(&faulty->lock);
    *ret_fail = faulty->tear || faulty->lose_answer;
    if (faulty->tear && faulty->tear_after < count)
        count = faulty->tear_after;
    if (faulty->holds_next)
        faulty->orders[FAULTY_APPLY].hold = true;
    faulty->tear = faulty->lose_answer = faulty->holds_next = false;
    pthread_mutex_unlock(&faulty->lock);
    return count;
}

static void count_applied(struct faulty *faulty, size_t count) {
    pthread_mutex_lock(&faulty->lock);
    faulty->applied += count;
    if (count > faulty->largest_batch)
        faulty->largest_batch = count;
    pthread_mutex_unlock(&faulty->lock);
}

static bool any_is_lost(struct faulty *faulty, const struct mutation *mutations, size_t count) {
    bool silent, lost = false;
    for (size_t i = 0; i < count && !lost; i++)
        lost = is_lost(faulty, mutations[i].entry.key, true, &silent);
    return lost;
}

/* One by one, but those of the parts that are away. */
static enum backend_status apply_parts(struct backend_connection *base, struct mutation *mutations,
                                       size_t count, uint32_t now, struct backend_error *ret_error) {
    struct faulty *faulty = of(base)->faulty;
    for (size_t i = 0; i < count; i++) {
        if (any_is_lost(faulty, &mutations[i], 1))
            continue;
        enum backend_status status = faulty->inner->apply(of(base)->inner, &mutations[i], 1, now, ret_error);
        if (status != BACKEND_OK)
            return status;
        mutations[i].done = true;
        count_applied(faulty, 1);
    }
    base->partial = true;
    return failing(ret_error, BACKEND_TRANSIENT);
}

static enum backend_status faulty_apply(struct backend_connection *base, struct mutation *mutations,
                                        size_t count, uint32_t now, struct backend_error *ret_error) {
    struct faulty *faulty = of(base)->faulty;
    pass_on_until(of(base), FAULTY_APPLY);
    enum backend_status status = enter(faulty, FAULTY_APPLY, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (some_table_fails(faulty, mutations, count))
        return failing(ret_error, BACKEND_TABLE_FAILED);
    if (is_refused(faulty, mutations, count))
        return failing(ret_error, BACKEND_PERMANENT);
    base->partial = false;
    if (any_is_lost(faulty, mutations, count))
        return apply_parts(base, mutations, count, now, ret_error);
    bool fail;
    count = take_tear(faulty, count, &fail);
    status = faulty->inner->apply(of(base)->inner, mutations, count, now, ret_error);
    base->foreign = of(base)->inner->foreign;
    if (status != BACKEND_OK)
        return status;
    count_applied(faulty, count);
    return fail ? failing(ret_error, BACKEND_TRANSIENT) : BACKEND_OK;
}

static enum backend_status faulty_scan(struct backend_connection *base, const struct backend_table *table,
                                       size_t limit, uint32_t now, struct backend_visitor *visitor,
                                       struct backend_error *ret_error) {
    struct faulty_connection *connection = of(base);
    enum backend_status status = enter(connection->faulty, FAULTY_SCAN, ret_error);
    return status ? status
                  : connection->faulty->inner->scan(connection->inner, table, limit, now, visitor, ret_error);
}

static enum backend_status faulty_extent(struct backend_connection *base, const struct backend_table *table,
                                         size_t most, uint64_t room, struct backend_extent *ret_extent,
                                         struct backend_error *ret_error) {
    struct faulty_connection *connection = of(base);
    return connection->faulty->inner->extent(connection->inner, table, most, room, ret_extent, ret_error);
}

static enum backend_status faulty_maintain(struct backend_connection *base, uint32_t now, bool *ret_more,
                                           struct backend_error *ret_error) {
    struct faulty_connection *connection = of(base);
    enum backend_status status = enter(connection->faulty, FAULTY_MAINTAIN, ret_error);
    return status ? status : connection->faulty->inner->maintain(connection->inner, now, ret_more, ret_error);
}

static enum backend_status faulty_look(struct backend_connection *base, struct backend_error *ret_error) {
    struct faulty_connection *connection = of(base);
    enum backend_status status = connection->faulty->inner->look(connection->inner, ret_error);
    base->foreign = connection->inner->foreign;
    return status;
}

struct faulty *faulty_create(const struct backend_type *inner) {
    struct faulty *faulty = calloc(1, sizeof *faulty);
    if (!faulty)
        abort();
    faulty->type = *inner;
    faulty->type.open = faulty_open;
    faulty->type.high_version = faulty_high_version;
    faulty->type.look = faulty_look;
    faulty->type.load = faulty_load;
    faulty->type.apply = faulty_apply;
    faulty->type.scan = faulty_scan;
    faulty->type.extent = faulty_extent;
    faulty->type.maintain = faulty_maintain;
    faulty->type.close = faulty_close;
    faulty->inner = inner;
    pthread_mutex_init(&faulty->lock, NULL);
    pthread_cond_init(&faulty->changed, NULL);
    return faulty;
}

void faulty_destroy(struct faulty *faulty) {
    if (!faulty)
        return;
    pthread_cond_destroy(&faulty->changed);
    pthread_mutex_destroy(&faulty->lock);
    free(faulty->refused);
    free(faulty->spoilt);
    free(faulty->failing_table);
    free(faulty->lost_part);
    free(faulty->silent_part);
    free(faulty);
}

const struct backend_type *faulty_type(const struct faulty *faulty) {
    return &faulty->type;
}

/* ---- Orders ---- */

/* The range of kinds that an order is for. */
static void range_of(enum faulty_call call, size_t *ret_from, size_t *ret_to) {
    *ret_from = call == FAULTY_ANY ? 0 : (size_t)call;
    *ret_to = call == FAULTY_ANY ? FAULTY_ANY : (size_t)call + 1;
}

void faulty_fail_call(struct faulty *faulty, enum faulty_call call, unsigned nth,
                      enum backend_status status) {
    size_t from, to;
    assert(nth >= 1);
    range_of(call, &from, &to);
    pthread_mutex_lock(&faulty->lock);
    for (; from < to; from++) {
        faulty->orders[from].fail_in = nth;
        faulty->orders[from].once = status;
    }
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_fail_all(struct faulty *faulty, enum faulty_call call, enum backend_status status) {
    size_t from, to;
    range_of(call, &from, &to);
    pthread_mutex_lock(&faulty->lock);
    for (; from < to; from++)
        faulty->orders[from].always = status;
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_delay(struct faulty *faulty, enum faulty_call call, unsigned milliseconds) {
    size_t from, to;
    range_of(call, &from, &to);
    pthread_mutex_lock(&faulty->lock);
    for (; from < to; from++)
        faulty->orders[from].delay_ms = milliseconds;
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_hold(struct faulty *faulty, enum faulty_call call, bool hold) {
    size_t from, to;
    range_of(call, &from, &to);
    pthread_mutex_lock(&faulty->lock);
    for (; from < to; from++)
        faulty->orders[from].hold = hold;
    pthread_cond_broadcast(&faulty->changed);
    pthread_mutex_unlock(&faulty->lock);
}

/* Not as tests wait (check.h): fuzzing uses this as well, without cmocka. */
void faulty_wait_held(struct faulty *faulty, enum faulty_call call) {
    struct timespec until;
    int failed = 0;
    assert(call < FAULTY_ANY);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HELD_WITHIN_S;
    pthread_mutex_lock(&faulty->lock);
    while (!(faulty->orders[call].hold && faulty->orders[call].held) && !failed)
        failed = pthread_cond_timedwait(&faulty->changed, &faulty->lock, &until);
    pthread_mutex_unlock(&faulty->lock);
    if (failed) {
        fprintf(stderr, "nobody came to a call that was to be held: %d\n", (int)call);
        abort();
    }
}

static void replace(struct faulty *faulty, char **text, const char *with) {
    char *copy = with ? strdup(with) : NULL;
    pthread_mutex_lock(&faulty->lock);
    free(*text);
    *text = copy;
    pthread_cond_broadcast(&faulty->changed);
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_refuse_keys(struct faulty *faulty, const char *text) {
    replace(faulty, &faulty->refused, text);
}

void faulty_name_refused(struct faulty *faulty, bool named) {
    pthread_mutex_lock(&faulty->lock);
    faulty->names_refused = named;
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_fail_table(struct faulty *faulty, const char *name) {
    replace(faulty, &faulty->failing_table, name);
}

void faulty_spoil_keys(struct faulty *faulty, const char *text) {
    replace(faulty, &faulty->spoilt, text);
}

void faulty_have_parts(struct faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    faulty->has_parts = true;
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_lose_part(struct faulty *faulty, const char *text) {
    replace(faulty, &faulty->lost_part, text);
}

void faulty_silence_part(struct faulty *faulty, const char *text) {
    replace(faulty, &faulty->silent_part, text);
}

uint64_t faulty_until_us(struct faulty *faulty, enum faulty_call call) {
    pthread_mutex_lock(&faulty->lock);
    uint64_t until_us = faulty->orders[call].until_us;
    pthread_mutex_unlock(&faulty->lock);
    return until_us;
}

void faulty_tear(struct faulty *faulty, size_t count) {
    pthread_mutex_lock(&faulty->lock);
    faulty->tear = true;
    faulty->tear_after = count;
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_lose_answer(struct faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    faulty->lose_answer = true;
    pthread_mutex_unlock(&faulty->lock);
}

void faulty_lose_answer_and_hold(struct faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    faulty->lose_answer = faulty->holds_next = true;
    pthread_mutex_unlock(&faulty->lock);
}

unsigned faulty_calls(struct faulty *faulty, enum faulty_call call) {
    size_t from, to;
    unsigned calls = 0;
    range_of(call, &from, &to);
    pthread_mutex_lock(&faulty->lock);
    for (; from < to; from++)
        calls += faulty->orders[from].calls;
    pthread_mutex_unlock(&faulty->lock);
    return calls;
}

size_t faulty_applied(struct faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    size_t applied = faulty->applied;
    pthread_mutex_unlock(&faulty->lock);
    return applied;
}

size_t faulty_largest_batch(struct faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    size_t largest = faulty->largest_batch;
    pthread_mutex_unlock(&faulty->lock);
    return largest;
}
