/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's way into the protocol: parser, evaluation and replies over the model of tests/support. Built and run by
 * tools/fuzz.
 *
 * The first two bytes say where the rest is cut: its pieces must be answered as the whole is.
 */
#include "tests/fuzz/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t cut = (size_t)data[0] << 8 | data[1];
    check_split_often((const char *)data + 2, size - 2, cut % (size - 1));
    return 0;
}
