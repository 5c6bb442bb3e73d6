/* SPDX-License-Identifier: MIT */
/*
 * What the conformance tests are about: a file of cases for each subject, run in this order with every kind of store.
 *
 * A new one is declared here, and has its place in tests/backends/test_conformance.c. The initial state of a case is
 * the kind (set_up in store.h).
 */
#ifndef FOREBAY_TESTS_BACKENDS_CONFORMANCE_SUBJECTS_H
#define FOREBAY_TESTS_BACKENDS_CONFORMANCE_SUBJECTS_H

#include "tests/support/subject.h"

extern const struct subject about_rows, about_versions, about_touches, about_conditions, about_batches,
    about_expiry, about_connections, about_scans, about_failures, about_races, about_probes;

#endif
