/* SPDX-License-Identifier: MIT */
/* A tier at work takes over other options: each setting that may change. */
#include "tests/support/reload_rig.h"
#include <stdio.h>

static bool is_error(const char *reply) {
    return strncmp(reply, "SERVER_ERROR", 12) == 0;
}

static uint64_t asked(struct tier_rig *rig) {
    return memory_store_counts(rig->store).keys;
}

RIG_TEST(ttl_changes, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig->spaces[0].ttl = 500;
    reload(rig);
    rig_expect(rig, "set t:b 1", "STORED");
    rig_do(rig, "sync");
    assert_int_equal(rig_row_expiry(rig, "t:a"), 0);
    assert_int_not_equal(rig_row_expiry(rig, "t:b"), 0);
}

RIG_TEST(negative_ttl_changes, read_through) {
    rig_start(rig);
    rig_expect(rig, "get t:a", "MISS");
    rig_expect(rig, "get t:a", "MISS");
    assert_int_equal(asked(rig), 2);
    rig->spaces[0].negative_ttl = 100000;
    reload(rig);
    rig_expect(rig, "get t:a", "MISS");
    rig_expect(rig, "get t:a", "MISS");
    assert_int_equal(asked(rig), 3);
}

RIG_TEST(max_residency_changes, read_through) {
    rig_start(rig);
    rig_put_row(rig, "t:a", "1");
    rig_put_row(rig, "t:b", "1");
    rig_expect(rig, "get t:a", "1");
    rig->spaces[0].max_residency = 10;
    reload(rig);
    rig_expect(rig, "get t:b", "1");
    memory_store_put(rig->store, "test", "t:a", "2", 2000);
    memory_store_put(rig->store, "test", "t:b", "2", 2000);
    rig->clock_shift_us = 20 * US_PER_SECOND;
    rig_expect(rig, "get t:a", "1"); /* loaded before */
    rig_expect(rig, "get t:b", "2");
}

RIG_TEST(on_backend_down_changes, read_through) {
    rig->spaces[0].max_residency = 10;
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    assert_true(is_error(rig_do(rig, "get t:a")));
    rig->spaces[0].on_backend_down = DOWN_MISS;
    reload(rig);
    rig_expect(rig, "get t:a", "MISS");
    rig->spaces[0].on_backend_down = DOWN_STALE; /* the cache has to know as well, to keep what is stale */
    reload(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_OK);
    rig_put_row(rig, "t:b", "1");
    eventually(strcmp(rig_do(rig, "get t:b"), "1") == 0);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    rig->clock_shift_us = 20 * US_PER_SECOND;
    rig_expect(rig, "get t:b", "1");
}

RIG_TEST(unknown_set_changes, write_behind) {
    rig_start(rig);
    faulty_fail_all(rig->faulty, FAULTY_ANY, BACKEND_TRANSIENT);
    assert_true(is_error(rig_do(rig, "get t:a")));
    rig_expect(rig, "set t:a 1", "STORED");
    rig->spaces[0].unknown_set = UNKNOWN_SET_REFUSE;
    reload(rig);
    assert_true(is_error(rig_do(rig, "set t:b 1")));
}

RIG_TEST(existence_changes, write_behind) {
    rig_start(rig);
    rig_expect(rig, "delete t:a", "NOT_FOUND");
    assert_int_equal(asked(rig), 1);
    rig->spaces[0].existence = EXISTENCE_MEMORY;
    reload(rig);
    rig_expect(rig, "delete t:b", "NOT_FOUND");
    assert_int_equal(asked(rig), 1);
}

RIG_TEST(flush_delay_changes, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig->spaces[0].flush_delay = 10;
    reload(rig);
    eventually(rig_mutations(rig) == 1);
}

RIG_TEST(flush_batch_changes, write_behind) {
    rig_start(rig);
    for (int i = 0; i < 20; i++)
        rig_store(rig, "set t:%d 1", i);
    rig->spaces[0].flush_batch = 5;
    reload(rig);
    eventually(rig_mutations(rig) >= 16);
    assert_in_range(faulty_largest_batch(rig->faulty), 1, 5);
}

