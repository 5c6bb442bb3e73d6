/* SPDX-License-Identifier: MIT */
/*
 * Time that passes at once, for tests in which lives end. Nobody waits, and lives can be so long that none ends before
 * the test wants it, however slow the machine.
 *
 * Both clocks go on together, as they do while one waits. What is waiting already goes on waiting as long as it wanted.
 * A program that uses this is named in tests/CMakeLists.txt (PASSING_TIME): the clock and the waits of all code linked
 * into it go through here, those of shared libraries do not. What has passed stays passed until the program ends. In
 * one that is named there for its naps as well, whoever naps goes on at once, and so much later.
 */
#ifndef FOREBAY_TESTS_SUPPORT_PASSING_TIME_H
#define FOREBAY_TESTS_SUPPORT_PASSING_TIME_H

#include <stdint.h>

/* Any thread. */
void pass_us(uint64_t us);

/* Until wall_us() is at least wall. One thread at a time. */
void pass_until_us(uint64_t wall);

#endif
