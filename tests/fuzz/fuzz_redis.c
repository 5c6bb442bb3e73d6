/* SPDX-License-Identifier: MIT */
/* libFuzzer's way into what a Redis answers (redis.h). Built and run by tools/fuzz. */
#include "tests/fuzz/redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_redis(data, size);
    return 0;
}
