/* SPDX-License-Identifier: MIT */
#include "backends/key.h"

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/* Digits up to a limit. */
static bool read_digits(struct slice text, uint64_t limit, uint64_t *ret_number) {
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i]))
            return false;
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (number > (limit - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return text.size > 0;
}

bool key_is_integer(struct slice key, int64_t *ret_number) {
    bool below = key.size > 0 && key.data[0] == '-';
    struct slice digits = below ? slice_of(key.data + 1, key.size - 1) : key;
    uint64_t number;
    if (digits.size > 0 && digits.data[0] == '0' && (digits.size > 1 || below))
        return false;
    if (!read_digits(digits, (uint64_t)INT64_MAX + below, &number))
        return false;
    *ret_number = below ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

struct slice key_without_prefix(struct slice key, const char *prefix) {
    struct slice start = slice_string(prefix ? prefix : "");
    return slice_starts_with(key, start) ? slice_of(key.data + start.size, key.size - start.size) : key;
}
