/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's way into the text protocol: its input chooses lines (lines.h), which go through the model, cut in pieces
 * (split.h), and through the engine (engine.h). Built and run by tools/fuzz.
 */
#include "tests/fuzz/engine.h"
#include "tests/fuzz/lines.h"
#include "tests/fuzz/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* As fuzz_engine.c. */
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct engine *engine;
    static char lines[LINES_MAX];
    if (size < 2)
        return 0;
    if (!engine)
        engine = engine_create();
    size_t cut = (size_t)data[0] << 8 | data[1], length = make_lines(lines, data + 2, size - 2);
    check_split_often(lines, length, cut % (length + 1));
    engine_play(engine, lines, length);
    return 0;
}
