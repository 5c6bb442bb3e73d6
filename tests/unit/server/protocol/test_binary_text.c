/* SPDX-License-Identifier: MIT */
/* The answers of the text protocol to commands without a key, as packets. */
#include "server/protocol/binary_text.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

enum { WORDS = 4096 };

static int set_up(void **state) {
    static struct buffer buffer;
    *state = &buffer;
    return 0;
}

static int tear_down(void **state) {
    buffer_free(*state);
    return 0;
}

static size_t read_16(const char *at) {
    return (size_t)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

/* The packets in words, a line each: "<opcode> <status> <key>=<value>". */
static const char *words_of(const struct buffer *buffer) {
    static char words[WORDS];
    size_t used = 0;
    for (size_t at = 0; at < buffer->size;) {
        const char *packet = buffer->data + at;
        assert_int_equal((uint8_t)packet[0], BINARY_RESPONSE);
        size_t key = read_16(packet + 2), body = read_16(packet + 10);
        assert_int_equal(packet[4], 0); /* no extras */
        assert_true(at + BINARY_HEADER + body <= buffer->size && key <= body);
        int written = snprintf(words + used, WORDS - used, "%02x %02zx %.*s=%.*s\n", (uint8_t)packet[1],
                               read_16(packet + 6), (int)key, packet + BINARY_HEADER, (int)(body - key),
                               packet + BINARY_HEADER + key);
        used += (size_t)written;
        assert_true(used < WORDS);
        at += BINARY_HEADER + body;
    }
    words[used] = '\0';
    return words;
}

static void assert_packets(struct buffer *out, uint8_t opcode, bool quiet, enum command command,
                           const char *argument, const char *text, const char *expected) {
    struct request request;
    struct binary_head head = {.opcode = opcode, .quiet = quiet};
    request_begin(&request, command);
    request.argument = slice_string(argument);
    out->size = 0;
    binary_text(out, &head, &request, slice_string(text));
    assert_false(out->failed);
    assert_string_equal(words_of(out), expected);
}

static void assert_statistics(struct buffer *out, const char *argument, const char *text,
                              const char *expected) {
    assert_packets(out, 0x10, false, COMMAND_STATS, argument, text, expected);
}

TEST(statistics_are_a_packet_each_and_an_empty_one) {
    assert_statistics(*state, "", "STAT pid 4711\r\nSTAT version 1.6.45\r\nEND\r\n",
                      "10 00 pid=4711\n10 00 version=1.6.45\n10 00 =\n");
    assert_statistics(*state, "settings", "STAT a with blanks \r\nSTAT b\r\nSTAT c \r\nEND\r\n",
                      "10 00 a=with blanks \n10 00 b=\n10 00 c=\n10 00 =\n");
}

TEST(where_there_are_none_there_is_the_empty_one) {
    assert_statistics(*state, "items", "END\r\n", "10 00 =\n");
    assert_statistics(*state, "reset", "RESET\r\n", "10 00 =\n");
    assert_statistics(*state, "detail on", "OK\r\n", "10 00 =\n");
}

TEST(statistics_that_do_not_exist_are_not_found) {
    assert_statistics(*state, "nothing", "", "10 01 =Not found\n");
    assert_statistics(*state, "nothing", "ERROR\r\n", "10 01 =Not found\n");
    assert_statistics(*state, "detail", "CLIENT_ERROR usage: stats detail on|off|dump\r\n",
                      "10 01 =Not found\n");
    assert_statistics(*state, "detail dump", "CLIENT_ERROR stats detail not allowed\r\n",
                      "10 01 =Not found\n");
}

TEST(a_dump_of_details_is_one_value) {
    assert_statistics(*state, "detail dump", "PREFIX a get 1 hit 1\r\nPREFIX b get 2 hit 0\r\nEND\r\n",
                      "10 00 detailed=PREFIX a get 1 hit 1\r\nPREFIX b get 2 hit 0\r\nEND\r\n\n10 00 =\n");
    assert_statistics(*state, "detail dump", "END\r\n", "10 00 detailed=END\r\n\n10 00 =\n");
}

TEST(the_version_is_a_value) {
    assert_packets(*state, 0x0b, false, COMMAND_VERSION, "", "VERSION 1.6.45\r\n", "0b 00 =1.6.45\n");
}

TEST(what_is_done_is_told_unless_it_is_quiet) {
    assert_packets(*state, 0x08, false, COMMAND_FLUSH_ALL, "", "OK\r\n", "08 00 =\n");
    assert_packets(*state, 0x18, true, COMMAND_FLUSH_ALL, "100", "OK\r\n", "");
    assert_packets(*state, 0x1b, false, COMMAND_VERBOSITY, "1", "OK\r\n", "1b 00 =\n");
}

TEST(what_is_not_allowed_is_told_in_any_case) {
    static const char line[] = "CLIENT_ERROR flush_all not allowed\r\n";
    assert_packets(*state, 0x08, false, COMMAND_FLUSH_ALL, "", line, "08 20 =Auth failure.\n");
    assert_packets(*state, 0x18, true, COMMAND_FLUSH_ALL, "", line, "18 20 =Auth failure.\n");
}

TEST(packets_are_appended) {
    struct buffer *out = *state;
    struct request request;
    struct binary_head head = {.opcode = 0x08};
    request_begin(&request, COMMAND_FLUSH_ALL);
    out->size = 0;
    binary_text(out, &head, &request, SLICE("OK\r\n"));
    binary_text(out, &head, &request, SLICE("OK\r\n"));
    assert_string_equal(words_of(out), "08 00 =\n08 00 =\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(statistics_are_a_packet_each_and_an_empty_one),
        CASE(where_there_are_none_there_is_the_empty_one),
        CASE(statistics_that_do_not_exist_are_not_found),
        CASE(a_dump_of_details_is_one_value),
        CASE(the_version_is_a_value),
        CASE(what_is_done_is_told_unless_it_is_quiet),
        CASE(what_is_not_allowed_is_told_in_any_case),
        CASE(packets_are_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
