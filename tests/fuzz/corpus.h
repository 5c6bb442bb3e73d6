/* SPDX-License-Identifier: MIT */
/* Conversations for the short runs of fuzzing: lines of a corpus, mutated or not, and noise. Every run makes
 * the same ones. */
#ifndef FOREBAY_TESTS_FUZZ_CORPUS_H
#define FOREBAY_TESTS_FUZZ_CORPUS_H

#include <stdint.h>
#include <string.h>

enum { CONVERSATION_MAX = 1200, NOISE_MAX = 300 };

static const char *corpus[] = {
    "get a\r\n",
    "get a b  c\r\n",
    "gets b a\n",
    "gat 10 a b\r\n",
    "gats -1 b\r\n",
    "set a 0 0 3\r\nabc\r\n",
    "set b 5 100 2 noreply\r\n10\r\n",
    "set a 1 -1 0\r\n\r\n",
    "set c 0 0 1100\r\n",
    "add a 0 0 1\r\nx\r\n",
    "replace b 4294967295 0 2\r\n99\r\n",
    "append b 0 0 1\r\n7\r\n",
    "prepend a 0 0 4\r\nget \r\n",
    "cas a 0 0 1 5\r\nx\r\n",
    "incr b 18446744073709551615\r\n",
    "decr b 3 noreply\r\n",
    "touch a 100\r\n",
    "delete b\r\n",
    "delete a 0 noreply\r\n",
    "mg a v s t c f h l k Oabc q\r\n",
    "mg b N30 R100 T50 v E9\r\n",
    "mg Yg== b k v\r\n",
    "mg a C5 v u\r\n",
    "ms a 3 T60 F7 c s k Ox I\r\nabc\r\n",
    "ms b 2 MA N10 q\r\n12\r\n",
    "ms YQ== 1 b ME C3\r\nz\r\n",
    "ms c 2000 MR k\r\n",
    "md a I T10 q k\r\n",
    "md b x E5 C2\r\n",
    "ma b N0 J13 D2 MD v t c\r\n",
    "ma a M+ q\r\n",
    "me a\r\n",
    "me YQ== b\r\n",
    "mn\r\n",
    "version\r\n",
    "flush_all 5 noreply\r\n",
    "verbosity 1\r\n",
    "stats items\r\n",
    "slabs automove 1\r\n",
    "sync sessions\r\n",
    "bogus noreply\r\n",
    "\r\n",
    "GET / HTTP/1.1\r\n",
};

enum { CORPUS_SIZE = sizeof corpus / sizeof *corpus };

static uint64_t random_state = 88172645463325252ull;

static inline uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static inline size_t below(size_t bound) {
    return (size_t)(next_random() % bound);
}

static inline size_t make_conversation(char *out) {
    size_t size = 0;
    for (size_t lines = 1 + below(12); lines > 0; lines--) {
        const char *line = corpus[below(CORPUS_SIZE)];
        if (size + strlen(line) > CONVERSATION_MAX)
            break;
        memcpy(out + size, line, strlen(line));
        size += strlen(line);
    }
    return size;
}

/* Bytes that mean something where they are. */
static inline char telling_byte(void) {
    static const char bytes[] = " \r\n\t-0123456789abkqvsOTNREMCDFxI=\0\x80\xff";
    return bytes[below(sizeof bytes - 1)];
}

static inline size_t mutate(char *bytes, size_t size) {
    for (size_t changes = below(4); changes > 0 && size > 1; changes--) {
        size_t at = below(size);
        switch (below(3)) {
        case 0:
            bytes[at] = telling_byte();
            break;
        case 1:
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            size--;
            break;
        default:
            if (size == CONVERSATION_MAX)
                break;
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = telling_byte();
            size++;
        }
    }
    return size;
}

static inline size_t make_noise(char *out) {
    size_t size = 1 + below(NOISE_MAX - 1);
    for (size_t i = 0; i < size; i++)
        out[i] = below(2) ? telling_byte() : (char)next_random();
    return size;
}

#endif
