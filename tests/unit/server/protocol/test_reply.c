/* SPDX-License-Identifier: MIT */
/* The exact bytes of each outcome of each command. Requests are parsed from text. */
#include "server/protocol/base64.h"
#include "server/protocol/parser.h"
#include "tests/support/check.h"
#include "tests/support/reply_room.h"
#include <stdio.h>
#include <stdlib.h>

static struct request request;

static void parse_request(const char *text) {
    static char key_buffer[ENTRY_KEY_MAX + 2];
    struct parser parser;
    size_t consumed, wanted;
    parser_init(&parser, 1 << 20);
    assert_int_equal(parse(&parser, text, strlen(text), key_buffer, &request, &consumed, &wanted), PARSE_OK);
}

static char *answer; /* of exactly the room that it may take, so that the sanitizer sees every step beyond */

static int free_answer(void **state __attribute__((unused))) {
    free(answer);
    answer = NULL;
    return 0;
}

/* Writes the answer to `request`; returns its end. */
static char *write_answer(const struct outcome *outcome, char **ret_value_at) {
    size_t room = reply_room(&request, outcome);
    free(answer);
    answer = malloc(room > 0 ? room : 1);
    assert_non_null(answer);
    char *end = reply_write(answer, &request, outcome, ret_value_at);
    assert_true((size_t)(end - answer) <= room);
    return end;
}

/* The request of text, with this outcome, is answered with expected, within its bound. */
static void assert_reply(const char *text, const struct outcome *outcome, const char *expected) {
    char *value_at;
    parse_request(text);
    size_t size = (size_t)(write_answer(outcome, &value_at) - answer);
    assert_null(value_at);
    if (size != strlen(expected) || memcmp(answer, expected, size) != 0)
        fail_msg("%s -> %.*s, expected %s", text, (int)size, answer, expected);
}

static struct outcome status(enum outcome_status status_) {
    return (struct outcome){.status = status_};
}

static void assert_status(const char *text, enum outcome_status status_, const char *expected) {
    struct outcome outcome = status(status_);
    assert_reply(text, &outcome, expected);
}

static struct outcome hit(void) {
    return (struct outcome){.status = OUTCOME_HIT,
                            .ttl_now = 1000,
                            .last_access = 12,
                            .hit_before = true,
                            .expires_before = 1010,
                            .expires_between = 1020,
                            .view = {.value = SLICE("value"),
                                     .version = 18446744073709551615ull,
                                     .flags = 4294967295u,
                                     .expires_at = 1030}};
}

static void assert_hit(const char *text, const char *expected) {
    struct outcome outcome = hit();
    assert_reply(text, &outcome, expected);
}

/* ---- Classic ---- */

TEST(a_key_of_any_size_is_told_whole) {
    char key[ENTRY_KEY_MAX + 1] = "", text[ENTRY_KEY_MAX + 16], expected[ENTRY_KEY_MAX + 64];
    for (size_t size = 1; size <= ENTRY_KEY_MAX; size++) {
        key[size - 1] = (char)('a' + size % 26);
        snprintf(text, sizeof text, "get %s\r\n", key);
        snprintf(expected, sizeof expected, "VALUE %s 4294967295 5\r\nvalue\r\nEND\r\n", key);
        assert_hit(text, expected);
    }
}

TEST(gets_are_answered_key_by_key_up_to_END) {
    assert_hit("get k\r\n", "VALUE k 4294967295 5\r\nvalue\r\nEND\r\n");
    assert_hit("gets k\r\n", "VALUE k 4294967295 5 18446744073709551615\r\nvalue\r\nEND\r\n");
    assert_hit("gat 0 k\r\n", "VALUE k 4294967295 5\r\nvalue\r\nEND\r\n");
    assert_hit("gats 0 k\r\n", "VALUE k 4294967295 5 18446744073709551615\r\nvalue\r\nEND\r\n");
    assert_hit("get k more\r\n", "VALUE k 4294967295 5\r\nvalue\r\n");
    assert_status("get k\r\n", OUTCOME_MISS, "END\r\n");
    assert_status("get k more\r\n", OUTCOME_MISS, "");
    struct outcome dictated = hit();
    dictated.view.client_cas = 77;
    assert_reply("gets k\r\n", &dictated, "VALUE k 4294967295 5 77\r\nvalue\r\nEND\r\n");
    struct outcome empty = {.status = OUTCOME_HIT};
    assert_reply("get k\r\n", &empty, "VALUE k 0 0\r\n\r\nEND\r\n");
}

