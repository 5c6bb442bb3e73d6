/* SPDX-License-Identifier: MIT */
/* A run of bytes that somebody else owns. Not terminated by a zero. */
#ifndef FOREBAY_CACHE_BASE_SLICE_H
#define FOREBAY_CACHE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *data;
    size_t size; /* bytes */
};

/* The slice of a string literal. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const char *data, size_t size) {
    return (struct slice){data, size};
}

static inline struct slice slice_string(const char *text) {
    return (struct slice){text, strlen(text)};
}

/* What "%.*s" needs before the data: its size, but no more than that. */
static inline int slice_shown(struct slice slice, int most) {
    return slice.size < (size_t)most ? (int)slice.size : most;
}

static inline bool slice_equal(struct slice a, struct slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(struct slice whole, struct slice prefix) {
    return whole.size >= prefix.size &&
           (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

/* Cuts what comes before the first separator off the slice, and the separator with it. False: there is none; all of it
 * was cut off. */
static inline bool slice_cut(struct slice *slice, char separator, struct slice *ret_part) {
    const char *end = slice->size ? (const char *)memchr(slice->data, separator, slice->size) : NULL;
    size_t size = end ? (size_t)(end - slice->data) : slice->size, skip = end ? size + 1 : size;
    *ret_part = slice_of(slice->data, size);
    *slice = slice->size ? slice_of(slice->data + skip, slice->size - skip) : *slice;
    return end != NULL;
}

#endif
