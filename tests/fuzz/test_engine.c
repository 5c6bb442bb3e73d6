/* SPDX-License-Identifier: MIT */
/* A short run of fuzz_engine.c's harness over the same conversations as test_parser.c's. */
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/engine.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h> /* needs the ones above */

enum { MUTATED_RUNS = 6000, NOISE_RUNS = 1000 };

static void conversations_under_pressure(void **state) {
    (void)state;
    struct engine *engine = engine_create();
    char bytes[CONVERSATION_MAX];
    for (size_t run = 0; run < MUTATED_RUNS; run++)
        engine_play(engine, bytes, mutate(bytes, make_conversation(bytes)));
    for (size_t run = 0; run < NOISE_RUNS; run++)
        engine_play(engine, bytes, make_noise(bytes));
    struct cache_stats stats;
    cache_get_stats(tier_cache(engine->tier), CACHE_ALL_SPACES, &stats);
    assert_true(engine->answers > MUTATED_RUNS);
    assert_true(stats.evictions > MUTATED_RUNS && stats.expired > 0 &&
                stats.cleaned_bytes > 0); /* it was under pressure */
    engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(conversations_under_pressure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