TEST(classic_commands_are_answered_by_words) {
    static const char set[] = "set k 0 0 1\r\nx\r\n", quiet[] = "set k 0 0 1 noreply\r\nx\r\n";
    assert_status(set, OUTCOME_STORED, "STORED\r\n");
    assert_status(set, OUTCOME_NOT_STORED, "NOT_STORED\r\n");
    assert_status("cas k 0 0 1 5\r\nx\r\n", OUTCOME_EXISTS, "EXISTS\r\n");
    assert_status("cas k 0 0 1 5\r\nx\r\n", OUTCOME_NOT_FOUND, "NOT_FOUND\r\n");
    assert_status("delete k\r\n", OUTCOME_DELETED, "DELETED\r\n");
    assert_status("touch k 0\r\n", OUTCOME_TOUCHED, "TOUCHED\r\n");
    for (unsigned i = OUTCOME_STORED; i <= OUTCOME_ERROR; i++) {
        struct outcome outcome = {.status = i, .error = "SERVER_ERROR out of memory storing object"};
        assert_reply(quiet, &outcome, "");
    }
    struct outcome error = {.status = OUTCOME_ERROR, .error = "SERVER_ERROR backend down"};
    assert_reply(set, &error, "SERVER_ERROR backend down\r\n");
    assert_reply("get k\r\n", &error, "SERVER_ERROR backend down\r\n");
    assert_reply("get k more\r\n", &error, "SERVER_ERROR backend down\r\n");
}

