/* SPDX-License-Identifier: MIT */
/*
 * Keys that are numbers in a store. A store that compares numbers would find one row by 7, 007 and 7.0, which are
 * three keys to clients and to memory; so one spelling of each number is a key, and the others are none. Pure.
 */
#ifndef FOREBAY_BACKENDS_KEY_H
#define FOREBAY_BACKENDS_KEY_H

#include "cache/base/slice.h"
#include <stdbool.h>
#include <stdint.h>

/* A whole number of 64 bits as it is printed: digits without a zero before them, with '-' below 0, without '+'.
 * False: something else. */
bool key_is_integer(struct slice key, int64_t *ret_number);

/* The key without the prefix of its namespace, which may be NULL; the whole key if it does not begin with it. */
struct slice key_without_prefix(struct slice key, const char *prefix);

#endif
