/* SPDX-License-Identifier: MIT */
/* A short run of fuzz_binary.c's harness (rounds.h). */
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/engine.h"
#include "tests/fuzz/packets.h"
#include "tests/fuzz/requests.h"
#include "tests/fuzz/rounds.h"
#include "tests/fuzz/short_run.h"
#include "tests/fuzz/split.h"
#include "tests/support/check.h"

enum { RUNS = 4000, CHOICES_MAX = 200, INPUTS = 6000 };

static int set_up(void **state) {
    *state = engine_create();
    return 0;
}

static int tear_down(void **state) {
    engine_destroy(*state);
    return 0;
}

static size_t next_conversation(char *packets) {
    uint8_t data[CHOICES_MAX];
    size_t size = 1 + below(CHOICES_MAX - 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)next_random();
    return make_packets(packets, data, size);
}

TEST(packets_are_answered_the_same_cut_anywhere) {
    static char packets[PACKETS_MAX];
    for (struct rounds rounds = rounds_of("binary", RUNS, 2); rounds_go_on(&rounds);) {
        size_t size = next_conversation(packets);
        check_split(packets, size, below(size + 1));
    }
}

TEST(packets_break_nothing_under_pressure) {
    struct engine *engine = *state;
    static char packets[PACKETS_MAX];
    for (struct rounds rounds = rounds_of("binary", RUNS, 2); rounds_go_on(&rounds);)
        engine_play(engine, packets, next_conversation(packets));
    assert_true(engine->answers > RUNS);
}

TEST(mutated_bytes_are_answered_the_same_cut_anywhere) {
    static char packets[PACKETS_MAX];
    for (size_t run = 0; run < RUNS; run++) {
        size_t size = next_conversation(packets);
        size = mutate(packets, size < CONVERSATION_MAX ? size : CONVERSATION_MAX);
        check_split(packets, size, below(size + 1));
    }
}

static void check_packet(const uint8_t *data, size_t size) {
    check_requests(data, size, true);
}

TEST(packets_are_the_same_cut_anywhere) {
    assert_true(short_run("packet", check_packet, INPUTS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_answered_the_same_cut_anywhere),
        CASE(packets_break_nothing_under_pressure),
        cmocka_unit_test(packets_are_the_same_cut_anywhere),
        cmocka_unit_test(mutated_bytes_are_answered_the_same_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
