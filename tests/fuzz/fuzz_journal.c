/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into the files of a journal (journal.h). Built and run by tools/fuzz. */
#include "tests/fuzz/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_journal(data, size);
    return 0;
}
