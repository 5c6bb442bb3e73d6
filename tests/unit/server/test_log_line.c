/* SPDX-License-Identifier: MIT */
/* Lines of the log in each form, whatever bytes they are made of. The readers here are strict, and share no code with
 * what writes. */
#include "server/log_line.h"
#include "tests/support/check.h"
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NOON_US UINT64_C(1769860800123000)
#define NOON    "2026-01-31T12:00:00.123Z"

enum { ROUNDS = 20000, MESSAGE_MOST = 900 };

static const struct log_form text = {LOG_FORMAT_TEXT, false}, logfmt = {LOG_FORMAT_LOGFMT, false},
                             json = {LOG_FORMAT_JSON, false};

/* The line as a string; it ends with its only newline. */
static const char *line_of(const struct log_form *form, enum log_level level, const char *message,
                           const struct log_field *fields, char line[LOG_LINE_MAX + 1]) {
    size_t size = log_line(form, NOON_US, level, message, fields, line);
    assert_true(size > 0 && size <= LOG_LINE_MAX);
    line[size] = '\0';
    assert_int_equal(strlen(line), size);
    assert_ptr_equal(strchr(line, '\n'), line + size - 1);
    return line;
}

TEST(a_line_has_the_form_that_was_asked_for) {
    char line[LOG_LINE_MAX + 1];
    const struct log_field *fields = LOG_FIELDS(log_text("namespace", "sessions"), log_text("backend", NULL),
                                                log_number("rows", 12), log_text("of", "a b"));
    assert_string_equal(line_of(&text, LOG_LEVEL_WARNING, "it is \"so\"", fields, line),
                        NOON " warning: it is \"so\"\n");
    assert_string_equal(line_of(&logfmt, LOG_LEVEL_NOTICE, "it is \"so\"", fields, line),
                        "time=" NOON
                        " level=notice msg=\"it is \\\"so\\\"\" namespace=sessions rows=12 of=\"a b\"\n");
    assert_string_equal(
        line_of(&json, LOG_LEVEL_ERROR, "it is \"so\"", fields, line),
        "{\"time\":\"" NOON
        "\",\"level\":\"error\",\"msg\":\"it is \\\"so\\\"\",\"namespace\":\"sessions\",\"rows\":12,\"of\":\"a b\"}\n");
    assert_string_equal(line_of(&json, LOG_LEVEL_DEBUG, "", NULL, line),
                        "{\"time\":\"" NOON "\",\"level\":\"debug\",\"msg\":\"\"}\n");
}

TEST(the_journal_is_told_the_level_and_not_the_time_of_a_text) {
    struct log_form form = {LOG_FORMAT_TEXT, true};
    static const char *const lines[] = {[LOG_LEVEL_ERROR] = "<3>error: why\n",
                                        [LOG_LEVEL_WARNING] = "<4>warning: why\n",
                                        [LOG_LEVEL_NOTICE] = "<5>notice: why\n",
                                        [LOG_LEVEL_DEBUG] = "<7>debug: why\n"};
    char line[LOG_LINE_MAX + 1];
    for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
        assert_string_equal(line_of(&form, level, "why", NULL, line), lines[level]);
    form.format = LOG_FORMAT_LOGFMT;
    assert_string_equal(line_of(&form, LOG_LEVEL_ERROR, "why", NULL, line),
                        "<3>time=" NOON " level=error msg=\"why\"\n");
}

