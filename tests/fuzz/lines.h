/* SPDX-License-Identifier: MIT */
/*
 * Conversations of the text protocol out of any bytes: classic and meta commands with any of their flags, in any order
 * and number, whose data blocks are mostly as long as they say; the rest has something wrong.
 */
#ifndef FOREBAY_TESTS_FUZZ_LINES_H
#define FOREBAY_TESTS_FUZZ_LINES_H

#include "tests/fuzz/choices.h"
#include <string.h>

enum { LINES_MAX = 16 << 10, LINE_ROOM = 4 << 10 }; /* LINE_ROOM: what one line and its block may take */

static inline char *line_put(char *out, const char *text) {
    size_t size = strlen(text);
    memcpy(out, text, size);
    return out + size;
}

#define LINE_CHOOSE(choices, texts) ((texts)[choose((choices), sizeof(texts) / sizeof *(texts))])

static inline const char *line_number(struct choices *choices) {
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "-1",
                                          "10",
                                          "100",
                                          "2592000",
                                          "2592001",
                                          "1700000100",
                                          "4294967295",
                                          "4294967296",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "00",
                                          "x",
                                          "1x",
                                          ""};
    return LINE_CHOOSE(choices, numbers);
}

static inline const char *line_key(struct choices *choices, bool encoded) {
    static const char *const keys[] = {"a", "b", "bc", "c", "\x80\x01", "aaaaaaaaaaaaaaaaaaaa"};
    static const char *const in_base64[] = {"YQ==", "Yg==", "YmM=", "AA==", "YQ", "!"};
    return encoded ? LINE_CHOOSE(choices, in_base64) : LINE_CHOOSE(choices, keys);
}

/* A flag, with what belongs to it. */
static inline char *line_put_flag(char *out, struct choices *choices) {
    static const char plain[] = "bcfhIklqstuvxPLWXZ0 ", with_number[] = "TNRJDCEF";
    static const char *const others[] = {
        " Oab", " O",  " MA", " MP", " MS", " ME", " MR",
        " MI",  " MD", " M+", " M-", " M",  " MX", " Oabcdefghijklmnopqrstuvwxyz0123456789"};
    switch (choose(choices, 4)) {
    case 0:
        return line_put(out, LINE_CHOOSE(choices, others));
    case 1:
        *out++ = ' ';
        *out++ = with_number[choose(choices, sizeof with_number - 1)];
        return line_put(out, line_number(choices));
    default:
        *out++ = ' ';
        *out++ = plain[choose(choices, sizeof plain - 1)];
        return out;
    }
}

static inline char *line_put_flags(char *out, struct choices *choices) {
    for (unsigned count = choose(choices, 9); count > 0; count--)
        out = line_put_flag(out, choices);
    return out;
}

/* The size of a block to come, as it is announced: mostly the right one. */
static inline char *line_put_size(char *out, struct choices *choices, size_t *ret_size) {
    static const unsigned sizes[] = {0, 1, 2, 3, 20, 200, 1000, 2000};
    *ret_size = LINE_CHOOSE(choices, sizes);
    unsigned wrong = choose(choices, 16);
    if (wrong == 0)
        return line_put(out, line_number(choices));
    return out + sprintf(out, "%zu", *ret_size + (wrong == 1) - (wrong == 2 && *ret_size > 0));
}

static inline char *line_put_block(char *out, struct choices *choices, size_t size) {
    bool is_number = choose(choices, 2);
    for (size_t i = 0; i < size; i++)
        *out++ = is_number ? (char)('0' + (i + 1) % 10) : (char)(i * 7);
    return line_put(out, "\r\n");
}

static inline char *line_put_end(char *out, struct choices *choices) {
    static const char *const ends[] = {"\r\n", "\r\n",         "\r\n",         "\r\n",
                                       "\n",   " noreply\r\n", " noreply\r\n", " \r\n"};
    return line_put(out, LINE_CHOOSE(choices, ends));
}

static inline char *line_put_meta(char *out, struct choices *choices) {
    static const char *const words[] = {"mg ", "mg ", "ms ", "ms ", "md ", "ma ", "me ", "mn "};
    const char *word = LINE_CHOOSE(choices, words);
    bool encoded = choose(choices, 6) == 0, stores = word[1] == 's';
    size_t size = 0;
    out = line_put(line_put(out, word), line_key(choices, encoded));
    if (stores)
        out = line_put_size(line_put(out, " "), choices, &size);
    out = line_put_flags(out, choices);
    out = line_put(out, encoded ? " b\r\n" : "\r\n");
    return stores ? line_put_block(out, choices, size) : out;
}

static inline char *line_put_storage(char *out, struct choices *choices) {
    static const char *const words[] = {"set ", "add ", "replace ", "append ", "prepend ", "cas "};
    const char *word = LINE_CHOOSE(choices, words);
    size_t size;
    out = line_put(line_put(out, word), line_key(choices, false));
    out = line_put(line_put(out, " "), line_number(choices));
    out = line_put(line_put(out, " "), line_number(choices));
    out = line_put_size(line_put(out, " "), choices, &size);
    if (*word == 'c')
        out = line_put(line_put(out, " "), line_number(choices));
    return line_put_block(line_put_end(out, choices), choices, size);
}

/* Any words: also those of commands that take fewer. */
static inline char *line_put_words(char *out, struct choices *choices) {
    static const char *const words[] = {"get",       "gets",  "gat",    "gats",      "touch",
                                        "incr",      "decr",  "delete", "flush_all", "version",
                                        "verbosity", "stats", "bogus",  "quit",      ""};
    out = line_put(out, LINE_CHOOSE(choices, words));
    for (unsigned count = choose(choices, 5); count > 0; count--)
        out = line_put(line_put(out, " "),
                       choose(choices, 2) ? line_key(choices, false) : line_number(choices));
    return line_put_end(out, choices);
}

/* A conversation of up to LINES_MAX bytes; returns its size. */
static inline size_t make_lines(char out[LINES_MAX], const uint8_t *data, size_t size) {
    struct choices choices = choices_of(data, size);
    char *at = out, *last = out + LINES_MAX - LINE_ROOM;
    while (choices_left(&choices) && at < last) {
        unsigned what = choose(&choices, 4);
        at = what < 2    ? line_put_meta(at, &choices)
             : what == 2 ? line_put_storage(at, &choices)
                         : line_put_words(at, &choices);
    }
    return (size_t)(at - out);
}

#endif
