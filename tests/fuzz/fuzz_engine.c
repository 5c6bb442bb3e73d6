/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into the engine: parser, policies and the real cache, see engine.h. Built and run by tools/fuzz. */
#include "tests/fuzz/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* The one engine is never freed, and its shards live in mapped pages, which the search for leaks does not
 * enter. test_engine.c frees its own, so leaks are found there. */
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct engine *engine;
    if (!engine)
        engine = engine_create();
    engine_play(engine, (const char *)data, size);
    return 0;
}
