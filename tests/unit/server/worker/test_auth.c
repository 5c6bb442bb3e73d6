/* SPDX-License-Identifier: MIT */
/* The authentication file and the check against it. */
#include "server/worker/auth.h"
#include "tests/support/temp_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct auth *load(const char *text, size_t size, char *error, size_t error_size) {
    struct temp_folder folder;
    char path[300];
    temp_folder_make(&folder);
    snprintf(path, sizeof path, "%s/auth", folder.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
    struct auth *auth = auth_load(path, error, error_size);
    temp_folder_remove(&folder);
    return auth;
}

static struct auth *load_good(const char *text) {
    char error[400] = "";
    struct auth *auth = load(text, strlen(text), error, sizeof error);
    if (!auth)
        fail_msg("refused: %s", error);
    return auth;
}

static void who_is_let_in(void **state) {
    (void)state;
    static const struct {
        const char *credentials;
        bool good;
    } table[] = {
        {"foo bar", true},     {"hello world", true},    {"colon a:b", true},
        {"empty ", true},      {"last line", true},      {"foo world", false},
        {"hello bar", false},  {"foo", false},           {"", false},
        {"foo bar ", false},   {" foo bar", false},      {"foo  bar", false},
        {"foo ba", false},     {"foo barr", false},      {"fo bar", false},
        {"fooo bar", false},   {"FOO bar", false},       {"foo:bar", false},
        {"empty", false},      {"empty x", false},       {"foo barbar", false},
        {"foofoo bar", false}, {"colon a", false},       {"foo \n", false},
        {"nobody bar", false}, {"spaced a b", true},     {"spaced a", false},
        {"windows yes", true}, {"windows yes\r", false},
    };
    struct auth *auth =
        load_good("foo:bar\nhello:world\n\ncolon:a:b\nempty:\nspaced:a b\nwindows:yes\r\nlast:line");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (auth_check(auth, slice_string(table[i].credentials)) != table[i].good)
            fail_msg("\"%s\" should %sbe let in", table[i].credentials, table[i].good ? "" : "not ");
    auth_free(auth);
}

/* Many users, long passwords: no limit is cut off silently. */
static void no_silent_limits(void **state) {
    (void)state;
    char text[20000], credentials[600], password[401];
    size_t used = 0;
    memset(password, 'p', 400);
    password[400] = '\0';
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "user%d:%s%d\n", i, password, i);
    struct auth *auth = load_good(text);
    for (int i = 0; i < 40; i++) {
        snprintf(credentials, sizeof credentials, "user%d %s%d", i, password, i);
        assert_true(auth_check(auth, slice_string(credentials)));
        snprintf(credentials, sizeof credentials, "user%d %s%d", i, password, i + 1);
        assert_false(auth_check(auth, slice_string(credentials)));
    }
    auth_free(auth);
}

static void bytes_of_any_value(void **state) {
    (void)state;
    char error[400];
    struct auth *auth = load("a\0b:\xff\x01\n", 7, error, sizeof error);
    assert_non_null(auth);
    assert_true(auth_check(auth, slice_of("a\0b \xff\x01", 6)));
    assert_false(auth_check(auth, slice_of("a\0c \xff\x01", 6)));
    auth_free(auth);
}

static void bad_files(void **state) {
    (void)state;
    char error[400];
    assert_null(load("foo:bar\nnonsense\n", 17, error, sizeof error));
    assert_non_null(strstr(error, "line 2 of the authentication file"));
    assert_null(load("", 0, error, sizeof error));
    assert_non_null(strstr(error, "no line user:password"));
    assert_null(load("\n\r\n", 3, error, sizeof error));
    assert_null(auth_load("/nowhere/auth", error, sizeof error));
    assert_non_null(strstr(error, "/nowhere/auth"));
    auth_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_let_in),
        cmocka_unit_test(no_silent_limits),
        cmocka_unit_test(bytes_of_any_value),
        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
