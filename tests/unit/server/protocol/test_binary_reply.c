/* SPDX-License-Identifier: MIT */
/* The exact bytes of each outcome in the binary protocol. */
#include "server/protocol/binary.h"
#include "server/protocol/reply.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

#define BYTES(text) slice_of(text, sizeof(text) - 1)
#define OPAQUE      "\x01\x02\x03\x04"
#define CAS         "\x80\0\0\0\0\0\0\x05"
#define NO_CAS      "\0\0\0\0\0\0\0\0"

/* The header of an answer: opcode, sizes of key and extras, status, size of the body (the last two as one byte
 * each). */
#define HEADER(opcode, key, extras, status, body, cas)                                                       \
    "\x81" opcode "\0" key extras "\0\0" status "\0\0\0" body OPAQUE cas

static char answer[4096];

static struct binary_head head_of(uint8_t opcode, bool quiet, bool ret_key) {
    struct binary_head head = {.opcode = opcode, .quiet = quiet, .ret_key = ret_key};
    memcpy(&head.opaque, OPAQUE, sizeof head.opaque);
    return head;
}

static void assert_answer(const char *end, struct slice expected) {
    assert_int_equal(end - answer, expected.size);
    assert_memory_equal(answer, expected.data, expected.size);
}

static struct request request_of(enum command command) {
    struct request request;
    request_begin(&request, command);
    request.key = SLICE("foo");
    return request;
}

static void assert_reply(struct binary_head head, enum command command, const struct outcome *outcome,
                         struct slice expected) {
    struct request request = request_of(command);
    char *value_at;
    assert_answer(binary_reply(answer, &head, &request, outcome, &value_at), expected);
    assert_null(value_at);
}

static void assert_status(struct binary_head head, enum command command, enum outcome_status status,
                          struct slice expected) {
    assert_reply(head, command, &(struct outcome){.status = status}, expected);
}

static struct outcome outcome_with_view(enum outcome_status status) {
    return (struct outcome){
        .status = status,
        .number = 0x8000000000000102ull,
        .view = {.value = SLICE("value"), .version = 0x8000000000000005ull, .flags = 0xfffffff9u}};
}

/* ---- Reads ---- */

TEST(a_hit_has_flags_and_a_value) {
    struct outcome hit = outcome_with_view(OUTCOME_HIT);
    struct slice expected = BYTES(HEADER("\0", "\0", "\x04", "\0", "\x09", CAS) "\xff\xff\xff\xf9value");
    assert_reply(head_of(0x00, false, false), COMMAND_GET, &hit, expected);
    struct slice quiet = BYTES(HEADER("\x1e", "\0", "\x04", "\0", "\x09", CAS) "\xff\xff\xff\xf9value");
    assert_reply(head_of(0x1e, true, false), COMMAND_GAT, &hit, quiet);
}

TEST(a_hit_has_the_key_where_that_is_asked_for) {
    struct outcome hit = outcome_with_view(OUTCOME_HIT);
    struct slice expected = BYTES(HEADER("\x0c", "\x03", "\x04", "\0", "\x0c", CAS) "\xff\xff\xff\xf9"
                                                                                    "foovalue");
    assert_reply(head_of(0x0c, false, true), COMMAND_GET, &hit, expected);
}

TEST(the_cas_is_what_a_client_said_if_it_did) {
    struct outcome hit = outcome_with_view(OUTCOME_HIT);
    hit.view.client_cas = 0x0102030405060708ull;
    assert_reply(head_of(0x00, false, false), COMMAND_GET, &hit,
                 BYTES(HEADER("\0", "\0", "\x04", "\0", "\x09",
                              "\x01\x02\x03\x04\x05\x06\x07\x08") "\xff\xff\xff\xf9value"));
}

