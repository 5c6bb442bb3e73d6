/* SPDX-License-Identifier: MIT */
#include "server/admin/words.h"

struct words words_of(struct slice argument) {
    struct words words = {.count = 0};
    const char *at = argument.data, *end = argument.size ? argument.data + argument.size : at;
    while (at < end && words.count < WORDS_OF_ARGUMENT) {
        while (at < end && *at == ' ')
            at++;
        const char *start = at;
        while (at < end && *at != ' ')
            at++;
        if (at > start)
            words.word[words.count++] = slice_of(start, (size_t)(at - start));
    }
    return words;
}

bool words_number(struct slice word, uint32_t *ret_number) {
    uint64_t number = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(word.data[i] - '0');
        if (number > UINT32_MAX)
            return false;
    }
    if (word.size == 0)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

bool words_signed_number(struct slice word, int32_t *ret_number) {
    bool negative = word.size > 0 && *word.data == '-';
    uint32_t number;
    if (!words_number(slice_of(word.data + negative, word.size - negative), &number))
        return false;
    int64_t value = negative ? -(int64_t)number : (int64_t)number;
    if (value > INT32_MAX || value < INT32_MIN)
        return false;
    *ret_number = (int32_t)value;
    return true;
}
