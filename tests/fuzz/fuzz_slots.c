/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into what a node of a Redis Cluster says of slots (slots.h). Built and run by tools/fuzz. */
#include "tests/fuzz/slots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_slots((const char *)data, size);
    return 0;
}
