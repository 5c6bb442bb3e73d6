/* SPDX-License-Identifier: MIT */
/* Submissions to an io_uring that the kernel does not see, and what it says of them instead; each thread has its own
 * ring. */
#ifndef FOREBAY_TESTS_FAULTS_REFUSED_ENTRIES_H
#define FOREBAY_TESTS_FAULTS_REFUSED_ENTRIES_H

#include <liburing.h>

/* An entry that is about to be submitted will have this result (-errno). */
void refused_entries_add(struct io_uring_sqe *entry, int result);

/* After the submission: puts these results into the completions that have come. */
void refused_entries_answer(struct io_uring *ring);

#endif