TEST(the_journal_is_known_by_its_device_and_inode) {
    struct stat status;
    char stream[80];
    assert_int_equal(fstat(STDIN_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    assert_true(log_is_journal(STDIN_FILENO, stream));
    assert_false(log_is_journal(-1, stream));
    strcat(stream, "1");
    assert_false(log_is_journal(STDIN_FILENO, stream));
    static const char *const others[] = {NULL, "", ":", "1", "1:", ":1", "x:y", "1:2:3", "0:0"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(log_is_journal(STDIN_FILENO, others[i]));
}

static void expect_escaped(const char *message, const char *expected) {
    char line[LOG_LINE_MAX + 1], wanted[200];
    snprintf(wanted, sizeof wanted, "\"msg\":\"%s\"}", expected);
    if (!strstr(line_of(&json, LOG_LEVEL_ERROR, message, NULL, line), wanted))
        fail_msg("%s is not in %s", wanted, line);
    snprintf(wanted, sizeof wanted, " msg=\"%s\"\n", expected);
    if (!strstr(line_of(&logfmt, LOG_LEVEL_ERROR, message, NULL, line), wanted))
        fail_msg("%s is not in %s", wanted, line);
}

#define NONE "\xef\xbf\xbd"

TEST(what_is_not_printable_is_escaped) {
    char line[LOG_LINE_MAX + 1];
    expect_escaped("a\r\n\t\"\\\x1b[0m\x7f", "a\\r\\n\\t\\\"\\\\\\u001b[0m\\u007f");
    expect_escaped("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_escaped("\xc2\x9b[0m", "\\u009b[0m");                       /* what a terminal takes for ESC [ */
    expect_escaped("\x80 \xff \xc0\xaf", NONE " " NONE " " NONE NONE); /* longer than needed */
    expect_escaped("\xed\xa0\x80", NONE NONE NONE);                    /* half of a pair */
    expect_escaped("\xf4\x90\x80\x80", NONE NONE NONE NONE);           /* above U+10FFFF */
    expect_escaped("\xe2\x82", NONE NONE);                             /* cut */
    expect_escaped("\xc3\"", NONE "\\\"");
    assert_string_equal(
        line_of(&text, LOG_LEVEL_ERROR, "a\r\nnotice: forged\x1b[0m\xc2\x9b h\xc3\xa9", NULL, line),
        NOON " error: a??notice: forged?[0m? h\xc3\xa9\n");
}

/* ---- A strict reader of JSON and logfmt strings ---- */

static bool is_utf8(const char *bytes, size_t size) {
    char out[8 * LOG_LINE_MAX], *to = out, *from = (char *)(uintptr_t)bytes;
    size_t room = sizeof out;
    iconv_t converter = iconv_open("UTF-32LE", "UTF-8");
    assert_true(converter != (iconv_t)-1);
    size_t result = iconv(converter, &from, &size, &to, &room);
    iconv_close(converter);
    return result == 0;
}

/* Behind one character between quotes. */
static const char *skip_character(const char *at) {
    assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
    if (*at != '\\')
        return at + 1;
    if (at[1] != 'u') {
        assert_non_null(strchr("\"\\/bfnrt", at[1]));
        return at + 2;
    }
    assert_int_equal(strspn(at + 2, "0123456789abcdef") >= 4, true);
    return at + 6;
}

static const char *skip_string(const char *at) {
    assert_int_equal(*at++, '"');
    while (*at != '"')
        at = skip_character(at);
    return at + 1;
}

static const char *skip_json_value(const char *at) {
    size_t digits = strspn(at, "0123456789");
    return digits ? at + digits : skip_string(at);
}

/* Returns the number of members. */
static unsigned read_json(const char *line) {
    unsigned members = 0;
    const char *at = line;
    assert_int_equal(*at++, '{');
    do {
        at = skip_string(at);
        assert_int_equal(*at++, ':');
        at = skip_json_value(at);
        members++;
    } while (*at++ == ',');
    assert_string_equal(at - 1, "}\n");
    return members;
}

static unsigned read_logfmt(const char *line) {
    unsigned members = 0;
    const char *at = line;
    do {
        at += strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        assert_int_equal(*at++, '=');
        at = *at == '"' ? skip_string(at) : at + strcspn(at, " \n\"=");
        members++;
    } while (*at++ == ' ');
    assert_string_equal(at - 1, "\n");
    return members;
}

/* Bytes that are hard: ends and pieces of characters, controls, quotes, and some that are none of that. */
static void draw(char *to, size_t most) {
    static const char hard[] =
        "\x01\x1f\"\\/{}=\x7f\x80\xbf\xc0\xc1\xc2\xdf\xe0\xed\xa0\xef\xf0\xf4\x90\xf5\xff \n";
    size_t size = (size_t)rand() % most;
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(rand() % 2 ? hard[(size_t)rand() % (sizeof hard - 1)] : 1 + rand() % 255);
    to[size] = '\0';
}

TEST(whatever_a_message_is_made_of_a_line_can_be_read) {
    char message[MESSAGE_MOST + 1], name[200], line[LOG_LINE_MAX + 1];
    srand(15);
    for (int i = 0; i < ROUNDS; i++) {
        draw(message, i % 8 ? 40 : MESSAGE_MOST);
        draw(name, i % 8 ? 20 : sizeof name);
        const struct log_field *fields =
            LOG_FIELDS(log_text("namespace", name), log_number("rows", (uint64_t)i));
        line_of(&json, LOG_LEVEL_WARNING, message, fields, line);
        assert_true(is_utf8(line, strlen(line)));
        assert_int_equal(read_json(line), 5);
        line_of(&logfmt, LOG_LEVEL_WARNING, message, fields, line);
        assert_true(is_utf8(line, strlen(line)));
        assert_int_equal(read_logfmt(line), 5);
    }
}

/* Six bytes for each: neither the message nor the last field has room. */
TEST(a_line_that_is_cut_can_be_read_all_the_same) {
    char message[LOG_MESSAGE_MAX], line[LOG_LINE_MAX + 1];
    memset(message, '\x01', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    const struct log_field *fields =
        LOG_FIELDS(log_text("namespace", "sessions"), log_text("path", message), log_number("rows", 3));
    assert_int_equal(read_json(line_of(&json, LOG_LEVEL_ERROR, message, fields, line)), 6);
    assert_int_equal(read_logfmt(line_of(&logfmt, LOG_LEVEL_ERROR, message, fields, line)), 6);
    assert_true(strlen(line) > LOG_LINE_MAX - 20);
    assert_non_null(strstr(line, " namespace=sessions path="));
    assert_true(strlen(line_of(&text, LOG_LEVEL_NOTICE, message, fields, line)) <= 1024);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_form_that_was_asked_for),
        cmocka_unit_test(the_journal_is_told_the_level_and_not_the_time_of_a_text),
        cmocka_unit_test(the_journal_is_known_by_its_device_and_inode),
        cmocka_unit_test(what_is_not_printable_is_escaped),
        cmocka_unit_test(whatever_a_message_is_made_of_a_line_can_be_read),
        cmocka_unit_test(a_line_that_is_cut_can_be_read_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
