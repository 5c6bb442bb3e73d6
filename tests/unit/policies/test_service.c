/* SPDX-License-Identifier: MIT */
/* What the parts of a tier have to say. */
#include "backends/failure.h"
#include "policies/service.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <string.h>

static void keep(void *context, enum log_level level, const struct log_field *fields, const char *message) {
    (void)level;
    (void)fields;
    snprintf(context, SERVICE_MESSAGE_SIZE + 1, "%s", message);
}

TEST(the_longest_failure_of_a_backend_is_told_whole) {
    char said[SERVICE_MESSAGE_SIZE + 1], expected[SERVICE_MESSAGE_SIZE];
    struct service service = {.log = keep, .context = said};
    struct backend_error error;
    (void)state;
    backend_fail(&error, BACKEND_TRANSIENT, "%01000d: what to do", 0);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    snprintf(expected, sizeof expected, "backend local: writes fail and are tried again: %s", error.message);
    service_log(&service, LOG_LEVEL_WARNING, "backend local: writes fail and are tried again: %s",
                error.message);
    assert_string_equal(said, expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_failure_of_a_backend_is_told_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
