/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into low-water files (low_water.h). Built and run by tools/fuzz. */
#include "tests/fuzz/low_water.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_low_water(data, size);
    return 0;
}
