/* SPDX-License-Identifier: MIT */
#include "policies/number.h"

enum { DIGITS_32 = 11, DIGITS_64 = 22 }; /* longest words that are looked at */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool read_digits(struct slice word, size_t digits_max, uint64_t max, uint64_t *ret_number) {
    uint64_t number = 0;
    if (word.size > digits_max)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        if (!is_digit(word.data[i]))
            return false;
        uint64_t digit = (uint64_t)(word.data[i] - '0');
        if (number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

bool number_read_u64(struct slice word, uint64_t *ret_number) {
    return read_digits(word, DIGITS_64, UINT64_MAX, ret_number);
}

bool number_read_u32(struct slice word, uint32_t *ret_number) {
    uint64_t number;
    if (!read_digits(word, DIGITS_32, UINT32_MAX, &number))
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

bool number_read_int32(struct slice word, int64_t *ret_number) {
    if (word.size > DIGITS_32)
        return false;
    bool negative = word.size > 0 && word.data[0] == '-';
    struct slice digits = slice_of(word.data + negative, word.size - negative);
    uint64_t number;
    if (!read_digits(digits, DIGITS_32, negative ? 1ull << 31 : INT32_MAX, &number))
        return false;
    *ret_number = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool read_loosely(struct slice word, uint64_t *ret_magnitude, bool *ret_negative) {
    const char *at = word.data, *end = word.data + word.size;
    while (at < end && is_space(*at))
        at++;
    *ret_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const char *digits = at;
    uint64_t number = 0;
    for (; at < end && is_digit(*at); at++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    *ret_magnitude = number;
    return at > digits && (at == end || is_space(*at) || *at == 0);
}

bool number_read_loose_u64(struct slice word, uint64_t *ret_number) {
    uint64_t number;
    bool negative;
    if (!read_loosely(word, &number, &negative))
        return false;
    if (negative)
        number = 0 - number;
    if (negative && number >> 63)
        return false;
    *ret_number = number;
    return true;
}

bool number_read_loose_int64(struct slice word, int64_t *ret_number) {
    uint64_t number;
    bool negative;
    if (!read_loosely(word, &number, &negative) || number > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_number = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}
