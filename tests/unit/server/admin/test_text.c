/* SPDX-License-Identifier: MIT */
/* The small parts that deal with text: buffer, measures, words of a command, addresses, log lines. */
#include "server/admin/words.h"
#include "server/buffer.h"
#include "server/config/address.h"
#include "server/config/measure.h"
#include "server/log.h"
#include "server/server.h"
#include "tests/support/check.h"
#include <stdlib.h>

static int set_up(void **state) {
    *state = calloc(1, sizeof(struct buffer));
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state) {
    buffer_free(*state);
    free(*state);
    return 0;
}

TEST(a_buffer_grows) {
    struct buffer *buffer = *state;
    for (int i = 0; i < 1000; i++) {
        buffer_print(buffer, "%03d", i);
        buffer_append(buffer, ",x", 1);
    }
    assert_int_equal(buffer->size, 4000);
    assert_memory_equal(buffer->data, "000,001,", 8);
    assert_memory_equal(buffer->data + 3996, "999,", 4);
    buffer_append(buffer, NULL, 0);
    assert_int_equal(buffer->size, 4000);
    assert_false(buffer->failed);
    buffer_free(buffer);
    assert_null(buffer->data);
}

TEST(a_buffer_that_failed_takes_no_more) {
    struct buffer *buffer = *state;
    buffer_append(buffer, "abc", 3);
    assert_null(buffer_reserve(buffer, SIZE_MAX - 1));
    assert_true(buffer->failed);
    buffer_append(buffer, "def", 3);
    buffer_print(buffer, "%d", 1);
    assert_int_equal(buffer->size, 3);
}

