/* SPDX-License-Identifier: MIT */
/*
 * Numbers as memcached 1.6 reads them from a client, in two ways: strictly in most words of a command line;
 * loosely, like the C library's strtoul family, in the flags and exptime of the storage commands and in the
 * values that incr and decr count. Pure.
 */
#ifndef FOREBAY_POLICIES_NUMBER_H
#define FOREBAY_POLICIES_NUMBER_H

#include "cache/base/slice.h"
#include <stdint.h>

/* Strictly: digits alone, at most 22 (64 bits) or 11 (32 bits) of them; an empty word is 0. False, and
 * nothing is written, for anything else and for what does not fit. int32 takes a '-' before the digits. */
bool number_read_u64(struct slice word, uint64_t *ret_number);
bool number_read_u32(struct slice word, uint32_t *ret_number);
bool number_read_int32(struct slice word, int64_t *ret_number);

/* Loosely: white space, a sign, digits, and then white space, a zero byte or the end; what follows is
 * ignored. A negative number is refused, except where it wraps to a small one, which memcached overlooks. */
bool number_read_loose_u64(struct slice word, uint64_t *ret_number);

/* The same with a negative number as it is. */
bool number_read_loose_int64(struct slice word, int64_t *ret_number);

#endif
