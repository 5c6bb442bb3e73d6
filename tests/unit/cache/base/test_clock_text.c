/* SPDX-License-Identifier: MIT */
/* Times as people read them. */
#include "cache/base/clock_text.h"
#include "tests/support/check.h"
#include <string.h>

TEST(a_time_has_as_many_digits_as_are_asked_for) {
    static const struct {
        uint64_t us;
        int digits;
        const char *text;
    } table[] = {
        {0, 0, "1970-01-01T00:00:00Z"},
        {UINT64_C(1769860800123456), 0, "2026-01-31T12:00:00Z"},
        {UINT64_C(1769860800123456), 3, "2026-01-31T12:00:00.123Z"},
        {UINT64_C(1769860800000045), 6, "2026-01-31T12:00:00.000045Z"},
    };
    char text[CLOCK_TEXT_MAX];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(clock_text(table[i].us, table[i].digits, text), table[i].text);
}

TEST(any_number_has_a_text) {
    char text[CLOCK_TEXT_MAX];
    for (uint64_t us = UINT64_MAX; us > 0; us /= 2)
        assert_in_range(strlen(clock_text(us, 6, text)), 1, CLOCK_TEXT_MAX - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_has_as_many_digits_as_are_asked_for),
        cmocka_unit_test(any_number_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
