/* SPDX-License-Identifier: MIT */
/* The authentication file and the check against it. */
#include "server/worker/auth/auth.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <stdio.h>
#include <sys/stat.h>

struct bench {
    struct temp_folder folder;
    struct auth *auth; /* what was last loaded */
    char error[400];
};

static int set_up(void **state) {
    static struct bench bench;
    bench = (struct bench){0};
    temp_folder_make(&bench.folder);
    *state = &bench;
    return 0;
}

static int tear_down(void **state) {
    struct bench *bench = *state;
    auth_free(bench->auth);
    temp_folder_remove(&bench->folder);
    return 0;
}

/* Loads a file of these bytes; NULL with bench->error. */
static struct auth *load(struct bench *bench, const char *text, size_t size) {
    char path[300];
    snprintf(path, sizeof path, "%s/auth", bench->folder.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    size_t written = fwrite(text, 1, size, file);
    fclose(file);
    assert_int_equal(written, size);
    auth_free(bench->auth);
    bench->auth = auth_load(path, bench->error, sizeof bench->error);
    return bench->auth;
}

static struct auth *load_good(struct bench *bench, const char *text) {
    if (!load(bench, text, strlen(text)))
        fail_msg("refused: %s", bench->error);
    return bench->auth;
}

/* As a text client says it: "user password". */
static bool knows(const struct auth *auth, struct slice credential) {
    struct slice user, password = credential;
    slice_cut(&password, ' ', &user);
    return auth_check(auth, user, password);
}

TEST(only_a_user_with_its_password_is_let_in) {
    struct bench *bench = *state;
    static const struct {
        const char *credentials;
        bool good;
    } table[] = {
        {"foo bar", true},     {"hello world", true},    {"colon a:b", true},
        {"short p", true},     {"last line", true},      {"foo world", false},
        {"hello bar", false},  {"foo", false},           {"", false},
        {"foo bar ", false},   {" foo bar", false},      {"foo  bar", false},
        {"foo ba", false},     {"foo barr", false},      {"fo bar", false},
        {"fooo bar", false},   {"FOO bar", false},       {"foo:bar", false},
        {"short", false},      {"short ", false},        {"foo barbar", false},
        {"foofoo bar", false}, {"colon a", false},       {"foo \n", false},
        {"nobody bar", false}, {"spaced a b", true},     {"spaced a", false},
        {"windows yes", true}, {"windows yes\r", false},
    };
    struct auth *auth =
        load_good(bench, "foo:bar\nhello:world\n\ncolon:a:b\nshort:p\nspaced:a b\nwindows:yes\r\nlast:line");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (knows(auth, slice_string(table[i].credentials)) != table[i].good)
            fail_msg("\"%s\" should %sbe let in", table[i].credentials, table[i].good ? "" : "not ");
}

TEST(many_users_and_long_passwords_are_not_cut_off) {
    struct bench *bench = *state;
    char text[20000], credentials[600], password[401];
    size_t used = 0;
    memset(password, 'p', 400);
    password[400] = '\0';
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "user%d:%s%d\n", i, password, i);
    struct auth *auth = load_good(bench, text);
    for (int i = 0; i < 40; i++) {
        snprintf(credentials, sizeof credentials, "user%d %s%d", i, password, i);
        assert_true(knows(auth, slice_string(credentials)));
        snprintf(credentials, sizeof credentials, "user%d %s%d", i, password, i + 1);
        assert_false(knows(auth, slice_string(credentials)));
    }
}

TEST(a_name_and_a_password_may_hold_any_bytes) {
    struct bench *bench = *state;
    struct auth *auth = load(bench, "a\0b:\xff\x01\n", 7);
    assert_non_null(auth);
    assert_true(knows(auth, slice_of("a\0b \xff\x01", 6)));
    assert_false(knows(auth, slice_of("a\0c \xff\x01", 6)));
}

TEST(a_bad_file_is_refused_with_its_line_or_its_name) {
    struct bench *bench = *state;
    assert_null(load(bench, "foo:bar\nnonsense\n", 17));
    assert_non_null(strstr(bench->error, "line 2 of the authentication file"));
    assert_null(load(bench, "", 0));
    assert_non_null(strstr(bench->error, "no line user:password"));
    assert_null(load(bench, "\n\r\n", 3));
    assert_null(auth_load("/nowhere/auth", bench->error, sizeof bench->error));
    assert_non_null(strstr(bench->error, "/nowhere/auth"));
    auth_free(NULL); /* allowed */
}

/* It would let in whoever knows a name, or nobody. What it says is not shown: it is a secret. */
TEST(a_line_without_a_user_or_a_password_or_that_cannot_be_sent_is_refused) {
    struct bench *bench = *state;
    static char longest[AUTH_CREDENTIAL_MAX + 3];
    snprintf(longest, sizeof longest, "u:%0*d", AUTH_CREDENTIAL_MAX - 2, 7);
    assert_non_null(load(bench, longest, AUTH_CREDENTIAL_MAX));
    longest[AUTH_CREDENTIAL_MAX] = '7';
    const char *const lines[] = {":secret", "secret:", ":", "secret:\r", "a secret:b", longest};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[sizeof longest + 10];
        int size = snprintf(text, sizeof text, "foo:bar\n%s\n", lines[i]);
        if (load(bench, text, (size_t)size))
            fail_msg("taken: %s", lines[i]);
        assert_non_null(strstr(bench->error, "line 2 of the authentication file"));
        assert_null(strstr(bench->error, "secret"));
    }
}

TEST(a_file_that_is_open_to_others_is_told) {
    struct bench *bench = *state;
    static const struct {
        mode_t mode;
        const char *how; /* NULL: it is well */
    } table[] = {
        {0600, NULL},
        {0400, NULL},
        {0640, NULL},
        {0644, "read by all users"},
        {0660, "written by its group"},
        {0606, "written by all users"},
    };
    char path[300], warning[600];
    snprintf(path, sizeof path, "%s/auth", bench->folder.path);
    load_good(bench, "foo:bar\n");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(chmod(path, table[i].mode), 0);
        auth_free(bench->auth);
        bench->auth = auth_load(path, bench->error, sizeof bench->error);
        assert_non_null(bench->auth);
        bool exposed = auth_is_exposed(bench->auth, path, warning, sizeof warning);
        assert_int_equal(exposed, table[i].how != NULL);
        if (exposed)
            assert_non_null(strstr(warning, table[i].how));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(only_a_user_with_its_password_is_let_in),
        CASE(many_users_and_long_passwords_are_not_cut_off),
        CASE(a_name_and_a_password_may_hold_any_bytes),
        CASE(a_bad_file_is_refused_with_its_line_or_its_name),
        CASE(a_line_without_a_user_or_a_password_or_that_cannot_be_sent_is_refused),
        CASE(a_file_that_is_open_to_others_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