TEST(measures_are_read_with_their_units) {
    static const struct {
        bool (*measure)(const char *, uint64_t *);
        const char *text;
        bool good;
        uint64_t value;
    } table[] = {
        {measure_number, "0", true, 0},
        {measure_number, "18446744073709551615", true, UINT64_MAX},
        {measure_number, "18446744073709551616", false, 0},
        {measure_number, "-1", false, 0},
        {measure_number, "+1", false, 0},
        {measure_number, " 1", false, 0},
        {measure_number, "1 ", false, 0},
        {measure_number, "", false, 0},
        {measure_number, "0x10", false, 0},
        {measure_size, "1048576", true, 1 << 20},
        {measure_size, "64kb", true, 64 << 10},
        {measure_size, "64 KB", true, 64 << 10},
        {measure_size, "64mb", true, 64 << 20},
        {measure_size, "2G", true, 2ull << 30},
        {measure_size, "3MiB", true, 3 << 20},
        {measure_size, "5b", true, 5},
        {measure_size, "1.5mb", false, 0},
        {measure_size, "mb", false, 0},
        {measure_size, "99999999999999gb", false, 0},
        {measure_size, "1tb", false, 0},
        {measure_duration, "100ms", true, 100},
        {measure_duration, "2s", true, 2000},
        {measure_duration, "2", true, 2000},
        {measure_duration, "30m", true, 1800000},
        {measure_duration, "1h", true, 3600000},
        {measure_duration, "2d", true, 172800000},
        {measure_duration, "1w", false, 0},
        {measure_duration, "-1s", false, 0},
        {measure_duration, "s", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint64_t value = 4711;
        if (table[i].measure(table[i].text, &value) != table[i].good)
            fail_msg("\"%s\"", table[i].text);
        assert_int_equal(value, table[i].good ? table[i].value : 4711);
    }
}

TEST(words_are_cut_at_blanks_and_read_as_numbers) {
    struct words found = words_of(SLICE("  a bb   ccc "));
    assert_int_equal(found.count, 3);
    assert_true(words_equal(found.word[1], "bb"));
    assert_true(words_equal(found.word[2], "ccc"));
    assert_int_equal(found.word[3].size, 0);
    assert_int_equal(words_of(SLICE("")).count, 0);
    assert_int_equal(words_of((struct slice){NULL, 0}).count, 0);
    assert_int_equal(words_of(SLICE("1 2 3 4 5 6 7 8 9 10 11 12 13")).count, WORDS_OF_ARGUMENT);
    uint32_t number;
    int32_t signed_number;
    assert_true(words_number(SLICE("4294967295"), &number) && number == UINT32_MAX);
    assert_false(words_number(SLICE("4294967296"), &number));
    assert_false(words_number(SLICE("-1"), &number));
    assert_false(words_number(SLICE(""), &number));
    assert_false(words_number(SLICE("1x"), &number));
    assert_true(words_signed_number(SLICE("-2147483648"), &signed_number) && signed_number == INT32_MIN);
    assert_true(words_signed_number(SLICE("2147483647"), &signed_number) && signed_number == INT32_MAX);
    assert_false(words_signed_number(SLICE("2147483648"), &signed_number));
    assert_false(words_signed_number(SLICE("-"), &signed_number));
}

TEST(addresses_are_read_in_all_their_forms) {
    static const struct {
        const char *text;
        bool good, is_unix;
        const char *host;
        int port;
    } table[] = {
        {"127.0.0.1", true, false, "127.0.0.1", -1},
        {"127.0.0.1:0", true, false, "127.0.0.1", 0},
        {"localhost:11211", true, false, "localhost", 11211},
        {"*", true, false, "", -1},
        {"*:1", true, false, "", 1},
        {"::1", true, false, "::1", -1},
        {"::", true, false, "::", -1},
        {"[::1]", true, false, "::1", -1},
        {"[::1]:65535", true, false, "::1", 65535},
        {"unix:/run/f.sock", true, true, "/run/f.sock", -1},
        {"proto[ascii]:127.0.0.1:5", true, false, "127.0.0.1", 5},
        {"proto[negotiating]:tag[x]:h", true, false, "h", -1},
        {"", false, false, "", 0},
        {":11211", false, false, "", 0},
        {"h:65536", false, false, "", 0},
        {"h:-1", false, false, "", 0},
        {"h:", false, false, "", 0},
        {"[::1]x", false, false, "", 0},
        {"[::1", false, false, "", 0},
        {"unix:", false, false, "", 0},
        {"tag[x", false, false, "", 0},
        {"proto[proxy]:h", false, false, "", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct listen_address address = {0};
        char error[300] = "";
        if (address_parse(table[i].text, &address, error, sizeof error) != table[i].good)
            fail_msg("\"%s\": %s", table[i].text, error);
        if (!table[i].good) {
            assert_non_null(strstr(error, "is not an address"));
            continue;
        }
        assert_int_equal(address.is_unix, table[i].is_unix);
        assert_string_equal(address.host, table[i].host);
        assert_int_equal(address.port, table[i].port);
    }
}

TEST(an_address_says_whether_it_is_encrypted) {
    static const struct {
        const char *text, *host;
        int port;
        enum address_tls tls;
    } table[] = {
        {"127.0.0.1:5", "127.0.0.1", 5, ADDRESS_TLS_UNSAID},
        {"tls:127.0.0.1:5", "127.0.0.1", 5, ADDRESS_TLS_ON},
        {"tls:*", "", -1, ADDRESS_TLS_ON},
        {"tls:[::1]:5", "::1", 5, ADDRESS_TLS_ON},
        {"notls:h", "h", -1, ADDRESS_TLS_OFF},
        {"btls:h", "h", -1, ADDRESS_TLS_ANYBODY},
        {"mtls:proto[ascii]:h:5", "h", 5, ADDRESS_TLS_KNOWN},
        {"notls:unix:/run/f.sock", "/run/f.sock", -1, ADDRESS_TLS_OFF},
    };
    static const char *const bad[] = {"tls:unix:/run/f.sock", "tls:", "tls:tls:h", "tls:5"};
    struct listen_address address = {0};
    char error[300] = "";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!address_parse(table[i].text, &address, error, sizeof error))
            fail_msg("\"%s\": %s", table[i].text, error);
        assert_string_equal(address.host, table[i].host);
        assert_int_equal(address.port, table[i].port);
        assert_int_equal(address.tls, table[i].tls);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (address_parse(bad[i], &address, error, sizeof error))
            fail_msg("%s is taken", bad[i]);
}

/* Runs body with standard error going to a pipe; returns what it wrote. */
static size_t captured(struct server *server, void (*body)(struct server *server), char *text, size_t size) {
    int ends[2], before = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    body(server);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t got = read(ends[0], text, size - 1);
    close(ends[0]);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

static void log_some(struct server *server) {
    char endless[5000];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    server_log(server, LOG_LEVEL_ERROR, "key \"%s\"", "a\r\nnotice: forged\x1b[0m");
    server_log(server, LOG_LEVEL_DEBUG, "only with -v");
    server_log(server, LOG_LEVEL_WARNING, "%s", endless);
}

TEST(a_log_line_is_one_line_of_printable_text) {
    struct server server = {0};
    char text[8192];
    captured(&server, log_some, text, sizeof text);
    char *first = text, *second = strchr(text, '\n') + 1;
    assert_non_null(strstr(first, "Z error: key \"a??notice: forged?[0m\"\n"));
    assert_non_null(strstr(second, "Z warning: xxxx"));
    assert_null(strstr(text, "only with -v"));
    assert_ptr_equal(strchr(second, '\n'), strrchr(text, '\n')); /* two lines, the second cut */
    assert_true(strlen(second) <= 1024);
    atomic_store(&server.verbosity, 1);
    captured(&server, log_some, text, sizeof text);
    assert_non_null(strstr(text, "debug: only with -v\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_buffer_grows),
        CASE(a_buffer_that_failed_takes_no_more),
        cmocka_unit_test(measures_are_read_with_their_units),
        cmocka_unit_test(words_are_cut_at_blanks_and_read_as_numbers),
        cmocka_unit_test(addresses_are_read_in_all_their_forms),
        cmocka_unit_test(an_address_says_whether_it_is_encrypted),
        cmocka_unit_test(a_log_line_is_one_line_of_printable_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
