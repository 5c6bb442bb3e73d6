/* SPDX-License-Identifier: MIT */
/* What some editors put in front of a text: it is no part of it. Pure. */
#ifndef FOREBAY_CACHE_BASE_BYTE_ORDER_MARK_H
#define FOREBAY_CACHE_BASE_BYTE_ORDER_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Takes that of UTF-8 away; returns the size that is left. */
static inline size_t byte_order_mark_remove(char *text, size_t size) {
    static const char mark[] = "\xef\xbb\xbf";
    size_t length = sizeof mark - 1;
    if (size < length || memcmp(text, mark, length) != 0)
        return size;
    memmove(text, text + length, size - length);
    return size - length;
}

/* Whether a text begins with that of UTF-16, which nothing here reads. */
static inline bool byte_order_mark_is_wide(const char *text, size_t size) {
    return size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
}

#endif