TEST(a_value_outside_the_log_is_not_copied) {
    struct binary_head head = head_of(0x0c, false, true);
    struct request request = request_of(COMMAND_GET);
    struct outcome hit = outcome_with_view(OUTCOME_HIT);
    hit.view.large = (void *)answer; /* not looked at */
    hit.view.value.size = 0x01020304;
    char *value_at, *end = binary_reply(answer, &head, &request, &hit, &value_at);
    assert_answer(end, BYTES("\x81\x0c\0\x03\x04\0\0\0\x01\x02\x03\x0b" OPAQUE CAS "\xff\xff\xff\xf9"
                             "foo"));
    assert_ptr_equal(value_at, end);
}

TEST(a_miss) {
    assert_status(head_of(0x00, false, false), COMMAND_GET, OUTCOME_MISS,
                  BYTES(HEADER("\0", "\0", "\0", "\x01", "\x09", NO_CAS) "Not found"));
    assert_status(head_of(0x0c, false, true), COMMAND_GET, OUTCOME_MISS,
                  BYTES(HEADER("\x0c", "\x03", "\0", "\x01", "\x03", NO_CAS) "foo"));
    assert_status(head_of(0x09, true, false), COMMAND_GET, OUTCOME_MISS, slice_of("", 0));
    assert_status(head_of(0x0d, true, true), COMMAND_GET, OUTCOME_MISS, slice_of("", 0));
}

TEST(a_touch_has_flags) {
    struct outcome touched = outcome_with_view(OUTCOME_TOUCHED);
    assert_reply(head_of(0x1c, false, false), COMMAND_TOUCH, &touched,
                 BYTES(HEADER("\x1c", "\0", "\x04", "\0", "\x04", CAS) "\xff\xff\xff\xf9"));
    assert_status(head_of(0x1c, false, false), COMMAND_TOUCH, OUTCOME_NOT_FOUND,
                  BYTES(HEADER("\x1c", "\0", "\0", "\x01", "\x09", NO_CAS) "Not found"));
}

/* ---- Changes ---- */

TEST(a_change_has_its_cas_and_a_quiet_one_no_answer) {
    struct outcome stored = outcome_with_view(OUTCOME_STORED), number = outcome_with_view(OUTCOME_NUMBER);
    assert_reply(head_of(0x01, false, false), COMMAND_SET, &stored,
                 BYTES(HEADER("\x01", "\0", "\0", "\0", "\0", CAS)));
    assert_reply(head_of(0x11, true, false), COMMAND_SET, &stored, slice_of("", 0));
    assert_reply(head_of(0x05, false, false), COMMAND_META_ARITHMETIC, &number,
                 BYTES(HEADER("\x05", "\0", "\0", "\0", "\x08", CAS) "\x80\0\0\0\0\0\x01\x02"));
    assert_reply(head_of(0x15, true, false), COMMAND_META_ARITHMETIC, &number, slice_of("", 0));
    assert_status(head_of(0x04, false, false), COMMAND_DELETE, OUTCOME_DELETED,
                  BYTES(HEADER("\x04", "\0", "\0", "\0", "\0", NO_CAS)));
    assert_status(head_of(0x14, true, false), COMMAND_META_DELETE, OUTCOME_DELETED, slice_of("", 0));
}

/* Quiet or not: what did not happen is told. */
static void assert_refused(enum command command, enum outcome_status status, struct slice expected) {
    assert_status(head_of(0x42, false, false), command, status, expected);
    assert_status(head_of(0x42, true, false), command, status, expected);
}

TEST(what_did_not_happen_is_told_by_its_reason) {
    struct slice exists = BYTES(HEADER("\x42", "\0", "\0", "\x02", "\x14", NO_CAS) "Data exists for key.");
    struct slice not_found = BYTES(HEADER("\x42", "\0", "\0", "\x01", "\x09", NO_CAS) "Not found");
    struct slice not_stored = BYTES(HEADER("\x42", "\0", "\0", "\x05", "\x0b", NO_CAS) "Not stored.");
    assert_refused(COMMAND_ADD, OUTCOME_NOT_STORED, exists);
    assert_refused(COMMAND_REPLACE, OUTCOME_NOT_STORED, not_found);
    assert_refused(COMMAND_APPEND, OUTCOME_NOT_STORED, not_stored);
    assert_refused(COMMAND_PREPEND, OUTCOME_NOT_STORED, not_stored);
    assert_refused(COMMAND_META_SET, OUTCOME_NOT_STORED, not_stored);
    assert_refused(COMMAND_CAS, OUTCOME_EXISTS, exists);
    assert_refused(COMMAND_META_SET, OUTCOME_EXISTS, exists);
    assert_refused(COMMAND_META_DELETE, OUTCOME_EXISTS, exists);
    assert_refused(COMMAND_CAS, OUTCOME_NOT_FOUND, not_found);
    assert_refused(COMMAND_DELETE, OUTCOME_NOT_FOUND, not_found);
    assert_refused(COMMAND_META_ARITHMETIC, OUTCOME_NOT_FOUND, not_found);
}

