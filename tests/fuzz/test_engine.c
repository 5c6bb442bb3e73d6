/* SPDX-License-Identifier: MIT */
/* A short run of fuzz_engine.c's harness over the same conversations as test_parser.c's. */
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/engine.h"
#include "tests/fuzz/rounds.h"
#include "tests/support/check.h"

enum { MUTATED_RUNS = 6000, NOISE_RUNS = 1000 };

static int set_up(void **state) {
    *state = engine_create();
    return 0;
}

static int tear_down(void **state) {
    engine_destroy(*state);
    return 0;
}

TEST(conversations_under_pressure_break_nothing) {
    struct engine *engine = *state;
    char bytes[CONVERSATION_MAX];
    for (struct rounds rounds = rounds_of("engine", MUTATED_RUNS, 1); rounds_go_on(&rounds);)
        engine_play(engine, bytes, mutate(bytes, make_conversation(bytes)));
    for (size_t run = 0; run < NOISE_RUNS; run++)
        engine_play(engine, bytes, make_noise(bytes));
    struct cache_stats stats;
    cache_get_stats(tier_cache(engine->tier), CACHE_ALL_SPACES, &stats);
    assert_true(engine->answers > MUTATED_RUNS);
    /* It was under pressure. */
    assert_true(stats.evictions > MUTATED_RUNS && stats.expired > 0 && stats.cleaned_bytes > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {CASE(conversations_under_pressure_break_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