TEST(numbers_are_written_whole) {
    static const struct {
        uint64_t number;
        const char *text;
    } cases[] = {{0, "0\r\n"},
                 {9, "9\r\n"},
                 {10, "10\r\n"},
                 {99, "99\r\n"},
                 {100, "100\r\n"},
                 {101, "101\r\n"},
                 {12345, "12345\r\n"},
                 {1000000, "1000000\r\n"},
                 {UINT64_MAX, "18446744073709551615\r\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome outcome = {.status = OUTCOME_NUMBER, .number = cases[i].number};
        assert_reply("incr k 1\r\n", &outcome, cases[i].text);
        assert_reply("incr k 1 noreply\r\n", &outcome, "");
    }
}

TEST(what_the_parser_refused_is_answered_by_its_error) {
    parse_request("bogus\r\n");
    char out[100], *value_at;
    char *end = reply_write(out, &request, NULL, &value_at);
    assert_int_equal(end - out, 7);
    assert_memory_equal(out, "ERROR\r\n", 7);
    assert_true(reply_room(&request, NULL) >= 7);
    parse_request("bogus noreply\r\n");
    assert_ptr_equal(reply_write(out, &request, NULL, &value_at), out);
    parse_request("mn\r\n");
    end = reply_write(out, &request, NULL, &value_at);
    assert_memory_equal(out, "MN\r\n", 4);
    assert_int_equal(end - out, 4);
}

TEST(large_values_are_not_copied) {
    struct outcome outcome = hit();
    outcome.view.value = slice_of(NULL, 1000000);
    outcome.view.large = (struct cache_large *)&outcome;
    static const char *texts[] = {"get k\r\n", "mg k v\r\n"};
    static const char *heads[] = {"VALUE k 4294967295 1000000\r\n", "VA 1000000\r\n"};
    static const char *tails[] = {"\r\nEND\r\n", "\r\n"};
    for (size_t i = 0; i < 2; i++) {
        char out[REPLY_LINE_MAX], *value_at;
        parse_request(texts[i]);
        assert_true(reply_room(&request, &outcome) <= sizeof out);
        char *end = reply_write(out, &request, &outcome, &value_at);
        assert_int_equal(value_at - out, strlen(heads[i]));
        assert_memory_equal(out, heads[i], strlen(heads[i]));
        assert_int_equal(end - value_at, strlen(tails[i]));
        assert_memory_equal(value_at, tails[i], strlen(tails[i]));
    }
}

/* ---- Meta ---- */

TEST(mg_answers_its_flags_in_their_order) {
    assert_hit("mg k\r\n", "HD\r\n");
    assert_hit("mg k v\r\n", "VA 5\r\nvalue\r\n");
    assert_hit("mg k s t c f l h k v Oxyz\r\n",
               "VA 5 s5 t30 c18446744073709551615 f4294967295 l12 h1 kk Oxyz\r\nvalue\r\n");
    assert_hit("mg k Oxyz  k h q u P1 Lx\r\n", "HD Oxyz kk h1\r\n");
    assert_hit("mg k v C18446744073709551615 c\r\n", "HD c18446744073709551615\r\n");
    assert_hit("mg k v C5\r\n", "VA 5\r\nvalue\r\n");
    assert_hit("mg Zm9v b k v\r\n", "VA 5 kZm9v b\r\nvalue\r\n");
    assert_status("mg k v\r\n", OUTCOME_MISS, "EN\r\n");
    assert_status("mg k v k Oab s t\r\n", OUTCOME_MISS, "EN kk Oab\r\n");
    assert_status("mg Zm9v b k\r\n", OUTCOME_MISS, "EN kZm9v b\r\n");
    assert_status("mg k v q k\r\n", OUTCOME_MISS, "");
    struct outcome immortal = hit();
    immortal.view.expires_at = immortal.expires_before = 0;
    assert_reply("mg k t\r\n", &immortal, "HD t-1\r\n");
}

TEST(t_tells_the_ttl_as_it_was_at_its_place) {
    assert_hit("mg k t T30\r\n", "HD t10\r\n");
    assert_hit("mg k T30 t\r\n", "HD t30\r\n");
    assert_hit("mg k t N30\r\n", "HD t10\r\n");
    assert_hit("mg k N30 t\r\n", "HD t30\r\n");
    assert_hit("mg k t N20 T30\r\n", "HD t10\r\n");
    assert_hit("mg k N20 t T30\r\n", "HD t20\r\n");
    assert_hit("mg k T20 OT t N30\r\n", "HD OT t20\r\n");
    assert_hit("mg k T20 N30 t\r\n", "HD t30\r\n");
}

TEST(marks_are_told_behind_the_flags) {
    struct outcome outcome = hit();
    outcome.won = true;
    assert_reply("mg k t\r\n", &outcome, "HD t30 W\r\n");
    outcome.stale = true;
    assert_reply("mg k\r\n", &outcome, "HD X W\r\n");
    outcome.won = false;
    outcome.lost = true;
    assert_reply("mg k v\r\n", &outcome, "VA 5 Z X\r\nvalue\r\n");
}

TEST(ms_answers_its_flags) {
    struct outcome stored = hit();
    stored.status = OUTCOME_STORED;
    assert_reply("ms k 1\r\nx\r\n", &stored, "HD\r\n");
    assert_reply("ms k 1 k c s Oab T5\r\nx\r\n", &stored, "HD kk c18446744073709551615 s5 Oab\r\n");
    assert_reply("ms k 1 q k\r\nx\r\n", &stored, "");
    assert_status("ms k 3 q c s k\r\nabc\r\n", OUTCOME_NOT_STORED, "NS c0 s3 kk\r\n");
    assert_status("ms k 3 Oa\r\nabc\r\n", OUTCOME_EXISTS, "EX Oa\r\n");
    assert_status("ms Zm9v 3 b k\r\nabc\r\n", OUTCOME_NOT_FOUND, "NF kZm9v b\r\n");
    struct outcome error = {.status = OUTCOME_ERROR, .error = "SERVER_ERROR x"};
    assert_reply("ms k 1 q\r\nx\r\n", &error, "SERVER_ERROR x\r\n");
}

TEST(md_answers_its_flags) {
    assert_status("md k\r\n", OUTCOME_DELETED, "HD\r\n");
    assert_status("md k Oab k\r\n", OUTCOME_DELETED, "HD Oab kk\r\n");
    assert_status("md k q\r\n", OUTCOME_DELETED, "");
    assert_status("md k q k\r\n", OUTCOME_NOT_FOUND, "NF kk\r\n");
    assert_status("md k q\r\n", OUTCOME_EXISTS, "EX\r\n");
}

TEST(ma_answers_its_flags_and_the_number) {
    struct outcome number = hit();
    number.status = OUTCOME_NUMBER;
    number.number = 1234;
    assert_reply("ma k\r\n", &number, "HD\r\n");
    assert_reply("ma k v\r\n", &number, "VA 4\r\n1234\r\n");
    assert_reply("ma k v t c k Oab\r\n", &number, "VA 4 t30 c18446744073709551615 kk Oab\r\n1234\r\n");
    assert_reply("ma k t T30\r\n", &number, "HD t10\r\n");
    assert_reply("ma k v q\r\n", &number, "");
    assert_status("ma k q Oa t\r\n", OUTCOME_NOT_FOUND, "NF Oa\r\n");
    assert_status("ma k k v\r\n", OUTCOME_EXISTS, "EX kk\r\n");
}

TEST(me_tells_all_of_an_entry) {
    struct outcome outcome = hit();
    outcome.view.version = 9;
    assert_reply("me k\r\n", &outcome, "ME k exp=30 la=12 cas=9 fetch=yes cls=1 size=69\r\n");
    outcome.view.expires_at = 0;
    outcome.view.flags = 0;
    outcome.hit_before = false;
    assert_reply("me Zm9v b\r\n", &outcome, "ME Zm9v exp=-1 la=12 cas=9 fetch=no cls=1 size=67\r\n");
    assert_status("me k\r\n", OUTCOME_MISS, "EN\r\n");
}

TEST(the_longest_answer_fits) {
    char text[600], key[ENTRY_KEY_MAX + 1];
    memset(key, 'k', ENTRY_KEY_MAX);
    key[ENTRY_KEY_MAX] = 0;
    snprintf(text, sizeof text, "mg %s s t c f l h k v O1234567890123456789012345678901\r\n", key);
    struct outcome outcome = hit();
    outcome.won = outcome.stale = outcome.lost = true;
    outcome.last_access = UINT32_MAX;
    parse_request(text);
    char *value_at;
    write_answer(&outcome, &value_at);
}

/* ---- Base64 ---- */

TEST(base64_is_read_as_it_is_written) {
    char raw[100], encoded[BASE64_SIZE(100)], decoded[BASE64_SIZE(100)];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (char)(i * 37);
    for (size_t size = 1; size <= sizeof raw; size++) {
        char *end = base64_encode(slice_of(raw, size), encoded);
        assert_int_equal(end - encoded, BASE64_SIZE(size));
        assert_int_equal(base64_decode(slice_of(encoded, (size_t)(end - encoded)), decoded), size);
        assert_memory_equal(raw, decoded, size);
    }
    assert_int_equal(base64_decode(SLICE("Zm!9v"), decoded), 3);
    assert_int_equal(base64_decode(SLICE("Zm9"), decoded), 0);
    assert_int_equal(base64_decode(SLICE("===="), decoded), 0);
    assert_int_equal(base64_decode(SLICE("Z==="), decoded), 0);
    assert_int_equal(base64_decode(SLICE(""), decoded), 0);
    assert_int_equal(base64_decode(SLICE("Zg==Zm9v"), decoded), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_key_of_any_size_is_told_whole, free_answer),
        cmocka_unit_test(gets_are_answered_key_by_key_up_to_END),
        cmocka_unit_test(classic_commands_are_answered_by_words),
        cmocka_unit_test(numbers_are_written_whole),
        cmocka_unit_test(what_the_parser_refused_is_answered_by_its_error),
        cmocka_unit_test(large_values_are_not_copied),
        cmocka_unit_test(mg_answers_its_flags_in_their_order),
        cmocka_unit_test(t_tells_the_ttl_as_it_was_at_its_place),
        cmocka_unit_test(marks_are_told_behind_the_flags),
        cmocka_unit_test(ms_answers_its_flags),
        cmocka_unit_test(md_answers_its_flags),
        cmocka_unit_test(ma_answers_its_flags_and_the_number),
        cmocka_unit_test(me_tells_all_of_an_entry),
        cmocka_unit_test(the_longest_answer_fits),
        cmocka_unit_test(base64_is_read_as_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, free_answer);
}
