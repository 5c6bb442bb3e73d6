/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer's way into the protocol: parser, evaluation and replies over the model of tests/support. Built and run by
 * tools/fuzz.
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
