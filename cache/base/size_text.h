/* SPDX-License-Identifier: MIT */
/* Sizes as people write them in settings. Pure. */
#ifndef FOREBAY_CACHE_BASE_SIZE_TEXT_H
#define FOREBAY_CACHE_BASE_SIZE_TEXT_H

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

/* In the largest unit without a rest: "1gb", "1536kb", "1048577". Cut at size. */
static inline void size_print(uint64_t bytes, char *ret_text, size_t size) {
    static const char *const names[] = {"", "kb", "mb", "gb"};
    unsigned unit = 0;
    while (unit < 3 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(ret_text, size, "%" PRIu64 "%s", bytes, names[unit]);
}

struct size_text {
    char text[32];
};

/* The same for a message: .text, while the expression lasts. */
static inline struct size_text size_text(uint64_t bytes) {
    struct size_text made = {""};
    size_print(bytes, made.text, sizeof made.text);
    return made;
}

#endif
