/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's way into the protocol: parser, evaluation and replies over the model of tests/support. Built and run by
 * tools/fuzz.
 */
#include "tests/fuzz/conversations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    play_bytes(data, size);
    return 0;
}
