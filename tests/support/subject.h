/* SPDX-License-Identifier: MIT */
/*
 * A program of tests that is several files, as what it starts takes long: a file of cases for each subject. A file
 * rows.c ends with its list, about_rows.
 */
#ifndef FOREBAY_TESTS_SUPPORT_SUBJECT_H
#define FOREBAY_TESTS_SUPPORT_SUBJECT_H

#include "tests/support/check.h"

/* The initial state of each case is for subjects_run to fill in. */
struct subject {
    const struct CMUnitTest *cases;
    size_t count;
};

/* Runs all of them in this order, as one group of this name. state: what *state is before each set_up. Returns how many
 * have failed. */
int subjects_run(const char *name, const struct subject *const *subjects, size_t count, void *state);

#endif
