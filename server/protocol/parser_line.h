/* SPDX-License-Identifier: MIT */
/*
 * A line of which the end is known, cut into words at blanks; and what all parsers of lines scan with. Pure.
 */
#ifndef FOREBAY_SERVER_PROTOCOL_PARSER_LINE_H
#define FOREBAY_SERVER_PROTOCOL_PARSER_LINE_H

#include "cache/base/slice.h"
#include <stdbool.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { LINE_WORDS_MAX = 23 /* words that are looked at; memcached's tokenizer stops there as well */ };

struct line {
    const char *start;
    const char *end;  /* of what it says: before "\r\n" or "\n" */
    const char *next; /* first byte behind it */
    unsigned count;   /* of words */
    struct slice words[LINE_WORDS_MAX];
};

/* Sets the words of what lies between start and end. */
void line_cut(struct line *line);

/* Of a line that was cut. */
bool line_ends_with_noreply(const struct line *line);

/* ---- Scanning ---- */

#ifdef __SSE2__
/* A bit for each of 16 bytes that is a blank or '\n'. */
static inline unsigned word_ends(const char *at) {
    const __m128i blank = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i found = _mm_or_si128(_mm_cmpeq_epi8(chunk, blank), _mm_cmpeq_epi8(chunk, newline));
    return (unsigned)_mm_movemask_epi8(found);
}
#endif

/* The first blank or '\n' in [at, end), or end. */
static inline const char *find_word_end(const char *at, const char *end) {
#ifdef __SSE2__
    const char *start = at;
    for (; end - at >= 16; at += 16) {
        unsigned mask = word_ends(at);
        if (mask)
            return at + __builtin_ctz(mask);
    }
    if (at > start) { /* the last ones, once more with some before them */
        unsigned mask = word_ends(end - 16) >> (16 - (end - at));
        return mask ? at + __builtin_ctz(mask) : end;
    }
#endif
    while (at < end && *at != ' ' && *at != '\n')
        at++;
    return at;
}

static inline const char *skip_blanks(const char *at, const char *end) {
    while (at < end && *at == ' ')
        at++;
    return at;
}

static inline const char *find_blank(const char *at, const char *end) {
    const char *blank = memchr(at, ' ', (size_t)(end - at));
    return blank ? blank : end;
}

/* The end of a line that ends with the '\n' at newline. */
static inline const char *trim_line_end(const char *start, const char *newline) {
    return newline > start && newline[-1] == '\r' ? newline - 1 : newline;
}

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

#endif
