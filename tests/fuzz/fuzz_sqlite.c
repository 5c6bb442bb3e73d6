/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into the rows of a database (sqlite.h). Built and run by tools/fuzz. */
#include "tests/fuzz/sqlite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_sqlite(data, size);
    return 0;
}
