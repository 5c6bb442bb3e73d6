/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into quarantine files (quarantine.h). Built and run by tools/fuzz. */
#include "tests/fuzz/quarantine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_quarantine(data, size);
    return 0;
}
