/* SPDX-License-Identifier: MIT */
/* What waits at the start until all records are read: which touches one stands for, and what goes. */
#include "cache/base/entry.h"
#include "policies/write/noted.h"
#include "tests/support/check.h"
#include <string.h>

static struct space space = {.number = 1}, other_space = {.number = 2};

static int tear_down(void **state) {
    noted_clear(*state);
    return 0;
}

static int set_up(void **state) {
    static struct noted_list list;
    *state = &list;
    return 0;
}

/* A touch of `key` that was made at a second since 1970. */
static void touch_at(struct noted_list *list, const char *key, uint32_t second, uint32_t expires_at) {
    struct entry entry = {.key = slice_string(key),
                          .version = (uint64_t)second << 20,
                          .flags = second, /* as the journal has it */
                          .expires_at = expires_at};
    assert_true(noted_add_touch(list, &space, &entry));
}

static void put(struct noted_list *list, struct space *of, const char *key, uint64_t version) {
    struct entry entry = {.key = slice_string(key), .version = version, .expires_at = 1};
    assert_true(noted_add(list, of, &entry));
}

TEST(a_touch_stands_for_those_by_which_the_entry_still_lived) {
    struct noted_list *list = *state;
    touch_at(list, "k", 300, 400);
    touch_at(list, "k", 100, 200);
    touch_at(list, "k", 190, 310);
    noted_fold(list);
    assert_int_equal(list->count, 1);
    assert_int_equal(list->list[0]->expires_at, 400);
    assert_int_equal(list->list[0]->first, (uint64_t)100 << 20);
    assert_int_equal(list->list[0]->made_at, 100);
    assert_int_equal(list->list[0]->second, 300);
}

TEST(a_touch_after_the_end_of_a_life_stands_for_itself) {
    struct noted_list *list = *state;
    touch_at(list, "k", 100, 200);
    touch_at(list, "k", 200, 300);
    touch_at(list, "l", 150, 300);
    noted_fold(list);
    assert_int_equal(list->count, 3);
}

TEST(of_puts_of_a_key_the_last_version_counts) {
    struct noted_list *list = *state;
    put(list, &space, "k", 2);
    put(list, &space, "k", 3);
    put(list, &space, "k", 1);
    put(list, &other_space, "k", 1);
    put(list, &space, "kk", 1);
    size_t bytes = list->bytes;
    noted_fold(list);
    assert_int_equal(list->count, 3);
    assert_int_equal(list->list[0]->version, 3);
    assert_true(list->bytes < bytes);
}

static bool is_longer(const void *context, const struct noted *noted) {
    return noted->key_size > *(const uint8_t *)context;
}

TEST(what_is_removed_leaves_the_others_in_order) {
    struct noted_list *list = *state;
    static const char *const keys[] = {"c", "long", "a", "longer", "b"};
    const uint8_t one = 1;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put(list, &space, keys[i], i);
    noted_remove(list, is_longer, &one);
    assert_int_equal(list->count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(slice_equal(noted_key(list->list[i]), slice_string(keys[2 * i])));
    noted_remove(list, is_longer, &(const uint8_t){0});
    assert_int_equal(list->count, 0);
    assert_int_equal(list->bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_touch_stands_for_those_by_which_the_entry_still_lived),
        CASE(a_touch_after_the_end_of_a_life_stands_for_itself),
        CASE(of_puts_of_a_key_the_last_version_counts),
        CASE(what_is_removed_leaves_the_others_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
