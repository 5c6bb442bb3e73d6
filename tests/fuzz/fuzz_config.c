/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into configuration files and command lines (config.h). Built and run by tools/fuzz. */
#include "tests/fuzz/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_config(data, size);
    return 0;
}
