/* SPDX-License-Identifier: MIT */
/* "1 change", "2 changes": a number with its word, for messages. Any thread. */
#ifndef FOREBAY_CACHE_BASE_COUNT_TEXT_H
#define FOREBAY_CACHE_BASE_COUNT_TEXT_H

#include <inttypes.h>
#include <stdio.h>

struct count_text {
    char text[64];
};

/* As count_text(count, "change", "changes").text, which lives until the end of the expression that it is in. */
static inline struct count_text count_text(uint64_t count, const char *one, const char *many) {
    struct count_text result;
    snprintf(result.text, sizeof result.text, "%" PRIu64 " %s", count, count == 1 ? one : many);
    return result;
}

#endif
