/* SPDX-License-Identifier: MIT */
/*
 * A short run of fuzzing that is the same every time: conversations made from a corpus of lines, whole and
 * mutated, cut at every position, and noise. What it looks for: a step beyond the bytes given (the model
 * hands the parser exact copies, the sanitizers watch), a failing assertion, an endless loop, and answers
 * that depend on how bytes arrive.
 */
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/split.h"
#include "tests/support/check.h"

enum { MUTATED_RUNS = 6000, NOISE_RUNS = 3000 };

TEST(every_line_is_answered_the_same_cut_anywhere) {
    for (size_t i = 0; i < CORPUS_SIZE; i++) {
        char bytes[200];
        size_t size =
            (size_t)snprintf(bytes, sizeof bytes, "set b 0 0 2\r\n10\r\n%sget a b\r\nmn\r\n", corpus[i]);
        check_all_splits(bytes, size);
    }
}

TEST(all_lines_together_are_answered_the_same_cut_anywhere) {
    static char bytes[8192];
    size_t size = 0;
    for (size_t i = 0; i + 1 < CORPUS_SIZE; i++)
        size += (size_t)snprintf(bytes + size, sizeof bytes - size, "%s", corpus[i]);
    for (size_t cut = 0; cut < size; cut += 7)
        check_split(bytes, size, cut);
}

TEST(mutated_conversations_are_answered_the_same_cut_anywhere) {
    for (size_t run = 0; run < MUTATED_RUNS; run++) {
        char bytes[CONVERSATION_MAX];
        size_t size = mutate(bytes, make_conversation(bytes));
        check_split(bytes, size, below(size + 1));
    }
}

TEST(noise_is_answered_the_same_cut_anywhere) {
    for (size_t run = 0; run < NOISE_RUNS; run++) {
        char bytes[NOISE_MAX];
        size_t size = make_noise(bytes);
        check_split(bytes, size, below(size + 1));
    }
}

TEST(long_lines_are_answered_the_same_cut_at_their_end) {
    static char bytes[PARSER_LINE_MAX + 200];
    for (size_t length = PARSER_LINE_MAX - 2; length <= PARSER_LINE_MAX + 2; length++) {
        memset(bytes, 'a', length);
        for (int is_get = 0; is_get < 2; is_get++) {
            if (is_get)
                for (size_t i = 0; i + 4 <= length; i += 4)
                    memcpy(bytes + i, i == 0 ? "get " : "abc ", 4);
            memcpy(bytes + length, "\nmn\r\n", 5);
            check_split(bytes, length + 5, length);
            check_split(bytes, length + 5, length + 1);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_answered_the_same_cut_anywhere),
        cmocka_unit_test(all_lines_together_are_answered_the_same_cut_anywhere),
        cmocka_unit_test(mutated_conversations_are_answered_the_same_cut_anywhere),
        cmocka_unit_test(noise_is_answered_the_same_cut_anywhere),
        cmocka_unit_test(long_lines_are_answered_the_same_cut_at_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
