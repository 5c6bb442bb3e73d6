/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's way into the binary protocol: its input chooses packets (packets.h), which go through the model, cut in
 * pieces, and through the engine (conversations.h). Built and run by tools/fuzz.
 */
#include "tests/fuzz/conversations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* As fuzz_engine.c. */
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct engine *engine;
    if (!engine)
        engine = engine_create();
    play_packets(engine, data, size);
    return 0;
}
