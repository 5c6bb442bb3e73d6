/* SPDX-License-Identifier: MIT */
#include "cache/base/fit.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char gap[] = " ... ";

enum { GAP = sizeof gap - 1, WHOLE_MAX = 16 << 10 };

/* Of a character of several bytes, which does not begin with it. */
static bool goes_on(char byte) {
    return ((unsigned char)byte & 0xc0) == 0x80;
}

size_t fit_text(const char *text, char *ret_text, size_t size) {
    size_t length = strlen(text), room = size - 1;
    if (length <= room || room < 2 * GAP) {
        length = length < room ? length : room;
        memmove(ret_text, text, length);
        ret_text[length] = '\0';
        return length;
    }
    size_t head = (room - GAP) / 2, tail = room - GAP - head;
    while (head > 0 && goes_on(text[head]))
        head--;
    while (tail > 0 && goes_on(text[length - tail]))
        tail--;
    memmove(ret_text, text, head);
    memcpy(ret_text + head, gap, GAP);
    memmove(ret_text + head + GAP, text + length - tail, tail);
    ret_text[head + GAP + tail] = '\0';
    return head + GAP + tail;
}

size_t fit_vprint(char *ret_text, size_t size, const char *format, va_list arguments) {
    char whole[WHOLE_MAX];
    if (vsnprintf(whole, sizeof whole, format, arguments) < 0)
        *whole = '\0';
    return fit_text(whole, ret_text, size);
}

size_t fit_print(char *ret_text, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t length = fit_vprint(ret_text, size, format, arguments);
    va_end(arguments);
    return length;
}
