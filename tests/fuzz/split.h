/* SPDX-License-Identifier: MIT */
/* Bytes must be answered in the same way however they arrive: whole, in two pieces, or one by one. */
#ifndef FOREBAY_TESTS_FUZZ_SPLIT_H
#define FOREBAY_TESTS_FUZZ_SPLIT_H

#include "tests/support/model.h"
#include <stdio.h>
#include <stdlib.h>

enum { SPLIT_ITEM_MAX = 1024, SPLIT_NOW = 1700000000, SPLIT_ONE_BY_ONE = 8 };

/* Answers of a new model to bytes that arrive in pieces of `first` bytes, then `step` each. Of the two that are
 * compared, each has its place; they are made once. */
static inline struct model *split_play(bool is_whole, const char *bytes, size_t size, size_t first,
                                       size_t step) {
    static struct model *models[2];
    if (!models[is_whole])
        models[is_whole] = model_create(SPLIT_ITEM_MAX, SPLIT_NOW);
    struct model *model = models[is_whole];
    size_t at = 0, piece = first;
    model_begin_anew(model, SPLIT_NOW);
    do {
        piece = piece < size - at ? piece : size - at;
        model_feed(model, bytes + at, piece);
        at += piece;
        piece = step;
    } while (at < size);
    return model;
}

static inline void split_compare(const char *bytes, size_t size, struct model *whole, struct slice expected,
                                 size_t first, size_t step) {
    struct model *parts = split_play(false, bytes, size, first, step);
    bool same = slice_equal(expected, model_take(parts)) &&
                model_is_closed(parts) == model_is_closed(whole) &&
                (model_is_closed(whole) || model_waiting(parts) == model_waiting(whole));
    if (!same) {
        fprintf(stderr, "cut at %zu, then every %zu bytes: answered otherwise than whole:\n", first, step);
        fwrite(bytes, 1, size, stderr);
        abort();
    }
}

/* Aborts when the bytes cut at `cut`, or one by one, are answered otherwise than in one piece. */
static inline void check_split(const char *bytes, size_t size, size_t cut) {
    struct model *whole = split_play(true, bytes, size, size, 1);
    struct slice expected = model_take(whole);
    split_compare(bytes, size, whole, expected, cut, size);
    split_compare(bytes, size, whole, expected, 1, 1);
}

/* For a fuzzer, which tries very many: one by one, which takes ten times as long, behind one cut in eight alone. */
static inline void check_split_often(const char *bytes, size_t size, size_t cut) {
    struct model *whole = split_play(true, bytes, size, size, 1);
    struct slice expected = model_take(whole);
    size_t step = cut % SPLIT_ONE_BY_ONE == 0 ? 1 : size;
    split_compare(bytes, size, whole, expected, cut, step);
}

/* The same for every cut. */
static inline void check_all_splits(const char *bytes, size_t size) {
    struct model *whole = split_play(true, bytes, size, size, 1);
    struct slice expected = model_take(whole);
    for (size_t cut = 0; cut <= size; cut++)
        split_compare(bytes, size, whole, expected, cut, size);
    split_compare(bytes, size, whole, expected, 1, 1);
}

#endif
