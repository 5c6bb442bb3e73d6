/* SPDX-License-Identifier: MIT */
/* What is made out of any bytes: each decision takes one of them, so that a byte that changes changes one decision. */
#ifndef FOREBAY_TESTS_FUZZ_CHOICES_H
#define FOREBAY_TESTS_FUZZ_CHOICES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The bytes that decisions are taken from: 0 behind the last. */
struct choices {
    const uint8_t *at, *end;
};

static inline struct choices choices_of(const uint8_t *data, size_t size) {
    return (struct choices){data, data + size};
}

static inline bool choices_left(const struct choices *choices) {
    return choices->at < choices->end;
}

static inline unsigned choose(struct choices *choices, unsigned below) {
    assert(below > 0);
    return choices->at < choices->end ? *choices->at++ % below : 0;
}

/* Any number of so many bytes. */
static inline uint64_t choose_bits(struct choices *choices, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | choose(choices, 256);
    return number;
}

/* A place below the size of something, or 0. */
static inline size_t choose_place(struct choices *choices, size_t below) {
    return below ? (size_t)choose_bits(choices, 3) % below : 0;
}

/* A function of which the fuzzer need not know what it reaches: it looks at the program, and is called very often. */
#ifdef __clang__
#define FUZZ_HARNESS static inline __attribute__((no_sanitize("coverage")))
#else
#define FUZZ_HARNESS static inline
#endif

/* Ends the program, and says what was not so: in libFuzzer's and in a test's alike. */
#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
