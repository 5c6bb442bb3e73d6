/* SPDX-License-Identifier: MIT */
/* Group commit: the pause before a commit, against a model of clients that send their next change `away`
 * after the answer to the last one. Time is a number, nothing sleeps. */
#include "policies/write/gather.h"
#include "tests/support/check.h"

enum { CLIENTS_MAX = 64 };

struct model {
    unsigned clients;
    uint64_t away_us;         /* from its answer to its next change, of the first client */
    uint64_t spread_us;       /* each further client is that much slower: they share a processor */
    uint64_t sync_us, row_us; /* a commit: once, and for each change */
};

struct outcome {
    double rate;         /* changes a second */
    uint64_t longest_us; /* that a change waited for its commit to begin, while no other was made */
    unsigned pauses_at_end;
};

static size_t count_arrived(const uint64_t *ready_at, unsigned clients, uint64_t now) {
    size_t arrived = 0;
    for (unsigned i = 0; i < clients; i++)
        arrived += ready_at[i] <= now;
    return arrived;
}

static uint64_t next_arrival(const uint64_t *ready_at, unsigned clients, uint64_t after) {
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < clients; i++)
        if (ready_at[i] > after && ready_at[i] < next)
            next = ready_at[i];
    return next;
}

/* Lets the time pass until a commit is to begin, as the writer's thread does. */
static uint64_t wait_for_work(struct gather *gather, const uint64_t *ready_at, unsigned clients,
                              uint64_t now) {
    for (;;) {
        size_t waiting = count_arrived(ready_at, clients, now);
        bool over = gather->until_us && now >= gather->until_us;
        if (over)
            gather_end(gather);
        if (waiting && gather_enough(gather, waiting))
            return now;
        uint64_t next = next_arrival(ready_at, clients, now);
        now = gather->until_us && gather->until_us < next ? gather->until_us : next;
    }
}

static struct outcome run(struct model model, bool may_pause, unsigned commits) {
    struct gather gather = {0};
    struct outcome outcome = {0};
    uint64_t ready_at[CLIENTS_MAX] = {0}, now = US_PER_SECOND, changes = 0;
    for (unsigned i = 0; i < commits; i++) {
        uint64_t begun = wait_for_work(&gather, ready_at, model.clients, now);
        size_t group = 0;
        uint64_t commit_us = model.sync_us, first = begun;
        bool takes[CLIENTS_MAX] = {false};
        for (unsigned c = 0; c < model.clients; c++)
            if (ready_at[c] <= begun) {
                first = ready_at[c] < first ? ready_at[c] : first;
                takes[c] = true;
                group++;
            }
        first = first < now ? now : first;
        if (begun - first > outcome.longest_us)
            outcome.longest_us = begun - first;
        gather_end(&gather);
        commit_us += group * model.row_us;
        now = begun + commit_us;
        unsigned answered = 0;
        for (unsigned c = 0; c < model.clients; c++)
            if (takes[c])
                ready_at[c] = now + model.away_us + answered++ * model.spread_us;
        changes += group;
        if (may_pause)
            gather_begin(&gather, group, count_arrived(ready_at, model.clients, now), commit_us, now);
    }
    outcome.rate = (double)changes * US_PER_SECOND / (double)(now - US_PER_SECOND);
    outcome.pauses_at_end = gather.pauses;
    return outcome;
}

static const struct model slow_sync = {
    .clients = 32, .away_us = 100, .spread_us = 10, .sync_us = 4000, .row_us = 15};
static const struct model slow_rows = {
    .clients = 32, .away_us = 100, .spread_us = 10, .sync_us = 100, .row_us = 20};

TEST(a_slow_sync_is_shared_by_all) {
    struct outcome with = run(slow_sync, true, 5000), without = run(slow_sync, false, 5000);
    print_message("with pauses %.0f, without %.0f changes a second\n", with.rate, without.rate);
    assert_true(with.rate > 1.4 * without.rate);
    assert_true(with.longest_us <= (4000 + 32 * 15) / 2);
}

TEST(clients_work_while_rows_are_written) {
    struct outcome with = run(slow_rows, true, 5000), without = run(slow_rows, false, 5000);
    print_message("with pauses %.0f, without %.0f changes a second\n", with.rate, without.rate);
    assert_false(with.pauses_at_end);
    assert_true(with.rate > 0.98 * without.rate);
}

TEST(a_lone_client_never_waits) {
    struct model model = slow_sync;
    model.clients = 1;
    assert_int_equal(run(model, true, 3000).longest_us, 0);
}

/* One answers at once, the other thinks for much longer than a commit takes. */
TEST(nobody_waits_for_one_who_thinks) {
    struct model model = {.clients = 2, .away_us = 50, .spread_us = 100000, .sync_us = 4000};
    struct outcome with = run(model, true, 3000), without = run(model, false, 3000);
    assert_true(with.rate > 0.97 * without.rate);
}

TEST(the_load_may_change) {
    struct gather gather = {0};
    uint64_t now = US_PER_SECOND;
    for (int i = 0; i < 2 * GATHER_TRIAL; i++) /* the pause pays */
        gather_begin(&gather, gather.pauses ? 32 : 16, gather.pauses ? 0 : 16, 4000,
                     now += gather.pauses ? 4500 : 4000);
    assert_int_equal(gather.phase, GATHER_KEEP);
    assert_true(gather.pauses);
    assert_int_equal(gather.kept, GATHER_KEPT_MIN);
    for (int i = 0; i < GATHER_KEPT_MIN + 2 * GATHER_TRIAL; i++) /* it does not any more */
        gather_begin(&gather, 16, 16, 4000, now += gather.pauses ? 4500 : 4000);
    assert_int_equal(gather.phase, GATHER_KEEP);
    assert_false(gather.pauses);
}

TEST(no_pause_is_worth_it) {
    struct gather gather = {0};
    uint64_t now = US_PER_SECOND;
    for (int i = 0; i < 100; i++) { /* a commit that is over at once */
        gather_begin(&gather, 16, 16, GATHER_COMMIT_MIN - 1, now += 250);
        assert_true(gather_enough(&gather, 1));
    }
}

TEST(a_pause_has_its_bounds) {
    struct gather gather = {0};
    uint64_t now = US_PER_SECOND;
    for (int i = 0; i < GATHER_TRIAL; i++)
        gather_begin(&gather, 10, 5, 100000, now += 100000);
    assert_true(gather.pauses);
    assert_int_equal(gather.until_us, now + GATHER_PAUSE_MAX);
    assert_false(gather_enough(&gather, 14));
    assert_true(gather_enough(&gather, 15));
    gather_end(&gather);
    assert_true(gather_enough(&gather, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_sync_is_shared_by_all), cmocka_unit_test(clients_work_while_rows_are_written),
        cmocka_unit_test(a_lone_client_never_waits),    cmocka_unit_test(nobody_waits_for_one_who_thinks),
        cmocka_unit_test(the_load_may_change),          cmocka_unit_test(no_pause_is_worth_it),
        cmocka_unit_test(a_pause_has_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
