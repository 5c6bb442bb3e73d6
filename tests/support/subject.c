/* SPDX-License-Identifier: MIT */
#include "tests/support/subject.h"
#include <stdlib.h>
#include <string.h>

int subjects_run(const char *name, const struct subject *const *subjects, size_t count, void *state) {
    size_t cases = 0;
    for (size_t i = 0; i < count; i++)
        cases += subjects[i]->count;
    struct CMUnitTest *tests = calloc(cases, sizeof *tests), *end = tests;
    for (size_t i = 0; i < count; i++) {
        memcpy(end, subjects[i]->cases, subjects[i]->count * sizeof *end);
        end += subjects[i]->count;
    }
    for (size_t i = 0; i < cases; i++)
        tests[i].initial_state = state;
    int failed = _cmocka_run_group_tests(name, tests, cases, NULL, NULL);
    free(tests);
    return failed;
}
