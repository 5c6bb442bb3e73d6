/* SPDX-License-Identifier: MIT */
/* Namespaces: which one a key belongs to, what a configuration may not say; and what is counted. */
#include "tests/support/tier_rig.h"

static const char *space_name(struct tier_rig *rig, const char *key) {
    struct request request = {.command = COMMAND_GET, .key = slice_string(key)};
    tier_prepare(tier_get_worker(rig->tier, 0), &request);
    return space_options(request.space)->name;
}

RIG_TEST(the_longest_prefix_wins, cache_aside) {
    rig_add_space(rig, "a", "a:", &policy_cache_aside);
    rig_add_space(rig, "ab", "a:b:", &policy_cache_aside);
    rig_add_space(rig, "long", "a:b:c:d:e:f", &policy_cache_aside);
    rig_start(rig);
    assert_string_equal(space_name(rig, "x"), "test");
    assert_string_equal(space_name(rig, "a"), "test");
    assert_string_equal(space_name(rig, "a:"), "a");
    assert_string_equal(space_name(rig, "a:b"), "a");
    assert_string_equal(space_name(rig, "a:b:"), "ab");
    assert_string_equal(space_name(rig, "a:b:c:d:e:"), "ab");
    assert_string_equal(space_name(rig, "a:b:c:d:e:fgh"), "long");
    assert_string_equal(space_name(rig, "b:b:c:d:e:fgh"), "test");
}

RIG_TEST(prefixes_of_a_word_and_of_more_are_told_apart, cache_aside) {
    rig_add_space(rig, "eight", "12345678", &policy_cache_aside);
    rig_add_space(rig, "nine", "123456789", &policy_cache_aside);
    rig_add_space(rig, "byte", "\xff", &policy_cache_aside);
    rig_start(rig);
    assert_string_equal(space_name(rig, "1234567"), "test");
    assert_string_equal(space_name(rig, "1234567x9"), "test");
    assert_string_equal(space_name(rig, "12345678"), "eight");
    assert_string_equal(space_name(rig, "12345678x"), "eight");
    assert_string_equal(space_name(rig, "123456789"), "nine");
    assert_string_equal(space_name(rig, "1234567890"), "nine");
    assert_string_equal(space_name(rig, "\xff"), "byte");
    assert_string_equal(space_name(rig, "\xff + what is longer"), "byte");
    assert_string_equal(space_name(rig, ""), "test");
}

RIG_TEST(a_default_namespace_is_added, cache_aside) {
    rig->spaces[0].prefix = "t:";
    rig_start(rig);
    assert_int_equal(tier_space_count(rig->tier), 2);
    assert_string_equal(space_name(rig, "t:x"), "test");
    assert_string_equal(space_name(rig, "x"), "default");
    assert_string_equal(rig_do(rig, "set x 1"), "STORED");
    assert_string_equal(rig_do(rig, "set t:x 2"), "STORED");
    assert_string_equal(rig_do(rig, "get x"), "1");
}

/* The rig is new afterwards, of cache-aside. */
static void assert_refused(struct tier_rig *rig, const char *part) {
    const char *error = rig_try_start(rig);
    assert_non_null(error);
    if (!strstr(error, part))
        fail_msg("%s", error);
    rig_renew(rig, &policy_cache_aside);
}

RIG_TEST(contradictions_are_refused, write_behind) {
    rig->spaces[0].backend = -1;
    assert_refused(rig, "needs a backend");
    rig_add_space(rig, "other", "", &policy_cache_aside);
    assert_refused(rig, "same prefix");
    rig_add_space(rig, "test", "x", &policy_cache_aside);
    assert_refused(rig, "same name");
    rig->backend.store.type = NULL;
    rig->backend.store.uri = "nonsense:here";
    assert_refused(rig, "nonsense:here");
    rig->backend.store.uri = "wrong";
    assert_refused(rig, "not a memory store");
}

TEST(policies_are_found_by_name) {
    assert_ptr_equal(policy_find("cache-aside"), &policy_cache_aside);
    assert_ptr_equal(policy_find("read-through"), &policy_read_through);
    assert_ptr_equal(policy_find("write-through"), &policy_write_through);
    assert_ptr_equal(policy_find("write-behind"), &policy_write_behind);
    assert_null(policy_find("write-around"));
}

RIG_TEST(what_was_answered_is_counted, cache_aside) {
    struct tier_counters counters;
    rig_start(rig);
    rig_do(rig, "set a 1");
    rig_do(rig, "get a");
    rig_do(rig, "get b");
    rig_do(rig, "incr a 1");
    rig_do(rig, "decr b 1");
    rig_do(rig, "cas a 1 1");
    rig_do(rig, "cas b 1 1");
    rig_do(rig, "delete a");
    rig_do(rig, "delete a");
    rig_do(rig, "touch a 1");
    tier_get_counters(rig->tier, &counters);
    assert_int_equal(counters.cmd_get, 2);
    assert_int_equal(counters.get_hits, 1);
    assert_int_equal(counters.get_misses, 1);
    assert_int_equal(counters.incr_hits, 1);
    assert_int_equal(counters.decr_misses, 1);
    assert_int_equal(counters.cas_badval, 1);
    assert_int_equal(counters.cas_misses, 1);
    assert_int_equal(counters.delete_hits, 1);
    assert_int_equal(counters.delete_misses, 1);
    assert_int_equal(counters.touch_misses, 1);
    tier_reset_stats(rig->tier);
    tier_get_counters(rig->tier, &counters);
    assert_int_equal(counters.cmd_get, 0);
    rig_do(rig, "get b");
    tier_get_counters(rig->tier, &counters);
    assert_int_equal(counters.cmd_get, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_CASE(the_longest_prefix_wins),
        RIG_CASE(prefixes_of_a_word_and_of_more_are_told_apart),
        RIG_CASE(a_default_namespace_is_added),
        RIG_CASE(contradictions_are_refused),
        cmocka_unit_test(policies_are_found_by_name),
        RIG_CASE(what_was_answered_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