/* ---- Errors ---- */

static void assert_error(enum outcome_error kind, enum binary_status status, const char *message) {
    static char expected[200];
    struct outcome outcome;
    outcome_fail(&outcome, kind, "SERVER_ERROR some line");
    size_t size = strlen(message);
    memcpy(expected, HEADER("\x01", "\0", "\0", "\0", "\0", NO_CAS), BINARY_HEADER);
    expected[7] = (char)status;
    expected[11] = (char)size;
    memcpy(expected + BINARY_HEADER, message, size);
    assert_reply(head_of(0x01, false, false), COMMAND_SET, &outcome,
                 slice_of(expected, BINARY_HEADER + size));
    expected[1] = 0x0d; /* an error is no miss */
    assert_reply(head_of(0x0d, true, true), COMMAND_GET, &outcome, slice_of(expected, BINARY_HEADER + size));
}

TEST(errors_have_a_status_and_the_words_of_memcached_or_of_the_line) {
    assert_error(ERROR_TOO_LARGE, BINARY_TOO_LARGE, "Too large.");
    assert_error(ERROR_NOT_A_NUMBER, BINARY_NOT_A_NUMBER, "Non-numeric server-side value for incr or decr");
    assert_error(ERROR_NO_MEMORY, BINARY_NO_MEMORY, "some line");
    assert_error(ERROR_NO_NAMESPACE, BINARY_INVALID, "some line");
    assert_error(ERROR_KEY_UNFIT, BINARY_INVALID, "some line");
    assert_error(ERROR_ROW_UNFIT, BINARY_INTERNAL_ERROR, "some line");
    assert_error(ERROR_BACKEND_REFUSES, BINARY_INTERNAL_ERROR, "some line");
    assert_error(ERROR_TOO_BUSY, BINARY_TEMPORARY_FAILURE, "some line");
    assert_error(ERROR_FULL, BINARY_TEMPORARY_FAILURE, "some line");
    assert_error(ERROR_JOURNAL_FULL, BINARY_TEMPORARY_FAILURE, "some line");
    assert_error(ERROR_BACKEND_DOWN, BINARY_TEMPORARY_FAILURE, "some line");
    assert_error(ERROR_UNCONFIRMED, BINARY_TEMPORARY_FAILURE, "some line");
}

/* libmemcached ends its process over the status that a store is given. */
TEST(a_number_that_there_is_no_memory_for_is_a_temporary_failure) {
    struct outcome outcome;
    outcome_fail(&outcome, ERROR_NO_MEMORY, "SERVER_ERROR why");
    assert_reply(head_of(0x05, false, false), COMMAND_META_ARITHMETIC, &outcome,
                 BYTES(HEADER("\x05", "\0", "\0", "\x86", "\x03", NO_CAS) "why"));
    assert_reply(head_of(0x16, true, false), COMMAND_META_ARITHMETIC, &outcome,
                 BYTES(HEADER("\x16", "\0", "\0", "\x86", "\x03", NO_CAS) "why"));
}

