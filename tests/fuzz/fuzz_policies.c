/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into the policies: a tier with stores, compared with a model (policies.h). Built and run by
 * tools/fuzz. */
#include "tests/fuzz/policies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* As fuzz_engine.c. */
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_policies(data, size);
    return 0;
}
