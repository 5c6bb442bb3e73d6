/* SPDX-License-Identifier: MIT */
#include "server/protocol/base64.h"
#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { DIGIT_NONE = 255, DIGIT_PAD = 64 };

static unsigned digit_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : c == '=' ? DIGIT_PAD : DIGIT_NONE;
}

static size_t count_digits(struct slice encoded) {
    size_t count = 0;
    for (size_t i = 0; i < encoded.size; i++)
        count += digit_of(encoded.data[i]) != DIGIT_NONE;
    return count;
}

size_t base64_decode(struct slice encoded, char *out) {
    if (count_digits(encoded) % 4 != 0)
        return 0;
    char *start = out;
    uint32_t group = 0;
    unsigned digits = 0, pads = 0;
    for (size_t i = 0; i < encoded.size; i++) {
        unsigned digit = digit_of(encoded.data[i]);
        if (digit == DIGIT_NONE)
            continue;
        pads += digit == DIGIT_PAD;
        group = group << 6 | (digit & 63); /* padding counts as zero bits */
        if (++digits % 4 != 0)
            continue;
        *out++ = (char)(group >> 16);
        *out++ = (char)(group >> 8);
        *out++ = (char)group;
        group = 0;
        if (pads > 0)
            break; /* the last group */
    }
    return pads > 2 ? 0 : (size_t)(out - start) - pads;
}

char *base64_encode(struct slice raw, char *out) {
    const unsigned char *in = (const unsigned char *)raw.data;
    for (size_t i = 0; i < raw.size; i += 3) {
        size_t there = raw.size - i;
        uint32_t group =
            (uint32_t)in[i] << 16 | (there > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (there > 2 ? in[i + 2] : 0u);
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = there > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = there > 2 ? alphabet[group & 63] : '=';
    }
    return out;
}
