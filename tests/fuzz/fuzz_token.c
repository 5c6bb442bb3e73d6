/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into single words (tokens.h). Built and run by tools/fuzz. */
#include "tests/fuzz/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_token(data, size);
    return 0;
}
