/* SPDX-License-Identifier: MIT */
/* The seeds of those targets whose short runs make their conversations themselves: each as fuzz_<name>.c plays it. */
#include "tests/fuzz/conversations.h"
#include "tests/fuzz/short_run.h"
#include "tests/fuzz/slots.h"
#include "tests/support/check.h"

static struct engine *engine; /* one for all, as under the fuzzer */

static int set_up(void **state) {
    (void)state;
    engine = engine_create();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    engine_destroy(engine);
    return 0;
}

static void play_engine(const uint8_t *data, size_t size) {
    engine_play(engine, (const char *)data, size);
}

static void play_lines_here(const uint8_t *data, size_t size) {
    play_lines(engine, data, size);
}

static void play_packets_here(const uint8_t *data, size_t size) {
    play_packets(engine, data, size);
}

static void play_slots(const uint8_t *data, size_t size) {
    check_slots((const char *)data, size);
}

TEST(conversations_as_they_are_found_break_nothing) {
    assert_true(play_seeds("parser", play_bytes) > 0);
    assert_true(play_seeds("engine", play_engine) > 0);
    assert_true(play_seeds("lines", play_lines_here) > 0);
    assert_true(play_seeds("binary", play_packets_here) > 0);
}

TEST(maps_of_slots_as_they_are_found_are_taken_or_refused) {
    assert_true(play_seeds("slots", play_slots) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(conversations_as_they_are_found_break_nothing),
        cmocka_unit_test(maps_of_slots_as_they_are_found_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
