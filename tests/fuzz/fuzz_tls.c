/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into encrypted connections (tls.h). Built and run by tools/fuzz. */
#include "tests/fuzz/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* The one bench is never ended. test_tls.c ends its own, so leaks are found there. */
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_tls(data, size);
    return 0;
}
