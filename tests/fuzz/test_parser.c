/* SPDX-License-Identifier: MIT */
/*
 * A short run of fuzzing (rounds.h): conversations made from a corpus of lines, whole and
 * mutated, cut at every position, and noise. What it looks for: a step beyond the bytes given (the model
 * hands the parser exact copies, the sanitizers watch), a failing assertion, an endless loop, and answers
 * that depend on how bytes arrive.
 */
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/rounds.h"
#include "tests/fuzz/slots.h"
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
    for (struct rounds rounds = rounds_of("parser", MUTATED_RUNS, 1); rounds_go_on(&rounds);) {
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

/* What nodes say of slots, with a byte or two changed. */
TEST(a_map_of_slots_with_changed_bytes_is_taken_or_refused) {
    static const char *const answers[] = {
        "MOVED 3999 127.0.0.1:6381", "ASK 16383 ::1:65535",
        ("*2\r\n*4\r\n:0\r\n:99\r\n*3\r\n$1\r\na\r\n:7001\r\n$2\r\naa\r\n*3\r\n$-1\r\n:7002\r\n$2\r\nbb\r\n"
         "*3\r\n:100\r\n:16383\r\n*4\r\n$3\r\n::1\r\n:1\r\n$2\r\ncc\r\n*2\r\n$8\r\nhostname\r\n$1\r\nh\r\n")};
    for (struct rounds rounds = rounds_of("slots", MUTATED_RUNS, 1); rounds_go_on(&rounds);) {
        char bytes[CONVERSATION_MAX];
        const char *answer = answers[below(sizeof answers / sizeof *answers)];
        size_t size = strlen(answer);
        memcpy(bytes, answer, size);
        check_slots(bytes, mutate(bytes, size));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_answered_the_same_cut_anywhere),
        cmocka_unit_test(all_lines_together_are_answered_the_same_cut_anywhere),
        cmocka_unit_test(mutated_conversations_are_answered_the_same_cut_anywhere),
        cmocka_unit_test(noise_is_answered_the_same_cut_anywhere),
        cmocka_unit_test(long_lines_are_answered_the_same_cut_at_their_end),
        cmocka_unit_test(a_map_of_slots_with_changed_bytes_is_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
