/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's way into the protocol: parser, evaluation and replies over the model of tests/support. Built
 * with clang and -DFOREBAY_FUZZ=ON:
 *
 *     CC=clang cmake -S . -B build/libfuzzer -G Ninja -DFOREBAY_FUZZ=ON
 *     cmake --build build/libfuzzer --target libfuzzer_parser
 *     build/libfuzzer/tests/libfuzzer_parser -max_len=4096 -max_total_time=60
 *
 * The first two bytes say where the rest is cut: its pieces must be answered as the whole is. The rest is also taken for what
 * a node of a Redis Cluster says of slots.
 */
#include "tests/fuzz/slots.h"
#include "tests/fuzz/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t cut = (size_t)data[0] << 8 | data[1];
    check_split((const char *)data + 2, size - 2, cut % (size - 1));
    check_slots((const char *)data + 2, size - 2);
    return 0;
}
