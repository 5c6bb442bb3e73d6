/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into the records of a journal alone (records.h). Built and run by tools/fuzz. */
#include "tests/fuzz/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_records(data, size);
    return 0;
}
