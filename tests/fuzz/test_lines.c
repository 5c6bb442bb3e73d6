/* SPDX-License-Identifier: MIT */
/* A short run of fuzz_lines.c's harness (rounds.h). */
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/engine.h"
#include "tests/fuzz/lines.h"
#include "tests/fuzz/requests.h"
#include "tests/fuzz/rounds.h"
#include "tests/fuzz/short_run.h"
#include "tests/fuzz/split.h"
#include "tests/support/check.h"

enum { RUNS = 1500, CHOICES_MAX = 200, INPUTS = 6000 };

static int set_up(void **state) {
    *state = engine_create();
    return 0;
}

static int tear_down(void **state) {
    engine_destroy(*state);
    return 0;
}

static size_t next_conversation(char *lines) {
    uint8_t data[CHOICES_MAX];
    size_t size = 1 + below(CHOICES_MAX - 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)next_random();
    return make_lines(lines, data, size);
}

TEST(lines_are_answered_the_same_cut_anywhere) {
    static char lines[LINES_MAX];
    for (struct rounds rounds = rounds_of("lines", RUNS, 2); rounds_go_on(&rounds);) {
        size_t size = next_conversation(lines);
        check_split(lines, size, below(size + 1));
    }
}

TEST(lines_break_nothing_under_pressure) {
    struct engine *engine = *state;
    static char lines[LINES_MAX];
    for (struct rounds rounds = rounds_of("lines", RUNS, 2); rounds_go_on(&rounds);)
        engine_play(engine, lines, next_conversation(lines));
    assert_true(engine->answers > RUNS);
}

TEST(mutated_bytes_are_answered_the_same_cut_anywhere) {
    static char lines[LINES_MAX];
    for (size_t run = 0; run < RUNS; run++) {
        size_t size = next_conversation(lines);
        size = mutate(lines, size < CONVERSATION_MAX ? size : CONVERSATION_MAX);
        check_split(lines, size, below(size + 1));
    }
}

static void check_request(const uint8_t *data, size_t size) {
    check_requests(data, size, false);
}

TEST(requests_are_the_same_cut_anywhere) {
    assert_true(short_run("request", check_request, INPUTS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_answered_the_same_cut_anywhere),
        CASE(lines_break_nothing_under_pressure),
        cmocka_unit_test(requests_are_the_same_cut_anywhere),
        cmocka_unit_test(mutated_bytes_are_answered_the_same_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