TEST(a_status_has_its_usual_message) {
    static const struct {
        enum binary_status status;
        const char *message;
    } rows[] = {{BINARY_SUCCESS, ""},
                {BINARY_NOT_FOUND, "Not found"},
                {BINARY_EXISTS, "Data exists for key."},
                {BINARY_TOO_LARGE, "Too large."},
                {BINARY_INVALID, "Invalid arguments"},
                {BINARY_NOT_STORED, "Not stored."},
                {BINARY_NOT_A_NUMBER, "Non-numeric server-side value for incr or decr"},
                {BINARY_AUTH_ERROR, "Auth failure."},
                {BINARY_AUTH_CONTINUE, ""},
                {BINARY_UNKNOWN_COMMAND, "Unknown command"},
                {BINARY_NO_MEMORY, "Out of memory"},
                {BINARY_NOT_SUPPORTED, "Not supported"},
                {BINARY_INTERNAL_ERROR, "Internal error"},
                {BINARY_TEMPORARY_FAILURE, "Temporary failure"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct binary_head head = head_of(0x42, true, true); /* a status is told whatever was asked for */
        char *end = binary_reply_status(answer, &head, rows[i].status);
        size_t size = strlen(rows[i].message);
        assert_int_equal(end - answer, BINARY_HEADER + size);
        assert_int_equal((uint8_t)answer[7], rows[i].status);
        assert_int_equal(answer[11], size);
        assert_memory_equal(answer + BINARY_HEADER, rows[i].message, size);
    }
}

TEST(the_line_of_an_error_loses_its_first_word) {
    struct binary_head head = head_of(0x01, false, false);
    static const char *const lines[] = {"SERVER_ERROR why", "CLIENT_ERROR why", "why"};
    for (size_t i = 0; i < 3; i++)
        assert_answer(binary_reply_error(answer, &head, BINARY_NO_MEMORY, lines[i]),
                      BYTES(HEADER("\x01", "\0", "\0", "\x82", "\x03", NO_CAS) "why"));
    assert_answer(binary_reply_error(answer, &head, BINARY_INVALID, "ERROR"),
                  BYTES(HEADER("\x01", "\0", "\0", "\x04", "\x05", NO_CAS) "ERROR"));
}

TEST(a_line_that_is_too_long_is_cut) {
    struct binary_head head = head_of(0x01, false, false);
    char line[2 * REPLY_LINE_MAX];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    char *room = malloc(REPLY_LINE_MAX);
    assert_non_null(room);
    char *end = binary_reply_error(room, &head, BINARY_INVALID, line);
    assert_int_equal(end - room, REPLY_LINE_MAX);
    assert_memory_equal(room + 10, "\x03\xe8", 2); /* 1000 */
    free(room);
}

TEST(a_statistic_has_a_name_and_a_value) {
    struct binary_head head = head_of(0x10, false, false);
    assert_answer(binary_reply_statistic(answer, &head, SLICE("pid"), SLICE("4711")),
                  BYTES(HEADER("\x10", "\x03", "\0", "\0", "\x07", NO_CAS) "pid4711"));
    assert_answer(binary_reply_statistic(answer, &head, slice_of("", 0), slice_of("", 0)),
                  BYTES(HEADER("\x10", "\0", "\0", "\0", "\0", NO_CAS)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_has_flags_and_a_value),
        cmocka_unit_test(a_hit_has_the_key_where_that_is_asked_for),
        cmocka_unit_test(the_cas_is_what_a_client_said_if_it_did),
        cmocka_unit_test(a_value_outside_the_log_is_not_copied),
        cmocka_unit_test(a_miss),
        cmocka_unit_test(a_touch_has_flags),
        cmocka_unit_test(a_change_has_its_cas_and_a_quiet_one_no_answer),
        cmocka_unit_test(what_did_not_happen_is_told_by_its_reason),
        cmocka_unit_test(errors_have_a_status_and_the_words_of_memcached_or_of_the_line),
        cmocka_unit_test(a_number_that_there_is_no_memory_for_is_a_temporary_failure),
        cmocka_unit_test(a_status_has_its_usual_message),
        cmocka_unit_test(the_line_of_an_error_loses_its_first_word),
        cmocka_unit_test(a_line_that_is_too_long_is_cut),
        cmocka_unit_test(a_statistic_has_a_name_and_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
