/* SPDX-License-Identifier: MIT */
/* The words of a command's argument, and what memcached takes for numbers and for abbreviations in them. Pure. */
#ifndef FOREBAY_SERVER_ADMIN_WORDS_H
#define FOREBAY_SERVER_ADMIN_WORDS_H

#include "cache/base/slice.h"
#include <stdint.h>

enum { WORDS_OF_ARGUMENT = 11 }; /* more than any command looks at */

struct words {
    struct slice word[WORDS_OF_ARGUMENT]; /* empty beyond count */
    size_t count;                         /* up to WORDS_OF_ARGUMENT; what follows is dropped */
};

struct words words_of(struct slice argument);

/* Whole decimal numbers; false for anything else or what does not fit. */
bool words_number(struct slice word, uint32_t *ret_number);
bool words_signed_number(struct slice word, int32_t *ret_number);

/* Whether the word is a beginning of text, of one letter at least: memcached knows its older words by these. */
static inline bool words_abbreviate(struct slice word, const char *text) {
    return word.size > 0 && slice_starts_with(slice_string(text), word);
}

static inline bool words_equal(struct slice word, const char *text) {
    return slice_equal(word, slice_string(text));
}

#endif