RIG_TEST(dirty_limit_and_on_full_change, write_behind) {
    char value[3000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    for (int i = 0; i < 40; i++)
        rig_store(rig, "set t:%d %s", i, value);
    rig->spaces[0].dirty_limit = 1 << 16;
    rig->spaces[0].on_full = FULL_REJECT;
    reload(rig);
    eventually(is_error(rig_do(rig, "set t:more 1")));
    rig->spaces[0].dirty_limit = 64 << 20;
    reload(rig);
    eventually(strcmp(rig_do(rig, "set t:more 1"), "STORED") == 0);
}

RIG_TEST(dirty_age_limit_changes, write_behind) {
    rig->spaces[0].on_full = FULL_REJECT;
    faulty_fail_all(rig->faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_start(rig);
    rig_expect(rig, "set t:a 1", "STORED");
    rig->spaces[0].dirty_age_limit = 1;
    reload(rig);
    eventually(rig_stat(rig, "test:full") == 1);
    rig->spaces[0].dirty_age_limit = 0;
    reload(rig);
    eventually(rig_stat(rig, "test:full") == 0);
}

RIG_TEST(quarantine_limit_changes, write_behind) {
    faulty_refuse_keys(rig->faulty, "bad");
    rig_start(rig);
    rig_expect(rig, "set t:bad 1", "STORED");
    rig_do(rig, "sync");
    eventually(rig_stat(rig, "test:quarantine") == 1);
    assert_int_equal(rig_stat(rig, "test:full"), 0);
    rig->spaces[0].quarantine_limit = 1;
    reload(rig);
    eventually(rig_stat(rig, "test:full") == 1);
    rig->spaces[0].quarantine_limit = 1 << 20;
    reload(rig);
    eventually(rig_stat(rig, "test:full") == 0);
}

RIG_TEST(touch_slack_changes, write_behind) {
    rig_start(rig);
    rig_expect(rig, "set t:a 1 1000", "STORED");
    rig_do(rig, "sync");
    rig_expect(rig, "touch t:a 1010", "TOUCHED");
    assert_int_equal(rig_stat(rig, "test:dirty_entries"), 1);
    rig_do(rig, "sync");
    rig->spaces[0].touch_slack = 300;
    reload(rig);
    rig_expect(rig, "touch t:a 1100", "TOUCHED");
    assert_int_equal(rig_stat(rig, "test:dirty_entries"), 0);
}

RIG_TEST(a_quota_changes, cache_aside) {
    rig->options.cache.memory_limit = 64 << 20;
    rig_start(rig);
    fill(rig, "t:", 16000);
    size_t before = used_by(rig, 0);
    rig->spaces[0].memory = before / 4;
    reload(rig);
    eventually((tier_maintain(rig->tier), used_by(rig, 0) < before / 2));
    assert_true(cache_is_sane(tier_cache(rig->tier)));
    fill(rig, "t:again", 16000);
    assert_true(used_by(rig, 0) <= before / 2);
    rig->spaces[0].memory = 0;
    reload(rig);
    fill(rig, "t:more", 16000);
    assert_true(used_by(rig, 0) > before / 2);
    assert_true(cache_is_sane(tier_cache(rig->tier)));
}

RIG_TEST(the_memory_changes, cache_aside) {
    rig->options.cache.memory_limit = 64 << 20;
    rig_start(rig);
    fill(rig, "t:", 16000);
    size_t before = used_by(rig, CACHE_ALL_SPACES);
    rig->options.cache.memory_limit = before / 2;
    reload(rig);
    eventually((tier_maintain(rig->tier), used_by(rig, CACHE_ALL_SPACES) <= before / 2));
    rig->options.cache.memory_limit = (size_t)1 << 43;
    expect_refusal(rig, "the memory cannot become 8192gb while the server runs, but ");
    assert_true(cache_is_sane(tier_cache(rig->tier)));
}

static int count_there(struct tier_rig *rig, const char *prefix, int count) {
    char command[64];
    int there = 0;
    for (int i = 0; i < count; i++) {
        snprintf(command, sizeof command, "get %s%d", prefix, i);
        there += strcmp(rig_do(rig, command), "MISS") != 0;
    }
    return there;
}

/* Under lru more than fits pushes out what was there before. Under s3-fifo it mostly pushes out itself. */
RIG_TEST(eviction_changes, cache_aside) {
    enum { BEFORE = 2000, MORE = 6000 };
    rig->options.cache.memory_limit = 8 << 20;
    rig_start(rig);
    fill(rig, "t:a", BEFORE);
    fill(rig, "t:scan1", MORE);
    int lru = count_there(rig, "t:a", BEFORE);
    fill(rig, "t:b", BEFORE);
    rig->spaces[0].eviction = CACHE_S3_FIFO;
    reload(rig);
    fill(rig, "t:scan2", MORE);
    int s3 = count_there(rig, "t:b", BEFORE);
    assert_true(cache_is_sane(tier_cache(rig->tier)));
    rig->spaces[0].eviction = CACHE_LRU;
    reload(rig);
    fill(rig, "t:c", BEFORE);
    fill(rig, "t:scan3", MORE);
    int again = count_there(rig, "t:c", BEFORE);
    if (lru * 4 > s3 || again * 4 > s3)
        fail_msg("of %d there are %d under lru, %d under s3-fifo, %d under lru again", BEFORE, lru, s3,
                 again);
    assert_true(cache_is_sane(tier_cache(rig->tier)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RELOAD_CASE(ttl_changes),
        RELOAD_CASE(negative_ttl_changes),
        RELOAD_CASE(max_residency_changes),
        RELOAD_CASE(on_backend_down_changes),
        RELOAD_CASE(unknown_set_changes),
        RELOAD_CASE(existence_changes),
        RELOAD_CASE(flush_delay_changes),
        RELOAD_CASE(flush_batch_changes),
        RELOAD_CASE(dirty_limit_and_on_full_change),
        RELOAD_CASE(dirty_age_limit_changes),
        RELOAD_CASE(quarantine_limit_changes),
        RELOAD_CASE(touch_slack_changes),
        RELOAD_CASE(a_quota_changes),
        RELOAD_CASE(the_memory_changes),
        RELOAD_CASE(eviction_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
