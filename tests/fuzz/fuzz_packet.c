/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into the parser of the binary protocol alone (requests.h). Built and run by tools/fuzz. */
#include "tests/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_requests(data, size, true);
    return 0;
}
