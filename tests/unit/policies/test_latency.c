/* SPDX-License-Identifier: MIT */
/* What is told of how long requests took: which kind each is, and when its time begins and ends. Time is the test's. */
#include "tests/support/tier_rig.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BEGAN = 1000000 };

struct finder {
    struct stat_sink sink;
    const char *name;
    char value[640];
};

static void find_line(struct stat_sink *self, const char *name, const char *value) {
    struct finder *finder = (struct finder *)(void *)self;
    if (strcmp(name, finder->name) == 0)
        snprintf(finder->value, sizeof finder->value, "%s", value);
}

/* A line of the latencies; 0 where there is none, as of a kind of which nothing was asked. */
static uint64_t told(struct tier_rig *rig, const char *name) {
    struct finder finder = {.sink = {find_line}, .name = name};
    tier_stat_latencies(rig->tier, &finder.sink);
    return strtoull(finder.value, NULL, 10);
}

static void assert_told(struct tier_rig *rig, const char *name, uint64_t value) {
    uint64_t is = told(rig, name);
    if (is != value)
        fail_msg("%s: %" PRIu64 ", not %" PRIu64, name, is, value);
}

static struct tier_worker *worker(struct tier_rig *rig, unsigned index) {
    return tier_get_worker(rig->tier, index);
}

RIG_TEST(what_a_turn_answers_takes_as_long_as_it, cache_aside) {
    rig_add_space(rig, "other", "o:", &policy_cache_aside);
    rig_start(rig);
    tier_time_begin(worker(rig, 0), BEGAN);
    rig_do(rig, "set a 1");
    rig_do(rig, "get a");
    rig_do(rig, "get none");
    rig_do(rig, "get o:none");
    assert_told(rig, "test:hit_count", 0); /* before its end nobody knows */
    tier_time_end(worker(rig, 0), BEGAN + 300);
    assert_told(rig, "test:hit_count", 2);
    assert_told(rig, "test:hit_p50_us", 512);
    assert_told(rig, "test:write_count", 1);
    assert_told(rig, "test:write_p999_us", 512);
    assert_told(rig, "other:hit_count", 1);
    assert_told(rig, "other:write_count", 0);
    tier_time_begin(worker(rig, 0), BEGAN + 1000);
    rig_do(rig, "get a");
    tier_time_end(worker(rig, 0), BEGAN + 1010);
    assert_told(rig, "test:hit_count", 3); /* each once */
    assert_told(rig, "test:hit_p50_us", 512);
    assert_told(rig, "test:hit_buckets", 0);
}

RIG_TEST(buckets_are_told_up_to_the_last_one, cache_aside) {
    struct finder finder = {.sink = {find_line}, .name = "test:hit_buckets"};
    rig_start(rig);
    tier_time_begin(worker(rig, 0), BEGAN);
    rig_do(rig, "get a");
    rig_do(rig, "get b");
    tier_time_end(worker(rig, 0), BEGAN + 7);
    tier_stat_latencies(rig->tier, &finder.sink);
    assert_string_equal(finder.value, "0,0,0,2");
    tier_reset_stats(rig->tier);
    assert_told(rig, "test:hit_count", 0);
}

RIG_TEST(a_load_takes_from_the_turn_that_asked_for_it, read_through) {
    rig_start(rig);
    rig_put_row(rig, "a", "1");
    rig_put_row(rig, "b", "2");
    tier_time_begin(worker(rig, 0), monotonic_us() - 5 * US_PER_SECOND);
    assert_string_equal(rig_pipeline(rig, "get a;get b"), "1,2");
    tier_time_end(worker(rig, 0), monotonic_us());
    assert_told(rig, "test:load_count", 2);
    assert_told(rig, "test:hit_count", 0);
    assert_true(told(rig, "test:load_p50_us") >= 1 << 23);
    tier_time_begin(worker(rig, 0), BEGAN);
    rig_do(rig, "get a");
    tier_time_end(worker(rig, 0), BEGAN + 1);
    assert_told(rig, "test:load_count", 2);
    assert_told(rig, "test:hit_count", 1);
}

RIG_TEST(a_write_through_takes_until_it_is_committed, write_through) {
    rig_start(rig);
    tier_time_begin(worker(rig, 0), monotonic_us() - 5 * US_PER_SECOND);
    assert_string_equal(rig_pipeline(rig, "set a 1;set b 2;set c 3"), "STORED,STORED,STORED");
    assert_told(rig, "test:write_count", 3);
    assert_true(told(rig, "test:write_p50_us") >= 1 << 23);
    assert_told(rig, "test:hit_count", 0);
}

/* Worker 1 shows what worker 0 has yet to write to its journal. */
RIG_TEST(what_is_held_takes_until_it_is_let_go, write_behind) {
    rig_use_folder(rig);
    rig->options.workers = 2;
    rig->spaces[0].journal = JOURNAL_OS;
    rig->spaces[0].flush_delay = 60000;
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    rig_start(rig);
    struct rig_call *writer = rig_begin_turn(rig, 0, "set a 1");
    tier_time_begin(worker(rig, 1), BEGAN);
    struct rig_call *reader = rig_begin(rig, 1, "get a");
    tier_time_end(worker(rig, 1), BEGAN + 100);
    assert_false(rig_is_done(reader));
    assert_told(rig, "test:hit_count", 0);
    rig_end_turn(writer);
    assert_string_equal(rig_finish(reader), "1");
    tier_time_begin(worker(rig, 1), BEGAN + 7900);
    tier_time_end(worker(rig, 1), BEGAN + 8000);
    assert_told(rig, "test:hit_count", 1);
    assert_told(rig, "test:hit_p50_us", 8192);
    assert_told(rig, "test:write_count", 0); /* worker 0 has no end of a turn here */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(what_a_turn_answers_takes_as_long_as_it),
        RIG_CASE(buckets_are_told_up_to_the_last_one),
        RIG_CASE(a_load_takes_from_the_turn_that_asked_for_it),
        RIG_CASE(a_write_through_takes_until_it_is_committed),
        RIG_CASE(what_is_held_takes_until_it_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
