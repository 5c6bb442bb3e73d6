/* SPDX-License-Identifier: MIT */
/* An answer, read as a client reads it: lines whose first word a client knows, values as long as they were announced,
 * packets whose sizes add up; and nothing behind. */
#ifndef FOREBAY_TESTS_FUZZ_REPLIES_H
#define FOREBAY_TESTS_FUZZ_REPLIES_H

#include "cache/base/slice.h"
#include "server/protocol/binary.h"
#include "tests/fuzz/choices.h"

static inline bool replies_is_number(struct slice word) {
    for (size_t i = 0; i < word.size; i++)
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
    return word.size > 0;
}

static inline uint64_t replies_number(struct slice word) {
    uint64_t number = 0;
    FUZZ_CHECK(replies_is_number(word));
    for (size_t i = 0; i < word.size; i++)
        number = number * 10 + (uint64_t)(word.data[i] - '0');
    return number;
}

static inline bool replies_is_known(struct slice word) {
    static const char *const words[] = {"STORED",  "NOT_STORED", "EXISTS", "NOT_FOUND",    "DELETED",
                                        "TOUCHED", "OK",         "END",    "HD",           "EN",
                                        "NS",      "NF",         "EX",     "MN",           "ME",
                                        "VALUE",   "VA",         "ERROR",  "CLIENT_ERROR", "SERVER_ERROR"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_equal(word, slice_string(words[i])))
            return true;
    return false;
}

/* The size of the value that a line announces; false: none. VALUE key flags size [cas], VA size flag... */
static inline bool replies_announced(struct slice line, size_t *ret_size) {
    struct slice rest = line, word, size;
    slice_cut(&rest, ' ', &word);
    bool classic = slice_equal(word, SLICE("VALUE")), meta = slice_equal(word, SLICE("VA"));
    if (classic) {
        FUZZ_CHECK(slice_cut(&rest, ' ', &word) && word.size > 0 && word.size <= 250);
        FUZZ_CHECK(slice_cut(&rest, ' ', &word) && replies_is_number(word));
    }
    if (classic || meta) {
        slice_cut(&rest, ' ', &size);
        *ret_size = (size_t)replies_number(size);
    }
    return classic || meta;
}

/* The answer to one request of the text protocol. */
static inline void replies_check_text(struct slice answer) {
    while (answer.size > 0) {
        struct slice line, word, rest;
        size_t size;
        FUZZ_CHECK(slice_cut(&answer, '\n', &line) && line.size > 0 && line.data[line.size - 1] == '\r');
        line.size--;
        rest = line;
        slice_cut(&rest, ' ', &word);
        FUZZ_CHECK(replies_is_known(word) || replies_is_number(word));
        if (!replies_announced(line, &size))
            continue;
        FUZZ_CHECK(answer.size >= size + 2 && memcmp(answer.data + size, "\r\n", 2) == 0);
        answer = slice_of(answer.data + size + 2, answer.size - size - 2);
    }
}

static inline uint64_t replies_bits(const char *from, size_t size) {
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | (uint8_t)from[i];
    return number;
}

/* That of the binary protocol: at most one packet. */
static inline void replies_check_packet(struct slice answer) {
    if (answer.size == 0)
        return;
    FUZZ_CHECK(answer.size >= BINARY_HEADER && (uint8_t)answer.data[0] == 0x81);
    uint64_t key = replies_bits(answer.data + 2, 2), extras = (uint8_t)answer.data[4];
    uint64_t body = replies_bits(answer.data + 8, 4);
    FUZZ_CHECK(key + extras <= body && answer.size == BINARY_HEADER + body);
}

#endif
