/* SPDX-License-Identifier: MIT */
/* Messages that are too long keep their beginning and their end. */
#include "cache/base/fit.h"
#include "tests/support/check.h"
#include <string.h>

TEST(what_fits_is_whole) {
    char room[32];
    (void)state;
    assert_int_equal(fit_print(room, sizeof room, "%s: %d", "there", 7), 8);
    assert_string_equal(room, "there: 7");
    assert_int_equal(fit_text("1234567", room, 8), 7);
    assert_string_equal(room, "1234567");
}

TEST(what_does_not_loses_its_middle) {
    char room[24];
    (void)state;
    assert_int_equal(fit_print(room, sizeof room, "backend local, %0200d: disk I/O error", 0),
                     sizeof room - 1);
    assert_string_equal(room, "backend l ... I/O error");
    assert_int_equal(fit_text("1234567", room, 5), 4); /* too small for a gap */
    assert_string_equal(room, "1234");
    assert_int_equal(fit_text("1234567", room, 1), 0);
    assert_string_equal(room, "");
}

TEST(no_character_is_halved) {
    static const char text[] =
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4";
    (void)state;
    for (size_t size = 12; size < sizeof text; size++) {
        char room[sizeof text];
        assert_true(fit_text(text, room, size) < size);
        const char *gap = strstr(room, " ... ");
        assert_non_null(gap);
        assert_int_equal((gap - room) % 2, 0);
        assert_int_equal(strlen(gap + 5) % 2, 0);
    }
}

TEST(it_may_print_what_lies_there) {
    char room[16] = "no memory";
    (void)state;
    fit_print(room, sizeof room, "at 7: %s", room);
    assert_string_equal(room, "at 7: no memory");
    fit_text(room + 6, room, sizeof room);
    assert_string_equal(room, "no memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_whole),
        cmocka_unit_test(what_does_not_loses_its_middle),
        cmocka_unit_test(no_character_is_halved),
        cmocka_unit_test(it_may_print_what_lies_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
